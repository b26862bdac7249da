"""Runs that take over rows from the one before: to the last bit what a fresh run answers, whatever changes between."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracle_node.executors import reference
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.executors.onnx.layout import Layout
from oracle_node.executors.onnx.repetition import find_repetition
from oracle_node.executors.onnx.schedule import Graphs
from oracle_node.tape.affine import Affine
from oracle_node.tape.analysis import Analysis
from oracle_node.tape.instruction import Instruction, Opcode, Operand, Parts, Rows, Source, Tape
from oracle_node.tape.region import Region
from oracle_node.tape.types import DType, SourceKind
from tests.executors.layers import Sizes, build
from tests.executors.onnx.repeated import repeated_cases
from tests.strategies import Case, values

_SETTINGS = settings(
    max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
_EMPTY = np.empty(0, np.uint8)
_SIZES = Sizes(layers=3, width=16, hidden=24, longest=12)

Sources = Sequence[np.ndarray]


@pytest.fixture(autouse=True)
def _sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers share graphs however small they are."""
    monkeypatch.setattr(OnnxExecutor, "shared_weight_bytes", 0)


@pytest.fixture(scope="module")
def model() -> tuple[Tape, Analysis]:
    return build(_SIZES)


def changed(rng: Random, sources: Sources) -> Sources:
    """The claim grown, shrunk, altered from some token on, or the same; now and then another request."""
    request, _, witness = (list(source) for source in sources)
    token = lambda: rng.randrange(_SIZES.vocabulary)  # noqa: E731
    if rng.random() < 0.15:
        request = [token() for _ in range(rng.randint(2, 8))]
    kept = witness[: rng.randint(0, len(witness))]
    new = [token() for _ in range(rng.randint(0, 5))]
    witness = [*kept, *new, *(witness[len(kept) + len(new) :] if rng.random() < 0.5 else [])]
    witness += [token() for _ in range(2 - len(witness))]
    return [
        np.array(request, np.int32),
        _EMPTY,
        np.array(witness[: _SIZES.longest], np.int32),
    ]


def symbols_of(tape: Tape, sources: Sources) -> tuple[int, ...]:
    return tape.symbols((len(sources[0]), len(sources[1]), len(sources[2])))


def require_exact(tape: Tape, executor: OnnxExecutor, sources: Sources, wanted: Sequence[int]) -> None:
    """The run equals the reference's."""
    symbols = symbols_of(tape, sources)
    expected = {p: t for p, t in reference.run(tape, symbols, sources) if p in wanted}
    found = executor.run(symbols, sources, wanted)
    assert found.keys() == expected.keys()
    for position, tensor in expected.items():
        assert (found[position].dtype, found[position].shape) == (tensor.dtype, tensor.shape), position
        assert found[position].tobytes() == tensor.tobytes(), f"tensor {position}"


@given(st.randoms(use_true_random=False), st.booleans())
@_SETTINGS
def test_runs__of_changing_claims__equal_the_reference(
    model: tuple[Tape, Analysis], rng: Random, everything: bool
) -> None:
    tape, analysis = model
    executor = OnnxExecutor(tape, 1, analysis)
    wanted = list(range(len(tape.instructions))) if everything else [tape.output]
    sources: Sources = [np.array([1, 2, 3], np.int32), _EMPTY, np.array([4, 5], np.int32)]
    for _ in range(6):
        sources = changed(rng, sources)
        require_exact(tape, executor, sources, wanted)


def test_run__of_a_longer_claim__computes_only_its_new_rows(model: tuple[Tape, Analysis]) -> None:
    tape, analysis = model
    executor = OnnxExecutor(tape, 1, analysis)
    request, witness = np.arange(5, dtype=np.int32), np.arange(9, dtype=np.int32)
    for claim, rows in ((witness[:6], 9), (witness[:8], 2), (witness, 1), (witness[:4], 1)):
        sources = [request, _EMPTY, claim]
        executor.run(symbols_of(tape, sources), sources, [tape.output])
        (run,) = list(executor._runs.values())[-1:]
        layer = run.schedule.steps[1]
        assert {given.shape[0] for given in layer._given if not given.is_known} == {rows}


