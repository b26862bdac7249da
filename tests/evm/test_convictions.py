"""Whole games on the compiled contracts: any corrupted element, of any instruction, is convicted.

The simulation covers every byte of the toy tape (tests/game); here the real oracle, judge and evaluator decide.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.game.knowledge import Knowledge
from oracle_node.game.state import ChallengeStatus, ClaimStatus
from oracle_node.importers.onnx import import_onnx
from oracle_node.model.model import Card, Model
from oracle_node.tape.instruction import Opcode
from tests.conftest import SHARED_DATA
from tests.evm.oracle import START_TIME, EvmContract, address_of
from tests.game.simulation import play
from tests.game.toy import (
    Challenger,
    Defender,
    Liar,
    LyingDefender,
    Recorded,
    Sources,
    Sybil,
    padded,
    right_claim,
    toy_commitment,
    toy_tape,
)

CLAIMANT, CHALLENGER = address_of("claimant"), address_of("challenger")


@dataclass(frozen=True)
class Claimed:
    """A true claim about a model: what a liar starts from."""

    model: Model
    sources: Sources
    knowledge: Knowledge

    def saying(self, tensor: int, data: bytes) -> "Claimed":
        """The claim that a trace with that tensor goes with: its own output, where that is what was changed."""
        if tensor != self.model.tape.output:
            return self
        request, output, witness = self.sources
        told = np.frombuffer(data[: output.nbytes], output.dtype)
        return replace(self, sources=(request, told, witness))


@cache
def mnist_claim() -> Claimed:
    """The MNIST network's answer to random pixels."""
    path = SHARED_DATA / "onnx" / "mnist-12.onnx"
    if not path.exists():
        pytest.skip("needs ../shared/data/onnx/mnist-12.onnx, which the repository does not ship")
    model = Model.of(import_onnx(path).tape, Card("mnist"))
    tape = model.tape
    pixels = np.random.default_rng(3).integers(0, 256, 784).astype("<f4")
    sources = (pixels, np.zeros(tape.sources[1].max_elements, "<f4"), np.zeros(0, "u1"))
    symbols = model.symbols(sources)
    tensors = [tensor for _, tensor in OnnxExecutor(tape).stream(symbols, sources)]
    sources = (pixels, tensors[tape.output].reshape(-1), sources[2])
    knowledge = Knowledge(tape, Recorded(tensors), symbols, sources, weight_roots=model.weight_roots)
    return Claimed(model, sources, knowledge)


def refute(claimed: Claimed, tensor: int, byte: int) -> EvmContract:
    """One byte of one tensor (or of its padding) is wrong: an honest challenger must win."""
    data = padded(claimed.knowledge, tensor)
    data[byte] ^= 0x81
    told = claimed.saying(tensor, bytes(data))
    contract = EvmContract(told.model.commitment, told.sources)
    liar = LyingDefender(Liar(told.knowledge, {tensor: bytes(data)}), CLAIMANT)
    play(contract, {CLAIMANT: liar, CHALLENGER: Challenger(told.knowledge, CHALLENGER)}, START_TIME)  # type: ignore[arg-type]
    assert contract.claim.status is ClaimStatus.REFUTED, f"tensor {tensor}, byte {byte} got through"
    return contract


def test_mnist__two_hundred_random_corruptions__are_all_convicted() -> None:
    claimed = mnist_claim()
    tape, instructions = claimed.model.tape, claimed.model.tape.instructions
    rng = np.random.default_rng(17)
    seen = set()
    for k in range(200):
        tensor = k % len(instructions)
        length, room = claimed.knowledge.byte_length(tensor), len(padded(claimed.knowledge, tensor))
        # every third one in the padding, every fifth one in the last element
        byte = int(rng.integers(length))
        if k % 3 == 2 and room > length:
            byte = int(rng.integers(length, room))
        elif k % 5 == 4:
            byte = length - 1
        contract = refute(claimed, tensor, byte)
        seen.add(instructions[tensor].opcode)
        # a trace whose ok, or whose output's padding, is wrong cannot even be posted: that one ends on time
        unpostable = tensor == tape.ok or (tensor == tape.output and byte >= length)
        assert contract.moves[-1][0] == ("timeout" if unpostable else "prove"), (tensor, byte)
    assert seen >= {Opcode.INPUT, Opcode.CONST, Opcode.MAP, Opcode.MATMUL, Opcode.REDUCE, Opcode.CONCAT}


def test_mnist__every_dispute__takes_four_rounds_at_most() -> None:
    claimed = mnist_claim()
    for tensor in range(len(claimed.model.tape.instructions)):
        moves = refute(claimed, tensor, claimed.knowledge.byte_length(tensor) - 1).moves
        rounds = sum(name in ("postTrace", "reveal", "postChunk") for name, _ in moves)
        assert rounds <= 4, f"tensor {tensor}: {moves}"


@pytest.mark.parametrize("tensor", range(len(toy_tape().instructions)))
def test_toy__elements_and_padding_of_every_instruction__are_convicted(tensor: int) -> None:
    toy = right_claim(40)
    model = Model(toy_tape(), toy_commitment(), Card("toy"), ())
    claimed = Claimed(model, toy.sources, toy.knowledge)
    if tensor in (toy_tape().output, toy_tape().witness):
        pytest.skip("the claim itself changes: test_play has it")
    length = toy.knowledge.byte_length(tensor)
    for byte in {0, length // 2, length - 1, length, len(padded(toy.knowledge, tensor)) - 1}:
        if byte < len(padded(toy.knowledge, tensor)):
            refute(claimed, tensor, byte)


@pytest.mark.parametrize("seed", range(12))
def test_honest_claim__against_a_dishonest_challenger__survives(seed: int) -> None:
    claimed = mnist_claim()
    contract = EvmContract(claimed.model.commitment, claimed.sources)
    honest = Defender(claimed.knowledge, CLAIMANT)
    sybil = Sybil(claimed.knowledge, CHALLENGER, seed)
    play(contract, {CLAIMANT: honest, CHALLENGER: sybil}, START_TIME)  # type: ignore[arg-type]
    assert contract.claim.status is ClaimStatus.PROPOSED
    assert [c.status for c in contract.challenges.values()] == [ChallengeStatus.LOST]
