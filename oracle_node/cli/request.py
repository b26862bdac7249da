"""`oracle-node request`: ask a listed model on chain, and wait for the answer."""

import asyncio
from pathlib import Path
from typing import Any

import click

from oracle_node.chain.types import RequestOptions
from oracle_node.cli.asking import (
    chat_option,
    fee_option,
    final_answer,
    max_tokens_option,
    nonce_option,
    prepare,
)
from oracle_node.cli.inputs import NamedPath, given, input_option, text_option
from oracle_node.cli.options import model_directory, parse_hash
from oracle_node.cli.output import Output, json_option
from oracle_node.cli.session import Session, dry_run_option, session_options
from oracle_node.codec.answer import read_answer
from oracle_node.codec.request import WHOLE, Given, request_bytes
from oracle_node.model.directory import load_model
from oracle_node.model.model import Model


@click.command()
@click.argument("model_id", metavar="MODEL_ID")
@input_option
@text_option
@max_tokens_option
@chat_option
@click.option(
    "--model", "directory", type=model_directory, help="Its directory: converts the input, reads the answer."
)
@fee_option
@nonce_option
@click.option("--wait", is_flag=True, help="Wait until the answer is final.")
@session_options
@dry_run_option
@json_option
def request(
    model_id: str,
    inputs: tuple[NamedPath, ...],
    text: str | None,
    max_tokens: int | None,
    chat: bool,
    directory: Path | None,
    fee: int,
    nonce: int,
    wait: bool,
    session: Session,
    dry_run: bool,
    out: Output,
) -> None:
    """Ask a model on chain.

    MODEL_ID is a model's id where it is listed once, or a listing id, as `model register` prints both. With --model the
    input is converted as the model's card says; --dry-run shows the bytes, as a contract would send them.
    """
    asked = given(inputs, text, chat=chat, max_tokens=max_tokens)
    identifier = parse_hash(model_id, "model or listing id")
    model = load_model(directory) if directory else None
    data = request_bytes(model, asked, directory) if model else _raw(asked)
    options = RequestOptions(fee=fee, nonce=nonce)
    if not dry_run:
        out.result(asyncio.run(_request(session, identifier, data, options, model, wait, out)))
        return
    out.result(asyncio.run(_plan(session, identifier, data, options, model)))


def _raw(asked: Given) -> bytes:
    """The bytes of a file, for whoever has no model."""
    path = asked.files.get(WHOLE)
    if asked.text is not None or path is None or path.suffix in (".npy", ".npz"):
        raise click.UsageError("give --model DIR, so that the input can be converted as the model takes it")
    return path.read_bytes()


async def _plan(
    session: Session, identifier: bytes, data: bytes, options: RequestOptions, model: Model | None
) -> dict[str, Any]:
    async with session.client() as client:
        prepared = await prepare(client, session, identifier, data, options, model)
        return {
            "request_id": prepared.request_id,
            "listing_id": prepared.listing_id,
            "cost_wei": prepared.cost_wei,
            "input": data,
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
        return {**result, "output": output, **(read_answer(model, output) if model else {})}
