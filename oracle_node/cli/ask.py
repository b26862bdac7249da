"""`oracle-node ask`: a prompt for a language model on chain, and its answer as it comes in."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from oracle_node.chain.client import OracleClient
from oracle_node.chain.types import ClaimStatus, RequestId, RequestOptions, RequestStatus
from oracle_node.cli.app import EXIT_INTERRUPTED, fail
from oracle_node.cli.asking import (
    Prepared,
    SeenClaim,
    Sight,
    chat_option,
    fee_option,
    max_tokens_option,
    nonce_option,
    prepare,
    watch,
)
from oracle_node.cli.options import model_directory, parse_hash
from oracle_node.cli.output import Output, json_option, key_values
from oracle_node.cli.session import Session, dry_run_option, session_options
from oracle_node.errors import ProtocolError
from oracle_node.language.prompts import prompt_request
from oracle_node.model.directory import load_model

_TOKEN_BYTES = 4


@click.command()
@click.argument("model_id", metavar="MODEL_ID")
@click.argument("prompt", metavar="PROMPT")
@click.option(
    "--model",
    "directory",
    type=model_directory,
    required=True,
    help="The model's directory, which holds its tokenizer.",
)
@max_tokens_option
@chat_option
@fee_option
@nonce_option
@click.option("--wait", is_flag=True, help="Wait until the answer is final [default: until there is one].")
@session_options
@dry_run_option
@json_option
def ask(
    model_id: str,
    prompt: str,
    directory: Path,
    max_tokens: int | None,
    chat: bool,
    fee: int,
    nonce: int,
    wait: bool,
    session: Session,
    dry_run: bool,
    out: Output,
) -> None:
    """Ask a language model on chain and watch its answer come in.

    MODEL_ID is a model's id where it is listed once, or a listing id, as `model register` prints both.

    The answer is what a claimant says, and is not checked here: that is what its window is for. Until it ends, anyone
    who holds the model may refute the answer, so without --wait the text that is printed is provisional. `dispute audit
    CLAIM` checks it on your own machine.

    Who asks the same again is not charged again, but goes on waiting for the answer; --nonce makes it a new request.
    """
    identifier = parse_hash(model_id, "model or listing id")
    model = load_model(directory)
    data = prompt_request(model, directory, prompt, chat=chat, max_tokens=max_tokens)
    options = RequestOptions(fee=fee, nonce=nonce)
    asking = _Asking(out, wait)

    async def run() -> dict[str, Any]:
        async with session.client() as client:
            prepared = await prepare(client, session, identifier, data, options, model)
            return await (asking.plan(client, prepared) if dry_run else asking.ask(client, prepared))

    try:
        found = asyncio.run(run())
    except KeyboardInterrupt:
        fail(asking.farewell(), EXIT_INTERRUPTED)
    shown = {**found, "window_end": _clock(found["window_end"])} if "window_end" in found else found
    out.result(found, key_values(shown))
    asking.conclude()


class _Asking:
    """One request on its way, told to people as it goes."""

    def __init__(self, out: Output, wait: bool) -> None:
        self._out, self._wait = out, wait
        self._request_id: RequestId | None = None
        self._is_asked = False
        self._answer: SeenClaim | None = None
        self._told: set[tuple[bytes, str]] = set()

    async def plan(self, client: OracleClient, prepared: Prepared) -> dict[str, Any]:
        """What asking would cost; nothing where the same was asked before."""
        facts = {"request_id": prepared.request_id, "listing_id": prepared.listing_id, "dry_run": True}
        if await _is_asked(client, prepared.request_id):
            return {**facts, "cost_wei": 0, "gas": 0}
        gas = await prepared.sender.simulate(prepared.call)
        return {**facts, "cost_wei": prepared.cost_wei, "gas": gas}

    async def ask(self, client: OracleClient, prepared: Prepared) -> dict[str, Any]:
        """Send it, unless that was done before, and follow it until there is an answer, or a final one."""
        self._request_id = request_id = prepared.request_id
        spent = {}
        if await _is_asked(client, request_id):
            first_block = await _asked_at(client, request_id)
            self._out.note("asked", f"before: request 0x{request_id.hex()}")
        else:
            receipt = await prepared.sender.send(prepared.call)
            first_block = receipt.block_number
            spent = {"gas_used": receipt.gas_used, "cost_wei": prepared.cost_wei}
            self._out.note("asked", f"request 0x{request_id.hex()}, for {prepared.cost_wei / 1e18:g} ether")
        self._is_asked = True
        async for sight in watch(client, request_id, first_block):
            self._tell(sight)
            self._answer = sight.final if self._wait else sight.best
            if self._answer is not None:
                return {"request_id": request_id, **_facts(self._answer, sight), **spent}
        raise AssertionError("unreachable: `watch` ends with a final answer")

    def _tell(self, sight: Sight) -> None:
        """What is new about the request's claims."""
        for claim in sight.claims:
            for label, text in _news(claim, sight):
                if (claim.claim_id, label) not in self._told:
                    self._told.add((claim.claim_id, label))
                    self._out.note(label, text)

    def conclude(self) -> None:
        """What to make of the answer that was printed."""
        if self._answer is None or self._answer.proposed is None:
            return
        if _text(self._answer.proposed.output).encode() != self._answer.proposed.output:
            self._out.warn("parts of the answer are no UTF-8 text: they show as �")
        if not self._wait and self._answer.view.status is not ClaimStatus.FINALIZED:
            self._out.note(
                "provisional",
                "nobody has checked this answer here, and it can still be refuted; the same command with --wait "
                "waits until it is final",
            )

    def farewell(self) -> str:
        """What an interruption leaves behind."""
        if self._request_id is None:
            return "interrupted"
        state = "stays asked" if self._is_asked else "may have been sent"
        return f"interrupted; request 0x{self._request_id.hex()} {state}: the same command goes on with it"


