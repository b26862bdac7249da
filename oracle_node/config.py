"""The node's configuration: one TOML file, read once at the edge into one frozen value."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from oracle_node.errors import ConfigError
from oracle_node.model.location import Location, ModelLocation

_GWEI = 10**9
_ETHER = 10**18
RPC_SCHEMES = ("http://", "https://", "ws://", "wss://")
Seconds = Annotated[float, Field(gt=0)]
Wei = Annotated[int, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChainConfig(_Section):
    """Which oracle, and how to talk to its chain."""

    rpc: tuple[SecretStr, ...] = Field(
        min_length=1,
        description="URL of the JSON-RPC (http, https, ws, wss), or several: the next takes over where one fails; "
        "hidden in logs, since they may hold keys",
    )
    chain_id: int = Field(gt=0, description="the node refuses an RPC that serves another chain")
    oracle: str = Field(description="address of the oracle contract")
    start_block: int = Field(default=0, ge=0, description="block of the deployment: logs are read from there")
    poll_s: Seconds = Field(default=2.0, description="pause between looks at the chain")
    confirmations: int = Field(default=0, ge=0, description="blocks to stay behind the head")
    chunk_blocks: int = Field(
        default=2_000, gt=0, description="most blocks in one log request; halved when refused"
    )
    max_fee_gwei: float = Field(default=500.0, gt=0, description="cap on the fee per gas")
    replace_after_s: Seconds = Field(
        default=60.0, description="a transaction not mined by then is sent with more fee"
    )
    most_in_flight: int = Field(
        default=64,
        gt=0,
        description="transactions that wait to be mined at once; public mempools drop more of one key",
    )

    @field_validator("rpc", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | SecretStr) else value

    @field_validator("rpc")
    @classmethod
    def _require_known_schemes(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(url.get_secret_value().startswith(RPC_SCHEMES) for url in value):
            raise ValueError("must start with http://, https://, ws:// or wss://")
        return value

    @property
    def rpc_urls(self) -> tuple[str, ...]:
        """In the open: never to be logged."""
        return tuple(url.get_secret_value() for url in self.rpc)


class KeyFileConfig(_Section):
    """An encrypted key, and where its password comes from."""

    keystore: Path = Field(description="Web3 key file (version 3)")
    password_file: Path | None = Field(
        default=None, description="first line is the password; else it is asked for"
    )


class KeyConfig(KeyFileConfig):
    """The key that claims, defends and challenges, and others that only pay gas."""

    helpers: tuple[KeyFileConfig, ...] = Field(
        default=(),
        description="keys with a little ether for what anyone may send (finalize, forfeit, close, retract, early "
        "delivery): more transactions at once, and none in the way of a defence",
    )


class RolesConfig(_Section):
    """What the node does; each is a switch."""

    answer: bool = Field(default=True, description="answer requests to its models")
    defend: bool = Field(default=True, description="answer challenges of its claims")
    settle: bool = Field(default=True, description="finalize, deliver and collect")
    early: bool = Field(
        default=False, description="deliver before finality where a request wants that; unpaid"
    )
    watch: bool = Field(default=True, description="check the claims of others")
    challenge: bool = Field(default=True, description="dispute what it found wrong; needs watch")


class MoneyConfig(_Section):
    """What the node risks and when it cashes in; all in wei."""

    max_claim_bond_wei: Wei = Field(default=_ETHER, description="listings that want more are not answered")
    max_challenge_bond_wei: Wei = Field(
        default=_ETHER, description="claims that want more are not challenged"
    )
    min_fee_wei: Wei = Field(default=0, description="requests that pay less are not answered")
    answer_gas: int = Field(
        default=400_000, ge=0, description="gas of an answer: fees that do not cover it are not worked for"
    )
    compute_wei_per_s: Wei = Field(
        default=0,
        description="what a second of the model's declared trace time costs; the fee has to cover it, too",
    )
    dispute_gas: int = Field(
        default=1_500_000,
        ge=0,
        description="gas of a dispute: kept, at twice its price, for each claim and challenge of the node's, and what "
        "half of a wrong claim's bond has to cover",
    )
    withdraw_above_wei: Wei = Field(default=0, description="withdraw a balance above this; 0 for never")


class InferenceConfig(_Section):
    """How models run: in workers beside the node, which it survives."""

    executor: Literal["process", "ray", "thread"] = Field(
        default="process",
        description="processes of this machine, actors of a Ray cluster, or a thread of the node itself",
    )
    threads: int = Field(default=0, ge=0, description="threads of one run; 0 for all cores")
    parallel: int = Field(
        default=1,
        gt=0,
        description="workers, each with its models; one more is started when a dispute needs it",
    )
    timeout_s: Seconds = Field(default=1800.0, description="a worker that takes longer for one task is ended")
    memory_mb: int = Field(
        default=0,
        ge=0,
        description="most private memory of a worker, mapped weights not counted; 0 for no limit",
    )
    retries: int = Field(
        default=1, ge=0, description="further attempts, in a fresh worker, at a task that lost its worker"
    )
    ray_address: str = Field(
        default="", description="of a running Ray cluster; empty starts one on this machine"
    )


class FetchConfig(_Section):
    """How models that are given by URI are fetched."""

    cache: Path = Field(default=Path("model-cache"), description="folder that keeps fetched models, by id")
    ipfs_gateway: str = Field(
        default="http://127.0.0.1:8080", description="where ipfs:// is fetched; it need not be trusted"
    )
    max_mb: int = Field(default=65_536, gt=0, description="weights that are larger are not fetched")
    timeout_s: Seconds = Field(default=60.0, description="a server that is silent for so long is given up")


class LlamaConfig(_Section):
    """How llama.cpp drafts the answers of language models; without a file the tape finds them alone."""

    models: dict[ModelLocation, Path] = Field(
        default={}, description="model directory → the GGUF file that drafts its answers"
    )
    threads: int = Field(default=0, ge=0, description="threads of a draft; 0 for all cores")
    gpu_layers: int = Field(default=0, ge=-1, description="layers on a GPU; -1 for all")
    context: int = Field(
        default=0, ge=0, description="tokens that a draft holds; 0 for the model's own limit"
    )


class ApiConfig(_Section):
    """The HTTP API; none where the section is absent."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="0 takes a free one")
    stall_after_s: Seconds = Field(
        default=60.0, description="/health fails when a loop was silent for so long"
    )
    token: SecretStr | None = Field(
        default=None, description="what everything but /health asks for, as a bearer token or ?token="
    )
    requests_per_s: int = Field(default=50, gt=0, description="requests answered in a second, /health aside")

    @model_validator(mode="after")
    def _require_token(self) -> "ApiConfig":
        if self.token is None and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("a host that others reach needs a token")
        return self


