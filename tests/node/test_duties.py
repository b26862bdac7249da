"""What a node decides to do, for hand-made snapshots; no chain, no clock."""

from dataclasses import replace

from oracle_node.chain.follow import Head
from oracle_node.chain.types import (
    ZERO_ADDRESS,
    Address,
    ChallengeKey,
    ChallengeStatus,
    ClaimId,
    ClaimStatus,
    ClaimView,
    Listing,
    ListingId,
    Policy,
    RequestId,
    RequestStatus,
    RequestView,
)
from oracle_node.config import MoneyConfig
from oracle_node.game.moves import Due, Open, Timeout
from oracle_node.game.state import ChallengeState, ClaimState
from oracle_node.node import duties
from oracle_node.node.duties import Duty
from oracle_node.node.effects import limit_of
from oracle_node.node.snapshot import ClaimFacts, Decline, Memory, RequestFacts, Snapshot

ME, OTHER = Address("0x" + "aa" * 20), Address("0x" + "bb" * 20)
MODEL = b"m" * 32
REQUEST, CLAIM = RequestId(b"r" * 32), ClaimId(b"c" * 32)
NOW = 1_000
ANSWER = (b"answer", b"")
MONEY = MoneyConfig()
POLICY = Policy(100, 50, 50, 20, 10, 10, 5, True)


def request(**changes: object) -> RequestFacts:
    view = RequestView(
        *(ListingId(b"l" * 32), OTHER, RequestStatus.OPEN, False, False, False),
        *(NOW + 50, 0, 0, 5, 1, 0, ZERO_ADDRESS, bytes(32), bytes(32), ClaimId(bytes(32))),
    )
    return RequestFacts(REQUEST, replace(view, **changes), Listing(MODEL, POLICY, 1), b"input", b"")  # type: ignore[arg-type]


def claim(
    claimant: Address, status: ClaimStatus = ClaimStatus.PROPOSED, output: bytes = b"answer"
) -> ClaimFacts:
    view = ClaimView(
        *(REQUEST, claimant, status, 1, 0, NOW + 20, 0, 1, 0), *(bytes(32), bytes(32), bytes(32), 0)
    )
    return ClaimFacts(CLAIM, view, ClaimState(CLAIM, claimant, status, NOW + 20), (), NOW + 20, output)


def challenged(
    facts: ClaimFacts, by: Address, status: ChallengeStatus = ChallengeStatus.ACTIVE
) -> ClaimFacts:
    return replace(facts, challenges=(ChallengeState(ChallengeKey(CLAIM, by, 0), status, NOW, 50, 50),))


def snapshot(
    facts: RequestFacts,
    *claims: ClaimFacts,
    now: int = NOW,
    balance: int = 0,
    wallet: int = 1_000,
    gas_price: int = 0,
) -> Snapshot:
    return Snapshot(
        Head(9, bytes(32), now),
        ME,
        balance,
        {REQUEST: facts},
        {c.claim_id: c for c in claims},
        frozenset({MODEL}),
        wallet,
        gas_price,
    )


def answering(seen: Snapshot, memory: Memory | None = None, money: MoneyConfig = MONEY) -> list[Duty]:
    return duties.answering(seen, memory or Memory(), money)


SOLVED = Memory(answers={REQUEST: ANSWER})


def test_answering__open_request__solved_then_claimed_then_revealed() -> None:
    assert answering(snapshot(request())) == [duties.Solve(REQUEST)]
    assert answering(snapshot(request()), SOLVED) == [duties.Claim(REQUEST)]
    committed = claim(ME, ClaimStatus.COMMITTED)
    assert answering(snapshot(request(), committed), SOLVED) == [duties.RevealClaim(CLAIM)]
    assert answering(snapshot(request(), claim(ME)), SOLVED) == []


def test_answering__reveal_too_late__not_sent() -> None:
    committed = claim(ME, ClaimStatus.COMMITTED)
    assert answering(snapshot(request(), committed, now=NOW + 20), SOLVED) == [duties.RevealClaim(CLAIM)]
    assert answering(snapshot(request(), committed, now=NOW + 21), SOLVED) == []


def test_answering__commitment_whose_salt_is_unknown__not_revealed() -> None:
    assert answering(snapshot(request(), claim(ME, ClaimStatus.COMMITTED))) == []


