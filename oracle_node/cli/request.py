"""`oracle-node request`: ask a listed model on chain, and wait for the answer."""

import asyncio
from pathlib import Path
from typing import Any

import click

from oracle_node.chain.actions import find_listing
from oracle_node.chain.client import OracleClient
from oracle_node.chain.events import ClaimProposed
from oracle_node.chain.types import ClaimStatus, RequestId, RequestOptions, RequestStatus
from oracle_node.cli.answers import present_answer
from oracle_node.cli.inputs import read_request
from oracle_node.cli.options import ether, existing_file, image_max_option, model_directory, parse_hash
from oracle_node.cli.output import Output, json_option
from oracle_node.cli.session import Session, dry_run_option, session_options
from oracle_node.commitments.tensor import tensor_root
from oracle_node.errors import ConfigError, ProtocolError
from oracle_node.model.directory import load_model
from oracle_node.model.model import Model

POLL_S = 1.0


@click.command()
@click.argument("model_id", metavar="MODEL_ID")
@click.option(
    "--input",
    "input_file",
    type=existing_file,
    required=True,
    help=".npy, an image (with --model) or raw bytes.",
)
@click.option(
    "--model", "directory", type=model_directory, help="Its directory: converts the input, reads the answer."
)
@click.option(
    "--fee",
    type=ether,
    default=0,
    show_default=True,
    help="Ether for the answer [default: the listing's least].",
)
@click.option(
    "--nonce", type=click.IntRange(0), default=0, show_default=True, help="Tells apart equal requests."
)
@click.option("--wait", is_flag=True, help="Wait until the answer is final.")
@image_max_option
@session_options
@dry_run_option
@json_option
def request(
    model_id: str,
    input_file: Path,
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
    identifier = parse_hash(model_id, "model or listing id")
    model = load_model(directory) if directory else None
    data = read_request(input_file, model, image_max) if model else _raw(input_file)
    options = RequestOptions(fee=fee, nonce=nonce)
    out.result(
        asyncio.run(_request(session, identifier, data, options, model, wait and not dry_run, dry_run, out))
    )


def _raw(path: Path) -> bytes:
    if path.suffix == ".npy":
        raise ConfigError(f"{path}: give --model DIR, so that the array can be converted to the model's type")
    return path.read_bytes()


async def _request(
    session: Session,
    identifier: bytes,
    data: bytes,
    options: RequestOptions,
    model: Model | None,
    wait: bool,
    dry_run: bool,
    out: Output,
) -> dict[str, Any]:
    async with session.client() as client:
        sender = client.sender(session.account(client.chain_id))
        listing_id = await find_listing(client, identifier)
        listing = await client.listing(listing_id)
        if model is not None and listing.model_id != model.model_id:
            raise ConfigError(
                f"the listing is of model 0x{listing.model_id.hex()}, the directory holds 0x{model.model_id.hex()}"
            )
        cost = max(await client.quote(listing_id), options.fee)
        call = client.calls.request(listing_id, data, options, cost)
        request_id = client.request_id(listing_id, sender.address, options.nonce, tensor_root(data))
        result: dict[str, Any] = {
            "request_id": request_id,
            "listing_id": listing_id,
            "cost_wei": cost,
            "dry_run": dry_run,
        }
        if dry_run:
            return {**result, "gas": await sender.simulate(call)}
        result["gas_used"] = (await sender.send(call)).gas_used
        if not wait:
            return result
        out.say(f"asked: request 0x{request_id.hex()}; waiting for a final answer")
        output = await _final_output(client, request_id)
        return {**result, "output": output, **(present_answer(model, output) if model else {})}


async def _final_output(client: OracleClient, request_id: RequestId) -> bytes:
    """The output of the claim that answers the request; ProtocolError where the request expires without one."""
    while True:
        view = await client.request(request_id)
        if view.status is RequestStatus.EXPIRED:
            raise ProtocolError(
                f"request 0x{request_id.hex()} expired without an answer; its fee is back in your balance"
            )
        if view.status is RequestStatus.ANSWERED:
            break
        await asyncio.sleep(POLL_S)
    for logged in await client.past_events(["ClaimProposed"], topic=view.answer):
        if isinstance(logged.event, ClaimProposed):
            return logged.event.output
    raise ProtocolError(
        f"the RPC has no event of the answering claim 0x{view.answer.hex()}: {ClaimStatus.FINALIZED.name}"
    )
