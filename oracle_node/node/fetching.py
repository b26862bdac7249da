"""The models that a configuration names by URI, brought here before anything else starts."""

import time
from pathlib import Path

import structlog

from oracle_node.config import Config
from oracle_node.model.fetch import FetchTerms, fetch_model
from oracle_node.model.location import Location, RemoteModel

log = structlog.get_logger()
_LOG_EVERY_S = 10.0


async def with_models_here(config: Config) -> Config:
    """The configuration with directories in the place of URIs; errors as `fetch_model`."""
    terms = FetchTerms(config.fetch.ipfs_gateway, config.fetch.max_mb << 20, config.fetch.timeout_s)
    here: dict[Location, Path] = {}
    for model in config.models:
        if isinstance(model, RemoteModel):
            here[model] = config.fetch.cache / model.model_id.hex()
            await fetch_model(model, here[model], terms, _Logged(model))
            log.info("model_fetched", uri=model.uri, directory=str(here[model]))
    drafts = {here.get(model, model): gguf for model, gguf in config.llama.models.items()}
    return config.model_copy(
        update={
            "models": tuple(here.get(model, model) for model in config.models),
            "llama": config.llama.model_copy(update={"models": drafts}),
        }
    )


class _Logged:
    """Progress as a log line now and then."""

    def __init__(self, remote: RemoteModel) -> None:
        self._remote = remote
        self._next = time.monotonic() + _LOG_EVERY_S

    def __call__(self, name: str, count: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LOG_EVERY_S
            log.info("model_fetching", uri=self._remote.uri, file=name, bytes=count)
