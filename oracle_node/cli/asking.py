"""Sending a request and seeing what becomes of it: what `request` and `ask` share. Nobody's claim is checked here."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import click

from oracle_node.chain.actions import find_listing
from oracle_node.chain.client import OracleClient
from oracle_node.chain.events import ClaimCommitted, ClaimProposed
from oracle_node.chain.journal import Call
from oracle_node.chain.rpc import patiently
from oracle_node.chain.transactions import Sender
from oracle_node.chain.types import (
    ClaimId,
    ClaimStatus,
    ClaimView,
    ListingId,
    RequestId,
    RequestOptions,
    RequestStatus,
    RequestView,
)
from oracle_node.cli.options import ether
from oracle_node.cli.session import Session
from oracle_node.commitments.tensor import tensor_root
from oracle_node.errors import ConfigError, ProtocolError, TransientError
from oracle_node.model.model import Model

POLL_S = 1.0
PATIENCE_S = 60.0
"""How long the RPC may fail, or not have what it told us of, before the wait is given up."""
max_tokens_option = click.option(
    "--max-tokens", type=click.IntRange(1), help="Tokens of the answer at most [default: all that fit]."
)
chat_option = click.option("--chat", is_flag=True, help="Put the prompt into the model's own chat template.")
fee_option = click.option(
    "--fee", type=ether, default=0, help="Ether for the answer [default: the listing's least]."
)
nonce_option = click.option(
    "--nonce", type=click.IntRange(0), default=0, show_default=True, help="Tells apart equal requests."
)
_HAS_ANSWER = (ClaimStatus.PROPOSED, ClaimStatus.FINALIZED, ClaimStatus.REFUTED, ClaimStatus.VOID)


@dataclass(frozen=True)
class Prepared:
    """A request that can be sent, and the id that it then has."""

    sender: Sender
    listing_id: ListingId
    request_id: RequestId
    call: Call
    cost_wei: int


async def prepare(
    client: OracleClient,
    session: Session,
    identifier: bytes,
    data: bytes,
    options: RequestOptions,
    model: Model | None,
) -> Prepared:
    """A request to a listing, or to the only listing of a model; ConfigError where it is not of `model`."""
    sender = client.sender(session.account(client.chain_id))
    listing_id = await find_listing(client, identifier)
    listing = await client.listing(listing_id)
    if model is not None and listing.model_id != model.model_id:
        raise ConfigError(
            f"the listing is of model 0x{listing.model_id.hex()}, the directory holds 0x{model.model_id.hex()}"
        )
    cost_wei = max(await client.quote(listing_id), options.fee)
    request_id = client.request_id(listing_id, sender.address, options.nonce, tensor_root(data))
    call = client.calls.request(listing_id, data, options, cost_wei)
    return Prepared(sender, listing_id, request_id, call, cost_wei)


@dataclass(frozen=True)
class SeenClaim:
    """A claim as it stands; `committed` where it was hidden at first, `proposed` once its answer is public."""

    claim_id: ClaimId
    view: ClaimView
    committed: ClaimCommitted | None
    proposed: ClaimProposed | None

    @property
    def stands(self) -> bool:
        """Whether it has a public answer that was not refuted."""
        is_up = self.view.status in (ClaimStatus.PROPOSED, ClaimStatus.FINALIZED)
        return is_up and self.proposed is not None


@dataclass(frozen=True)
class Sight:
    """A request and its claims, earliest first, at a block time `now`."""

    request: RequestView
    claims: tuple[SeenClaim, ...]
    now: int

    @property
    def final(self) -> SeenClaim | None:
        """The claim that answers the request for good."""
        is_answered = self.request.status is RequestStatus.ANSWERED
        return next((c for c in self.claims if is_answered and c.claim_id == self.request.answer), None)

    @property
    def best(self) -> SeenClaim | None:
        """The final answer, or else the earliest that stands: what the request's answer is if nobody objects."""
        return self.final or next((c for c in self.claims if c.stands), None)


