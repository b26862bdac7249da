"""The clocks, second by second."""

from dataclasses import replace

import pytest

from oracle_node.game.clocks import Clock, Dispute, Turn, clock, dispute
from oracle_node.game.geometry import NO_LENGTH, Place
from oracle_node.game.state import (
    ChallengeKey,
    ChallengeState,
    ChallengeStatus,
    ClaimState,
    ClaimStatus,
    NodeKey,
    Record,
)
from oracle_node.game.strategy import wake_at

KEY = ChallengeKey(b"c" * 32, "them", 0)
OPENED = ChallengeState(KEY, ChallengeStatus.ACTIVE, since=1000, challenger_left=300, defender_left=200)
CLAIM = ClaimState(KEY.claim_id, "us", ClaimStatus.PROPOSED, window_end=5000)
ROOT, NODE = b"r" * 32, b"n" * 32
TRACED = replace(CLAIM, trace_root=ROOT, trace_time=1050)
COUNT = 20
AT_ROOT = NodeKey(ROOT, NO_LENGTH, 32)


def answered(claim: ClaimState, key: NodeKey, time: int) -> ClaimState:
    return replace(claim, records={key: Record(time)})


def test_clock__without_a_trace__is_the_defenders_from_the_opening() -> None:
    assert clock(CLAIM, OPENED, COUNT) == Clock(Turn.DEFENDER, 1200)


def test_clock__with_a_trace_only__is_still_the_defenders() -> None:
    assert clock(TRACED, OPENED, COUNT) == Clock(Turn.DEFENDER, 1200)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (1100, Clock(Turn.CHALLENGER, 1400)),
        (1200, Clock(Turn.CHALLENGER, 1500)),
        (1201, Clock(Turn.DEFENDER, 1200)),
        (900, Clock(Turn.CHALLENGER, 1350)),
    ],
    ids=["in time", "in the last second", "too late for ever", "before the trace"],
)
def test_clock__after_the_first_reveal__runs_from_the_answer(time: int, expected: Clock) -> None:
    assert clock(answered(TRACED, AT_ROOT, time), OPENED, COUNT) == expected


def test_clock__at_a_node_revealed_for_another_challenge__runs_from_the_own_pick() -> None:
    picked = replace(OPENED, node=NODE, height=4, position=1)
    claim = answered(TRACED, NodeKey(NODE, NO_LENGTH, 16), 700)
    assert clock(claim, picked, COUNT) == Clock(Turn.CHALLENGER, 1300)


def test_clock__in_a_trace_of_one_tensor__waits_for_the_naming() -> None:
    assert clock(TRACED, OPENED, 1) == Clock(Turn.CHALLENGER, 1350)


@pytest.mark.parametrize("status", [ClaimStatus.FINALIZED, ClaimStatus.REFUTED, ClaimStatus.VOID])
def test_clock__of_a_decided_claim__is_nobodys(status: ClaimStatus) -> None:
    assert clock(replace(CLAIM, status=status), OPENED, COUNT).turn is Turn.NOBODY


def test_clock__at_its_limit__allows_the_move_and_no_timeout() -> None:
    timer = Clock(Turn.DEFENDER, 1200)
    assert timer.allows(Turn.DEFENDER, 1200) and not timer.is_out(1200)
    assert timer.is_out(1201) and not timer.allows(Turn.DEFENDER, 1201)
    assert not timer.allows(Turn.CHALLENGER, 1200)
    assert not Clock(Turn.NOBODY, 0).is_out(9)


@pytest.mark.parametrize(
    ("place", "byte_length", "key"),
    [
        (Place(None, 5, 0), 0, NodeKey(NODE, NO_LENGTH, 32)),
        (Place(None, 4, 1), 0, NodeKey(NODE, NO_LENGTH, 16)),
        (Place(7, 0, 0), 1024, NodeKey(NODE, 1024, 0)),
        (Place(7, 0, 0), 0, NodeKey(NODE, 0, 0)),
        (Place(7, 1, 0), 1025, NodeKey(NODE, 1025, 2)),
        (Place(7, 0, 1), 1025, NodeKey(NODE, NO_LENGTH, 0)),
        (Place(7, 6, 0), 33 * 1024, NodeKey(NODE, 33 * 1024, 4)),
        (Place(7, 4, 2), 33 * 1024, NodeKey(NODE, NO_LENGTH, 16)),
    ],
)
def test_dispute__at_each_kind_of_node__asks_for_its_record(
    place: Place, byte_length: int, key: NodeKey
) -> None:
    assert Dispute(NODE, place, byte_length).key == key


def test_dispute__before_the_first_pick__is_the_trace_root() -> None:
    assert dispute(CLAIM, OPENED, COUNT) is None
    assert dispute(TRACED, OPENED, COUNT) == Dispute(ROOT, Place(None, 5, 0), 0)


def test_wake_at__of_several_challenges__is_the_second_after_the_first_limit() -> None:
    later = replace(OPENED, since=1040)
    assert wake_at(CLAIM, [later, OPENED], COUNT, now=1100) == 1201
    assert wake_at(CLAIM, [later, OPENED], COUNT, now=1201) == 1241
    assert wake_at(CLAIM, [replace(OPENED, status=ChallengeStatus.WON)], COUNT, now=0) is None
