"""Repeated layers: found, lowered once for all, and exact to the last bit whatever their weights."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from oracle_node.executors import reference
from oracle_node.executors.onnx import OnnxExecutor, schedule, tensors
from oracle_node.executors.onnx.layout import Layout
from oracle_node.executors.onnx.repetition import find_repetition
from oracle_node.tape.analysis import Analysis
from oracle_node.tape.instruction import Opcode, Tape
from oracle_node.tape.region import Region
from tests.executors.layers import Sizes, build
from tests.executors.onnx.repeated import repeated_cases
from tests.strategies import Case, cases

_SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
_LENGTHS = [(5, 4), (2, 2), (7, 3)]


@pytest.fixture
def _sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers share graphs however small they are."""
    monkeypatch.setattr(OnnxExecutor, "shared_weight_bytes", 0)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[schedule.Compiled]:
    """Every graph that is compiled from now on."""
    found: list[schedule.Compiled] = []
    original = schedule.Compiled.__init__

    def record(self: schedule.Compiled, *arguments: object) -> None:
        original(self, *arguments)  # type: ignore[arg-type]
        found.append(self)

    monkeypatch.setattr(schedule.Compiled, "__init__", record)
    return found


def texts(tape: Tape, lengths: tuple[int, int], seed: int = 0) -> tuple[tuple[int, ...], list[np.ndarray]]:
    """Symbols and sources for a request and a witness of those lengths."""
    rng = np.random.default_rng(seed)
    request, witness = (rng.integers(0, 50, n).astype(np.int32) for n in lengths)
    return tape.symbols((lengths[0], 0, lengths[1])), [request, np.empty(0, np.uint8), witness]


def require_same(expected: dict[int, np.ndarray], found: dict[int, np.ndarray]) -> None:
    for index, tensor in found.items():
        assert (tensor.dtype, tensor.shape) == (expected[index].dtype, expected[index].shape), (
            f"tensor {index}"
        )
        assert tensor.tobytes() == expected[index].tobytes(), f"tensor {index}"


@pytest.fixture(scope="module", params=[True, False], ids=["15 bits", "8 bits"])
def model(request: pytest.FixtureRequest) -> tuple[Tape, Analysis]:
    return build(wide=request.param)


@pytest.mark.usefixtures("_sharing")
@pytest.mark.parametrize("lengths", _LENGTHS)
@pytest.mark.parametrize("cache_bytes", [None, 0, 20_000])
def test_layers__all_tensors__equal_the_reference(
    model: tuple[Tape, Analysis], lengths: tuple[int, int], cache_bytes: int | None
) -> None:
    tape, analysis = model
    symbols, sources = texts(tape, lengths)
    expected = dict(reference.run(tape, symbols, sources))
    executor = OnnxExecutor(tape, 1, analysis, cache_bytes)
    for _ in range(2):
        require_same(expected, executor.run(symbols, sources, [tape.output]))
        require_same(expected, executor.run(symbols, sources, list(expected)))
        streamed = list(executor.stream(symbols, sources))
        assert [index for index, _ in streamed] == list(expected)
        require_same(expected, dict(streamed))


@pytest.mark.usefixtures("_sharing")
def test_layers__any_tensor_alone__equals_the_reference(model: tuple[Tape, Analysis]) -> None:
    tape, analysis = model
    symbols, sources = texts(tape, (6, 4))
    expected = dict(reference.run(tape, symbols, sources))
    executor = OnnxExecutor(tape, 1, analysis)
    for index in range(0, len(expected), 7):
        require_same(expected, executor.run(symbols, sources, [index]))


@pytest.mark.usefixtures("_sharing")
@pytest.mark.parametrize("instructions", [1, 5, 48])
def test_stream__layers_cut_into_pieces__equal_the_reference(
    model: tuple[Tape, Analysis], instructions: int, compiled: list[schedule.Compiled]
) -> None:
    tape, analysis = model
    symbols, sources = texts(tape, (6, 4))
    expected = dict(reference.run(tape, symbols, sources))
    executor = OnnxExecutor(tape, 1, analysis)
    executor.segment_instructions = instructions
    require_same(expected, dict(executor.stream(symbols, sources)))
    repetition = find_repetition(tape)
    assert repetition is not None
    outside = sum(i.opcode not in (Opcode.CONST, Opcode.INPUT) for i in tape.instructions) - (
        repetition.period * repetition.count
    )
    pieces = -(-repetition.period // instructions)
    assert len(compiled) <= pieces + outside + 2


@pytest.mark.usefixtures("_sharing")
def test_layers__a_new_length__compiles_one_of_them(
    model: tuple[Tape, Analysis], compiled: list[schedule.Compiled]
) -> None:
    tape, analysis = model
    executor = OnnxExecutor(tape, 1, analysis)
    for lengths in _LENGTHS:
        before = len(compiled)
        executor.run(*texts(tape, lengths), [tape.output])
        assert len(compiled) == before + 3  # what comes before, a layer, what comes after


def test_repetition__is_cut_where_one_tensor_crosses(model: tuple[Tape, Analysis]) -> None:
    tape, _ = model
    repetition = find_repetition(tape)
    assert repetition is not None
    assert repetition.count == Sizes().layers
    computed = [p for p, i in enumerate(tape.instructions) if i.opcode not in (Opcode.CONST, Opcode.INPUT)]
    for member, layer in enumerate(repetition.members(0, repetition.period)):
        assert {tape.names[computed[i]] for i in layer} == {f"layer{member}"}


def test_repetition__two_layers__are_none() -> None:
    assert find_repetition(build(Sizes(layers=2))[0]) is None


@given(repeated_cases())
@_SETTINGS
def test_layers__random_bodies__equal_the_reference(case: tuple[Case, Analysis]) -> None:
    (tape, symbols, sources), analysis = _parts(case[0]), case[1]
    expected = dict(reference.run(tape, symbols, sources))
    executor = OnnxExecutor(tape, 1, analysis, cache_bytes=1000)
    executor._layout = Layout(tape, analysis, find_repetition(tape))
    executor._graphs = schedule.Graphs(executor._constants, True, 1)
    require_same(expected, executor.run(symbols, sources, list(expected)))
    require_same(expected, executor.run(symbols, sources, [max(expected)]))
    require_same(expected, dict(executor.stream(symbols, sources)))
    executor.segment_instructions = 2
    executor._streams.clear()
    require_same(expected, dict(executor.stream(symbols, sources)))


@given(cases())
@_SETTINGS
def test_run__all_constants_as_inputs__equals_the_reference(case: Case) -> None:
    tape, symbols, sources = _parts(case)
    analysis = Analysis(Region(tape.sources), tape.weights, tape.step_bound)
    for instruction in tape.instructions:
        analysis.admit(instruction)
    expected = dict(reference.run(tape, symbols, sources))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensors, "_FED_BYTES", -1)
        executor = OnnxExecutor(tape, 1, analysis)
        executor._graphs = schedule.Graphs(executor._constants, True, 1)
        require_same(expected, executor.run(symbols, sources, list(expected)))


def _parts(case: Case) -> tuple[Tape, tuple[int, ...], Sequence[np.ndarray]]:
    return case.tape, case.symbols, case.sources