def test_answering__deadline__inclusive() -> None:
    assert answering(snapshot(request(), now=NOW + 50)) == [duties.Solve(REQUEST)]
    assert answering(snapshot(request(), now=NOW + 51)) == []


def test_answering__unverified_refused_or_unpaid__left_alone() -> None:
    foreign = replace(snapshot(request()), models=frozenset({b"x" * 32}))
    assert answering(foreign) == []
    assert answering(snapshot(request()), Memory(refused=frozenset({REQUEST}))) == []


def test_answering__does_not_pay__left_alone_and_said_once() -> None:
    open_one = snapshot(request(), gas_price=1)
    cheap = {"answer_gas": 3, "dispute_gas": 100}
    cases = [
        (MoneyConfig(**cheap | {"min_fee_wei": 6}), Decline.FEE),
        (MoneyConfig(**cheap | {"answer_gas": 6}), Decline.FEE),
        (MoneyConfig(**cheap | {"compute_wei_per_s": 3}), Decline.FEE),
        (MoneyConfig(**cheap | {"max_claim_bond_wei": 9}), Decline.BOND),
        (MoneyConfig(**cheap | {"dispute_gas": 496}), Decline.FUNDS),
    ]
    for money, reason in cases:
        assert answering(open_one, money=money) == [duties.Leave(REQUEST, reason)]
        assert answering(open_one, Memory(declined={REQUEST: reason}), money) == []
    for money in (MoneyConfig(**cheap), MoneyConfig(**cheap | {"dispute_gas": 495})):
        assert answering(open_one, money=money) == [duties.Solve(REQUEST)]
    solved = MoneyConfig(**cheap | {"compute_wei_per_s": 3})
    assert answering(open_one, SOLVED, solved) == [duties.Claim(REQUEST)]


def test_answering__several_at_once__only_as_many_as_can_be_defended() -> None:
    ids = [RequestId(bytes([n]) * 32) for n in range(1, 6)]
    seen = snapshot(request(), gas_price=1, wallet=1_000)
    seen = replace(seen, requests={i: replace(request(), request_id=i) for i in ids})
    money = MoneyConfig(answer_gas=1, dispute_gas=150)
    found = answering(seen, money=money)
    assert found == [duties.Solve(i) for i in ids[:3]] + [duties.Leave(i, Decline.FUNDS) for i in ids[3:]]


def test_answering__committed_claim_of_ours__is_revealed_however_poor() -> None:
    committed = claim(ME, ClaimStatus.COMMITTED)
    poor = snapshot(request(), committed, gas_price=10**9, wallet=0)
    assert answering(poor, SOLVED) == [duties.RevealClaim(CLAIM)]


def test_answering__somebody_said_it__only_a_different_answer_is_claimed() -> None:
    assert answering(snapshot(request(), claim(OTHER)), SOLVED) == []
    assert answering(snapshot(request(), claim(OTHER, output=b"other")), SOLVED) == [duties.Claim(REQUEST)]
    assert answering(snapshot(request(), claim(OTHER, ClaimStatus.REFUTED)), SOLVED) == [
        duties.Claim(REQUEST)
    ]
    assert answering(snapshot(request(), claim(OTHER)), Memory(verdicts={CLAIM: True})) == []


def test_settling__final_time__inclusive() -> None:
    seen = snapshot(request(), claim(ME), now=NOW + 19)
    assert duties.settling(seen, Memory(), MONEY) == []
    seen = snapshot(request(), claim(ME), now=NOW + 20)
    assert duties.settling(seen, Memory(), MONEY) == [duties.Finalize(CLAIM)]
    seen = snapshot(request(), claim(OTHER), now=NOW + 20)
    assert duties.settling(seen, Memory(), MONEY) == []


def test_settling__our_answer_with_a_callback__delivered_once() -> None:
    answered = request(status=RequestStatus.ANSWERED, answer=CLAIM, callback=OTHER)
    ours = claim(ME, ClaimStatus.FINALIZED)
    assert duties.settling(snapshot(answered, ours), Memory(), MONEY) == [duties.Deliver(REQUEST)]
    failed = replace(answered, final_deliveries=1)
    assert duties.settling(snapshot(failed, ours), Memory(), MONEY) == []
    theirs = claim(OTHER, ClaimStatus.FINALIZED)
    assert duties.settling(snapshot(answered, theirs), Memory(), MONEY) == []


