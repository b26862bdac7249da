"""Resize and Upsample: every output position is a few positions of the input along each axis, known at import.

Nearest is data movement; linear and cubic are a product and a sum of floats for each position, axis by axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from oracle_node.importers.onnx.lowering import Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators.movement import gather, reshape_to
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.types import Array


@dataclass(frozen=True)
class _Axis:
    """`positions` (taps, out) and their `weights` (taps, out) f32; one tap of weight one for nearest."""

    positions: Array
    weights: Array


def resize(low: Lowering, node: Node) -> list[Tensor]:
    """All modes but antialiasing and crops; scales or sizes are constants."""
    x = node.input(0)
    old = node.operator == "Upsample" or node.opset < 11
    mode, way = node.get("mode", "nearest"), node.get("coordinate_transformation_mode", "half_pixel")
    rounding = node.get("nearest_mode", "round_prefer_floor")
    if old:
        mode, way, rounding = {"bilinear": "linear"}.get(mode, mode), "asymmetric", "floor"
    if node.get("antialias", 0) or way == "tf_crop_and_resize":
        node.refuse("antialiasing and crops are not supported")
    if mode not in ("nearest", "linear", "cubic") or (mode != "nearest" and not x.is_float):
        node.refuse(f"mode {mode} of {x.dtype} is not supported")
    axes = [x.axis(int(a)) for a in node.get("axes", range(x.rank))]
    sizes, scales = _sizes(node, [x.shape[a] for a in axes], old)
    for axis, size, scale in zip(axes, sizes, scales, strict=True):
        if size == x.shape[axis] and scale == 1:
            continue
        if way == "align_corners" and scale * x.shape[axis] % 1 and round(scale * x.shape[axis], 4) != size:
            node.refuse(f"the corners of an axis of {x.shape[axis]} resized by {scale:g} do not align")
        low.require_room(size)
        at = _coordinates(way, x.shape[axis], size, scale)
        x = _resized(low, node, x, axis, _taps(node, mode, rounding, at, x.shape[axis]))
    return [x]


def _sizes(node: Node, lengths: Sequence[int], old: bool) -> tuple[list[int], list[float]]:
    """Output lengths and scales of the axes that are resized."""
    place = 1 if old else 2
    if not old and node.has(3) and node.constant(3, "sizes").size:
        sizes = [int(v) for v in node.constant(3, "sizes").reshape(-1)]
        scales = [size / length for size, length in zip(sizes, lengths, strict=True)]
        policy = node.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            scale = min(scales) if policy == "not_larger" else max(scales)
            scales = [scale] * len(scales)
            sizes = [int(np.floor(scale * length + 0.5)) for length in lengths]
    else:
        given = node.constant(place, "scales") if node.has(place) else node.attributes.get("scales", ())
        scales = [float(v) for v in np.asarray(given).reshape(-1)]
        sizes = [int(np.floor(s * length)) for s, length in zip(scales, lengths, strict=True)]
    if min(sizes, default=0) < 1:
        node.refuse(f"its output would have axes of {sizes}")
    return sizes, scales


def _coordinates(way: str, length: int, size: int, scale: float) -> Array:
    """Where every output position lies in the input, in binary64."""
    i = np.arange(size, dtype=np.float64)
    match way:
        case "half_pixel":
            return np.asarray((i + 0.5) / scale - 0.5)
        case "half_pixel_symmetric":
            return np.asarray(length / 2 * (1 - size / (scale * length)) + (i + 0.5) / scale - 0.5)
        case "pytorch_half_pixel":
            return np.asarray((i + 0.5) / scale - 0.5 if size > 1 else i)
        case "align_corners":
            return np.asarray(i * (length - 1) / (size - 1) if size > 1 else i)
        case "asymmetric":
            return np.asarray(i / scale)
        case "tf_half_pixel_for_nn":
            return np.asarray((i + 0.5) / scale)
    raise ValueError(f"its coordinate_transformation_mode {way} is not known")


def _taps(node: Node, mode: str, rounding: str, at: Array, length: int) -> _Axis:
    if mode == "nearest":
        match rounding:
            case "round_prefer_floor":
                near = np.ceil(at - 0.5)
            case "round_prefer_ceil":
                near = np.floor(at + 0.5)
            case "floor":
                near = np.floor(at)
            case "ceil":
                near = np.ceil(at)
            case _:
                node.refuse(f"its nearest_mode {rounding} is not known")
        positions, weights = near[None], np.ones((1, at.size))
    elif mode == "linear":
        positions = np.floor(at) + np.arange(2)[:, None]
        weights = 1 - np.abs(at - positions)
    else:
        positions = np.floor(at) + np.arange(-1, 3)[:, None]
        weights = _cubic(np.abs(at - positions), float(node.get("cubic_coeff_a", -0.75)))
    if mode == "cubic" and node.get("exclude_outside", 0):
        weights = np.where((positions >= 0) & (positions < length), weights, 0)
        weights = weights / (weights[0] + weights[1] + weights[2] + weights[3])
    return _Axis(np.clip(positions, 0, length - 1).astype(np.int64), weights.astype(np.float32))


def _cubic(d: Array, a: float) -> Array:
    """Keys' kernel at distances d ≤ 2."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, far)


def _resized(low: Lowering, node: Node, x: Tensor, axis: int, taps: _Axis) -> Tensor:
    if len(taps.positions) == 1:
        return _picked(low, node, x, axis, taps.positions[0])
    x = low.leaf(x)
    result: Tensor | None = None
    for positions, weights in zip(taps.positions, taps.weights, strict=True):
        part = _picked(low, node, x, axis, positions)
        weight = Tensor.constant(weights.reshape([-1 if a == axis else 1 for a in range(x.rank)]))
        if result is None:
            result = low.apply(lambda v, w: v * w, part, weight)
        else:
            result = low.apply(lambda r, v, w: r + v * w, result, part, weight)
    assert result is not None
    return result


def _picked(low: Lowering, node: Node, x: Tensor, axis: int, positions: Array) -> Tensor:
    """Those positions of an axis: a view where each is repeated equally often, or they are evenly spaced."""
    length, times = x.shape[axis], len(positions) // x.shape[axis]
    if times > 1 and np.array_equal(positions, np.repeat(np.arange(length), times)):
        x = low.settled(x)
        split = (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :])
        wide = (*x.shape[: axis + 1], times, *x.shape[axis + 1 :])
        joined = (*x.shape[:axis], length * times, *x.shape[axis + 1 :])
        x = reshape_to(low, x, split)
        x = x.moved(wide, lambda d: np.broadcast_to(d, wide), lambda v: v.broadcast_to(wide))
        return reshape_to(low, x, joined)
    index = Tensor.constant(positions)
    return gather(low, replace(node, inputs=(x, index), attributes={"axis": axis}))[0]


HANDLERS: dict[str, Handler] = {"Resize": resize, "Upsample": resize}
