"""GATHER and CONCAT: data movement that is not a view."""

from collections.abc import Sequence
from math import prod

import numpy as np

from oracle_node.executors.onnx.context import Context, Result
from oracle_node.executors.onnx.extremes import clamp
from oracle_node.executors.onnx.graph import Elem, Value
from oracle_node.executors.onnx.tensors import Joined, Reading, carriers
from oracle_node.executors.onnx.views import View, gather, narrow
from oracle_node.tape.interval import Interval


def lower_concat(
    context: Context, readings: Sequence[Reading], axis: int, interval: Interval, is_float: bool
) -> Result:
    """The readings one after another along the axis, in one carrier."""
    parts = [reading for reading in readings if prod(reading.view.shape)]
    elem = Elem.F32 if is_float else _common(context, parts, interval)
    signed_zero = any(context.tensor(part).signed_zero for part in parts)
    value = _padded(context, parts, axis, elem)
    if value is None:
        values = [context.full(context.read(part, elem), part.view.shape) for part in parts]
        value = context.graph.concat(values, axis)
    return Result(value, signed_zero, Joined(tuple(parts), axis))


def _padded(context: Context, parts: Sequence[Reading], axis: int, elem: Elem) -> Value | None:
    """One part between zeros; None where there is more to join."""
    inner = [place for place, part in enumerate(parts) if context.tensor(part).array is None]
    if len(inner) != 1 or len(parts) == 1:
        return None
    (place,) = inner
    zeros = [context.tensor(part).array for part in parts if part is not parts[place]]
    if any(
        array.fact("bits", lambda data: int(data.reshape(-1).view(np.uint8).any()))
        for array in zeros
        if array
    ):
        return None
    lengths = [part.view.shape[axis] for part in parts]
    before, after = ([0] * len(parts[place].view.shape) for _ in range(2))
    before[axis], after[axis] = sum(lengths[:place]), sum(lengths[place + 1 :])
    value = context.full(context.read(parts[place], elem), parts[place].view.shape)
    return context.graph.pad(value, before, after)


def _common(context: Context, parts: Sequence[Reading], interval: Interval) -> Elem:
    """The carrier that most of the data has already."""

    def moved(elem: Elem) -> int:
        tensors = [(context.tensor(part), prod(part.view.shape)) for part in parts]
        return sum(size for tensor, size in tensors if tensor.array is None and elem not in tensor.forms)

    return min(carriers(interval.magnitude), key=moved)


def lower_gather(context: Context, index: Reading, table: Reading, row_stride: int, rows: int) -> Result:
    """Rows of the table: the axes that the index does not walk are the row.

    Where the table also moves along the index axes, the table is read element by element.
    """
    graph, shape = context.graph, index.view.shape
    tensor = context.tensor(table)
    source = context.tensors.any_form(table.ref)
    walked = [a for a, n in enumerate(shape) if n > 1 and index.view.strides[a]]
    number = _row_number(context, index, rows)
    moves = [a for a in walked if table.view.strides[a]]
    inner = [a for a, n in enumerate(shape) if n > 1 and a not in walked]
    if not moves:
        view = View(
            table.view.offset,
            (rows, *(shape[a] for a in inner)),
            (row_stride, *(table.view.strides[a] for a in inner)),
        )
        rows_value = context.tensors.read(table.ref, view, source.elem)
        rows_value = context.full(rows_value, (rows, *rows_value.shape[1:]))
        width = prod(rows_value.shape[1:])
        outer = [shape[a] for a in walked]
        value = gather(graph, graph.reshape(rows_value, [rows, width]), graph.reshape(number, outer))
        value = graph.reshape(value, [*outer, *rows_value.shape[1:]])
        order = [*walked, *inner]
        value = graph.transpose(value, [order.index(a) for a in sorted(order)])
        core = [value.shape[sorted(order).index(a)] if a in order else 1 for a in range(len(shape))]
        value = graph.reshape(value, core)
    else:
        value = _gather_elements(context, table, source, number, row_stride)
    return Result(context.full(value, shape), tensor.signed_zero)


def _row_number(context: Context, index: Reading, rows: int) -> Value:
    """The index clamped to the table, as i32, broadcast axes of size 1."""
    tensor, graph = context.tensor(index), context.graph
    elem = carriers(tensor.interval.magnitude)[0]
    elem = Elem.I32 if elem is Elem.F32 else elem
    number = context.read(index, elem)
    if tensor.interval.lo < 0 or tensor.interval.hi >= rows:
        number = clamp(graph, number, 0, rows - 1)
    return graph.cast(number, Elem.I64 if rows >= 1 << 31 else Elem.I32)


def _gather_elements(
    context: Context, table: Reading, source: Value, number: Value, row_stride: int
) -> Value:
    """Element by element from the flat table, at `view + row number · row stride`."""
    graph = context.graph
    flat = graph.reshape(source, [source.count, 1])
    position = np.asarray(table.view.offset, np.int64)
    for n, stride in zip(table.view.shape, table.view.strides, strict=True):
        position = position[..., None] + np.arange(n if stride else 1, dtype=np.int64) * stride
    small = source.count < 1 << 31
    number = number if small else graph.cast(number, Elem.I64)
    start = graph.constant(narrow(position) if small else position)
    index = graph.op("Add", [graph.op("Mul", [number, graph.scalar(row_stride, number.elem)]), start])
    value = gather(graph, flat, graph.reshape(index, [index.count]))
    return graph.reshape(value, index.shape)
