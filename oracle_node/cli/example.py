"""`oracle-node example`: the example consumer, and a liar for development chains: what the walk-through is made of."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes
from web3.types import TxParams

from oracle_node.chain.abi import Functions
from oracle_node.chain.actions import claim_answer, event_in, find_listing
from oracle_node.chain.client import OracleClient
from oracle_node.chain.deploy import address_of, deploy_contract
from oracle_node.chain.embedded import CHAIN_ID
from oracle_node.chain.events import Requested
from oracle_node.chain.journal import Call
from oracle_node.chain.rpc import translated
from oracle_node.chain.types import RequestId
from oracle_node.cli.inputs import NamedPath, given, input_option
from oracle_node.cli.options import model_directory, parse_hash
from oracle_node.cli.output import Output, json_option
from oracle_node.cli.session import Session, dry_run_option, session_options
from oracle_node.codec.request import request_bytes
from oracle_node.contracts import load_artifact
from oracle_node.errors import ConfigError
from oracle_node.model.directory import load_model

CONSUMER = "DigitReader"
CALLBACK_GAS = 100_000
"""What that contract sets aside for its callback."""
_POLL_S = 1.0
directory_option = click.option(
    "--model", "directory", type=model_directory, required=True, help="The model's directory."
)


@click.group()
def example() -> None:
    """The example contract, and a liar for development chains."""


@example.command()
@click.argument("model_id", metavar="MODEL_ID")
@session_options
@dry_run_option
@json_option
def deploy(model_id: str, session: Session, dry_run: bool, out: Output) -> None:
    """Deploy DigitReader for a listed model."""

    async def work(client: OracleClient) -> dict[str, Any]:
        listing_id = await find_listing(client, parse_hash(model_id, "model or listing id"))
        sender = client.sender(session.account(client.chain_id))
        if dry_run:
            artifact = load_artifact(CONSUMER)
            given = Functions(artifact.abi).encode_constructor([client.oracle, listing_id])
            gas = await sender.simulate(Call("", artifact.bytecode + given, 0, f"deploy {CONSUMER}"))
            return {"dry_run": True, "listing_id": listing_id, "gas": gas}
        receipt = await deploy_contract(sender, CONSUMER, [client.oracle, listing_id])
        return {"consumer": address_of(receipt), "listing_id": listing_id, "gas_used": receipt.gas_used}

    out.result(_with_client(session, work))


@example.command()
@click.argument("consumer", metavar="ADDRESS")
@input_option
@directory_option
@session_options
@dry_run_option
@json_option
def read(
    consumer: str,
    inputs: tuple[NamedPath, ...],
    directory: Path,
    session: Session,
    dry_run: bool,
    out: Output,
) -> None:
    """Have the contract ask which digit an image shows."""
    data = request_bytes(load_model(directory), given(inputs), directory)

    async def work(client: OracleClient) -> dict[str, Any]:
        listing_id = (await _read(client, consumer, "listingId"))[0]
        functions = Functions(load_artifact(CONSUMER).abi)
        cost_wei = await client.quote(listing_id, CALLBACK_GAS)
        call = Call(consumer, functions.encode("read", [data]), cost_wei, "ask for a digit")
        sender = client.sender(session.account(client.chain_id))
        if dry_run:
            return {"dry_run": True, "cost_wei": cost_wei, "gas": await sender.simulate(call)}
        receipt = await sender.send(call)
        request_id = (await event_in(client, receipt, Requested)).request_id
        return {"request_id": request_id, "cost_wei": cost_wei, "gas_used": receipt.gas_used}

    out.result(_with_client(session, work))


@example.command()
@click.argument("consumer", metavar="ADDRESS")
@click.argument("request_id", metavar="REQUEST")
@click.option("--wait", is_flag=True, help="Wait until the contract has been told.")
@session_options
@json_option
def digit(consumer: str, request_id: str, wait: bool, session: Session, out: Output) -> None:
    """The digit that the contract was told; null while there is none."""
    asked = parse_hash(request_id, "request id")

    async def work(client: OracleClient) -> dict[str, Any]:
        while True:
            told = int((await _read(client, consumer, "digitPlusOne", asked))[0])
            if told or not wait:
                return {"digit": told - 1 if told else None}
            await asyncio.sleep(_POLL_S)

    out.result(_with_client(session, work))


@example.command()
@click.argument("request_id", metavar="REQUEST")
@directory_option
@session_options
@dry_run_option
@json_option
def lie(request_id: str, directory: Path, session: Session, dry_run: bool, out: Output) -> None:
    """Claim a wrong answer to a request, and defend it to the end. For development chains: it costs the bond."""
    from oracle_node.demo.refutation import invent_lie
    from oracle_node.executors.choice import make_executor
    from oracle_node.game.strategy import Player
    from oracle_node.model.solver import solve
    from oracle_node.players.actors import Defender
    from oracle_node.players.dispute import Seat, play_seat

    model = load_model(directory)
    engine = make_executor(model.tape)
    asked = RequestId(parse_hash(request_id, "request id"))

    async def work(client: OracleClient) -> dict[str, Any]:
        if client.chain_id != CHAIN_ID:
            raise ConfigError(
                f"lies are for development chains ({CHAIN_ID}), this is chain {client.chain_id}"
            )
        events = [e.event for e in await client.past_events(["Requested"], topic=asked)]
        if not events or not isinstance(events[0], Requested):
            raise ConfigError(f"request 0x{asked.hex()} is not on this chain")
        data = events[0].input
        truth = solve(model, engine, data)
        _, lying = invent_lie(model, engine, data, truth, model.tape.output // 2)
        if dry_run:
            out.result({"dry_run": True, "output": lying.output})
            return {"status": "not claimed"}
        sender = client.sender(session.account(client.chain_id))
        salt = secrets.token_bytes(32)
        claim_id = await claim_answer(client, sender, asked, lying.output, lying.witness, salt=salt)
        out.result({"claim_id": claim_id, "output": lying.output})
        seat = Seat("defender", Defender(lying.knowledge, Player(sender.address)), sender)
        await play_seat(client, claim_id, seat, poll_s=_POLL_S)
        return {"status": (await client.claim(claim_id)).status.name}

    out.note("lie", _with_client(session, work)["status"])


async def _read(client: OracleClient, consumer: str, name: str, *arguments: Any) -> tuple[Any, ...]:
    functions = Functions(load_artifact(CONSUMER).abi)
    call: TxParams = {
        "to": to_checksum_address(consumer),
        "data": HexBytes(functions.encode(name, arguments)),
    }
    async with translated(client.decoder, f"read {name} of {consumer}"):
        answer = bytes(await client.web3.eth.call(call))
    if not answer:
        raise ConfigError(f"there is no {CONSUMER} at {consumer}")
    return functions.decode(name, answer)


def _with_client(
    session: Session, work: Callable[[OracleClient], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with session.client() as client:
            return await work(client)

    return asyncio.run(run())
