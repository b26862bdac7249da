"""What should this node do now? Pure functions of a snapshot, the node's memory and its terms; doing it is `effects`.

A duty is a value: while one is being done, an equal one is not started again.
"""

from dataclasses import dataclass

from oracle_node.chain.types import (
    ZERO_ADDRESS,
    Address,
    ChallengeKey,
    ChallengeStatus,
    ClaimId,
    ClaimStatus,
    RequestId,
    RequestStatus,
)
from oracle_node.config import MoneyConfig
from oracle_node.node.economics import Purse, against_answering, against_challenging
from oracle_node.node.snapshot import ClaimFacts, Decline, Memory, RequestFacts, Snapshot


@dataclass(frozen=True)
class Solve:
    """Run the model on a request and store the answer with a fresh salt."""

    request_id: RequestId


@dataclass(frozen=True)
class Claim:
    """Commit to the stored answer, or propose it where the listing does without commitments."""

    request_id: RequestId


@dataclass(frozen=True)
class RevealClaim:
    """Publish the committed answer."""

    claim_id: ClaimId


@dataclass(frozen=True)
class Finalize:
    """End a claim whose window has passed."""

    claim_id: ClaimId


@dataclass(frozen=True)
class Forfeit:
    """End a claim of somebody else that was not revealed in time and holds up our fee."""

    claim_id: ClaimId


@dataclass(frozen=True)
class Deliver:
    """Call the consumer with the final answer."""

    request_id: RequestId


@dataclass(frozen=True)
class DeliverEarly:
    """Call the consumer with our claim's output before finality."""

    claim_id: ClaimId


@dataclass(frozen=True)
class Retract:
    """Tell the consumer that an early answer fell."""

    request_id: RequestId


@dataclass(frozen=True)
class Close:
    """Settle a challenge of our claim that outlived it: its bond is due to us."""

    key: ChallengeKey


@dataclass(frozen=True)
class Withdraw:
    """Take the free balance out of the oracle."""

    to: Address


@dataclass(frozen=True)
class Leave:
    """Say in the log why something is left alone."""

    subject: RequestId | ClaimId
    reason: Decline


@dataclass(frozen=True)
class Judge:
    """Check somebody's claim."""

    claim_id: ClaimId


@dataclass(frozen=True)
class Defend:
    """Make the moves due for a claim of ours."""

    claim_id: ClaimId


@dataclass(frozen=True)
class Challenge:
    """Make the moves due against a claim that was judged wrong."""

    claim_id: ClaimId


Transaction = Claim | RevealClaim | Finalize | Forfeit | Deliver | DeliverEarly | Retract | Close | Withdraw
Duty = Transaction | Leave | Solve | Judge | Defend | Challenge


def answering(snapshot: Snapshot, memory: Memory, money: MoneyConfig) -> list[Duty]:
    """Solve what our models are asked, claim what is solved and not claimed yet, reveal what is committed."""
    duties: list[Duty] = []
    purse, solved = Purse(snapshot, money), frozenset(memory.answers)
    for request in snapshot.requests.values():
        claims = snapshot.claims_of(request.request_id)
        ours = [c for c in claims if c.view.claimant == snapshot.me]
        duties += [RevealClaim(c.claim_id) for c in ours if _is_revealable(c, memory, snapshot.now)]
        answer = memory.answers.get(request.request_id)
        is_said = answer is not None and any(_says(claim, answer) for claim in claims)
        if ours or is_said or not _is_wanted(request, snapshot, memory):
            continue
        reason = against_answering(request, snapshot, money, solved)
        if reason is None and not purse.take(request.listing.policy.claim_bond):
            reason = Decline.FUNDS
        if reason is not None:
            duties += _left(request.request_id, reason, memory)
        else:
            duties.append(Solve(request.request_id) if answer is None else Claim(request.request_id))
    return duties


def _left(subject: RequestId | ClaimId, reason: Decline, memory: Memory) -> list[Duty]:
    """Said once, and again where the reason is another."""
    return [] if memory.declined.get(subject) is reason else [Leave(subject, reason)]


def _is_revealable(claim: ClaimFacts, memory: Memory, now: int) -> bool:
    is_committed = claim.view.status is ClaimStatus.COMMITTED and now <= claim.view.window_end
    return is_committed and claim.view.request_id in memory.answers


def _is_wanted(request: RequestFacts, snapshot: Snapshot, memory: Memory) -> bool:
    """Whether an answer of ours could earn something."""
    is_ours_to_answer = (
        request.listing.model_id in snapshot.models and request.request_id not in memory.refused
    )
    is_open = request.view.status is RequestStatus.OPEN and snapshot.now <= request.view.deadline
    is_answered = any(memory.verdicts.get(c.claim_id) for c in snapshot.claims_of(request.request_id))
    return is_ours_to_answer and is_open and not is_answered


def _says(claim: ClaimFacts, answer: tuple[bytes, bytes]) -> bool:
    """Whether somebody's public claim, still standing, is our answer."""
    return claim.view.status is ClaimStatus.PROPOSED and (claim.output, claim.witness) == answer


