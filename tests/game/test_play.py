"""Whole games on the simulated contract: whatever a liar corrupts, the honest side wins."""

import numpy as np
import pytest

from oracle_node.errors import DeterminismError, ProtocolError
from oracle_node.game import moves as m
from oracle_node.game.state import ChallengeStatus, ClaimStatus
from oracle_node.tape.types import DType
from tests.game.simulation import Contract, play
from tests.game.toy import (
    LONGEST,
    Challenger,
    Defender,
    Idler,
    Liar,
    LyingDefender,
    Sybil,
    Toy,
    about,
    padded,
    right_claim,
    toy_commitment,
    toy_tape,
)

INSTRUCTIONS = range(len(toy_tape().instructions))
ANSWERS = (toy_tape().output, toy_tape().witness, toy_tape().ok)


def contract_for(toy: Toy) -> Contract:
    return Contract(toy_commitment(), toy.symbols, toy.sources, "claimant")


def claim_of(toy: Toy, tensor: int, data: bytes) -> Toy:
    """What a claim must say for a trace with that tensor to be accepted."""
    request, output, witness = toy.sources
    if tensor == toy_tape().output:
        return about((request, np.frombuffer(data[: output.nbytes], "<i4"), witness))
    if tensor == toy_tape().witness:
        return about((request, output, np.frombuffer(data[: witness.nbytes], "<i2")))
    return toy


def refute(toy: Toy, liar: Liar) -> Contract:
    """Play a lie against an honest challenger, who must win."""
    contract = contract_for(toy)
    play(contract, {"claimant": LyingDefender(liar, "claimant"), "challenger": Challenger(toy.knowledge)})
    assert contract.claim.status is ClaimStatus.REFUTED
    return contract


def corrupt(toy: Toy, tensor: int, byte: int, garble_the_rest: bool = False) -> Contract:
    """One byte of one tensor (or its padding) changed; perhaps garbage right of it, padding of the trace included."""
    data = padded(toy.knowledge, tensor)
    data[byte] ^= 0x81
    toy = claim_of(toy, tensor, bytes(data))
    later = [i for i in range(tensor + 1, 1 << toy.knowledge.trace.tree.depth) if i not in ANSWERS]
    garbage = {i: bytes([i]) * 32 for i in later} if garble_the_rest else {}
    return refute(toy, Liar(toy.knowledge, {tensor: bytes(data)}, roots=garbage))


