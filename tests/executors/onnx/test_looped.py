"""Loops beside graphs: what is compiled and when, in which types they hand tensors on, and what is written where."""

import numpy as np
import pytest

from oracle_node.executors import loops, reference
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.executors.onnx.graph import Elem
from oracle_node.executors.onnx.plan import Plan
from oracle_node.executors.onnx.regions import worth_compiling
from oracle_node.executors.onnx.repetition import computed_instructions
from oracle_node.executors.onnx.schedule import Schedule
from oracle_node.tape.affine import Affine
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Reducer, Source, Tape
from oracle_node.tape.types import DType, SourceKind
from oracle_node.tape.view import View
from tests.executors.onnx.checking import EMPTY, looping, new_builder, require_exact

_SOURCES = (EMPTY, EMPTY, EMPTY)


def _layers(builder: TapeBuilder) -> View:
    """Two 1×1 convolutions of integers with a depthwise one of floats between them, zeros around its image."""
    random = np.random.default_rng(3)
    image = builder.const(random.integers(-1000, 1000, (40, 50, 16), np.int32))
    kernels = [builder.const(random.integers(-(1 << 20), 1 << 20, (16, 16), np.int32)) for _ in range(2)]
    taps = builder.const(random.standard_normal((9, 16)).astype(np.float32))
    image = builder.map(lambda v: v * 3 - 7, image)
    product = builder.matmul(image.reshape(2000, 16), kernels[0])
    floats = builder.map(lambda v: v.to_float() * 2.0**-31, product.reshape(40, 50, 16))
    padded = builder.pad(builder.pad(floats, 1, 1, 1), 0, 1, 1)
    total = None
    for tap in range(9):
        shifted = padded.slice(0, tap // 3, 40).slice(1, tap % 3, 50)
        views = [shifted, taps.pick(0, tap)] + ([] if total is None else [total])
        total = builder.map(lambda v, w, *t: t[0] + v * w if t else v * w, *views)
    assert total is not None
    rows = builder.reduce(Reducer.MAX, total, axes=2, function=lambda v: v.abs())
    largest = builder.reduce(Reducer.MAX, rows)
    quantised = builder.map(
        lambda v, m: (v * (1000.0 / m.maximum(0.5))).round().minimum(4000.0).maximum(-4000.0).to_int(),
        total,
        largest,
    )
    return builder.matmul(quantised.reshape(2000, 16), kernels[1])


def _tape() -> Tape:
    builder = new_builder()
    return builder.finish(_layers(builder))


def _schedule(executor: OnnxExecutor) -> Schedule:
    (run,) = executor._runs.values()
    return run.schedule


def _kinds(executor: OnnxExecutor) -> list[str]:
    return ["loops" if s.compiled.cut.block.is_looped else "graph" for s in _schedule(executor).steps]


def test_layers__with_loops__equal_the_reference() -> None:
    builder = new_builder()
    require_exact(builder, _layers(builder))


def test_run__what_pays__is_compiled_the_third_time() -> None:
    tape = _tape()
    executor, symbols = OnnxExecutor(tape), tape.symbols((0, 0, 0))
    executor.loops_from_ns = 50_000
    expected = reference.run(tape, symbols, _SOURCES)
    answer = dict(expected)[tape.output]
    for kinds in (["graph"], ["graph"], *[["graph", "loops", "graph"]] * 2):
        (found,) = executor.run(symbols, _SOURCES, [tape.output]).values()
        assert found.tobytes() == answer.tobytes()
        assert _kinds(executor) == kinds


@pytest.mark.parametrize("why", ["never", "no llvmlite", "saves too little"])
def test_run__what_does_not_pay_or_cannot_be_compiled__stays_one_graph(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = _tape()
    executor = OnnxExecutor(tape, loops_after=None if why == "never" else 0)
    executor.loops_from_ns = 1e9 if why == "saves too little" else 0
    if why == "no llvmlite":
        monkeypatch.setattr(loops, "usable", lambda: False)
    for _ in range(3):
        executor.run(tape.symbols((0, 0, 0)), _SOURCES, [tape.output])
        assert _kinds(executor) == ["graph"]


def test_borders__integers__cross_in_the_type_of_the_product() -> None:
    tape = _tape()
    executor = looping(tape)
    executor.run(tape.symbols((0, 0, 0)), _SOURCES, [tape.output])
    steps = _schedule(executor).steps
    assert _kinds(executor) == ["loops", "graph", "loops", "graph"]
    for graph in (steps[1], steps[3]):
        assert {value.elem for value in graph.compiled.plan.inputs.values()} == {Elem.F64}
    assert {value.elem for value in steps[1].compiled.plan.outputs.values()} == {Elem.F64}
    assert {value.elem for value in steps[3].compiled.plan.outputs.values()} == {
        Elem.I64
    }  # the answer, in its own type


def test_borders__what_is_asked_for_too__crosses_in_its_own_type() -> None:
    tape = _tape()
    executor, symbols = looping(tape), tape.symbols((0, 0, 0))
    expected = dict(reference.run(tape, symbols, _SOURCES))
    inner = [p for p, tensor in expected.items() if tensor.ndim and p not in (0, tape.output)]
    for position, tensor in executor.run(symbols, _SOURCES, [*inner, tape.output]).items():
        assert tensor.dtype == expected[position].dtype
        assert tensor.tobytes() == expected[position].tobytes()


def test_loops__zeros_around_an_image__are_written_beside_it_with_no_copy() -> None:
    tape = _tape()
    executor = looping(tape)
    executor.run(tape.symbols((0, 0, 0)), _SOURCES, [tape.output])
    plan = _schedule(executor).steps[2].compiled.plan
    copies = [loop for _, loop in plan.loops if not loop.program.ops and loop.reducer is None]
    assert sorted(loop.count for loop in copies) == [40 * 16] * 2 + [52 * 16] * 2


def _windows(builder: TapeBuilder, readers: str) -> View:
    """A convolution over windows of what loops compute, and other readers of it: graphs and loops, in full."""
    random = np.random.default_rng(4)
    image = builder.map(lambda v: v - 3, builder.const(random.integers(-900, 900, (12, 13, 16), np.int16)))
    kernel = builder.const(random.integers(-(1 << 20), 1 << 20, (8, 3, 3, 16), np.int32))
    windows = image.windows(0, 3).windows(1, 3).transpose(0, 1, 3, 4, 2).unsqueeze(2)
    values = [builder.contract(windows, kernel, 3).slice(2, 0, 4)]
    if "graph" in readers:
        pointwise = builder.const(random.integers(-(1 << 20), 1 << 20, (4, 16), np.int32))
        values.append(builder.matmul(image, pointwise).slice(0, 0, 10).slice(1, 0, 11))
    values = [builder.map(lambda v: (v.to_float() * 2.0**-30).round().to_int(), value) for value in values]
    if "loops" in readers:
        values.append(image.slice(0, 1, 10).slice(1, 1, 11).slice(2, 3, 4))
    return builder.map(lambda a, *more: sum(more, a), *values)


@pytest.mark.parametrize("readers", ["", "graph", "loops", "graph, loops"])
def test_borders__windows__are_written_by_the_loops_and_gathered_by_nobody(readers: str) -> None:
    builder = new_builder()
    result = _windows(builder, readers)
    require_exact(builder, result)
    tape = builder.finish(result)
    executor = looping(tape)
    executor.run(tape.symbols((0, 0, 0)), _SOURCES, [tape.output])
    graphs = [
        step.compiled.plan for step in _schedule(executor).steps if isinstance(step.compiled.plan, Plan)
    ]
    assert sum(port.view is not None for plan in graphs for port in plan.inputs) == 1
    assert not {node.op_type for plan in graphs for node in plan.graph.live_nodes()} & {
        "Gather",
        "GatherElements",
    }


def test_borders__a_view_of_the_last_rows__is_moved_to_the_whole_tensor() -> None:
    builder = new_builder()
    random = np.random.default_rng(0)
    image = builder.map(lambda v: v * 3 - 7, builder.const(random.integers(-1000, 1000, (12, 6), np.int32)))
    kernel = builder.const(random.integers(-50, 50, (5, 7), np.int32))
    require_exact(builder, builder.matmul(image.slice(0, 5, 7).transpose(1, 0), kernel))


@pytest.mark.parametrize("reader", ["graph", "loops"])
def test_borders__a_product_with_zeros__does_not_choose_a_type_that_is_too_narrow(reader: str) -> None:
    builder = new_builder()
    random = np.random.default_rng(0)
    large = builder.map(
        lambda v: v * 3 - 7, builder.const(random.integers(-(1 << 30), 1 << 30, (12, 6), np.int32))
    )
    product = builder.matmul(large, builder.const(np.zeros((6, 6), np.int32)))
    other = large
    if reader == "graph":
        other = builder.matmul(large, builder.const(random.integers(-50, 50, (6, 6), np.int32)))
    require_exact(builder, builder.map(lambda a, b: a + b, product, other))


def test_loops__an_empty_part__is_joined_with_another() -> None:
    builder = TapeBuilder(Source(DType.I32, 0, 18), step_bound=1 << 24)
    rows = builder.input(SourceKind.REQUEST, (Affine.symbol(0),), -100, 100).unsqueeze(1)
    columns = builder.const(np.arange(3, dtype=np.int32))
    first = builder.map(lambda v, c: v * c, rows, columns)
    last = builder.map(lambda c: c + 1, columns.unsqueeze(0), dtype=first.dtype)
    tape = builder.finish(builder.concat([first, last], 0))
    executor = looping(tape)
    for count in (3, 1, 0):
        sources = (np.arange(count, dtype=np.int32), EMPTY, EMPTY)
        symbols = tape.symbols((count, 0, 0))
        (found,) = executor.run(symbols, sources, [tape.output]).values()
        assert found.tobytes() == dict(reference.run(tape, symbols, sources))[tape.output].tobytes()


def test_regions__of_many_instructions__are_cut() -> None:
    builder = new_builder()
    row = builder.const(np.arange(300, dtype=np.float32))
    for _ in range(150):
        row = builder.map(lambda v: v * 0.5 + 1.0, row)
    tape = builder.finish(row)
    computed = computed_instructions(tape)
    found = list(worth_compiling(tape, computed, tape.symbols((0, 0, 0)), 0))
    assert [len(run) for run in found] == [64, 64, len(computed) - 128]
    assert [i for run in found for i in run] == list(range(len(computed)))
    require_exact(builder, row)


def test_regions__partial_sums_of_a_product__belong_to_it() -> None:
    builder = new_builder()
    a, b = (builder.const(np.arange(24, dtype=np.int32).reshape(4, 6)) for _ in range(2))
    parts = builder.contract(
        a.split_axis(1, 3).unsqueeze(1), b.split_axis(1, 3).unsqueeze(0)
    )  # (4, 4, 2): halves of the inner axis
    tape = builder.finish(builder.reduce(Reducer.SUM, parts))
    runs = list(worth_compiling(tape, computed_instructions(tape), tape.symbols((0, 0, 0)), 0))
    assert [len(run) for run in runs] == [1]  # `ok`


def test_kernels__of_loops__are_told_apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    tape = _tape()
    executor = OnnxExecutor(tape, traces=tmp_path_factory.mktemp("traces"), loops_after=0)
    executor.loops_from_ns = 0
    for _ in range(3):
        executor.run(tape.symbols((0, 0, 0)), _SOURCES, [tape.output])
    operators = [kernel.operator for kernel in executor.kernels()]
    assert operators.count("MatMul") == 2
    assert operators.count("Loop") >= 5
