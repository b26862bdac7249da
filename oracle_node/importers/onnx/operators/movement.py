"""Data movement: views where strides express it, CONCAT and GATHER where they do not; constants move in numpy."""

from collections.abc import Sequence
from math import prod

import numpy as np

from oracle_node.errors import ModelError
from oracle_node.importers.onnx.expression import leaves, memory_order, place, select
from oracle_node.importers.onnx.extents import (
    Extent,
    Extents,
    broadcast_extents,
    extent,
    fixed,
    is_fixed,
    parts_of,
    quotient,
    storable,
    text,
    times,
    typical,
)
from oracle_node.importers.onnx.lowering import F32, FUSED_OPERANDS, I64, MAX_RANK, Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.affine import Affine
from oracle_node.tape.types import Array
from oracle_node.tape.view import View


def reshape_to(low: Lowering, x: Tensor, shape: Sequence[Extent]) -> Tensor:
    if len(shape) > MAX_RANK:
        raise ModelError(f"a tensor of {len(shape)} axes: at most {MAX_RANK} are supported")
    return (x if x.is_constant else low.frozen(x)).reshaped(tuple(shape))


def reshape(low: Lowering, node: Node) -> list[Tensor]:
    """0 copies a dimension (unless allowzero), −1 takes what is left."""
    x, wanted = node.input(0), node.lengths(1, "shape")
    if any(isinstance(d, int) and d < -1 for d in wanted) or wanted.count(-1) > 1:
        node.refuse(f"cannot reshape {text(x.extents)} to {text(wanted)}")
    if not node.get("allowzero", 0):
        wanted = [x.extents[i] if d == 0 and i < x.rank else d for i, d in enumerate(wanted)]
    if -1 in wanted:
        rest = quotient(x.extents, [d for d in wanted if d != -1])
        wanted = [(0 if rest is None else rest) if d == -1 else d for d in wanted]
    if parts_of(wanted) != parts_of(x.extents):
        node.refuse(f"cannot reshape {text(x.extents)} to {text(wanted)}")
    return [reshape_to(low, x, wanted)]


def flatten(low: Lowering, node: Node) -> list[Tensor]:
    x, axis = node.input(0), int(node.get("axis", 1))
    if not -x.rank <= axis <= x.rank:
        node.refuse(f"axis {axis} of a tensor of rank {x.rank}")
    axis = axis % x.rank if axis < 0 else axis
    return [reshape_to(low, x, (times(x.extents[:axis]), times(x.extents[axis:])))]


def transpose(low: Lowering, node: Node) -> list[Tensor]:
    x = low.settled(node.input(0))
    axes = [int(a) for a in node.get("perm", range(x.rank)[::-1])]
    if sorted(axes) != list(range(x.rank)):
        node.refuse(f"its perm {axes} does not name every axis of {text(x.extents)} once")
    shape = tuple(x.extents[a] for a in axes)
    return [x.moved(shape, lambda d: d.transpose(axes), lambda v: v.transpose(*axes))]


def squeeze(low: Lowering, node: Node) -> list[Tensor]:
    x = node.input(0)
    axes = node.integers(1, "axes")
    gone = [a for a, d in enumerate(x.extents) if d == 1] if axes is None else [x.axis(a) for a in axes]
    if any(x.extents[a] != 1 for a in gone):
        node.refuse(f"axes {gone} of {text(x.extents)} are not all 1")
    return [reshape_to(low, x, [d for a, d in enumerate(x.extents) if a not in gone])]


def unsqueeze(low: Lowering, node: Node) -> list[Tensor]:
    x, axes = node.input(0), node.integers(1, "axes")
    if axes is None:
        node.refuse("its axes are missing")
    rank = x.rank + len(axes)
    new = {a % rank for a in axes}
    rest = iter(x.extents)
    return [reshape_to(low, x, [1 if a in new else next(rest) for a in range(rank)])]


def expand(low: Lowering, node: Node) -> list[Tensor]:
    x = node.input(0)
    return [broadcast_to(low, x, broadcast_extents([x.extents, tuple(node.lengths(1, "shape"))]))]