@pytest.mark.parametrize("tensor", INSTRUCTIONS)
def test_honest_challenger__against_any_corrupt_element__wins(tensor: int) -> None:
    toy = right_claim(40)
    width = toy_tape().instructions[tensor].dtype.width
    for element in range(toy.knowledge.byte_length(tensor) // width):
        corrupt(toy, tensor, element * width + element % width)


@pytest.mark.parametrize("tensor", INSTRUCTIONS)
def test_honest_challenger__against_any_corrupt_padding__wins(tensor: int) -> None:
    toy = right_claim(40)
    length = toy.knowledge.byte_length(tensor)
    for byte in range(length, len(padded(toy.knowledge, tensor)), 61):
        corrupt(toy, tensor, byte)


@pytest.mark.parametrize("tensor", INSTRUCTIONS)
def test_honest_challenger__against_any_corrupt_chunk_of_large_tensors__wins(tensor: int) -> None:
    toy = right_claim(LONGEST)
    data = padded(toy.knowledge, tensor)
    for chunk in range(len(data) // 1024):
        contract = corrupt(toy, tensor, chunk * 1024 + chunk * 37 % 1024, garble_the_rest=chunk % 2 == 0)
        assert contract.gas_moves.count("Pick") <= 5


def test_honest_challenger__against_garbage_right_of_the_lie__opens_operands_from_the_reveals() -> None:
    toy = right_claim(40)
    for tensor in INSTRUCTIONS:
        contract = corrupt(toy, tensor, 0, garble_the_rest=True)
        if tensor != toy_tape().ok:
            assert contract.gas_moves[-1] == "Prove", "won by the proof, not on time"


def test_honest_challenger__against_two_lies__convicts_by_the_first() -> None:
    toy = right_claim(40)
    lies = {}
    for tensor in (4, 9):
        data = padded(toy.knowledge, tensor)
        data[3] ^= 1
        lies[tensor] = bytes(data)
    contract = refute(toy, Liar(toy.knowledge, lies))
    named = [c.instruction for c in contract.challenges.values()]
    assert named == [4]


@pytest.mark.parametrize("tensor", [i for i in INSTRUCTIONS if i not in ANSWERS])
def test_honest_challenger__against_a_root_of_another_length_or_of_nothing__wins_on_time(tensor: int) -> None:
    toy = right_claim(40)
    longer = Liar(toy.knowledge, {tensor: bytes(padded(toy.knowledge, tensor))}, {tensor: 7777})
    for liar in (longer, Liar(toy.knowledge, roots={tensor: bytes(32)})):
        assert refute(toy, liar).gas_moves[-1] == "Timeout"


def test_honest_challenger__against_an_idle_claimant__wins_on_time() -> None:
    toy = right_claim(40)
    contract = contract_for(toy)
    end = play(contract, {"claimant": Idler("claimant"), "challenger": Challenger(toy.knowledge)})
    assert contract.gas_moves == ["Open", "Timeout"] and end > 600
    assert contract.claim.status is ClaimStatus.REFUTED


def test_honest_challenger__of_a_consistent_wrong_answer__wins() -> None:
    """The liar computes everything after its lie correctly from it: its claim is a plausible other answer."""
    toy = right_claim(40)
    wrong = about((toy.sources[0], toy.sources[1] + 1, toy.sources[2]))
    data = bytearray(padded(wrong.knowledge, toy_tape().output))
    data[: wrong.sources[1].nbytes] = wrong.sources[1].tobytes()
    contract = refute(wrong, Liar(wrong.knowledge, {toy_tape().output: bytes(data)}))
    assert contract.gas_moves[-1] == "Prove"


def test_honest_challenger__beside_others__plays_its_own_game_and_shares_reveals() -> None:
    toy = right_claim(LONGEST)
    data = padded(toy.knowledge, 5)
    data[9000] ^= 4
    contract = contract_for(toy)
    liar = Liar(toy.knowledge, {5: bytes(data)})
    actors = {"claimant": LyingDefender(liar, "claimant"), "idle": Idler("idle", opens=True)}
    actors |= {
        "late": Challenger(toy.knowledge, "late", period=3),
        "prompt": Challenger(toy.knowledge, "prompt"),
    }
    play(contract, actors, blocks=1000)
    outcome = {key.challenger: c.status for key, c in contract.challenges.items()}
    assert contract.claim.status is ClaimStatus.REFUTED
    assert outcome["prompt"] is ChallengeStatus.WON
    assert outcome["late"] is ChallengeStatus.VOID
    assert contract.gas_moves.count("Reveal") == len({k for k in contract.claim.records if k.child_count})


def test_honest_challenger__who_arrives_after_the_reveals__descends_in_one_pick_a_tree() -> None:
    toy = right_claim(LONGEST)
    data = padded(toy.knowledge, 5)
    data[9000] ^= 4
    liar, contract = Liar(toy.knowledge, {5: bytes(data)}), contract_for(toy)
    contract.execute("late", m.Open(contract.claim.claim_id, 0), 5)
    first = Challenger(toy.knowledge, "first")
    now = 0
    while "PostChunk" not in contract.gas_moves:
        now += 12
        for address, actor in (("first", first), ("claimant", LyingDefender(liar, "claimant"))):
            for due in actor(contract.claim, contract.challenges.values(), now):
                contract.execute(address, due.move, now)
    contract.gas_moves.clear()
    play(contract, {"late": Challenger(toy.knowledge, "late"), "first": Idler("first")}, now)
    assert contract.gas_moves == ["Pick", "Pick", "Prove"]


@pytest.mark.parametrize("n", [40, LONGEST])
@pytest.mark.parametrize("seed", range(6))
def test_right_claim__against_random_challengers__survives_every_one(n: int, seed: int) -> None:
    toy = right_claim(n)
    contract = contract_for(toy)
    actors = {f"sybil {k}": Sybil(toy.knowledge, f"sybil {k}", seed * 10 + k) for k in range(3)}
    play(contract, {"claimant": Defender(toy.knowledge, "claimant"), "idle": Idler("idle", True), **actors})
    assert contract.claim.status is ClaimStatus.PROPOSED
    assert {c.status for c in contract.challenges.values()} == {ChallengeStatus.LOST}


def test_right_claim__defended_by_a_stranger_after_the_trace__survives() -> None:
    toy = right_claim(40)
    contract = contract_for(toy)
    contract.execute("sybil", m.Open(contract.claim.claim_id, 0), 0)
    trace = Defender(toy.knowledge, "claimant")(contract.claim, contract.challenges.values(), 1)[0].move
    assert Defender(toy.knowledge, "stranger")(contract.claim, contract.challenges.values(), 1) == []
    contract.execute("claimant", trace, 1)
    play(
        contract, {"stranger": Defender(toy.knowledge, "stranger"), "sybil": Sybil(toy.knowledge, "sybil", 3)}
    )
    assert contract.claim.status is ClaimStatus.PROPOSED


def test_defender__of_a_claim_with_another_trace__stops() -> None:
    toy = right_claim(40)
    contract = contract_for(toy)
    contract.execute("sybil", m.Open(contract.claim.claim_id, 0), 0)
    liar = Liar(toy.knowledge, roots={3: bytes(32)})
    for due in LyingDefender(liar, "claimant")(contract.claim, contract.challenges.values(), 1):
        contract.execute("claimant", due.move, 1)
    with pytest.raises(ProtocolError, match="another trace than ours"):
        Defender(toy.knowledge, "stranger")(contract.claim, contract.challenges.values(), 2)


def test_challenger__of_a_right_claim__abstains_instead_of_picking() -> None:
    toy = right_claim(40)
    with pytest.raises(DeterminismError, match="agrees with our trace"):
        play(
            contract_for(toy),
            {"claimant": Defender(toy.knowledge, "claimant"), "challenger": Challenger(toy.knowledge)},
        )


def test_challenger__where_only_padding_of_the_trace_differs__stops() -> None:
    toy = right_claim(40)
    liar = Liar(toy.knowledge, roots={(1 << toy.knowledge.trace.tree.depth) - 1: bytes(32)})
    with pytest.raises(ProtocolError, match="only past its last tensor"):
        refute(toy, liar)


def test_toy__covers_what_it_is_for() -> None:
    toy = right_claim(LONGEST)
    assert {i.opcode for i in toy_tape().instructions} == set(type(toy_tape().instructions[0].opcode))
    assert {i.dtype for i in toy_tape().instructions} == set(DType)
    assert toy.knowledge.trace.tree.depth == 5
    assert {toy.knowledge.tree(i).depth for i in INSTRUCTIONS} >= {0, 2, 3, 4, 5}
