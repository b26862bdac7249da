"""True claims about a model, and the games of a lie about one of its bytes on the compiled contracts."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from oracle_node.executors import reference
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.game.knowledge import Knowledge
from oracle_node.game.state import ClaimStatus
from oracle_node.importers.onnx import import_onnx
from oracle_node.model.model import Card, Model
from tests.conftest import SHARED_DATA
from tests.evm.oracle import START_TIME, EvmContract, address_of
from tests.game.simulation import play
from tests.game.toy import (
    Challenger,
    Liar,
    LyingDefender,
    Recorded,
    Sources,
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
        """The claim that a trace with that tensor goes with: its own answer, where that is what was changed."""
        tape, (request, output, witness) = self.model.tape, self.sources
        if tensor == tape.output:
            output = np.frombuffer(data[: output.nbytes], output.dtype)
        elif tensor == tape.witness:
            witness = np.frombuffer(data[: witness.nbytes], witness.dtype)
        else:
            return self
        changed, knowledge = (request, output, witness), self.knowledge
        if self.model.reads_claim:
            symbols = knowledge.symbols
            knowledge = Knowledge(tape, recorded(self.model, symbols, changed), symbols, changed)
        return replace(self, sources=changed, knowledge=knowledge)


def recorded(model: Model, symbols: tuple[int, ...], sources: Sources) -> Recorded:
    """Every tensor, by the reference."""
    return Recorded([tensor for _, tensor in reference.run(model.tape, symbols, sources)])


@cache
def toy_claim(elements: int = 40) -> Claimed:
    """The toy tape's answer to a request of so many elements."""
    toy = right_claim(elements)
    return Claimed(Model(toy_tape(), toy_commitment(), Card("toy"), ()), toy.sources, toy.knowledge)


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


def refute(claimed: Claimed, tensor: int, byte: int, flip: int = 0x81) -> EvmContract:
    """One byte of one tensor (or of its padding) is wrong: an honest challenger must win, and by the right move."""
    data = padded(claimed.knowledge, tensor)
    data[byte] ^= flip
    told = claimed.saying(tensor, bytes(data))
    contract = EvmContract(told.model.commitment, told.sources)
    liar = LyingDefender(Liar(told.knowledge, {tensor: bytes(data)}), CLAIMANT)
    play(contract, {CLAIMANT: liar, CHALLENGER: Challenger(told.knowledge, CHALLENGER)}, START_TIME)  # type: ignore[arg-type]
    assert contract.claim.status is ClaimStatus.REFUTED, f"tensor {tensor}, byte {byte} got through"
    # a trace whose ok, or whose answer's padding, is wrong cannot even be posted: that game ends on time
    tape = told.model.tape
    in_padding = byte >= claimed.knowledge.byte_length(tensor)
    unpostable = tensor == tape.ok or (tensor in (tape.output, tape.witness) and in_padding)
    assert contract.moves[-1][0] == ("timeout" if unpostable else "prove"), (tensor, byte)
    return contract
