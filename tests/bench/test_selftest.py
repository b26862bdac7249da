"""The self test: agreement on a model of every instruction, and that one wrong bit anywhere is seen."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from oracle_node.bench.selftest import SelfTest, random_requests, selftest
from oracle_node.errors import DeterminismError
from oracle_node.executors.base import Executor
from oracle_node.executors.evm import EvmEvaluator
from oracle_node.executors.reference import ReferenceExecutor
from oracle_node.model.model import Card, Model
from oracle_node.tape.affine import Affine, Symbols
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.encoding import encode
from oracle_node.tape.instruction import Inequality, Opcode, Reducer, Source
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
    """The reference executor with the lowest bit of one tensor's last element turned over, where it is asked to lie."""

    def __init__(self, model: Model, tensor: int, *, streamed: bool = True, run: bool = True) -> None:
        self._right, self._tensor = ReferenceExecutor(model.tape), tensor
        self._lies = {"stream": streamed, "run": run}
        self.asked: list[frozenset[int]] = []

    def run(
        self, symbols: Symbols, sources: Sequence[np.ndarray], wanted: Collection[int]
    ) -> dict[int, np.ndarray]:
        self.asked.append(frozenset(wanted))
        tensors = self._right.run(symbols, sources, wanted)
        return {i: self._told(i, tensor, "run") for i, tensor in tensors.items()}

    def stream(self, symbols: Symbols, sources: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        for index, tensor in self._right.stream(symbols, sources):
            yield index, self._told(index, tensor, "stream")

    def _told(self, index: int, tensor: np.ndarray, method: str) -> np.ndarray:
        if index != self._tensor or not self._lies[method]:
            return tensor
        tensor = tensor.copy()
        tensor.view(np.uint8).reshape(-1)[-tensor.itemsize] ^= 1
        return tensor


@pytest.fixture(scope="module")
def toy() -> Model:
    return every_instruction()


@pytest.fixture(scope="module")
def of_any_length() -> Model:
    """A network for requests of 2 to 2,000 elements with claims beside them: together at most 40 elements more."""
    limits = Source(DType.I8, 2, 2000), Source(DType.I32, 1, 500), Source(DType.I16, 1, 500)
    t = TapeBuilder(*limits, inequalities=[Inequality((0, 1, 1), 40)])
    x = t.input(SourceKind.REQUEST, (Affine.symbol(0),), -100, 100)
    claimed = t.input(SourceKind.OUTPUT, (Affine.symbol(1),), -1000, 1000)
    drafts = t.input(SourceKind.WITNESS, (Affine.symbol(2),), -9, 9)
    squares = t.map(lambda v: v * v, x, dtype=DType.I32)
    heads = t.concat([claimed, t.map(lambda v: v + 0, drafts, dtype=DType.I32)], 0)
    ok = t.map(lambda v: v.equals(v), t.reduce(Reducer.MAX, heads), dtype=DType.U8)
    return Model.of(t.finish(squares, ok), Card("any length"))


def check(model: Model, elements: int, executor: Executor, count: int = 2) -> SelfTest:
    return selftest(model, executor, random_requests(model, count, 1), elements, 1, lambda _: None)


def test_selftest__every_instruction__agrees_on_random_and_special_inputs(toy: Model) -> None:
    found = check(toy, 200, ReferenceExecutor(toy.tape), 3)
    assert found.mismatches == []
    assert set(found.by_opcode) == {"INPUT", "CONST", "MAP", "MATMUL", "REDUCE", "GATHER", "CONCAT"}
    assert found.elements_checked == sum(found.by_opcode.values())


def test_selftest__one_bit_wrong_in_any_tensor__is_seen(toy: Model) -> None:
    for tensor, instruction in enumerate(toy.tape.instructions):
        found = check(toy, 100, OneBitOff(toy, tensor), 1)
        last = instruction.count((6, 5, 0, 0, 0, 0, 0, 0)) - 1
        assert (tensor, last) in [(m.instruction, m.element) for m in found.mismatches]


def test_selftest__one_bit_wrong_in_a_tensor_of_run_alone__is_seen(toy: Model) -> None:
    computed = [
        index
        for index, instruction in enumerate(toy.tape.instructions)
        if instruction.opcode not in (Opcode.INPUT, Opcode.CONST)
    ]
    assert {toy.tape.output, toy.tape.ok} < set(computed)
    for tensor in computed:
        found = check(toy, 1, OneBitOff(toy, tensor, streamed=False))
        assert found.mismatches
        for mismatch in found.mismatches:
            assert mismatch.instruction == tensor
            assert mismatch.onnx != mismatch.reference == mismatch.evm


def test_selftest__what_run_is_asked_for__is_the_answers_and_tensors_alone_and_together(toy: Model) -> None:
    executor = OneBitOff(toy, -1)
    found = check(toy, 50, executor)
    assert frozenset({toy.tape.output, toy.tape.ok}) in executor.asked
    assert {len(asked) for asked in executor.asked} >= {1, 2, 3}
    assert found.run_elements > found.padding_elements > 0


def test_selftest__run_of_another_type__is_a_determinism_error(toy: Model) -> None:
    class Wider(OneBitOff):
        def run(self, *arguments: Any) -> dict[int, np.ndarray]:
            return {i: tensor.astype("<i8") for i, tensor in super().run(*arguments).items()}

    with pytest.raises(DeterminismError, match="int64"):
        check(toy, 10, Wider(toy, -1))


def test_selftest__a_chain_that_fills_padding__is_seen(toy: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    right = EvmEvaluator.evaluate
    counts = {encode(i): i.count((6, 5, 0, 0, 0, 0, 0, 0)) for i in toy.tape.instructions}

    def evaluate(self: EvmEvaluator, instruction: bytes, *rest: Any) -> list[int]:
        (element,) = rest[1]
        return [7] if element >= counts[instruction] else right(self, instruction, *rest)

    monkeypatch.setattr(EvmEvaluator, "evaluate", evaluate)
    found = check(toy, 10, ReferenceExecutor(toy.tape), 1)
    assert len(found.mismatches) == found.padding_elements == 2 * len(toy.tape.instructions)
    assert {m.evm for m in found.mismatches} == {7}


def test_selftest__claims__are_the_least_and_longer_ones(of_any_length: Model) -> None:
    lengths: list[tuple[int, ...]] = []

    class Noting(ReferenceExecutor):
        def stream(self, symbols: Symbols, sources: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
            if symbols[:3] not in lengths:
                lengths.append(symbols[:3])
            return super().stream(symbols, sources)

    found = check(of_any_length, 100, Noting(of_any_length.tape))
    assert found.mismatches == []
    assert [n[0] for n in lengths] == [66, 66, 2, 2]
    assert [n[1:] for n in lengths[::2]] == [(1, 1)] * 2
    for _, output, witness in lengths[1::2]:
        assert output > 8 and witness > 8 and output + witness <= 40


def test_random_requests__of_any_length__stay_near_the_shortest(of_any_length: Model) -> None:
    lengths = [len(request) for request in random_requests(of_any_length, 9, 2)]
    assert lengths[:2] == [66, 2]
    assert all(2 <= n <= 66 for n in lengths) and len(set(lengths)) > 4


def test_random_requests__where_an_inequality_binds__are_admitted(of_any_length: Model) -> None:
    tight = replace(of_any_length.tape, inequalities=(Inequality((1, 1, 1), 12),))
    model = Model.of(tight, Card("tight"))
    for request in random_requests(model, 6, 2):
        assert model.symbols(model.sources(request, bytes(4), bytes(2)))[0] <= 10


def test_random_requests__same_seed__are_the_same(toy: Model) -> None:
    assert random_requests(toy, 3, 5) == random_requests(toy, 3, 5) != random_requests(toy, 3, 6)
