"""`oracle-node request`: ask a listed model on chain, and wait for the answer."""

import asyncio
from pathlib import Path
from typing import Any

import click

from oracle_node.chain.types import RequestOptions
from oracle_node.cli.answers import present_answer
from oracle_node.cli.asking import (
    chat_option,
    fee_option,
    final_answer,
    max_tokens_option,
    nonce_option,
    prepare,
)
from oracle_node.cli.inputs import read_request
from oracle_node.cli.options import existing_file, image_max_option, model_directory, parse_hash
from oracle_node.cli.output import Output, json_option
from oracle_node.cli.session import Session, dry_run_option, session_options
from oracle_node.errors import ConfigError
from oracle_node.model.directory import load_model
from oracle_node.model.model import Model


@click.command()
@click.argument("model_id", metavar="MODEL_ID")
@click.option("--input", "input_file", type=existing_file, help=".npy, an image (with --model) or raw bytes.")
@click.option(
    "--text",
    help="A prompt, for language models (with --model); --dry-run shows its bytes, as a contract would send them.",
)
@max_tokens_option
@chat_option
@click.option(
    "--model", "directory", type=model_directory, help="Its directory: converts the input, reads the answer."
)
@fee_option
@nonce_option
@click.option("--wait", is_flag=True, help="Wait until the answer is final.")
@image_max_option
@session_options
@dry_run_option
@json_option
def request(
    model_id: str,
    input_file: Path | None,
    text: str | None,
    max_tokens: int | None,
    chat: bool,
    directory: Path | None,
    fee: int,
    nonce: int,
    wait: bool,
    image_max: float | None,
    session: Session,
    dry_run: bool,
    out: Output,
) -> None:
    """Ask a model on chain.

    MODEL_ID is a model's id where it is listed once, or a listing id, as `model register` prints both.
    """
    if (input_file is None) == (text is None):
        raise click.UsageError("give either --input or --text")
    if text is None and (chat or max_tokens is not None):
        raise click.UsageError("--chat and --max-tokens go with --text")
    identifier = parse_hash(model_id, "model or listing id")
    model = load_model(directory) if directory else None
    if input_file is not None:
        data = read_request(input_file, model, image_max) if model else _raw(input_file)
    else:
        data = _prompt(model, directory, text or "", chat, max_tokens)
    options = RequestOptions(fee=fee, nonce=nonce)
    if not dry_run:
        out.result(asyncio.run(_request(session, identifier, data, options, model, wait, out)))
        return
    planned = asyncio.run(_plan(session, identifier, data, options, model))
    out.result(planned if text is None else {**planned, "input": data})


def _raw(path: Path) -> bytes:
    if path.suffix == ".npy":
        raise ConfigError(f"{path}: give --model DIR, so that the array can be converted to the model's type")
    return path.read_bytes()


def _prompt(
    model: Model | None, directory: Path | None, text: str, chat: bool, max_tokens: int | None
) -> bytes:
    from oracle_node.cli.prompting import prompt_request

    if model is None or directory is None:
        raise click.UsageError("--text needs --model DIR, which holds the model's tokenizer")
    return prompt_request(model, directory, text, chat=chat, max_tokens=max_tokens)


async def _plan(
    session: Session, identifier: bytes, data: bytes, options: RequestOptions, model: Model | None
) -> dict[str, Any]:
    async with session.client() as client:
        prepared = await prepare(client, session, identifier, data, options, model)
        return {
            "request_id": prepared.request_id,
            "listing_id": prepared.listing_id,
            "cost_wei": prepared.cost_wei,
            "dry_run": True,
            "gas": await prepared.sender.simulate(prepared.call),
        }


async def _request(
    session: Session,
    identifier: bytes,
    data: bytes,
    options: RequestOptions,
    model: Model | None,
    wait: bool,
    out: Output,
) -> dict[str, Any]:
    async with session.client() as client:
        prepared = await prepare(client, session, identifier, data, options, model)
        receipt = await prepared.sender.send(prepared.call)
        result: dict[str, Any] = {
            "request_id": prepared.request_id,
            "listing_id": prepared.listing_id,
            "cost_wei": prepared.cost_wei,
            "dry_run": False,
            "gas_used": receipt.gas_used,
        }
        if not wait:
            return result
        out.say(f"asked: request 0x{prepared.request_id.hex()}; waiting for a final answer")
        output = (await final_answer(client, prepared.request_id, receipt.block_number)).output
        return {**result, "output": output, **(present_answer(model, output) if model else {})}
