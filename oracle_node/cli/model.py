"""`oracle-node model`: models as files, and listing them on chain. What runs one is in `model_run`."""

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from oracle_node.cli.model_fetch import fetch
from oracle_node.cli.model_import import import_model
from oracle_node.cli.model_run import compare, run, selftest
from oracle_node.cli.options import ether, existing_file, model_directory, parse_hash
from oracle_node.cli.output import Output, json_option
from oracle_node.cli.session import Session, dry_run_option, session_options
from oracle_node.errors import ConfigError, ModelError


@click.group()
def model() -> None:
    """Import, inspect, run, check and register models."""


for command in (import_model, fetch, run, compare, selftest):
    model.add_command(command)


@model.command()
@click.argument("directory", metavar="DIR", type=model_directory)
@json_option
def inspect(directory: Path, out: Output) -> None:
    """What a model directory holds; its id is recomputed from the files."""
    from oracle_node.model.directory import load_model

    out.result(load_model(directory).describe())


@model.command()
@click.argument("directory", metavar="DIR", type=model_directory)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="HTML file to write [default: DIR with the ending .html].",
)
@json_option
def view(directory: Path, target: Path | None, out: Output) -> None:
    """The tape as one HTML page: every instruction, what it reads, who reads it, what one element costs to prove."""
    from oracle_node.model.directory import load_model
    from oracle_node.model.page import tape_page

    loaded = load_model(directory, verify_weights=False)
    path = target or directory.resolve().with_name(f"{directory.resolve().name}.html")
    try:
        path.write_text(tape_page(loaded), encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from None
    out.result({"file": path, "instructions": len(loaded.tape.instructions)})


@model.command()
@click.argument("directory", metavar="DIR", type=model_directory)
@click.option(
    "--set",
    "card_file",
    type=existing_file,
    help="JSON file with what is to be changed: name, description, license, origin, input, answer.",
)
@json_option
def card(directory: Path, card_file: Path | None, out: Output) -> None:
    """What people and tools are told of a model: its name, and what its inputs and answers mean. Its id stays."""
    from oracle_node.codec.cards import require_card
    from oracle_node.model.directory import load_model, rewrite_card
    from oracle_node.model.manifest import card_entry

    loaded = load_model(directory, verify_weights=False)
    if card_file is None:
        out.result(card_entry(loaded.card))
        return
    try:
        changed = json.loads(card_file.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise ConfigError(f"{card_file}: not JSON ({error})") from None
    out.result(card_entry(rewrite_card(directory, **require_card(loaded, changed, str(card_file)))))


@model.command()
@click.argument("model_id", metavar="ID")
@click.argument("directory", metavar="DIR", type=model_directory)
@json_option
def verify(model_id: str, directory: Path, out: Output) -> None:
    """Recompute a model's id from its files and compare it with ID."""
    from oracle_node.model.directory import load_model

    wanted = parse_hash(model_id, "model id")
    found = load_model(directory).model_id
    if found != wanted:
        raise ModelError(f"{directory} holds model 0x{found.hex()}, not 0x{wanted.hex()}")
    out.result({"model_id": found, "verified": True})


@model.command()
@click.argument("directory", metavar="DIR", type=model_directory)
@session_options
@click.option(
    "--window", type=click.IntRange(1), help="Seconds to challenge a claim [default: the contract's least]."
)
@click.option(
    "--clock", type=click.IntRange(1), help="Seconds of thinking time of each side [default: the least]."
)
@click.option("--claim-bond", type=ether, help="Ether a claim locks [default: the least].")
@click.option("--challenge-bond", type=ether, help="Ether a challenge locks [default: the least].")
@click.option("--min-fee", type=ether, default=0, show_default=True, help="Least ether a request pays.")
@click.option(
    "--commit-reveal/--open", default=True, show_default=True, help="Hide answers until claimants are bound."
)
@dry_run_option
@json_option
def register(directory: Path, session: Session, out: Output, **terms: Any) -> None:
    """List a model on chain under terms; anyone may, under any terms above the contract's floors."""
    from oracle_node.cli.listing import register_model
    from oracle_node.model.directory import load_model

    out.result(asyncio.run(register_model(session, load_model(directory), **terms)))
