"""More data movement: repeats, blocks of depth and space, one-hot rows, triangles, ranges. Always exact.

Resize is here too; linear and cubic resizing are a few products and sums of floats an axis.
"""

import numpy as np

from oracle_node.importers.onnx.extents import text, times
from oracle_node.importers.onnx.lowering import I64, Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators.movement import gathered, reshape_to, sliced
from oracle_node.importers.onnx.reductions import argmax
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.affine import Affine


def _along(array: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """A vector along one axis of a tensor of that rank."""
    return array.reshape([-1 if a == axis else 1 for a in range(rank)])


def tile(low: Lowering, node: Node) -> list[Tensor]:
    x = low.settled(node.input(0))
    repeats = node.numbers(1, "repeats")
    if len(repeats) != x.rank or min(repeats, default=1) < 1:
        node.refuse(f"its repeats {repeats} are not one positive number an axis of {x.shape}")
    if x.data is not None:
        low.require_room(x.size, *repeats)
        return [Tensor.constant(np.tile(x.data, repeats))]
    split = tuple(d for pair in zip([1] * x.rank, x.shape, strict=True) for d in pair)
    wide = tuple(d for pair in zip(repeats, x.shape, strict=True) for d in pair)
    x = reshape_to(low, x, split).moved(wide, lambda d: d, lambda v: v.broadcast_to(wide))
    return [reshape_to(low, x, [r * d for r, d in zip(repeats, node.input(0).shape, strict=True)])]


def _permuted(low: Lowering, x: Tensor, axes: list[int]) -> Tensor:
    x = low.settled(x)
    shape = tuple(x.extents[a] for a in axes)
    return x.moved(shape, lambda d: d.transpose(axes), lambda v: v.transpose(*axes))


def depth_to_space(low: Lowering, node: Node) -> list[Tensor]:
    """DCR: depth's outer part is the block; CRD: its inner part."""
    x, block = node.input(0), int(node.get("blocksize", 0))
    if x.rank != 4 or block < 1 or x.shape[1] % block**2:
        node.refuse(f"{x.shape} has no blocks of {block}")
    n, c, h, w = x.shape
    inner = c // block**2
    if node.get("mode", "DCR") == "DCR":
        x = _permuted(low, reshape_to(low, x, (n, block, block, inner, h, w)), [0, 3, 4, 1, 5, 2])
    else:
        x = _permuted(low, reshape_to(low, x, (n, inner, block, block, h, w)), [0, 1, 4, 2, 5, 3])
    return [reshape_to(low, x, (n, inner, h * block, w * block))]


def space_to_depth(low: Lowering, node: Node) -> list[Tensor]:
    x, block = node.input(0), int(node.get("blocksize", 0))
    if x.rank != 4 or block < 1 or x.shape[2] % block or x.shape[3] % block:
        node.refuse(f"{x.shape} has no blocks of {block}")
    n, c, h, w = x.shape
    x = reshape_to(low, x, (n, c, h // block, block, w // block, block))
    x = _permuted(low, x, [0, 3, 5, 1, 2, 4])
    return [reshape_to(low, x, (n, c * block**2, h // block, w // block))]


def arange(low: Lowering, node: Node) -> list[Tensor]:
    """Range of constants: start + i·step, two operations of the network's type each; from 0 by 1 to a free length."""
    if node.input(1).is_free:
        (length,) = node.lengths(1, "limit")
        if node.numbers(0, "start") != [0] or node.numbers(2, "delta") != [1]:
            node.refuse("a range up to a free length has to start at 0 and go by 1")
        _, most = low.bounds(length)
        low.require_room(most)
        return [sliced(low, Tensor.constant(np.arange(most)), 0, 0, length)]
    start, limit, step = (
        node.constant(i, name).reshape(()) for i, name in enumerate(("start", "limit", "delta"))
    )
    if step == 0:
        node.refuse("its delta is zero")
    count = max(0, int(np.ceil((np.float64(limit) - np.float64(start)) / np.float64(step))))
    low.require_room(count)
    return [Tensor.constant((start + np.arange(count).astype(start.dtype) * step).astype(start.dtype))]


def size(low: Lowering, node: Node) -> list[Tensor]:
    return [Tensor.lengths([times(node.input(0).extents)]).reshaped(())]


def gather_elements(low: Lowering, node: Node) -> list[Tensor]:
    """At every index that position of the axis, the other coordinates its own; negative ones count from the end."""
    x, index = node.input(0), node.input(1)
    axis = x.axis(int(node.get("axis", 0)))
    length, rank = x.extents[axis], x.rank
    if index.rank != rank or any(
        low.bounds(Affine.of(d) - i)[0] < 0
        for a, (i, d) in enumerate(zip(index.extents, x.extents, strict=True))
        if a != axis
    ):
        node.refuse(f"its indices {text(index.extents)} do not fit {text(x.extents)}")
    value = low.only_value(x)
    if value is not None:
        return [low.uniform(np.asarray(value, x.dtype), index.extents)]
    if not isinstance(length, int):
        node.refuse(f"axis {axis} of {text(x.extents)} is of free length")
    if index.data is not None and (np.any(index.data < -length) or np.any(index.data >= length)):
        node.refuse(f"an index is outside an axis of {length}")
    index = low.apply(lambda i: (i < 0).where(i + length, i), index, dtype=I64)
    order = [a for a in range(rank) if a != axis] + [axis]
    rows = low.contiguous(_permuted(low, index, order))
    table = low.only_view(low.leaf(x)).transpose(*order)
    for position, a in enumerate(order[:-1]):
        table = table.slice(position, 0, index.extents[a])
    wide = (*rows.shape, table.shape[-1])
    view = low.b.take(rows, table.unsqueeze(-2).broadcast_to(wide)).moved(-1, axis)
    return [Tensor.of_view(view, low.b.interval(view), x.dtype)]


def gather_nd(low: Lowering, node: Node) -> list[Tensor]:
    """At every row of indices the element, or the rest of the axes, at that position; without batch axes."""
    x, index = node.input(0), node.input(1)
    depth = index.extents[-1] if index.rank else 0
    if not isinstance(depth, int) or not 1 <= depth <= x.rank or node.get("batch_dims", 0):
        node.refuse(f"its indices {text(index.extents)} of {text(x.extents)} are not supported")
    if low.only_value(x) is not None and x.data is None:
        return [Tensor.of(x.expression, (*index.extents[:-1], *x.extents[depth:]), x.dtype)]
    position: Tensor | None = None
    for axis, length in enumerate(x.extents[:depth]):
        if length == 1:
            continue
        along = reshape_to(low, sliced(low, index, index.rank - 1, axis, 1), index.extents[:-1])
        lengths = Tensor.lengths([length])
        along = low.apply(lambda i, n: (i + (i < 0) * n).maximum(0).minimum(n - 1), along, lengths, dtype=I64)
        # row-major: earlier axes count as many as the later ones are long
        position = along if position is None else low.apply(
            lambda p, i, n: p * n + i, position, along, lengths, dtype=I64
        )  # fmt: skip
    if position is None:
        position = low.uniform(np.zeros((), np.int64), index.extents[:-1])
    flat = reshape_to(low, low.settled(x), (times(x.extents[:depth]), *x.extents[depth:]))
    return [gathered(low, flat, low.leaf(position), 0)]


def one_hot(low: Lowering, node: Node) -> list[Tensor]:
    """values = [off, on]; an index outside the depth gives a row of `off`."""
    index = node.input(0)
    depth, (off, on) = int(node.constant(1, "depth").reshape(())), node.constant(2, "values")
    low.require_room(depth)
    axis = int(node.get("axis", -1)) % (index.rank + 1)
    if index.is_float:
        index = low.apply(lambda v: v.to_int(), index, dtype=I64)
    shape = (*index.shape[:axis], 1, *index.shape[axis:])
    index = reshape_to(low, low.settled(index), shape)
    places = Tensor.constant(_along(np.arange(depth), axis, len(shape)))
    yes, no = (float(v) if v.dtype.kind == "f" else int(v) for v in (on, off))

    def function(i, k):  # type: ignore[no-untyped-def]
        return ((i + (i < 0) * depth) if depth > 1 else i).equals(k).where(yes, no)

    return [low.apply(function, index, places, dtype=on.dtype)]


def hardmax(low: Lowering, node: Node) -> list[Tensor]:
    """1 at the first of the largest along the axis, else 0."""
    x = low.settled(node.input(0))
    if node.opset < 13:
        node.refuse("before opset 13 it runs over several axes: only newer ones are supported")
    axis = x.axis(int(node.get("axis", -1)))
    low.require_room(x.shape[axis])
    best = argmax(low, x, axis)
    places = Tensor.constant(_along(np.arange(x.shape[axis]), axis, x.rank))
    return [low.apply(lambda k, b: b.equals(k).to_float(), places, best)]


def triangle(low: Lowering, node: Node) -> list[Tensor]:
    """Trilu: zeros above or below a diagonal."""
    x = node.input(0)
    k = int(node.constant(1, "diagonal").reshape(())) if node.has(1) else 0
    if x.rank < 2:
        node.refuse(f"its input {x.shape} is no matrix")
    low.require_room(*x.shape[-2:])
    ones = np.ones(x.shape[-2:], np.bool_)
    kept = np.triu(ones, k) if node.get("upper", 1) else np.tril(ones, k)
    zero = 0.0 if x.is_float else 0
    return [low.apply(lambda v, c: c.where(v, zero), x, Tensor.constant(kept), dtype=x.dtype)]


HANDLERS: dict[str, Handler] = {
    "Tile": tile,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Range": arange,
    "Size": size,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "OneHot": one_hot,
    "Hardmax": hardmax,
    "Trilu": triangle,
}
