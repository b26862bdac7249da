"""The self test: agreement on a model of every instruction, and that one wrong bit anywhere is seen."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pytest

from oracle_node.bench.selftest import random_requests, selftest
from oracle_node.executors.reference import ReferenceExecutor
from oracle_node.model.model import Card, Model
from oracle_node.tape.affine import Symbols
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Reducer, Source
from oracle_node.tape.types import DType, SourceKind


def every_instruction() -> Model:
    """A toy network: a scaled product, a maximum, a lookup, a joined answer."""
    t = TapeBuilder(Source(DType.F32, 6, 6), Source(DType.F32, 5, 5))
    x = t.input(SourceKind.REQUEST, (6,), -100.0, 100.0)
    q = t.map(lambda v: v.round().to_int(), x, dtype=DType.I16)
    dots = t.matmul(q.reshape(1, 6), t.const(np.arange(-12, 12, dtype="<i1").reshape(4, 6)))
    best = t.reduce(Reducer.ARGMAX, dots)
    looked_up = t.gather(best, t.const(np.float32([1.5, -2.25, 0.0, 8.0])))
    scores = t.map(lambda v: v.to_float() * 0.125, dots, dtype=DType.F32)
    answer = t.concat([scores.reshape(4), looked_up.reshape(1)], 0)
    ok = t.map(lambda v: v.equals(v), best, dtype=DType.U8)
    return Model.of(t.finish(answer, ok), Card("toy"))


class OneBitOff:
    """The reference executor with the lowest bit of one tensor's first element turned over."""

    def __init__(self, model: Model, tensor: int) -> None:
        self._right, self._tensor = ReferenceExecutor(model.tape), tensor

    def run(
        self, symbols: Symbols, sources: Sequence[np.ndarray], wanted: Collection[int]
    ) -> dict[int, np.ndarray]:
        return {i: t for i, t in self.stream(symbols, sources) if i in wanted}

    def stream(self, symbols: Symbols, sources: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        for index, tensor in self._right.stream(symbols, sources):
            if index == self._tensor:
                tensor = tensor.copy()
                tensor.view(np.uint8).reshape(-1)[0] ^= 1
            yield index, tensor


@pytest.fixture(scope="module")
def toy() -> Model:
    return every_instruction()


def test_selftest__every_instruction__agrees_on_random_and_special_inputs(toy: Model) -> None:
    found = selftest(toy, ReferenceExecutor(toy.tape), random_requests(toy, 3, 1), 200, 1, lambda _: None)
    assert found.mismatches == []
    assert set(found.by_opcode) == {"INPUT", "CONST", "MAP", "MATMUL", "REDUCE", "GATHER", "CONCAT"}
    assert found.elements_checked == sum(found.by_opcode.values())


def test_selftest__one_bit_wrong_in_any_tensor__is_seen(toy: Model) -> None:
    for tensor in range(len(toy.tape.instructions)):
        found = selftest(toy, OneBitOff(toy, tensor), random_requests(toy, 1, 1), 100, 1, lambda _: None)
        assert (tensor, 0) in [(m.instruction, m.element) for m in found.mismatches]


def test_random_requests__same_seed__are_the_same(toy: Model) -> None:
    assert random_requests(toy, 3, 5) == random_requests(toy, 3, 5) != random_requests(toy, 3, 6)