def broadcast_to(low: Lowering, x: Tensor, shape: Extents) -> Tensor:
    """x repeated along axes of length 1; a constant stays one where the shape is fixed."""
    x = low.settled(x) if is_fixed(shape) else low.movable(x)
    return x.moved(shape, lambda d: np.broadcast_to(d, fixed(shape)), lambda v: v.broadcast_to(shape))


def sliced(low: Lowering, x: Tensor, axis: int, start: Extent, length: Extent, step: int = 1) -> Tensor:
    """`length` positions of an axis, `step` apart."""
    shape = (*x.extents[:axis], length, *x.extents[axis + 1 :])
    if not (isinstance(start, int) and isinstance(length, int)):
        return low.movable(x).moved(shape, lambda d: d, lambda v: v.slice(axis, start, length, step))
    x = low.settled(x)
    if length < 0:
        raise ModelError(f"it leaves {length} positions of an axis of {text([x.extents[axis]])}")
    end = start + step * length
    picks = (*[slice(None)] * axis, slice(start, end if end >= 0 else None, step))
    if length == 0:
        return Tensor.constant(np.empty((*x.shape[:axis], 0, *x.shape[axis + 1 :]), x.dtype))
    return x.moved(shape, lambda d: d[picks], lambda v: v.slice(axis, start, length, step))


def slice_(low: Lowering, node: Node) -> list[Tensor]:
    """Attributes before opset 10, inputs since."""
    x = node.input(0)
    starts, ends = node.positions(1, "starts"), node.positions(2, "ends")
    if starts is None or ends is None:
        node.refuse("its starts or ends are missing")
    axes = node.integers(3, "axes", range(len(starts))) or []
    steps = node.integers(4, "steps", [1] * len(starts)) or []
    for start, end, axis, step in zip(starts, ends, map(x.axis, axes), steps, strict=True):
        length = x.extents[axis]
        if isinstance(start, int) and isinstance(end, int) and isinstance(length, int):
            positions = range(*slice(start, end, step).indices(length))
            x = sliced(low, x, axis, positions.start, len(positions), step)
        elif step != 1:
            node.refuse(f"it takes every {step}th of an axis, but its length depends on the request's")
        else:
            first, last = (_clamped(low, node, position, length) for position in (start, end))
            x = sliced(low, x, axis, first, extent(Affine.of(last) - first))
    return [x]


def _clamped(low: Lowering, node: Node, position: Extent, length: Extent) -> Extent:
    """A slice's end as a position of the axis; refused where one or the other is nearer for some lengths."""
    if isinstance(position, int) and position < 0:
        position = extent(Affine.of(length) + position)
        if low.bounds(position)[0] < 0:
            node.refuse("it counts from the end of an axis further than that is long")
    least, most = low.bounds(Affine.of(length) - position)
    if least < 0 < most:
        node.refuse(
            f"it cuts an axis of {text([length])} at {text([position])}: import it with a lower --context"
        )
    return position if least >= 0 else length


