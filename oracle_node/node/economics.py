"""What pays and what can be afforded: pure arithmetic on a snapshot, in wei. Nothing is sent or looked up.

Bonds and gas come out of the account. Prices are those of the snapshot's block: what is decided once may be decided
otherwise a block later, until money is committed. Moves of a game that has begun are never weighed.
"""

from oracle_node.chain.types import ClaimStatus, RequestId
from oracle_node.config import MoneyConfig
from oracle_node.node.snapshot import ClaimFacts, Decline, RequestFacts, Snapshot

_WITHDRAWAL_GAS = 60_000
_DEARER = 2
"""How much dearer gas may get before a dispute that was saved for ends."""


class Purse:
    """What the account can still spend in one round of decisions: each thing taken leaves less for the next."""

    def __init__(self, snapshot: Snapshot, money: MoneyConfig) -> None:
        self._snapshot = snapshot
        self._dispute_wei = _DEARER * money.dispute_gas * snapshot.gas_price_wei
        self._left = snapshot.wallet_wei - self._dispute_wei * len(_games(snapshot))

    @property
    def is_short(self) -> bool:
        """Whether the disputes that may come are not saved for, though what is in the oracle would help."""
        is_worth_its_gas = self._snapshot.balance_wei > _WITHDRAWAL_GAS * self._snapshot.gas_price_wei
        return self._left < 0 and is_worth_its_gas

    def take(self, bond_wei: int) -> bool:
        """Put a bond down, and lay by what a dispute costs that may follow; False, and nothing, if that is too much."""
        needed = bond_wei + self._dispute_wei
        if needed > self._left:
            return False
        self._left -= needed
        return True


def _games(snapshot: Snapshot) -> set[object]:
    """Claims and challenges of ours that may have to be played on."""
    standing = (ClaimStatus.COMMITTED, ClaimStatus.PROPOSED)
    found: set[object] = set()
    for claim in snapshot.claims.values():
        if claim.view.claimant == snapshot.me and claim.view.status in standing:
            found.add(claim.claim_id)
        found |= {c.key for c in claim.challenges if c.key.challenger == snapshot.me and c.is_active}
    return found


def against_answering(
    request: RequestFacts, snapshot: Snapshot, money: MoneyConfig, solved: frozenset[RequestId]
) -> Decline | None:
    """Why an answer would not pay, by its terms; what a run costs counts only until the answer is there."""
    compute_wei = 0
    if request.request_id not in solved:
        compute_wei = request.listing.trace_seconds * money.compute_wei_per_s
    cost_wei = money.answer_gas * snapshot.gas_price_wei + compute_wei
    if request.view.fee < max(money.min_fee_wei, cost_wei):
        return Decline.FEE
    if request.listing.policy.claim_bond > money.max_claim_bond_wei:
        return Decline.BOND
    return None


def against_challenging(claim: ClaimFacts, snapshot: Snapshot, money: MoneyConfig) -> Decline | None:
    """Why disputing a wrong claim would not pay: the winner gets half of its bond."""
    policy = snapshot.requests[claim.view.request_id].listing.policy
    if policy.challenge_bond > money.max_challenge_bond_wei:
        return Decline.BOND
    if policy.claim_bond // 2 < money.dispute_gas * snapshot.gas_price_wei:
        return Decline.REWARD
    return None
