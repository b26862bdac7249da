"""Reductions over axes of a network's tensors, in steps small enough for one proof: maxima, sums, argmax."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from oracle_node.errors import AdmissionError
from oracle_node.importers.onnx.expression import (
    Expression,
    Immediate,
    leaves,
    memory_order,
    place,
    scalar_function,
    select,
)
from oracle_node.importers.onnx.extents import Extents, extents_of, fixed, is_fixed, size, times
from oracle_node.importers.onnx.lowering import F32, I64, Lowering
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.blocks import SMALLEST_SCALE, sum_bounded
from oracle_node.tape.blocks import mean as mean_of_rows
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.expression import Scalar
from oracle_node.tape.instruction import Instruction, Opcode, Reducer
from oracle_node.tape.step import chunks_opened
from oracle_node.tape.types import DType
from oracle_node.tape.view import View

DIRECT_ELEMENTS = 128
"""A reduction over at most that many elements is one instruction."""
BLOCK_ELEMENTS = 256
"""More are reduced in levels of at most that many, of about equal sizes."""
SUM_LIMIT = 2**21
"""Summands of float sums are integers up to this: 22 bits relative to the largest."""
MEAN_BLOCK = 64
"""Elements of a row that one step of a mean reads: recomputing it takes a few hundred thousand gas at most."""
ADDED_AT_ONCE = 6
"""Summands of one MAP that adds floats in order: each opens a chunk."""
FUSED_CHUNKS = 6
"""What would open more chunks than this through what is fused into it reads a materialised tensor instead."""
SMALL_SUM = 8
"""So few floats are added one after another in one MAP."""


@dataclass(frozen=True)
class Quantised:
    """Integers `q` with |q| ≤ limit, and `scale`, their largest absolute value: x ≈ q·scale/limit."""

    q: Tensor
    scale: Tensor
    limit: int


def reduced_shape(shape: Extents, axes: Sequence[int]) -> Extents:
    """The shape with 1 in place of the reduced axes."""
    return tuple(1 if axis in axes else d for axis, d in enumerate(shape))


def extreme(low: Lowering, reducer: Reducer, x: Tensor, axes: Sequence[int]) -> Tensor:
    """max or min over the axes, which stay with length 1; free ones after the others."""
    x = low.settled(low.frozen(x))
    if isinstance(x.expression, Immediate):
        return Tensor.of(x.expression, reduced_shape(x.extents, axes), x.dtype)
    free = [a for a in axes if not isinstance(x.extents[a], int)]
    if free and len(free) < len(axes):
        x, axes = extreme(low, reducer, x, [a for a in axes if a not in free]), free
    try:
        return _extreme(low, reducer, x, axes)
    except AdmissionError:
        # the elements lie too far apart for one proof: bring them together first
        near = memory_order(leaves(x.expression))
        order = [a for a in near if a not in axes] + [a for a in near if a in axes]
        return _extreme(low, reducer, low.materialise(x, order), axes)


def _extreme(low: Lowering, reducer: Reducer, x: Tensor, axes: Sequence[int]) -> Tensor:
    expression, shape = x.expression, reduced_shape(x.extents, axes)
    views = leaves(expression)
    order = [a for a in memory_order(views) if x.extents[a] != 1]
    kept, reduced = [a for a in order if a not in axes], [a for a in order if a in axes]
    if not reduced:
        return Tensor.of(expression, shape, x.dtype)
    views = [select(view, kept + reduced) for view in views]
    if is_fixed(x.extents[a] for a in reduced):
        view = _levels(low, reducer, expression, views, len(reduced))
    else:
        view = low.b.reduce(
            reducer, *views, axes=len(reduced), function=scalar_function(expression, leaves(expression))
        )
    view = place(view, kept, shape)
    return Tensor.of_view(view, low.b.interval(view), x.dtype)


def _levels(low: Lowering, reducer: Reducer, expression: Expression, views: list[View], axes: int) -> View:
    """Reduce the last `axes` axes of views aligned with the expression's leaves, level by level."""
    function = scalar_function(expression, leaves(expression))
    while True:
        extents = extents_of(views[0])
        tiled, inner = _tiled(views, axes, _block(size(extents[len(extents) - axes :])))
        if len(views) > 1 and chunks_read(low, tiled, inner) > FUSED_CHUNKS:
            raise AdmissionError("it opens many chunks through what is fused into it")
        result = low.b.reduce(reducer, *tiled, axes=inner, function=function)
        outer = tiled[0].rank - inner - (len(extents) - axes)
        if outer == 0:
            return result
        kept = result.shape[: result.rank - outer]
        whole = size(extents_of(result)[len(kept) :])
        views, axes, function = [result.reshape(*kept, whole)], 1, lambda v: v


