"""From logs to snapshots: applies what the follower reads to the store, and reads the present state of what is open."""

from collections.abc import Iterable, Mapping

from oracle_node.chain.client import OracleClient
from oracle_node.chain.events import ChallengeOpened, ClaimProposed, Delivered, Event, Logged, Requested
from oracle_node.chain.follow import LogFollower, Step
from oracle_node.chain.observe import challenge_state, claim_state
from oracle_node.chain.types import (
    ZERO_ADDRESS,
    Address,
    ChallengeKey,
    ClaimId,
    ClaimStatus,
    ClaimView,
    DeliveryKind,
    Listing,
    ListingId,
    RequestId,
    RequestStatus,
)
from oracle_node.game.state import ChallengeState
from oracle_node.node.snapshot import ClaimFacts, RequestFacts, Snapshot
from oracle_node.store.store import Store, StoredEvent

_OPENED = ("ClaimCommitted", "ClaimProposed")


class Ledger:
    """The chain as this node sees it; `models` are the ids it cares about."""

    def __init__(
        self, client: OracleClient, store: Store, follower: LogFollower, me: Address, models: frozenset[bytes]
    ) -> None:
        self._client, self._store, self._follower = client, store, follower
        self._me, self._models = me, models
        self._listings: dict[ListingId, Listing] = {}
        self._foreign: set[RequestId] = set()  # to models that this node does not hold

    async def advance(self) -> Step:
        """Read one chunk of logs into the store."""
        step = await self._follower.step(self._store.checkpoints())
        logged = await self._client.logged(step.logs)
        raw = {(int(log["blockNumber"]), log["logIndex"]): log for log in step.logs}
        events = []
        for entry in logged:
            log = raw[entry.block, entry.log_index]
            events.append(_stored(entry, tuple(bytes(t) for t in log["topics"]), bytes(log["data"])))
        self._store.apply(step, events)
        return step

    async def snapshot(self, step: Step) -> Snapshot:
        """The present state of every request to our models that is not over, and of its claims."""
        requests: dict[RequestId, RequestFacts] = {}
        claims: dict[ClaimId, ClaimFacts] = {}
        for stored in self._store.open_requests():
            if stored.request_id in self._foreign:
                continue
            event = self._client.events.decode(stored.topics, stored.data)
            assert isinstance(event, Requested)
            listing = await self._listing(event.listing_id)
            if listing.model_id not in self._models:
                self._foreign.add(event.request_id)
                continue
            facts = await self._request(event, listing)
            of_request = await self._claims(event.request_id)
            if _is_over(facts, of_request.values()):
                self._store.close_request(event.request_id, step.head.number)
            else:
                requests[event.request_id] = facts
                claims |= of_request
        balance = await self._client.balance(self._me)
        return Snapshot(step.head, self._me, balance, requests, claims, self._models)

    async def _listing(self, listing_id: ListingId) -> Listing:
        if listing_id not in self._listings:
            self._listings[listing_id] = await self._client.listing(listing_id)
        return self._listings[listing_id]

    async def _request(self, event: Requested, listing: Listing) -> RequestFacts:
        delivered = self._events("Delivered", request_id=event.request_id)
        deliveries = [delivery for delivery in delivered if isinstance(delivery, Delivered)]
        early = [d for d in deliveries if d.kind is DeliveryKind.PROVISIONAL]
        is_standing = bool(deliveries) and deliveries[-1].kind is DeliveryKind.PROVISIONAL
        return RequestFacts(
            event.request_id,
            await self._client.request(event.request_id),
            listing,
            event.input,
            event.options.callback_data,
            final_deliveries=sum(d.kind is DeliveryKind.FINAL for d in deliveries),
            told_early=frozenset(d.claim_id for d in early),
            early_claim=early[-1].claim_id if is_standing else None,
        )

    async def _claims(self, request_id: RequestId) -> dict[ClaimId, ClaimFacts]:
        opened = self._store.events(*_OPENED, request_id=request_id)
        ids = dict.fromkeys(ClaimId(event.claim_id) for event in opened if event.claim_id)
        facts = [await self._claim(claim_id) for claim_id in ids]
        return {claim.claim_id: claim for claim in facts if claim is not None}

    async def _claim(self, claim_id: ClaimId) -> ClaimFacts | None:
        """The claim; None where it was revealed after the last block whose events are stored: the next step has it."""
        view = await self._client.claim(claim_id)
        answers = self._events("ClaimProposed", claim_id=claim_id)
        answer = next((e for e in answers if isinstance(e, ClaimProposed)), None)
        if answer is None and view.status is ClaimStatus.PROPOSED:
            return None
        return ClaimFacts(
            claim_id,
            view,
            claim_state(claim_id, view, self._logged("Revealed", "ChunkPosted", claim_id=claim_id)),
            tuple(await self._challenges(claim_id, view)),
            await self._client.final_at(claim_id) if view.status is ClaimStatus.PROPOSED else 0,
            answer.output if answer else b"",
            answer.witness if answer else b"",
        )

    async def _challenges(self, claim_id: ClaimId, view: ClaimView) -> list[ChallengeState]:
        states = []
        for event in self._events("ChallengeOpened", claim_id=claim_id):
            assert isinstance(event, ChallengeOpened)
            key = ChallengeKey(claim_id, event.challenger, event.nonce)
            states.append(challenge_state(key, await self._client.challenge(key)))
        return states

    def _events(self, *names: str, **ids: bytes) -> list[Event]:
        return [entry.event for entry in self._logged(*names, **ids)]

    def _logged(self, *names: str, **ids: bytes) -> list[Logged]:
        stored = self._store.events(*names, **ids)
        decoded = [(entry, self._client.events.decode(entry.topics, entry.data)) for entry in stored]
        return [Logged(event, e.block, e.log_index, e.time) for e, event in decoded if event is not None]


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
