"""Pools: REDUCE over window views; averages sum integers relative to the largest value, or a few floats in order."""

from collections.abc import Sequence
from functools import reduce
from itertools import product
from math import prod

import numpy as np

from oracle_node.errors import AdmissionError
from oracle_node.importers.onnx.expression import leaves, memory_order, place, scalar_function, select
from oracle_node.importers.onnx.geometry import WindowAxis, windowed, windows_of
from oracle_node.importers.onnx.lowering import F32, Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.reductions import (
    SMALL_SUM,
    SUM_LIMIT,
    chunks_read,
    extreme,
    quantise,
    total,
)
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.expression import Number
from oracle_node.tape.instruction import Reducer
from oracle_node.tape.types import Array
from oracle_node.tape.view import View

FUSED_CHUNKS = 4
"""A pool that would open more chunks than this through what is fused into it reads a materialised tensor instead."""


def _windows(node: Node) -> list[WindowAxis]:
    x = node.input(0)
    if x.rank < 3:
        node.refuse(f"its input {x.shape} has no spatial axes")
    if "kernel_shape" not in node.attributes:
        node.refuse("its kernel_shape is missing")
    return windows_of(node, x.shape[2:], node.each("kernel_shape", x.shape[2:]))


def _padded(
    low: Lowering, x: Tensor, axes: Sequence[WindowAxis], value: Number, order: Sequence[int]
) -> Tensor:
    """x in memory with its padding (and what the last windows of ceil_mode overhang)."""
    kept = [a for a in order if x.shape[a] != 1 or a >= 2]
    view = select(low.only_view(low.materialise(x, order)), kept)
    shape = list(x.shape)
    for i, axis in enumerate(axes):
        after = axis.after + axis.overhang
        if axis.before or after:
            view = low.b.pad(view, kept.index(i + 2), axis.before, after, value)
            shape[i + 2] += axis.before + after
    view = place(view, kept, tuple(shape))
    return Tensor.of_view(view, low.b.interval(view), x.dtype)


def max_pool(low: Lowering, node: Node) -> list[Tensor]:
    """The largest of each window; padding never wins."""
    if node.outputs > 1:
        node.refuse("its Indices output is not supported")
    x, axes = node.input(0), _windows(node)
    overlapping = any(a.size > a.stride for a in axes)
    x = low.frozen(low.settled(low.compact(x, operations=2 if overlapping else 16)))
    if any(a.is_padded for a in axes):
        x = _padded(low, x, axes, low.interval(x).lo, memory_order(leaves(x.expression)))
    if chunks_read(low, *_window_views(x, axes)[:2]) > FUSED_CHUNKS:
        x = low.materialise(x)
    return [_pooled(low, Reducer.MAX, x, axes)]


def _pooled(low: Lowering, reducer: Reducer, x: Tensor, axes: Sequence[WindowAxis]) -> Tensor:
    """The windows of x reduced at once, or axis by axis where one step would be too large."""
    try:
        return _reduced(low, reducer, x, axes)
    except AdmissionError:
        for position, axis in enumerate(axes):
            still = [WindowAxis(d, 1, 1, 1, 0, 0, d) for d in x.shape[2:]]
            x = _reduced(low, reducer, x, [*still[:position], axis, *still[position + 1 :]])
        return x


def _window_views(x: Tensor, axes: Sequence[WindowAxis]) -> tuple[list[View], int, list[int]]:
    """x's leaves over output axes and window insides, the number of the latter, and the output axes that are not 1."""
    views = leaves(x.expression)
    shape = (*x.shape[:2], *(a.count for a in axes))
    kept = [a for a in memory_order(views) if shape[a] != 1]
    inner = [x.rank + i for i, a in enumerate(axes) if a.size > 1] or [x.rank]
    return [select(windowed(view, 2, axes), kept + inner) for view in views], len(inner), kept


def _reduced(low: Lowering, reducer: Reducer, x: Tensor, axes: Sequence[WindowAxis]) -> Tensor:
    """REDUCE over the windows of x, laid out as x lies."""
    operands, inner, kept = _window_views(x, axes)
    function = scalar_function(x.expression, leaves(x.expression))
    shape = (*x.shape[:2], *(a.count for a in axes))
    view = place(low.b.reduce(reducer, *operands, axes=inner, function=function), kept, shape)
    return Tensor.of_view(view, low.b.interval(view), x.dtype)


def average_pool(low: Lowering, node: Node) -> list[Tensor]:
    """The mean of each window, over the elements that count."""
    x, axes = node.input(0), _windows(node)
    low.require_room(*(a.count for a in axes))
    include = bool(node.get("count_include_pad", 0))
    if prod(a.size for a in axes) <= SMALL_SUM and not any(a.is_padded for a in axes):
        x = low.settled(low.compact(x, operations=0))
        return [low.scaled(_added(low, x, axes), 1.0 / prod(a.size for a in axes))]
    parts = quantise(low, low.settled(x), SUM_LIMIT)
    q = low.settled(parts.q)
    summed = _pooled(low, Reducer.SUM, _padded(low, q, axes, 0, memory_order(leaves(q.expression))), axes)
    view = low.only_view(summed)
    result = Tensor.of_view(view, low.b.interval(view), F32)
    result = low.rescaled(result, np.asarray(1.0 / SUM_LIMIT), parts.scale)
    return [low.scaled(result, _reciprocal_counts(axes, include))]


def _added(low: Lowering, x: Tensor, axes: Sequence[WindowAxis]) -> Tensor:
    """The elements of each window, added in row-major order."""
    shape = (*x.shape[:2], *(a.count for a in axes))

    def corner(view: View, position: Sequence[int]) -> View:
        for i, (axis, k) in enumerate(zip(axes, position, strict=True)):
            view = view.slice(i + 2, k * axis.dilation, axis.count, axis.stride)
        return view

    def part(position: Sequence[int]) -> Tensor:
        return x.moved(shape, lambda d: d, lambda view: corner(view, position))

    x = low.frozen(x)
    parts = [part(position) for position in product(*(range(a.size) for a in axes))]
    return reduce(lambda a, b: low.apply(lambda v, w: v + w, a, b), parts)


def _reciprocal_counts(axes: Sequence[WindowAxis], include_pad: bool) -> Array:
    """1 / (elements that count), of shape (1, 1, out…) or () where it is the same everywhere."""
    counts = np.ones((), np.float64)
    for i, axis in enumerate(axes):
        line = np.asarray(axis.covered(include_pad), np.float64)
        counts = counts * line.reshape([-1 if j == i + 2 else 1 for j in range(len(axes) + 2)])
    return 1.0 / (counts if np.any(counts != counts.flat[0]) else counts.reshape(-1)[:1].reshape(()))


def global_max(low: Lowering, node: Node) -> list[Tensor]:
    x = node.input(0)
    return [extreme(low, Reducer.MAX, x, range(2, x.rank))]


def global_average(low: Lowering, node: Node) -> list[Tensor]:
    x = node.input(0)
    return [total(low, x, range(2, x.rank), float(prod(x.shape[2:])))]


HANDLERS: dict[str, Handler] = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalMaxPool": global_max,
    "GlobalAveragePool": global_average,
}
