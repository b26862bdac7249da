"""`oracle-node model fetch`: a model from a server or from IPFS into a directory, verified."""

import asyncio
from pathlib import Path

import click

from oracle_node.cli.output import Output, json_option
from oracle_node.config import FetchConfig
from oracle_node.errors import ConfigError

_DEFAULTS = FetchConfig()


@click.command("fetch")
@click.argument("uri", metavar="URI")
@click.option("--model-id", metavar="ID", help="The model's id [default: what the URI ends with after #].")
@click.option(
    "--out",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="New model directory.",
)
@click.option(
    "--ipfs-gateway", default=_DEFAULTS.ipfs_gateway, show_default=True, help="Where ipfs:// is fetched."
)
@click.option(
    "--max-mb", type=click.IntRange(1), default=_DEFAULTS.max_mb, show_default=True, help="Most of weights."
)
@json_option
def fetch(
    uri: str, model_id: str | None, directory: Path, ipfs_gateway: str, max_mb: int, out: Output
) -> None:
    """Fetch a model directory (https://…, http://…, ipfs://CID) and verify it against its id.

    A fetch that broke off goes on where it stopped; the directory appears when everything is there and right.
    """
    from oracle_node.model.directory import load_model
    from oracle_node.model.fetch import FetchTerms, fetch_model
    from oracle_node.model.location import RemoteModel, parse_location

    try:
        remote = parse_location(uri, model_id)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if not isinstance(remote, RemoteModel):
        raise ConfigError(f"{remote} is on this machine: use it as it is, or copy it")
    terms = FetchTerms(ipfs_gateway, max_mb << 20, _DEFAULTS.timeout_s)
    with out.progress("fetching", None) as advance:
        seen: dict[str, int] = {}

        def progress(name: str, count: int) -> None:
            advance(count - seen.get(name, 0))
            seen[name] = count

        asyncio.run(fetch_model(remote, directory, terms, progress))
    found = load_model(directory)
    if found.model_id != remote.model_id:
        raise ConfigError(f"{directory} holds another model already: choose another directory")
    out.result({"model_id": found.model_id, "name": found.card.name, "directory": directory})
