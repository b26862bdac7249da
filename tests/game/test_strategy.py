"""Single decisions of the strategy that whole games do not single out."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from oracle_node.errors import DeterminismError
from oracle_node.game import moves as m
from oracle_node.game.knowledge import Knowledge
from oracle_node.game.state import ChallengeState, ChallengeStatus, ClaimState, ClaimStatus
from oracle_node.game.strategy import Player, challenger_moves, defender_moves
from tests.game.simulation import Contract, play
from tests.game.toy import Challenger, Defender, Liar, Recorded, right_claim, toy_commitment, toy_tape

TOY = right_claim(40)
ME = Player("me", nonce=7)


def fresh() -> Contract:
    return Contract(toy_commitment(), TOY.symbols, TOY.sources, "claimant")


def faulty(tensor: int) -> Knowledge:
    """Knowledge from an executor that computes one element wrongly, and the rest rightly."""
    tensors = [
        tensor.copy() for tensor in TOY.knowledge.tensors(range(len(toy_tape().instructions))).values()
    ]
    tensors[tensor].reshape(-1)[0] += 1
    return Knowledge(toy_tape(), Recorded(tensors), TOY.symbols, TOY.sources)


def against(contract: Contract, now: int, player: Player = ME) -> list[m.Due]:
    return challenger_moves(contract.claim, contract.challenges.values(), TOY.knowledge, player, now)


def test_challenger__at_the_end_of_the_window__opens_and_not_after() -> None:
    contract = fresh()
    opening = m.Due(m.Open(contract.claim.claim_id, 7), 1000)
    assert against(contract, 0) == against(contract, 1000) == [opening]
    assert against(contract, 1001) == []


@pytest.mark.parametrize("status", [ClaimStatus.COMMITTED, ClaimStatus.FINALIZED, ClaimStatus.REFUTED])
def test_challenger__of_a_claim_that_is_not_proposed__opens_nothing(status: ClaimStatus) -> None:
    contract = fresh()
    contract.claim = replace(contract.claim, status=status)
    assert against(contract, 0) == []


def test_challenger__that_is_a_delegate__opens_its_own_challenge_too_and_then_plays_both() -> None:
    contract = fresh()
    contract.execute("boss", m.Open(contract.claim.claim_id, 0), 1)
    player = Player("me", 7, frozenset({"boss"}))
    assert [type(due.move) for due in against(contract, 2, player)] == [m.Open]
    contract.execute("me", m.Open(contract.claim.claim_id, 7), 2)
    assert {due.move for due in against(contract, 700, player)} == {
        m.Timeout(key) for key in contract.challenges
    }
    assert {due.move for due in against(contract, 700)} == {
        m.Timeout(k) for k in contract.challenges if k.nonce == 7
    }


def test_challenger__whose_own_clock_is_out__does_not_call_it() -> None:
    contract, data = fresh(), bytearray(1024)
    liar = Liar(TOY.knowledge, {3: bytes(data)})
    contract.execute("me", m.Open(contract.claim.claim_id, 7), 0)
    for now in (5, 6):
        for due in Defender(liar, "claimant")(contract.claim, contract.challenges.values(), now):
            contract.execute("claimant", due.move, now)
    assert [type(due.move) for due in against(contract, 606)] == [m.Pick]
    assert against(contract, 606)[0].limit == 606
    assert against(contract, 607) == []
    assert [type(d.move) for d in defend(contract, 607)] == [m.Timeout]


def test_challenger__of_a_decided_claim__closes_what_is_still_open() -> None:
    contract = fresh()
    contract.execute("me", m.Open(contract.claim.claim_id, 7), 0)
    contract.claim = replace(contract.claim, status=ClaimStatus.REFUTED)
    key = next(iter(contract.challenges))
    assert against(contract, 5) == [m.Due(m.Close(key), None)]
    contract.challenges[key] = replace(contract.challenges[key], status=ChallengeStatus.VOID)
    assert against(contract, 5) == []


def defend(contract: Contract, now: int, knowledge: Knowledge = TOY.knowledge) -> list[m.Due]:
    return defender_moves(contract.claim, contract.challenges.values(), knowledge, Player("claimant"), now)


def test_defender__with_several_challenges_at_one_node__answers_once_by_the_first_limit() -> None:
    contract = fresh()
    for opened, name in ((30, "late"), (10, "early"), (20, "middle")):
        contract.execute(name, m.Open(contract.claim.claim_id, 0), opened)
    (due,) = defend(contract, 40)
    assert isinstance(due.move, m.PostTrace) and due.limit == 610


def test_defender__whose_own_clock_is_out__does_nothing() -> None:
    contract = fresh()
    contract.execute("them", m.Open(contract.claim.claim_id, 0), 0)
    assert len(defend(contract, 600)) == 1
    assert defend(contract, 601) == []


def test_defender__of_a_chunk__leaves_out_its_last_zeros() -> None:
    contract = fresh()
    play_to_chunk(contract, TOY.knowledge, faulty(3))
    chunks = [due.move for due in defend(contract, 500) if isinstance(due.move, m.PostChunk)]
    assert [len(move.chunk) for move in chunks] == [len(TOY.knowledge.chunk(3, 0).rstrip(b"\0"))] != [1024]


def play_to_chunk(contract: Contract, defending: Knowledge, challenging: Knowledge) -> None:
    """Play until a chunk is asked for."""
    actors: dict[str, Defender | Challenger] = {"claimant": Defender(defending, "claimant")}
    actors["me"] = Challenger(challenging, "me")
    for now in range(0, 480, 12):
        for address, actor in actors.items():
            for due in actor(contract.claim, contract.challenges.values(), now):
                if isinstance(due.move, m.PostChunk):
                    return
                contract.execute(address, due.move, now)


def test_challenger__whose_executor_errs__abstains_at_the_proof() -> None:
    contract = fresh()
    with pytest.raises(DeterminismError, match="element 0 of tensor 4 "):
        play(contract, {"claimant": Defender(TOY.knowledge, "claimant"), "me": Challenger(faulty(4), "me")})
    assert contract.claim.status is ClaimStatus.PROPOSED


def test_defender__whose_executor_errs__abstains_at_the_chunk() -> None:
    contract = fresh()
    with pytest.raises(DeterminismError, match="element 0 of tensor 4 "):
        play(contract, {"claimant": Defender(faulty(4), "claimant"), "me": Challenger(TOY.knowledge, "me")})


@pytest.mark.parametrize("tensor", [toy_tape().output, toy_tape().ok, toy_tape().witness])
def test_defender__whose_executor_errs_in_the_answer__posts_no_trace(tensor: int) -> None:
    contract = fresh()
    contract.execute("them", m.Open(contract.claim.claim_id, 0), 0)
    with pytest.raises(DeterminismError, match=f"of tensor {tensor} "):
        defend(contract, 1, faulty(tensor))


def test_moves__asked_for_twice__are_equal_values() -> None:
    class Twice(Challenger):
        def __call__(self, claim: ClaimState, challenges: Iterable[ChallengeState], now: int) -> list[m.Due]:
            first, second = (super(Twice, self).__call__(claim, list(challenges), now) for _ in range(2))
            assert first == second and len({due.move for due in first}) == len(first)
            return first

    contract = fresh()
    liar = Liar(TOY.knowledge, {3: bytes(1024)})
    play(contract, {"claimant": Defender(liar, "claimant"), "challenger": Twice(TOY.knowledge)})
    assert contract.gas_moves[-1] == "Prove"