def settling(snapshot: Snapshot, memory: Memory, money: MoneyConfig) -> list[Duty]:
    """Finalize our claims, settle what is left of their disputes, deliver our answers, take the money out."""
    duties: list[Duty] = []
    for claim in snapshot.claims.values():
        is_ours = claim.view.claimant == snapshot.me
        if not is_ours and not _holds_up_our_fee(claim, snapshot):
            continue
        is_ripe = claim.view.status is ClaimStatus.PROPOSED and 0 < claim.final_at <= snapshot.now
        # SAFETY: not while a challenge of ours is open: finality would take its bond, where time could still be called
        if is_ripe and not _is_playing(claim, snapshot.me):
            duties.append(Finalize(claim.claim_id))
        if (
            claim.view.status is ClaimStatus.COMMITTED
            and snapshot.now > claim.view.window_end
            and not is_ours
        ):
            duties.append(Forfeit(claim.claim_id))
        if is_ours and claim.view.status.is_decided:
            duties += [Close(challenge.key) for challenge in claim.challenges if challenge.is_active]
    for request in snapshot.requests.values():
        answer = snapshot.claims.get(request.view.answer)
        is_ours = answer is not None and answer.view.claimant == snapshot.me
        if is_ours and request.view.status is RequestStatus.ANSWERED and _is_deliverable(request):
            duties.append(Deliver(request.request_id))
    is_above = bool(money.withdraw_above_wei) and snapshot.balance_wei > money.withdraw_above_wei
    if is_above or Purse(snapshot, money).is_short:
        duties.append(Withdraw(snapshot.me))
    return duties


def _holds_up_our_fee(claim: ClaimFacts, snapshot: Snapshot) -> bool:
    """The fee waits until no claim stands. Before there is an answer, others' claims may become it: left alone."""
    request = snapshot.requests.get(claim.view.request_id)
    if request is None or request.view.status is not RequestStatus.ANSWERED or request.view.fee_paid:
        return False
    return any(
        c.view.claimant == snapshot.me and c.view.status is ClaimStatus.FINALIZED
        for c in snapshot.claims_of(request.request_id)
    )


def _is_deliverable(request: RequestFacts) -> bool:
    """A callback that failed once is left to whoever wants it."""
    wants_it = request.view.callback != ZERO_ADDRESS
    return wants_it and not request.view.delivered and request.final_deliveries == 0


def telling_early(snapshot: Snapshot, memory: Memory, money: MoneyConfig) -> list[Duty]:
    """Deliver our claims before finality to consumers that opted in, and take back what fell."""
    duties: list[Duty] = []
    for request in snapshot.requests.values():
        if request.early_claim is not None:
            told = snapshot.claims.get(request.early_claim)
            if told is not None and told.view.status in (ClaimStatus.REFUTED, ClaimStatus.VOID):
                duties.append(Retract(request.request_id))
        elif request.view.provisional and request.view.status is RequestStatus.OPEN:
            ours = [c for c in snapshot.claims_of(request.request_id) if c.view.claimant == snapshot.me]
            duties += [
                DeliverEarly(claim.claim_id)
                for claim in ours
                if claim.view.status is ClaimStatus.PROPOSED and claim.claim_id not in request.told_early
            ]
    return duties


def defending(snapshot: Snapshot, memory: Memory, money: MoneyConfig) -> list[Duty]:
    """Play the challenges against our claims."""
    return [
        Defend(claim.claim_id)
        for claim in snapshot.claims.values()
        if claim.view.claimant == snapshot.me
        and claim.view.status is ClaimStatus.PROPOSED
        and claim.claim_id not in memory.abandoned
        and any(challenge.is_active for challenge in claim.challenges)
        and _is_verified(claim, snapshot)
    ]


def watching(snapshot: Snapshot, memory: Memory, money: MoneyConfig) -> list[Duty]:
    """Check the claims of others on models we hold, while they can be challenged."""
    return [
        Judge(claim.claim_id)
        for claim in snapshot.claims.values()
        if claim.view.claimant != snapshot.me
        and claim.view.status is ClaimStatus.PROPOSED
        and snapshot.now <= claim.view.window_end
        and claim.claim_id not in memory.verdicts
        and claim.claim_id not in memory.abandoned
        and _is_verified(claim, snapshot)
    ]


def challenging(snapshot: Snapshot, memory: Memory, money: MoneyConfig) -> list[Duty]:
    """Dispute what was judged wrong, to the end; always in a challenge of our own, even beside others'."""
    duties: list[Duty] = []
    purse = Purse(snapshot, money)
    for claim in snapshot.claims.values():
        if claim.claim_id in memory.abandoned or not _is_verified(claim, snapshot):
            continue
        if _is_playing(claim, snapshot.me):
            duties.append(Challenge(claim.claim_id))
        elif _is_to_open(claim, snapshot, memory):
            reason = against_challenging(claim, snapshot, money)
            bond_wei = snapshot.requests[claim.view.request_id].listing.policy.challenge_bond
            if reason is None and not purse.take(bond_wei):
                reason = Decline.FUNDS
            duties += [Challenge(claim.claim_id)] if reason is None else _left(claim.claim_id, reason, memory)
    return duties


def _is_playing(claim: ClaimFacts, me: Address) -> bool:
    return any(c.key.challenger == me and c.status is ChallengeStatus.ACTIVE for c in claim.challenges)


def _is_to_open(claim: ClaimFacts, snapshot: Snapshot, memory: Memory) -> bool:
    is_wrong = memory.verdicts.get(claim.claim_id) is False
    is_open = claim.view.status is ClaimStatus.PROPOSED and snapshot.now <= claim.view.window_end
    is_challenged = any(c.key.challenger == snapshot.me for c in claim.challenges)
    return is_wrong and is_open and not is_challenged


def _is_verified(claim: ClaimFacts, snapshot: Snapshot) -> bool:
    """Nodes act only on models they have verified (DESIGN §6, rule 5)."""
    request = snapshot.requests.get(claim.view.request_id)
    return request is not None and request.listing.model_id in snapshot.models
