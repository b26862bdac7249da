"""Whole games on the compiled contracts: any corrupted element, of any instruction, is convicted.

Of the toy tape, at 40 elements: one wrong byte in every element of every tensor, and in the padding (the slow tests;
the fast ones take a sample of each tensor). Of a real network: 200 corruptions, of every kind in every tensor.
"""

from collections.abc import Iterator
from random import Random

import pytest

from oracle_node.game.state import ChallengeStatus, ClaimStatus
from oracle_node.tape.instruction import Opcode
from tests.evm.claimed import CHALLENGER, CLAIMANT, Claimed, mnist_claim, refute, toy_claim
from tests.evm.oracle import START_TIME, EvmContract
from tests.game.simulation import play
from tests.game.toy import Defender, Sybil, padded, toy_tape

KINDS = ("data", "last", "padding", "first", "data", "beside", "end")
"""Where a byte is wrong: any element, the last or first one; anywhere in the padding, beside the data, at its end."""
TOY_INSTRUCTIONS = range(len(toy_tape().instructions))


def wrong_byte(claimed: Claimed, tensor: int, kind: str, random: Random) -> int:
    """Its position in the tensor's bytes with their padding; one of the data where there is no padding."""
    length, room = claimed.knowledge.byte_length(tensor), len(padded(claimed.knowledge, tensor))
    width = claimed.model.tape.instructions[tensor].dtype.width
    match kind:
        case "first":
            return random.randrange(width)
        case "last":
            return length - 1 - random.randrange(width)
        case "padding" if room > length:
            return random.randrange(length, room)
        case "beside" if room > length:
            return length
        case "end" if room > length:
            return room - 1
    return random.randrange(length)


def test_mnist__two_hundred_mixed_corruptions__are_all_convicted() -> None:
    claimed, random = mnist_claim(), Random(17)
    instructions = claimed.model.tape.instructions
    seen: dict[int, set[str]] = {}
    for k in range(200):
        # the kind changes with every round over the tensors, so that each of them has each kind
        round_, tensor = divmod(k, len(instructions))
        kind = KINDS[round_ % len(KINDS)]
        refute(claimed, tensor, wrong_byte(claimed, tensor, kind, random), random.randrange(1, 256))
        seen.setdefault(tensor, set()).add(kind)
    assert seen.keys() == set(range(len(instructions)))
    assert all(kinds >= {"data", "last", "padding", "first", "beside"} for kinds in seen.values())
    opcodes = {instruction.opcode for instruction in instructions}
    assert opcodes >= {Opcode.INPUT, Opcode.CONST, Opcode.MAP, Opcode.MATMUL, Opcode.REDUCE, Opcode.CONCAT}


def test_mnist__every_dispute__takes_four_rounds_at_most() -> None:
    claimed = mnist_claim()
    for tensor in range(len(claimed.model.tape.instructions)):
        moves = refute(claimed, tensor, claimed.knowledge.byte_length(tensor) - 1).moves
        rounds = sum(name in ("postTrace", "reveal", "postChunk") for name, _ in moves)
        assert rounds <= 4, f"tensor {tensor}: {moves}"


@pytest.mark.parametrize("tensor", TOY_INSTRUCTIONS)
def test_toy__some_elements_and_padding_of_every_instruction__are_convicted(tensor: int) -> None:
    claimed, random = toy_claim(), Random(tensor)
    for byte in {wrong_byte(claimed, tensor, kind, random) for kind in KINDS}:
        refute(claimed, tensor, byte, random.randrange(1, 256))


def bytes_of_all_elements(claimed: Claimed, tensor: int) -> Iterator[int]:
    """One byte of every element, each of its bytes in turn."""
    width = claimed.model.tape.instructions[tensor].dtype.width
    for element in range(claimed.knowledge.byte_length(tensor) // width):
        yield element * width + element % width


@pytest.mark.slow
@pytest.mark.parametrize("tensor", TOY_INSTRUCTIONS)
def test_toy__every_element_of_every_instruction__is_convicted(tensor: int) -> None:
    claimed, random = toy_claim(), Random(tensor)
    for byte in bytes_of_all_elements(claimed, tensor):
        refute(claimed, tensor, byte, random.randrange(1, 256))


@pytest.mark.slow
@pytest.mark.parametrize("tensor", TOY_INSTRUCTIONS)
def test_toy__padding_of_every_instruction__is_convicted(tensor: int) -> None:
    claimed, random = toy_claim(), Random(tensor)
    for byte in range(claimed.knowledge.byte_length(tensor), len(padded(claimed.knowledge, tensor)), 7):
        refute(claimed, tensor, byte, random.randrange(1, 256))


@pytest.mark.parametrize("seed", range(12))
def test_honest_claim__against_a_dishonest_challenger__survives(seed: int) -> None:
    claimed = mnist_claim()
    contract = EvmContract(claimed.model.commitment, claimed.sources)
    honest = Defender(claimed.knowledge, CLAIMANT)
    sybil = Sybil(claimed.knowledge, CHALLENGER, seed)
    play(contract, {CLAIMANT: honest, CHALLENGER: sybil}, START_TIME)  # type: ignore[arg-type]
    assert contract.claim.status is ClaimStatus.PROPOSED
    assert [c.status for c in contract.challenges.values()] == [ChallengeStatus.LOST]
