"""REDUCE: a scalar program over all axes, then a sum, maximum, minimum or argmax over the last ones.

Few reduce coordinates that do not lie together (pooling windows) become one kernel each, joined by elementwise ones;
otherwise the axes are put into the order in which the data lies, so that nothing is transposed before it has shrunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product as coordinates_of
from math import prod

import numpy as np

from oracle_node.executors.onnx.context import Context, Result, widened
from oracle_node.executors.onnx.extremes import largest, maximum, minimum, smallest
from oracle_node.executors.onnx.graph import Elem, Value
from oracle_node.executors.onnx.scalars import Registers
from oracle_node.executors.onnx.tensors import EXACT, Reading
from oracle_node.tape.instruction import Reducer
from oracle_node.tape.interval import Interval
from oracle_node.tape.scalar import Program

_UNROLLED = 64
"""At most so many reduce coordinates become kernels of their own."""


@dataclass(frozen=True, slots=True)
class Reduce:
    """One reduction in concrete terms. `intervals` are the program's registers, `result` bounds the reduced value."""

    reducer: Reducer
    program: Program
    readings: tuple[Reading, ...]
    shape: tuple[int, ...]
    reduce_shape: tuple[int, ...]
    intervals: tuple[Interval, ...]
    result: Interval
    is_float: bool

    @property
    def width(self) -> int:
        return prod(self.reduce_shape)

    @property
    def axes(self) -> range:
        """The reduce axes."""
        return range(len(self.shape), len(self.shape) + len(self.reduce_shape))


def lower_reduce(context: Context, reduce: Reduce) -> Result:
    """The reduced tensor."""
    if reduce.reducer is Reducer.ARGMAX:
        return _argmax(context, reduce)
    order = _data_order(context, reduce)
    if order is None:
        return _unrolled(context, reduce) if reduce.width <= _UNROLLED else _in_order(context, reduce, None)
    return _in_order(context, reduce, order)


def _data_order(context: Context, reduce: Reduce) -> list[int] | None:
    """All axes by falling stride of the largest operand; None where reduce axes are no neighbours there, or overlap."""
    if not reduce.readings:
        return None
    main = max(reduce.readings, key=lambda reading: prod(reading.view.core)).view
    axes = range(len(main.shape))
    if any(prod(reading.view.core) > context.tensor(reading).count for reading in reduce.readings):
        return None
    order = sorted(axes, key=lambda a: (-abs(main.strides[a]), a))
    places = [place for place, a in enumerate(p for p in order if main.core[p] > 1) if a in reduce.axes]
    if not places or places != list(range(places[0], places[0] + len(places))):
        return None
    return order


def _in_order(context: Context, reduce: Reduce, order: Sequence[int] | None) -> Result:
    """Program over all axes in the given order, then one reducing kernel."""
    order = list(range(len(reduce.shape) + len(reduce.reduce_shape))) if order is None else list(order)
    readings = [Reading(r.ref, r.view.permuted(order)) for r in reduce.readings]
    sizes = [(*reduce.shape, *reduce.reduce_shape)[a] for a in order]
    wide, readings = widened(context, sizes, readings) or (None, readings)
    registers = context.registers(reduce.program, readings, reduce.intervals, result_sign_matters=False)
    reduced = [place for place, a in enumerate(order) if a in reduce.axes]

    def with_axes(value: Value) -> Value:
        if wide is not None:
            return context.graph.reshape(context.full(value, wide), sizes)
        return _with_axes(context, value, len(order))

    if reduce.reducer is Reducer.SUM:
        value = with_axes(registers.value(registers.result, _sum_carrier(reduce)))
        full = [sizes[p] if p in reduced else n for p, n in enumerate(value.shape)]
        value = _sum(context, context.graph.expand(value, full), reduced)
    else:
        extreme = largest if reduce.reducer is Reducer.MAX else smallest
        value = extreme(context.graph, with_axes(registers.ordered(registers.result)), reduced)
    kept = [a for a in order if a not in reduce.axes]
    value = context.graph.transpose(value, [kept.index(a) for a in range(len(kept))])
    return _result(context, reduce, value, registers.signed_zero(registers.result))