class Config(_Section):
    """Everything a node is told. Paths are absolute, or relative to the file's folder."""

    chain: ChainConfig
    key: KeyConfig
    models: tuple[ModelLocation, ...] = Field(
        default=(),
        description="model directories; or file, http, https or ipfs URIs, remote ones with #0x… (the id)",
    )
    store: Path = Field(default=Path("node.db"), description="the SQLite file")
    roles: RolesConfig = RolesConfig()
    money: MoneyConfig = MoneyConfig()
    inference: InferenceConfig = InferenceConfig()
    fetch: FetchConfig = FetchConfig()
    llama: LlamaConfig = LlamaConfig()
    api: ApiConfig | None = None

    @property
    def directories(self) -> tuple[Path, ...]:
        """The models, once all are on this machine."""
        assert all(isinstance(model, Path) for model in self.models), "fetch the models first"
        return tuple(model for model in self.models if isinstance(model, Path))


def load_config(path: Path) -> Config:
    """Read and check a configuration file; ConfigError names the key and what is wrong with it."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    config = parse_config(values, str(path))
    return _resolved(config, path.resolve().parent)


def parse_config(values: dict[str, Any], where: str = "configuration") -> Config:
    """Check values that came from anywhere."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, fault["loc"]))
        hint = " (no such key)" if fault["type"] == "extra_forbidden" else f": {fault['msg']}"
        raise ConfigError(f"{where}: {key}{hint}") from None


def _resolved(config: Config, folder: Path) -> Config:
    helpers = tuple(one.model_copy(update=_key_files(folder, one)) for one in config.key.helpers)
    drafts = {_within(folder, model): folder / gguf for model, gguf in config.llama.models.items()}
    held = tuple(_within(folder, model) for model in config.models)
    for model in drafts.keys() - set(held):
        raise ConfigError(f"llama.models: {model} is not among the models")
    return config.model_copy(
        update={
            "store": folder / config.store,
            "models": held,
            "fetch": config.fetch.model_copy(update={"cache": folder / config.fetch.cache}),
            "llama": config.llama.model_copy(update={"models": drafts}),
            "key": config.key.model_copy(update=_key_files(folder, config.key) | {"helpers": helpers}),
        }
    )


def _key_files(folder: Path, key: KeyFileConfig) -> dict[str, Path | None]:
    password_file = None if key.password_file is None else folder / key.password_file
    return {"keystore": folder / key.keystore, "password_file": password_file}


def _within(folder: Path, model: Location) -> Location:
    return folder / model if isinstance(model, Path) else model
