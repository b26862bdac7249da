"""From logs to snapshots: applies what the follower reads to the store, and reads the state of what is open.

All of a snapshot is of one block, the last whose logs are stored. Whatever changes a request, its claims or their
challenges emits an event that names one of them, so what was read stays valid until such an event comes, or a reorg
takes one back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from oracle_node.chain.client import OracleClient
from oracle_node.chain.events import (
    ChallengeOpened,
    ClaimProposed,
    Delivered,
    Event,
    Logged,
    Picked,
    Requested,
)
from oracle_node.chain.follow import LogFollower, Step
from oracle_node.chain.observe import challenge_state, claim_state
from oracle_node.chain.revert import RevertError
from oracle_node.chain.rpc import RefusedError, patiently
from oracle_node.chain.types import (
    ZERO_ADDRESS,
    Address,
    ChallengeKey,
    ChallengeStatus,
    ClaimId,
    ClaimStatus,
    ClaimView,
    DeliveryKind,
    Listing,
    ListingId,
    RequestId,
    RequestStatus,
)
from oracle_node.errors import TransientError
from oracle_node.node.snapshot import ClaimFacts, RequestFacts, Snapshot, Standing
from oracle_node.store.store import Store, StoredEvent
from oracle_node.tape.instruction import NO_INDEX

T = TypeVar("T")
_OPENED = ("ClaimCommitted", "ClaimProposed")


_PATIENCE_S = 10.0
"""How long one read is tried again: a snapshot takes many, and one that fails must not undo the others."""


async def _read(call: Callable[[], Awaitable[T]]) -> T:
    """What the RPC refuses is not asked again: the block is most likely gone, and the next step finds the reorg."""
    return await patiently(call, within_s=_PATIENCE_S, unless=(RefusedError,))


@dataclass(frozen=True)
class _Open:
    """A request that is not over, with all that belongs to it."""

    request: RequestFacts
    claims: Mapping[ClaimId, ClaimFacts]


class Ledger:
    """The chain as this node sees it; `models` are the ids it cares about."""

    def __init__(
        self, client: OracleClient, store: Store, follower: LogFollower, me: Address, models: frozenset[bytes]
    ) -> None:
        self._client, self._store, self._follower = client, store, follower
        self._me, self._models = me, models
        self._listings: dict[ListingId, Listing] = {}  # of models that this node holds
        self._foreign: set[ListingId] = set()
        self._unread = {ListingId(one) for one in store.open_listings()}
        self._known: dict[RequestId, _Open] = {}
        self._money, self._money_at = (0, 0, 0), b""  # balance, wallet, gas price; hash of their block

    async def advance(self) -> Step:
        """Read one chunk of logs into the store."""
        step = await self._follower.step(self._store.checkpoints())
        logged = await _read(partial(self._client.logged, step.logs))
        raw = {(int(log["blockNumber"]), log["logIndex"]): log for log in step.logs}
        events = []
        for entry in logged:
            log = raw[entry.block, entry.log_index]
            events.append(_stored(entry, tuple(bytes(t) for t in log["topics"]), bytes(log["data"])))
        if step.rolled_back_to is not None:
            for undone in self._store.events_after(step.rolled_back_to):
                self._forget(undone)
        self._store.apply(step, events)
        for event in events:
            self._forget(event)
        return step

    def _forget(self, event: StoredEvent) -> None:
        """What an event may have changed is read anew."""
        if event.listing_id is not None:
            self._unread.add(ListingId(event.listing_id))
        request_id = event.request_id
        if request_id is None and event.claim_id is not None:
            opened = self._store.events(*_OPENED, claim_id=event.claim_id)
            request_id = opened[0].request_id if opened else None
        if request_id is not None:
            self._known.pop(RequestId(request_id), None)

    async def snapshot(self, step: Step) -> Snapshot:
        """The state, at the step's head, of every request to our models that is not over, and of its claims."""
        client = self._client.at(step.head.hash)
        await _read(self._read_listings)
        asked = [RequestId(r) for r in self._store.open_requests(self._listings.keys())]
        unread = [request_id for request_id in asked if request_id not in self._known]
        await _all(_read(partial(self._open, client, request_id)) for request_id in unread)
        found = [self._known[request_id] for request_id in asked]
        over = {one.request.request_id for one in found if _is_over(one.request, one.claims.values())}
        self._store.close_requests(over, step.head.number)
        for request_id in over:
            del self._known[request_id]
        still = [one for one in found if one.request.request_id not in over]
        requests = {one.request.request_id: one.request for one in still}
        claims = {claim_id: claim for one in still for claim_id, claim in one.claims.items()}
        if step.head.hash != self._money_at:
            self._money = await _read(partial(self._read_money, client))
            self._money_at = step.head.hash
        balance, wallet, gas_price = self._money
        return Snapshot(step.head, self._me, balance, requests, claims, self._models, wallet, gas_price)

    async def _read_money(self, client: OracleClient) -> tuple[int, int, int]:
        return (await client.balance(self._me), await client.wallet(self._me), await client.gas_price())

    async def _read_listings(self) -> None:
        """Learn which listings are of our models; they never change."""
        self._unread -= self._foreign | self._listings.keys()
        for listing_id in list(self._unread):
            try:
                listing = await self._client.listing(listing_id)
            except RevertError as error:
                raise TransientError(f"a listing vanished in a reorg; reading again ({error})") from error
            if listing.model_id in self._models:
                self._listings[listing_id] = listing
            else:
                self._foreign.add(listing_id)
            self._unread.discard(listing_id)

    async def _open(self, client: OracleClient, request_id: RequestId) -> None:
        """Read a request and its claims."""
        event = self._events("Requested", request_id=request_id)[-1]
        assert isinstance(event, Requested)
        request, claims = await asyncio.gather(self._request(client, event), self._claims(client, request_id))
        self._known[request_id] = _Open(request, claims)

    async def _request(self, client: OracleClient, event: Requested) -> RequestFacts:
        delivered = self._events("Delivered", request_id=event.request_id)
        deliveries = [delivery for delivery in delivered if isinstance(delivery, Delivered)]
        early = [d for d in deliveries if d.kind is DeliveryKind.PROVISIONAL]
        is_standing = bool(deliveries) and deliveries[-1].kind is DeliveryKind.PROVISIONAL
        return RequestFacts(
            event.request_id,
            await client.request(event.request_id),
            self._listings[event.listing_id],
            event.input,
            event.options.callback_data,
            final_deliveries=sum(d.kind is DeliveryKind.FINAL for d in deliveries),
            told_early=frozenset(d.claim_id for d in early),
            early_claim=early[-1].claim_id if is_standing else None,
        )

    async def _claims(self, client: OracleClient, request_id: RequestId) -> dict[ClaimId, ClaimFacts]:
        opened = self._store.events(*_OPENED, request_id=request_id)
        ids = dict.fromkeys(ClaimId(event.claim_id) for event in opened if event.claim_id)
        claims = await asyncio.gather(*(self._claim(client, claim_id) for claim_id in ids))
        return {claim.claim_id: claim for claim in claims}

    async def _claim(self, client: OracleClient, claim_id: ClaimId) -> ClaimFacts:
        keys = self._keys(claim_id)
        view, final_at, found = await asyncio.gather(
            client.claim(claim_id),
            client.final_at(claim_id),
            asyncio.gather(*(client.challenge(key) for key in keys)),
        )
        challenges = dict(zip(keys, found, strict=True))
        answers = self._events("ClaimProposed", claim_id=claim_id)
        answer = next((e for e in answers if isinstance(e, ClaimProposed)), None)
        if answer is None and view.status is ClaimStatus.PROPOSED:
            raise TransientError(
                f"claim 0x{claim_id.hex()} was revealed in a block whose logs were replaced; reading again"
            )
        return ClaimFacts(
            claim_id,
            view,
            claim_state(claim_id, view, self._logged("Revealed", "ChunkPosted", claim_id=claim_id)),
            tuple(challenge_state(key, challenge) for key, challenge in challenges.items()),
            final_at,
            answer.output if answer else b"",
            answer.witness if answer else b"",
            {
                key: Standing(challenge.turn, challenge.limit, self._picks(key))
                for key, challenge in challenges.items()
                if challenge.status is ChallengeStatus.ACTIVE
            },
            self._environment(view),
        )

    def _environment(self, view: ClaimView) -> str | None:
        kept = self._store.answer(view.request_id) if view.claimant == self._me else None
        return None if kept is None else kept.environment

    def _keys(self, claim_id: ClaimId) -> list[ChallengeKey]:
        events = self._events("ChallengeOpened", claim_id=claim_id)
        return [
            ChallengeKey(claim_id, e.challenger, e.nonce) for e in events if isinstance(e, ChallengeOpened)
        ]

    def _picks(self, key: ChallengeKey) -> tuple[tuple[int | None, int, int], ...]:
        picked = self._events("Picked", challenge_id=self._client.challenge_id(key))
        return tuple(
            (None if e.instruction == NO_INDEX else e.instruction, e.height, e.position)
            for e in picked
            if isinstance(e, Picked)
        )

    def _events(self, *names: str, **ids: bytes) -> list[Event]:
        return [entry.event for entry in self._logged(*names, **ids)]

    def _logged(self, *names: str, **ids: bytes) -> list[Logged]:
        stored = self._store.events(*names, **ids)
        decoded = [(entry, self._client.events.decode(entry.topics, entry.data)) for entry in stored]
        return [Logged(event, e.block, e.log_index, e.time) for e, event in decoded if event is not None]


async def _all(reads: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Each to its end, then the first failure: none may still run, and write, when a reorg clears what is known."""
    for result in await asyncio.gather(*reads, return_exceptions=True):
        if result is not None:
            raise result


def _is_over(request: RequestFacts, claims: Iterable[ClaimFacts]) -> bool:
    """Whether no duty can ever come of it again, short of a reorg."""
    status = request.view.status
    is_delivered = (
        request.view.delivered or request.view.callback == ZERO_ADDRESS or request.final_deliveries > 0
    )
    is_done = status is RequestStatus.EXPIRED or (status is RequestStatus.ANSWERED and is_delivered)
    return is_done and all(
        c.view.status.is_decided and not any(x.is_active for x in c.challenges) for c in claims
    )


def _stored(entry: Logged, topics: tuple[bytes, ...], data: bytes) -> StoredEvent:
    ids: Mapping[str, bytes | None] = {
        name: getattr(entry.event, name, None)
        for name in ("listing_id", "request_id", "claim_id", "challenge_id")
    }
    return StoredEvent(
        entry.block, entry.log_index, entry.time, type(entry.event).__name__, topics, data, **ids
    )
