"""The configuration file: what it accepts, and how it says what is wrong."""

from pathlib import Path

import pytest

from oracle_node.config import (
    ApiConfig,
    ChainConfig,
    Config,
    FetchConfig,
    InferenceConfig,
    KeyConfig,
    LlamaConfig,
    MoneyConfig,
    RolesConfig,
    load_config,
)
from oracle_node.errors import ConfigError

SECTIONS = {
    "chain": ChainConfig,
    "key": KeyConfig,
    "roles": RolesConfig,
    "money": MoneyConfig,
    "inference": InferenceConfig,
    "fetch": FetchConfig,
    "llama": LlamaConfig,
    "api": ApiConfig,
}
GOOD = """
models = ["models/toy", "/somewhere/else"]

[chain]
rpc = "http://user:secret@127.0.0.1:8545"
chain_id = 31337
oracle = "0x2946259E0334f33A064106302415aD3391BeD384"

[key]
keystore = "keys/node.json"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "node.toml"
    path.write_text(text)
    return path


def test_load_config__relative_paths__start_at_the_file(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, GOOD))
    assert config.key.keystore == tmp_path / "keys" / "node.json"
    assert config.models == (tmp_path / "models" / "toy", Path("/somewhere/else"))
    assert config.store == tmp_path / "node.db"
    assert config.api is None
    assert config.roles.answer


def test_load_config__helpers__their_files_start_at_the_file_too(tmp_path: Path) -> None:
    helper = '\n[[key.helpers]]\nkeystore = "helper.json"\npassword_file = "helper.txt"\n'
    (found,) = load_config(write(tmp_path, GOOD + helper)).key.helpers
    assert (found.keystore, found.password_file) == (tmp_path / "helper.json", tmp_path / "helper.txt")


def test_load_config__repr__hides_the_rpc(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, GOOD))
    assert "secret" not in repr(config) + str(config)
    assert config.chain.rpc_urls[0].startswith("http://user:secret@")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("chain_id = 31337\n", ""), r"node\.toml: chain\.chain_id: Field required"),
        (GOOD + "\n[roles]\nanswr = true\n", r"roles\.answr \(no such key\)"),
        (
            GOOD.replace("http://user:secret@127.0.0.1:8545", "ftp://x:secret@y"),
            r"chain\.rpc: .*must start with http",
        ),
        (GOOD + "\n[api]\nport = 70000\n", r"api\.port: .*65535"),
        ("models = [", r"node\.toml is not TOML"),
    ],
)
def test_load_config__mistake__names_the_key_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(write(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_load_config__no_file__config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "node.toml")


def test_operators_page__configuration_table__lists_every_key_with_its_meaning(repository: Path) -> None:
    page = (repository / "docs" / "node-operator.md").read_text("utf-8")
    for name, section in Config.model_fields.items():
        kind = SECTIONS.get(name)
        keys = (
            {name: section} if kind is None else {f"{name}.{key}": f for key, f in kind.model_fields.items()}
        )
        for key, entry in keys.items():
            row = next((line for line in page.splitlines() if line.startswith(f"| `{key}` |")), None)
            assert row is not None, f"{key} is not in docs/node-operator.md"
            assert row.endswith(f"| {entry.description} |"), row
            if entry.is_required():
                assert "| required |" in row
