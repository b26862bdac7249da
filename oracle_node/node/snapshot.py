"""Everything a node knows at one block, as plain values: the argument of every decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from oracle_node.chain.follow import Head
from oracle_node.chain.types import (
    Address,
    ChallengeKey,
    ClaimId,
    ClaimView,
    Listing,
    RequestId,
    RequestView,
    Turn,
)
from oracle_node.game.state import ChallengeState, ClaimState


@dataclass(frozen=True)
class RequestFacts:
    """A request that is not over."""

    request_id: RequestId
    view: RequestView
    listing: Listing
    input: bytes = field(repr=False)
    callback_data: bytes = field(repr=False)
    final_deliveries: int = 0
    """Final callbacks tried so far, failed ones too."""
    told_early: frozenset[ClaimId] = frozenset()
    """Claims that were delivered before finality."""
    early_claim: ClaimId | None = None
    """The one of them that the consumer now believes in."""


@dataclass(frozen=True)
class Standing:
    """What the contract says of an active challenge beyond its state: whose clock runs, to which second, and the way
    down so far, as (instruction or None in the trace, height, position) of every node that the challenger picked.
    """

    turn: Turn
    limit: int
    picks: tuple[tuple[int | None, int, int], ...] = ()


@dataclass(frozen=True)
class ClaimFacts:
    """A claim that is not over, or over and with challenges still to settle."""

    claim_id: ClaimId
    view: ClaimView
    state: ClaimState
    challenges: tuple[ChallengeState, ...]
    final_at: int
    """First time at which `finalize` succeeds if nobody moves; 0 unless proposed."""
    output: bytes = field(default=b"", repr=False)
    witness: bytes = field(default=b"", repr=False)
    standings: Mapping[ChallengeKey, Standing] = field(default_factory=dict)
    """Of the active challenges; for people."""
    environment: str | None = None
    """Of a claim of ours: what computed it, as JSON; None where nothing was noted."""


class Decline(Enum):
    """Why something that could be done is left alone."""

    FEE = "the fee is below what answering costs"
    BOND = "the bond is above the configured limit"
    FUNDS = "the account would not keep enough for the disputes it may have to play"
    REWARD = "half of the claim's bond does not pay for a dispute"


@dataclass(frozen=True)
class Memory:
    """What the node remembers beyond the chain."""

    answers: Mapping[RequestId, tuple[bytes, bytes]] = field(default_factory=dict)
    """Requests whose answer is stored, with its salt: output and witness."""
    refused: frozenset[RequestId] = frozenset()
    """Requests that the model has no answer for."""
    verdicts: Mapping[ClaimId, bool] = field(default_factory=dict)
    """Claims that were checked: whether they are right."""
    abandoned: frozenset[ClaimId] = frozenset()
    """Claims whose dispute went against the protocol's rules: nothing more is done about them."""
    declined: Mapping[RequestId | ClaimId, Decline] = field(default_factory=dict)
    """What was left alone, and the reason that was logged last."""


@dataclass(frozen=True)
class Snapshot:
    """One moment, for one account."""

    head: Head
    me: Address
    balance_wei: int
    requests: Mapping[RequestId, RequestFacts]
    claims: Mapping[ClaimId, ClaimFacts]
    models: frozenset[bytes]
    """Ids of the models that this node has verified."""
    wallet_wei: int
    """What the account holds outside the oracle."""
    gas_price_wei: int
    """The block's base fee per gas."""

    @property
    def now(self) -> int:
        """Time of the head block, in unix seconds."""
        return self.head.timestamp

    @property
    def at_risk_wei(self) -> int:
        """Bonds of ours that somebody could still take: of our claims that stand, and of our active challenges."""
        total = 0
        for claim in self.claims.values():
            policy = self.requests[claim.view.request_id].listing.policy
            if claim.view.claimant == self.me and not claim.view.status.is_decided:
                total += policy.claim_bond
            ours = [c for c in claim.challenges if c.is_active and c.key.challenger == self.me]
            total += policy.challenge_bond * len(ours)
        return total

    def claims_of(self, request_id: RequestId) -> list[ClaimFacts]:
        """The request's claims."""
        return self._by_request.get(request_id, [])

    @cached_property
    def _by_request(self) -> dict[RequestId, list[ClaimFacts]]:
        found: dict[RequestId, list[ClaimFacts]] = {}
        for claim in self.claims.values():
            found.setdefault(claim.view.request_id, []).append(claim)
        return found