def test_settling__challenge_that_outlived_our_claim__closed() -> None:
    final = challenged(claim(ME, ClaimStatus.FINALIZED), OTHER)
    key = ChallengeKey(CLAIM, OTHER, 0)
    assert duties.settling(snapshot(request(), final), Memory(), MONEY) == [duties.Close(key)]
    settled = challenged(claim(ME, ClaimStatus.FINALIZED), OTHER, ChallengeStatus.LOST)
    assert duties.settling(snapshot(request(), settled), Memory(), MONEY) == []


def test_settling__balance_above_the_mark__withdrawn() -> None:
    rich = snapshot(request(), balance=11)
    assert duties.settling(rich, Memory(), MONEY) == []
    assert duties.settling(rich, Memory(), MoneyConfig(withdraw_above_wei=10)) == [duties.Withdraw(ME)]


def test_settling__account_too_poor_for_its_disputes__takes_what_it_has_earned() -> None:
    money = MoneyConfig(dispute_gas=10)
    poor = snapshot(request(), claim(ME), balance=60_001, wallet=19, gas_price=1)
    assert duties.settling(poor, Memory(), money) == [duties.Withdraw(ME)]
    assert duties.settling(replace(poor, wallet_wei=20), Memory(), money) == []
    assert duties.settling(replace(poor, balance_wei=60_000), Memory(), money) == []


def test_telling_early__consumer_opted_in__told_once_and_taken_back() -> None:
    wanting = request(provisional=True, callback=OTHER)
    assert duties.telling_early(snapshot(request(), claim(ME)), Memory(), MONEY) == []
    assert duties.telling_early(snapshot(wanting, claim(OTHER)), Memory(), MONEY) == []
    assert duties.telling_early(snapshot(wanting, claim(ME)), Memory(), MONEY) == [duties.DeliverEarly(CLAIM)]
    told = replace(wanting, told_early=frozenset({CLAIM}), early_claim=CLAIM)
    assert duties.telling_early(snapshot(told, claim(OTHER)), Memory(), MONEY) == []
    fallen = snapshot(told, claim(OTHER, ClaimStatus.REFUTED))
    assert duties.telling_early(fallen, Memory(), MONEY) == [duties.Retract(REQUEST)]
    retracted = replace(told, early_claim=None)
    assert duties.telling_early(snapshot(retracted, claim(ME)), Memory(), MONEY) == []


def test_defending__active_challenge_of_our_claim__played() -> None:
    assert duties.defending(snapshot(request(), claim(ME)), Memory(), MONEY) == []
    ours = challenged(claim(ME), OTHER)
    assert duties.defending(snapshot(request(), ours), Memory(), MONEY) == [duties.Defend(CLAIM)]
    assert duties.defending(snapshot(request(), ours), Memory(abandoned=frozenset({CLAIM})), MONEY) == []
    assert duties.defending(snapshot(request(), challenged(claim(OTHER), ME)), Memory(), MONEY) == []


def test_watching__claim_of_another__judged_once_while_it_can_be_challenged() -> None:
    seen = snapshot(request(), claim(OTHER))
    assert duties.watching(seen, Memory(), MONEY) == [duties.Judge(CLAIM)]
    assert duties.watching(seen, Memory(verdicts={CLAIM: False}), MONEY) == []
    assert duties.watching(snapshot(request(), claim(OTHER), now=NOW + 21), Memory(), MONEY) == []
    assert duties.watching(snapshot(request(), claim(ME)), Memory(), MONEY) == []
    assert duties.watching(replace(seen, models=frozenset()), Memory(), MONEY) == []


WRONG = Memory(verdicts={CLAIM: False})


def test_challenging__wrong_claim__opened_even_beside_others() -> None:
    assert duties.challenging(snapshot(request(), claim(OTHER)), WRONG, MONEY) == [duties.Challenge(CLAIM)]
    beside = challenged(claim(OTHER), Address("0x" + "cc" * 20))
    assert duties.challenging(snapshot(request(), beside), WRONG, MONEY) == [duties.Challenge(CLAIM)]
    assert duties.challenging(snapshot(request(), claim(OTHER)), Memory(verdicts={CLAIM: True}), MONEY) == []
    assert duties.challenging(snapshot(request(), claim(OTHER), now=NOW + 21), WRONG, MONEY) == []