def _block(size: int) -> int:
    """Elements to reduce at once so that all levels are about equal."""
    if size <= DIRECT_ELEMENTS:
        return size
    levels = 2
    while BLOCK_ELEMENTS**levels < size:
        levels += 1
    return next(block for block in range(2, size + 1) if block**levels >= size)


def _tiled(views: list[View], axes: int, block: int) -> tuple[list[View], int]:
    """The views with up to `block` elements of their last axes innermost, and the number of those axes.

    An axis that only fits in part is covered by windows; they may overlap, which a maximum does not mind.
    """
    dims, taken, elements = fixed(extents_of(views[0])[-axes:]), 0, 1
    while taken < axes and elements * dims[-1 - taken] <= block:
        elements *= dims[-1 - taken]
        taken += 1
    room = block // elements
    if taken == axes or room < 2:
        return views, max(taken, 1)
    axis = views[0].rank - 1 - taken
    window, stride = _cover(dims[-1 - taken], room)
    return [view.windows(axis, window, stride).moved(-1, axis + 1) for view in views], taken + 1


def _cover(length: int, room: int) -> tuple[int, int]:
    """(size ≤ room, stride ≤ size) of windows that cover an axis from its first to its last element exactly."""
    count = -(-length // room)
    while True:
        stride = length // count
        size = length - stride * (count - 1)
        if size <= room or stride == 1:
            return size, stride
        count += 1


def chunks_read(low: Lowering, views: Sequence[View], axes: int) -> int:
    """Chunks that one element opens at most, reduced from the last `axes` axes of the views."""
    shape = views[0].shape
    split = len(shape) - axes
    operands = tuple(view.operand(shape) for view in views)
    instruction = Instruction(Opcode.REDUCE, DType.F32, shape[:split], operands, shape[split:])
    return sum(chunks_opened(instruction, operand, low.region)[1] for operand in operands)


def largest_absolute(low: Lowering, x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """max |x| over the axes (None: over all, as one value of shape ()), at least SMALLEST_SCALE."""
    x = low.frozen(x)
    magnitude = x if low.interval(x).lo >= 0 else low.apply(lambda v: v.abs(), x)
    if axes is None:
        whole = Tensor.of(magnitude.expression, magnitude.axes, F32)
        single = extreme(low, Reducer.MAX, whole, range(whole.rank))
        largest = single.reshaped(())
    else:
        largest = extreme(low, Reducer.MAX, magnitude, axes)
    return low.apply(lambda s: s.maximum(SMALLEST_SCALE), largest)


def quantise(low: Lowering, x: Tensor, limit: int, axes: Sequence[int] | None = None) -> Quantised:
    """x as integers up to `limit` relative to max |x| over the axes (None: over all); errs by half a step at most."""
    x = low.compact(x, operations=16)
    x = x if axes is None else low.settled(x)
    scale = largest_absolute(low, x, axes)
    bound, signed = float(limit), low.interval(x).lo < 0

    def function(v: Scalar, s: Scalar) -> Scalar:
        # |x|·(limit/scale) ≤ limit up to rounding: the clamp states the relation that intervals cannot see
        q = (v * (bound / s)).round().minimum(bound)
        return (q.maximum(-bound) if signed else q).to_int()

    return Quantised(low.apply(function, x, scale, dtype=I64), scale, limit)


def total(low: Lowering, x: Tensor, axes: Sequence[int], divisor: float = 1.0) -> Tensor:
    """Σ x / divisor over the axes, which stay with length 1; a float summand errs by at most 2^-22 of the largest."""
    axes = [a for a in axes if x.extents[a] != 1]
    shape = reduced_shape(x.extents, axes)
    x = low.settled(x)
    x = low.materialise(x) if low.only_value(x) is not None else x
    if x.is_float and not is_fixed(x.extents):
        return mean(low, x, axes, divisor)
    if x.is_float and size(x.extents[a] for a in axes) <= SMALL_SUM:
        return low.scaled(_add_up(low, x, axes), 1.0 / divisor)
    kept = [a for a in memory_order(leaves(low.frozen(x).expression)) if a not in axes]
    parts = quantise(low, x, SUM_LIMIT) if x.is_float else Quantised(x, x, 1)
    q = low.only_view(low.materialise(parts.q, [*kept, *axes]))
    summed = place(
        sum_bounded(low.b, select(q, [*kept, *axes]), len(axes), block=BLOCK_ELEMENTS), kept, shape
    )
    result = Tensor.of_view(summed, low.b.interval(summed), F32 if x.is_float else I64)
    if not x.is_float:
        return result
    return low.rescaled(result, np.asarray(1.0 / (SUM_LIMIT * divisor)), parts.scale)


def mean(low: Lowering, x: Tensor, axes: Sequence[int], divisor: float | None = None) -> Tensor:
    """Mean over the axes (or Σ / divisor), which stay with length 1; errs by 2^-21 of the group's largest."""
    axes = sorted(axes)
    order = [a for a in range(x.rank) if a not in axes] + axes
    shape = tuple(x.extents[a] for a in order)
    last = low.settled(low.frozen(x)).moved(shape, lambda d: d, lambda v: v.transpose(*order))
    outer, inner = shape[: x.rank - len(axes)], shape[x.rank - len(axes) :]
    rows = low.contiguous(last).reshape(*outer, times(inner))
    view = mean_of_rows(low.b, rows, 1, float(size(inner)) if divisor is None else divisor, MEAN_BLOCK)
    return Tensor.of_view(view, low.b.interval(view), F32).reshaped(reduced_shape(x.extents, axes))


def _add_up(low: Lowering, x: Tensor, axes: Sequence[int]) -> Tensor:
    """The slices along the axes, added in row-major order; x has few of them."""
    shape = reduced_shape(x.extents, axes)
    sizes = [x.shape[a] for a in axes]
    x = low.leaf(x) if x.is_constant else low.compact(x, operations=0)
    result: Tensor | None = None
    for position in np.ndindex(*sizes):
        part = x.moved(shape, lambda a: a, lambda view, p=position: _corner(view, axes, p))  # type: ignore[misc]
        result = part if result is None else low.apply(lambda a, b: a + b, result, part)
    assert result is not None
    return result


def _corner(view: View, axes: Sequence[int], position: tuple[int, ...]) -> View:
    for axis, start in zip(axes, position, strict=True):
        view = view.slice(axis, start, 1)
    return view


def added_in_order(b: TapeBuilder, x: View) -> View:
    """Σ of floats over the last axis, one binary32 addition after another from the first to the last, in many MAPs.

    ONNX Runtime's operators of the domain ai.onnx.ml add in that order, with one thread, and so give the same bits.
    """
    result, length = x.pick(-1, 0), x.dims[-1]
    for start in range(1, length, ADDED_AT_ONCE - 1):
        parts = [x.pick(-1, i) for i in range(start, min(start + ADDED_AT_ONCE - 1, length))]
        result = b.map(lambda first, *others: sum(others, first), result, *parts)
    return result


def argmax(low: Lowering, x: Tensor, axis: int) -> Tensor:
    """The lowest position of the largest element along the axis, which stays with length 1."""
    x = low.settled(low.frozen(x))
    (length,), shape = fixed(x.extents[axis : axis + 1]), reduced_shape(x.extents, [axis])
    order = [a for a in memory_order(leaves(x.expression)) if a != axis and x.extents[a] != 1]
    if length == 1:
        return Tensor.constant(np.broadcast_to(np.int64(0), fixed(shape)))
    if length > BLOCK_ELEMENTS:
        return _argmax_blocks(low, x, axis, order)
    views = leaves(x.expression)
    moved = [select(view, [*order, axis]) for view in views]
    view = low.b.reduce(Reducer.ARGMAX, *moved, function=scalar_function(x.expression, views))
    return Tensor.of_view(place(view, order, shape), low.b.interval(view), I64)


def _argmax_blocks(low: Lowering, x: Tensor, axis: int, order: Sequence[int]) -> Tensor:
    """Maximum and argmax a block, the first best block, and its argmax; blocks overlap where the length needs it."""
    b = low.b
    rows = b.copy(select(low.only_view(low.materialise(x, [*order, axis])), [*order, axis]))
    count = prod(rows.dims[:-1])
    size, stride = _cover(x.shape[axis], _block(x.shape[axis]))
    tiles = rows.reshape(count, x.shape[axis]).windows(-1, size, stride)
    best = b.reduce(Reducer.MAX, tiles)
    inside = b.reduce(Reducer.ARGMAX, tiles)
    block = b.reduce(Reducer.ARGMAX, best)
    blocks = best.dims[-1]
    low.require_room(count)
    starts = b.const(np.arange(count, dtype=np.int64) * blocks)
    flat = b.map(lambda row, k: row + k, starts, block)
    chosen = b.gather(flat, inside.reshape(count * blocks))
    position = b.map(lambda k, i: k * stride + i, block, chosen, dtype=DType.I32)
    shape = reduced_shape(x.extents, [axis])
    view = place(position.reshape(*(x.shape[a] for a in order)), order, shape)
    return Tensor.of_view(view, b.interval(view), I64)
