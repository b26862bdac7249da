"""Random tapes: the fast executor equals the reference to the last bit, however it is asked."""

from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracle_node.errors import DeterminismError
from oracle_node.executors import reference
from oracle_node.executors.onnx import OnnxExecutor, layout, regions
from oracle_node.executors.onnx.repetition import computed_instructions
from oracle_node.executors.onnx.session import require_supported_version
from oracle_node.tape.analysis import Analysis
from oracle_node.tape.region import Region
from tests.executors.onnx.checking import looping
from tests.strategies import Case, cases

_SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def _executor(case: Case, threads: int) -> OnnxExecutor:
    return OnnxExecutor(case.tape, threads, _analysis(case))


def _analysis(case: Case) -> Analysis:
    tape = case.tape
    analysis = Analysis(Region(tape.sources), tape.weights, tape.step_bound)
    for instruction in tape.instructions:
        analysis.admit(instruction)
    return analysis


def _require_same(expected: dict[int, np.ndarray], found: dict[int, np.ndarray]) -> None:
    for index, tensor in expected.items():
        assert found[index].dtype == tensor.dtype
        assert found[index].shape == tensor.shape
        assert found[index].tobytes() == tensor.tobytes(), f"tensor {index}"


@given(cases())
@_SETTINGS
def test_run__all_tensors_of_a_random_tape__equal_the_reference(case: Case) -> None:
    expected = dict(reference.run(case.tape, case.symbols, case.sources))
    _require_same(expected, _executor(case, 1).run(case.symbols, case.sources, list(expected)))


@given(cases(instructions=12))
@_SETTINGS
def test_run__the_last_tensor_alone__equals_the_reference(case: Case) -> None:
    expected = dict(reference.run(case.tape, case.symbols, case.sources))
    last = max(expected)
    _require_same({last: expected[last]}, _executor(case, 1).run(case.symbols, case.sources, [last]))


@given(cases(instructions=12))
@_SETTINGS
def test_run__with_loops_wherever_they_can_be__equals_the_reference(case: Case) -> None:
    expected = dict(reference.run(case.tape, case.symbols, case.sources))
    last = max(expected)
    executor = looping(case.tape, _analysis(case))
    _require_same({last: expected[last]}, executor.run(case.symbols, case.sources, [last]))
    _require_same(expected, executor.run(case.symbols, case.sources, list(expected)))


@given(cases(instructions=12), st.randoms(use_true_random=False))
@_SETTINGS
def test_run__with_loops_here_and_graphs_there__equals_the_reference(case: Case, random: Random) -> None:
    """Pieces of what can be compiled, so that all kinds of tensors go from one to the other."""
    found = list(regions.worth_compiling(case.tape, computed_instructions(case.tape), case.symbols, 0))
    pieces = []
    for run in found:
        start = run.start
        while start < run.stop:
            stop = min(run.stop, start + random.randint(1, 4))
            pieces += [range(start, stop)] if random.random() < 0.6 else []
            start = stop
    expected = dict(reference.run(case.tape, case.symbols, case.sources))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "worth_compiling", lambda *_: pieces)
        executor = looping(case.tape, _analysis(case))
        for wanted in ([max(expected)], random.sample(list(expected), len(expected) // 2)):
            held = executor.run(case.symbols, case.sources, wanted)
            executor.run(case.symbols, case.sources, wanted)
            _require_same({position: expected[position] for position in wanted}, held)


@given(cases())
@_SETTINGS
def test_stream__segments_of_one_instruction__equals_the_reference(case: Case) -> None:
    expected = dict(reference.run(case.tape, case.symbols, case.sources))
    executor = _executor(case, 1)
    executor.segment_instructions = 1
    streamed = list(executor.stream(case.symbols, case.sources))
    assert [index for index, _ in streamed] == list(expected)
    _require_same(expected, dict(streamed))


@given(cases())
@_SETTINGS
def test_stream__two_threads_and_twice__equals_the_reference(case: Case) -> None:
    expected = dict(reference.run(case.tape, case.symbols, case.sources))
    executor = _executor(case, 2)
    _require_same(expected, dict(executor.stream(case.symbols, case.sources)))
    _require_same(expected, dict(executor.stream(case.symbols, case.sources)))
    _require_same(expected, executor.run(case.symbols, case.sources, list(expected)))


def test_version__older_than_supported__is_refused() -> None:
    require_supported_version("1.23.2")
    require_supported_version("1.32.0+cpu")
    with pytest.raises(DeterminismError, match=r"1\.20\.1"):
        require_supported_version("1.20.1")