def test_run__of_another_request__takes_nothing_over(model: tuple[Tape, Analysis]) -> None:
    tape, analysis = model
    executor = OnnxExecutor(tape, 1, analysis)
    for request in ([1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3]):
        sources = [np.array(request, np.int32), _EMPTY, np.arange(6, dtype=np.int32)]
        require_exact(tape, executor, sources, [tape.output])
        assert not any(given.is_known for given in _given(executor))


def test_run__of_a_model_that_looks_ahead__takes_nothing_over_from_its_layers() -> None:
    tape, analysis = build(_SIZES, causal=False)
    executor = OnnxExecutor(tape, 1, analysis)
    for length in (6, 7, 7, 5):
        sources = [np.arange(4, dtype=np.int32), _EMPTY, np.arange(length, dtype=np.int32)]
        require_exact(tape, executor, sources, [tape.output])
        assert not any(given.is_known for step in _steps(executor)[1:] for given in step._given)


def test_run__whose_results_are_overwritten__harms_no_later_one(model: tuple[Tape, Analysis]) -> None:
    tape, analysis = model
    executor = OnnxExecutor(tape, 1, analysis)
    sources = [np.arange(4, dtype=np.int32), _EMPTY, np.arange(6, dtype=np.int32)]
    for _ in range(3):
        executor.run(symbols_of(tape, sources), sources, [tape.output])[tape.output][:] = -1
        require_exact(tape, executor, sources, [tape.output])
        sources[2][-1] += 1


def _steps(executor: OnnxExecutor):  # type: ignore[no-untyped-def]
    return list(executor._runs.values())[-1].schedule.steps


def _given(executor: OnnxExecutor):  # type: ignore[no-untyped-def]
    return [given for step in _steps(executor) for given in step._given]


@given(repeated_cases(), st.randoms(use_true_random=False))
@settings(_SETTINGS, max_examples=60)
def test_runs__of_random_tapes_on_a_witness__equal_the_reference(
    drawn: tuple[Case, Analysis], rng: Random
) -> None:
    tape = _on_the_witness(drawn[0].tape)
    analysis = Analysis(Region(tape.sources), tape.weights, tape.step_bound)
    for instruction in tape.instructions:
        analysis.admit(instruction)
    executor = OnnxExecutor(tape, 1, analysis)
    executor._layout = Layout(tape, analysis, find_repetition(tape))
    executor._graphs = Graphs(executor._constants, True, 1)
    source, everything = tape.sources[SourceKind.WITNESS], list(range(len(tape.instructions)))
    data = values(rng, source.dtype, source.max_elements)
    wanted = everything if rng.random() < 0.5 else everything[-1:]
    for _ in range(5):
        length = rng.randint(source.min_elements, source.max_elements)
        require_exact(tape, executor, [_EMPTY, _EMPTY, data[:length].copy()], wanted)
        place = rng.randrange(len(data))
        data[place:] = values(rng, source.dtype, len(data) - place)


def _on_the_witness(tape: Tape) -> Tape:
    """A tape that reads the witness where this one reads the request."""
    nothing = Source(DType.U8)
    return replace(
        tape,
        instructions=tuple(map(_moved, tape.instructions)),
        sources=(nothing, nothing, tape.sources[SourceKind.REQUEST]),
    )


def _moved(instruction: Instruction) -> Instruction:
    tail = instruction.tail
    if isinstance(tail, Rows):
        tail = Rows(*_renamed([tail.stride, tail.count]))
    elif isinstance(tail, Parts):
        tail = Parts(tail.axis, _renamed(tail.extents))
    is_input = instruction.opcode is Opcode.INPUT
    return replace(
        instruction,
        shape=_renamed(instruction.shape),
        reduce_shape=_renamed(instruction.reduce_shape),
        operands=tuple(_operand(operand, is_input) for operand in instruction.operands),
        tail=tail,
    )


def _operand(operand: Operand, is_input: bool) -> Operand:
    (offset,) = _renamed([operand.offset])
    ref = int(SourceKind.WITNESS) if is_input else operand.ref
    return Operand(ref, operand.dtype, _renamed(operand.shape), offset, _renamed(operand.strides))


def _renamed(values: Sequence[Affine]) -> tuple[Affine, ...]:
    """The witness's length where the request's was."""
    return tuple(
        Affine(v.constant, tuple((int(SourceKind.WITNESS), coefficient) for _, coefficient in v.terms))
        for v in values
    )