def split(low: Lowering, node: Node) -> list[Tensor]:
    """Sizes are an attribute before opset 13, an input since, or equal parts."""
    x = node.input(0)
    axis = x.axis(int(node.get("axis", 0)))
    sizes = node.integers(1, "split")
    if not isinstance(x.extents[axis], int):
        node.refuse(f"axis {axis} of {text(x.extents)} is of free length")
    (length,) = (d for a, d in enumerate(x.extents) if a == axis and isinstance(d, int))
    if sizes is None:
        part = -(-length // node.outputs)
        sizes = [min(part, length - part * i) for i in range(node.outputs)]
    if sum(sizes) != length or len(sizes) != node.outputs or min(sizes) < 0:
        node.refuse(f"axis {axis} of {text(x.extents)} cannot be split into {sizes}")
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [sliced(low, x, axis, start, size) for start, size in zip(starts, sizes, strict=True)]


def concatenated(low: Lowering, parts: Sequence[Tensor], axis: int) -> Tensor:
    """The tensors one after another along an axis; in memory as the largest of them lies."""
    if all(p.is_constant for p in parts):
        arrays = [p.data for p in parts if p.data is not None]
        low.require_room(sum(array.size for array in arrays))
        return Tensor.constant(np.concatenate(arrays, axis))
    parts = [low.leaf(p) for p in parts if 0 not in p.extents]
    largest = max((p for p in parts), key=lambda p: typical_size(p.extents))
    total = extent(sum((Affine.of(p.extents[axis]) for p in parts), Affine(0)))
    shape = tuple(total if a == axis else d for a, d in enumerate(largest.extents))
    near = memory_order(leaves(largest.expression))
    order = storable([a for a in near if shape[a] != 1 or a == axis], shape)
    views = low.one_type([select(low.only_view(p), order) for p in parts])
    along = order.index(axis)
    while len(views) > FUSED_OPERANDS:
        groups = [views[i : i + FUSED_OPERANDS] for i in range(0, len(views), FUSED_OPERANDS)]
        views = [low.b.concat(group, along) for group in groups]
    view = place(low.b.concat(views, along), order, shape)
    return Tensor.of_view(view, low.b.interval(view), largest.dtype)


def concat(low: Lowering, node: Node) -> list[Tensor]:
    parts = [node.input(i) for i in range(len(node.inputs))]
    axis = parts[0].axis(int(node.get("axis", 1)))
    return [concatenated(low, parts, axis)]


def pad(low: Lowering, node: Node) -> list[Tensor]:
    """Modes constant, edge, reflect and wrap; negative pads cut."""
    x, mode = node.input(0), node.get("mode", "constant")
    pads = node.integers(1, "pads") or []
    axes = [x.axis(a) for a in node.integers(3, "axes", range(x.rank)) or []]
    fill = node.constant(2, "value").reshape(()) if node.has(2) else np.asarray(node.get("value", 0.0))
    if mode not in ("constant", "edge", "reflect", "wrap") or len(pads) != 2 * len(axes):
        node.refuse(f"mode {mode} with {len(pads)} pads is not supported")
    for i, axis in enumerate(axes):
        before, after = pads[i], pads[i + len(axes)]
        cut = [max(0, -before), max(0, -after)]
        if any(cut):
            x = sliced(low, x, axis, cut[0], x.shape[axis] - sum(cut))
        before, after = max(0, before), max(0, after)
        if before or after:
            x = _padded(low, node, x, axis, (before, after), mode, fill.astype(x.dtype))
    return [x]


def _padded(
    low: Lowering, node: Node, x: Tensor, axis: int, amounts: tuple[int, int], mode: str, fill: Array
) -> Tensor:
    x = x if x.is_constant else low.leaf(x)
    length = x.shape[axis]
    if mode in ("reflect", "wrap") and max(amounts) > length - (mode == "reflect"):
        node.refuse(f"mode {mode} of {max(amounts)} elements of an axis of {length}")
    sides = []
    mirrored, wrapped = (amounts[0], length - 2), (length - amounts[0], 0)
    for amount, first, again, edge in zip(amounts, mirrored, wrapped, (0, length - 1), strict=True):
        shape = (*x.shape[:axis], amount, *x.shape[axis + 1 :])
        if mode == "constant":
            side = Tensor.constant(np.broadcast_to(fill, shape)) if x.is_constant else low.filled(fill, shape)
        elif mode == "reflect":
            side = sliced(low, x, axis, first, amount, -1)
        elif mode == "wrap":
            side = sliced(low, x, axis, again, amount)
        else:
            side = _repeated(sliced(low, x, axis, edge, 1), shape)
        sides.append([side] if amount else [])
    return concatenated(low, [*sides[0], x, *sides[1]], axis)


def _repeated(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return x.moved(shape, lambda d: np.broadcast_to(d, shape), lambda v: v.broadcast_to(shape))


def gather(low: Lowering, node: Node) -> list[Tensor]:
    """Evenly spaced constant positions are a view, others a GATHER; negative positions count from the end."""
    x, index = node.input(0), node.input(1)
    axis = x.axis(int(node.get("axis", 0)))
    length = x.extents[axis]
    if not isinstance(length, int):
        return [_gathered_free(low, node, x, index, axis, length)]
    if index.data is not None and index.data.dtype != object:
        if np.any(index.data < -length) or np.any(index.data >= length):
            node.refuse(f"an index is outside an axis of {length}")
        positions = np.where(index.data < 0, index.data + length, index.data).astype(np.int64)
        shape = (*x.extents[:axis], *positions.shape, *x.extents[axis + 1 :])
        if x.data is not None:
            low.require_room(*fixed(shape))
            return [Tensor.constant(np.asarray(x.data.take(positions, axis)))]
        flat = positions.reshape(-1)
        step = int(flat[1] - flat[0]) if flat.size > 1 else 1
        if flat.size and step and np.all(np.diff(flat) == step):
            return [reshape_to(low, sliced(low, x, axis, int(flat[0]), flat.size, step), shape)]
        index = Tensor.constant(positions)
    else:
        index = low.apply(lambda i: (i < 0).where(i + length, i), index, dtype=I64)
    return [gathered(low, x, low.leaf(index), axis)]


def _gathered_free(low: Lowering, node: Node, x: Tensor, index: Tensor, axis: int, length: Extent) -> Tensor:
    """From an axis of free length: one constant position, or positions computed at run time."""
    if index.data is None:
        index = low.apply(lambda i, n: (i < 0).where(i + n, i), index, Tensor.lengths([length]), dtype=I64)
        return gathered(low, x, low.leaf(index), axis)
    if index.data.size != 1 or index.data.dtype == object:
        node.refuse(f"it takes several constant positions of axis {axis} of {text(x.extents)}")
    start = extent(Affine.of(int(index.data.reshape(-1)[0])))
    start = extent(Affine.of(length) + start) if isinstance(start, int) and start < 0 else start
    if low.bounds(start)[0] < 0 or low.bounds(Affine.of(length) - start)[0] < 1:
        node.refuse(f"position {text([start])} of an axis of {text([length])} is outside for some requests")
    picked = sliced(low, x, axis, start, 1)
    return reshape_to(low, picked, (*x.extents[:axis], *index.data.shape, *x.extents[axis + 1 :]))


def typical_size(extents: Extents) -> int:
    """About how many elements, for choices that only affect cost."""
    return prod(map(typical, extents))


def gathered(low: Lowering, x: Tensor, index: Tensor, axis: int) -> Tensor:
    """x at the positions of an axis that an index in memory holds; the index's axes stand in that one's place."""
    x = low.leaf(x)
    others = [a for a in range(x.rank) if a != axis]
    table = select(low.only_view(x), [axis, *[a for a in others if x.extents[a] != 1]])
    rows = low.only_view(index)
    flat = low.b.gather(rows, table)
    view = View(flat.ref, flat.dtype, flat.tensor_shape, flat.shape, flat.strides, flat.offset)
    for position, a in enumerate(others):
        if x.extents[a] == 1:
            view = view.unsqueeze(rows.rank + position)
    before = range(rows.rank, rows.rank + axis)
    after = range(rows.rank + axis, view.rank)
    view = view.transpose(*before, *range(rows.rank), *after)
    return Tensor.of_view(view, low.b.interval(view), x.dtype)


def shape_of(low: Lowering, node: Node) -> list[Tensor]:
    """The shape as a constant; start and end since opset 15."""
    x = node.input(0)
    return [Tensor.lengths(x.extents[slice(node.get("start", 0), node.get("end", None))])]


def constant(low: Lowering, node: Node) -> list[Tensor]:
    kinds = {"value": None, "value_float": F32, "value_floats": F32, "value_int": I64, "value_ints": I64}
    given = [name for name in kinds if name in node.attributes]
    if not given:
        node.refuse("its value is neither a dense tensor nor numbers")
    return [Tensor.constant(np.asarray(node.attributes[given[0]], kinds[given[0]]))]


def constant_of_shape(low: Lowering, node: Node) -> list[Tensor]:
    shape = node.lengths(0, "shape")
    value = np.asarray(node.attributes.get("value", np.zeros(1, np.float32)))
    if not is_fixed(shape):
        return [low.uniform(value.reshape(()), tuple(shape))]
    return [Tensor.constant(np.broadcast_to(value.reshape(()), fixed(shape)))]


HANDLERS: dict[str, Handler] = {
    "Reshape": reshape,
    "Flatten": flatten,
    "Transpose": transpose,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Expand": expand,
    "Slice": slice_,
    "Split": split,
    "Concat": concat,
    "Pad": pad,
    "Gather": gather,
    "Shape": shape_of,
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
}