def test_challenging__does_not_pay__left_alone_and_said_once() -> None:
    seen = snapshot(request(), claim(OTHER), gas_price=1, wallet=20)
    cases = [
        (MoneyConfig(dispute_gas=5, max_challenge_bond_wei=9), Decline.BOND),
        (MoneyConfig(dispute_gas=6), Decline.REWARD),
    ]
    for money, reason in cases:
        assert duties.challenging(seen, WRONG, money) == [duties.Leave(CLAIM, reason)]
        said = replace(WRONG, declined={CLAIM: reason})
        assert duties.challenging(seen, said, money) == []
    enough = MoneyConfig(dispute_gas=5)
    assert duties.challenging(seen, WRONG, enough) == [duties.Challenge(CLAIM)]
    poor = replace(seen, wallet_wei=19)
    assert duties.challenging(poor, WRONG, enough) == [duties.Leave(CLAIM, Decline.FUNDS)]
    playing = snapshot(request(), challenged(claim(OTHER), ME), gas_price=10**9, wallet=0)
    assert duties.challenging(playing, Memory(), enough) == [duties.Challenge(CLAIM)]


def test_challenging__our_open_challenge__played_after_a_restart_without_a_verdict() -> None:
    playing = challenged(claim(OTHER), ME)
    assert duties.challenging(snapshot(request(), playing, now=NOW + 40), Memory(), MONEY) == [
        duties.Challenge(CLAIM)
    ]
    over = challenged(claim(OTHER), ME, ChallengeStatus.WON)
    assert duties.challenging(snapshot(request(), over, now=NOW + 40), WRONG, MONEY) == []


def test_settling__others_claims_that_hold_up_our_fee__are_forfeited_or_finalized() -> None:
    answered = request(status=RequestStatus.ANSWERED)
    ours = claim(ME, ClaimStatus.FINALIZED)
    hidden = replace(claim(OTHER, ClaimStatus.COMMITTED), claim_id=ClaimId(b"h" * 32))
    standing = replace(claim(OTHER), claim_id=ClaimId(b"s" * 32))
    seen = snapshot(answered, ours, hidden, standing, now=NOW + 21)
    wanted = [duties.Forfeit(hidden.claim_id), duties.Finalize(standing.claim_id)]
    assert duties.settling(seen, Memory(), MONEY) == wanted
    in_time = replace(seen, head=Head(9, bytes(32), NOW + 19))
    assert duties.settling(in_time, Memory(), MONEY) == []


def test_settling__a_claim_that_we_challenge__is_not_made_final_by_us() -> None:
    """A flooded node once did, while it could still have called time: its bond was gone."""
    final = replace(claim(ME, ClaimStatus.FINALIZED), claim_id=ClaimId(b"o" * 32))
    wrong = challenged(claim(OTHER, output=b"wrong"), ME)
    answered = request(status=RequestStatus.ANSWERED, answer=final.claim_id)
    found = duties.settling(snapshot(answered, final, wrong, now=NOW + 30), Memory(), MONEY)
    assert duties.Finalize(CLAIM) not in found
    lost = challenged(wrong, ME, ChallengeStatus.LOST)
    found = duties.settling(snapshot(answered, final, lost, now=NOW + 30), Memory(), MONEY)
    assert duties.Finalize(CLAIM) in found


def test_limit_of__calling_time__is_of_use_until_the_claim_may_become_final() -> None:
    facts = challenged(claim(OTHER), ME)
    assert limit_of(Due(Timeout(facts.challenges[0].key), None), facts) == facts.final_at - 1
    assert limit_of(Due(Open(CLAIM, 0), 7), facts) == 7


def test_settling__others_claims_without_our_answer_or_with_the_fee_paid__are_left_alone() -> None:
    hidden = replace(claim(OTHER, ClaimStatus.COMMITTED), claim_id=ClaimId(b"h" * 32))
    standing = replace(claim(OTHER), claim_id=ClaimId(b"s" * 32))
    for facts in (request(), request(status=RequestStatus.ANSWERED, fee_paid=True)):
        seen = snapshot(facts, claim(ME, ClaimStatus.FINALIZED), hidden, standing, now=NOW + 21)
        assert duties.settling(seen, Memory(), MONEY) == []
    lonely = snapshot(request(status=RequestStatus.ANSWERED), hidden, standing, now=NOW + 21)
    assert duties.settling(lonely, Memory(), MONEY) == []