async def _is_asked(client: OracleClient, request_id: RequestId) -> bool:
    return (await client.request(request_id)).status is not RequestStatus.NONE


async def _asked_at(client: OracleClient, request_id: RequestId) -> int:
    """The block of a request; ProtocolError where the RPC does not go back that far."""
    for entry in await client.past_events(["Requested"], topic=request_id):
        return entry.block
    raise ProtocolError(f"the RPC has no event of request 0x{request_id.hex()}; --nonce makes it a new one")


def _news(claim: SeenClaim, sight: Sight) -> Iterator[tuple[str, str]]:
    """All there is to tell about a claim, in order; the same as before and perhaps something more."""
    who, status = claim.view.claimant, claim.view.status
    if claim.committed is not None:
        yield "committed", f"by {who}, who has to show the answer by {_clock(claim.committed.reveal_by)}"
    if claim.proposed is not None:
        yield "answered", f"by {who}: {_text(claim.proposed.output)}"
        yield "window", f"until {_clock(claim.proposed.window_end)}: anyone may refute the answer until then"
    if claim.view.open_challenges:
        yield "challenged", f"the answer of {who} is disputed: the contract decides"
    match status:
        case ClaimStatus.FORFEITED:
            yield "forfeited", f"{who} never showed the answer"
        case ClaimStatus.REFUTED:
            yield "refuted", f"the answer of {who} was wrong; waiting for another"
        case ClaimStatus.VOID:
            yield "void", "the model's program is malformed: no answer to it can be decided"
        case ClaimStatus.PROPOSED if sight.now > claim.view.window_end and not claim.view.open_challenges:
            yield "due", "the window is over: waiting for somebody to finalize the answer"
        case ClaimStatus.FINALIZED if sight.request.answer == claim.claim_id:
            yield "final", f"the answer of {who} stands"


def _facts(claim: SeenClaim, sight: Sight) -> dict[str, Any]:
    """An answer, as JSON values; `tokens` is their number."""
    assert claim.proposed is not None, "an answer is a claim that was revealed"
    return {
        "claim_id": claim.claim_id,
        "claimant": claim.view.claimant,
        "status": claim.view.status.name,
        "text": _text(claim.proposed.output),
        "tokens": len(claim.proposed.witness) // _TOKEN_BYTES,
        "window_end": claim.proposed.window_end,
        "final": sight.final is not None,
    }


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")


def _clock(time_s: int) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