async def watch(client: OracleClient, request_id: RequestId, first_block: int = 0) -> AsyncIterator[Sight]:
    """The request, again and again until it has a final answer; its claims' events lie at `first_block` or later.

    ProtocolError where it ends, or can only end, without an answer; TransientError where the RPC stays away.
    """
    eyes = _Eyes(client, request_id, first_block)
    while True:
        sight = await patiently(eyes.look, within_s=PATIENCE_S)
        _require_hope(sight, request_id)
        yield sight
        if sight.final is not None:
            return
        await asyncio.sleep(POLL_S)


async def final_answer(client: OracleClient, request_id: RequestId, first_block: int = 0) -> ClaimProposed:
    """The answer, once it is final; errors as `watch`."""
    async for sight in watch(client, request_id, first_block):
        if sight.final is not None and sight.final.proposed is not None:
            return sight.final.proposed
    raise AssertionError("unreachable: `watch` ends with a final answer")


def _require_hope(sight: Sight, request_id: RequestId) -> None:
    """ProtocolError where no answer can come any more."""
    request = sight.request
    if request.status is RequestStatus.EXPIRED:
        raise ProtocolError(
            f"request 0x{request_id.hex()} expired without an answer; its fee is back in your balance "
            "(another --nonce asks again)"
        )
    if request.status is RequestStatus.OPEN and not request.standing and sight.now > request.deadline:
        raise ProtocolError(
            f"nobody answered request 0x{request_id.hex()} in time (block time {sight.now}, deadline "
            f"{request.deadline}); the contract's `expire` returns its fee"
        )


class _Eyes:
    """Looks at one request; what its claims said is read once a claim."""

    def __init__(self, client: OracleClient, request_id: RequestId, first_block: int) -> None:
        self._client, self._request_id, self._first_block = client, request_id, first_block
        self._committed: dict[ClaimId, ClaimCommitted | None] = {}
        self._proposed: dict[ClaimId, ClaimProposed] = {}

    async def look(self) -> Sight:
        """The present state; TransientError where the RPC lacks what it should have."""
        request = await self._client.request(self._request_id)
        if request.status is RequestStatus.NONE:
            raise TransientError(f"request 0x{self._request_id.hex()} is not on this chain")
        if request.claims != len(self._committed):
            await self._find_claims()
        claims = [await self._see(claim_id) for claim_id in self._committed]
        sight = Sight(
            request,
            tuple(sorted(claims, key=lambda c: c.view.order)),
            (await self._client.head()).timestamp,
        )
        if request.status is RequestStatus.ANSWERED and sight.final is None:
            raise TransientError(f"the RPC has no event of the answering claim 0x{request.answer.hex()}")
        return sight

    async def _find_claims(self) -> None:
        names = ["ClaimCommitted", "ClaimProposed"]
        for entry in await self._client.past_events(names, first_block=self._first_block):
            match entry.event:
                case ClaimCommitted() as event if event.request_id == self._request_id:
                    self._committed[event.claim_id] = event
                case ClaimProposed() as event if event.request_id == self._request_id:
                    self._committed.setdefault(event.claim_id, None)
                    self._proposed[event.claim_id] = event
                case _:
                    pass

    async def _see(self, claim_id: ClaimId) -> SeenClaim:
        view = await self._client.claim(claim_id)
        if view.status in _HAS_ANSWER and claim_id not in self._proposed:
            for entry in await self._client.past_events(
                ["ClaimProposed"], first_block=self._first_block, topic=claim_id
            ):
                if isinstance(entry.event, ClaimProposed):
                    self._proposed[claim_id] = entry.event
            if claim_id not in self._proposed:
                raise TransientError(f"the RPC has no answer of claim 0x{claim_id.hex()} yet")
        return SeenClaim(claim_id, view, self._committed[claim_id], self._proposed.get(claim_id))