def _with_axes(context: Context, value: Value, rank: int) -> Value:
    return context.graph.reshape(value, [1] * (rank - len(value.shape)) + list(value.shape))


def _sum_carrier(reduce: Reduce) -> Elem:
    """A carrier for every partial sum, for which there is a fast summing kernel."""
    bound = reduce.width * int(reduce.intervals[-1].magnitude)
    return next((elem for elem in (Elem.F32, Elem.F64) if bound < EXACT[elem]), Elem.I64)


def _sum(context: Context, value: Value, axes: Sequence[int]) -> Value:
    """The sum over the axes. ONNX Runtime sums i64 through double, so there it is a product with ones."""
    graph = context.graph
    if value.elem is not Elem.I64:
        return graph.reduce("ReduceSum", value, axes)
    kept = [a for a in range(len(value.shape)) if a not in axes]
    shape = [value.shape[a] for a in kept]
    width = prod(value.shape[a] for a in axes)
    rows = graph.reshape(graph.transpose(value, [*kept, *axes]), [prod(shape), width])
    ones = graph.constant(np.ones((width, 1), np.int64))
    return graph.reshape(graph.op("MatMul", [rows, ones], shape=(prod(shape), 1)), shape)


def _result(context: Context, reduce: Reduce, value: Value, signed_zero: bool) -> Result:
    """The reduced value in full; float maxima and minima are +0 where they are zero."""
    if reduce.is_float:
        if signed_zero and reduce.result.lo <= 0 <= reduce.result.hi:
            value = context.graph.op("Add", [value, context.graph.scalar(0.0, Elem.F32)])
        signed_zero = False
    return Result(context.full(value, reduce.shape), signed_zero)


def _unrolled(context: Context, reduce: Reduce) -> Result:
    """The program once a reduce coordinate, joined by elementwise kernels."""
    axes = list(reduce.axes)
    programs: list[Registers] = []
    for coordinate in coordinates_of(*map(range, reduce.reduce_shape)):
        readings = [Reading(r.ref, r.view.fixed(axes, coordinate)) for r in reduce.readings]
        programs.append(
            context.registers(reduce.program, readings, reduce.intervals, result_sign_matters=False)
        )
    last = programs[0].result
    if reduce.reducer is Reducer.SUM:
        elem = _adding_carrier(reduce)
        value = programs[0].value(last, elem)
        for program in programs[1:]:
            value = context.graph.op("Add", [value, program.value(last, elem)])
    else:
        elem = programs[0].ordered(last).elem
        extreme = maximum if reduce.reducer is Reducer.MAX else minimum
        value = extreme(context.graph, [program.value(last, elem) for program in programs])
    signed_zero = any(program.signed_zero(last) for program in programs)
    return _result(context, reduce, value, signed_zero)


def _adding_carrier(reduce: Reduce) -> Elem:
    """A carrier for adding values one by one: floats hold every partial sum, integers may wrap on the way."""
    value, result = reduce.intervals[-1].magnitude, reduce.result.magnitude
    bound = reduce.width * int(value)
    if bound < EXACT[Elem.F32]:
        return Elem.F32
    if max(value, result) <= EXACT[Elem.I32]:
        return Elem.I32
    return Elem.F64 if bound < EXACT[Elem.F64] else Elem.I64


def _argmax(context: Context, reduce: Reduce) -> Result:
    """Row-major position of the largest value, the lowest on ties."""
    graph = context.graph
    registers = context.registers(
        reduce.program, reduce.readings, reduce.intervals, result_sign_matters=False
    )
    value = _with_axes(
        context, registers.best(registers.result), len(reduce.shape) + len(reduce.reduce_shape)
    )
    outer = value.shape[: len(reduce.shape)]
    value = graph.expand(value, [*outer, *reduce.reduce_shape])
    value = graph.reshape(value, [prod(outer), reduce.width])
    position = graph.op("ArgMax", [value], Elem.I64, [prod(outer)], axis=1, keepdims=0, select_last_index=0)
    position = graph.reshape(graph.cast(position, Elem.I32), outer)
    return Result(context.full(position, reduce.shape))
