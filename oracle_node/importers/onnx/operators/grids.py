"""Numbers on a quantisation grid, (q − zero)·scale, and the steps that ONNX Runtime's quantised kernels share.

Each step is the one integer or binary32 operation that the runtime does. Not here: which operator takes which steps
(`operators.quantized`, `operators.qlinear`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oracle_node.importers.onnx.lowering import F32, Lowering, integer_bounds
from oracle_node.importers.onnx.node import Node
from oracle_node.importers.onnx.operators.convolution import convolved
from oracle_node.importers.onnx.operators.product import reshaped, result_shape, transposed
from oracle_node.importers.onnx.products import contract
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.expression import Scalar
from oracle_node.tape.types import Array
from oracle_node.tape.view import View

I32 = np.dtype(np.int32)
TYPES = tuple(np.dtype(kind) for kind in (np.uint8, np.int8, np.int16))
"""What activations and weights are quantised to."""


@dataclass(frozen=True)
class Grid:
    """`scale` f32 and `zero` i64, one number each or one a channel, ready to broadcast; `dtype` of the integers."""

    scale: Array
    zero: Array
    dtype: np.dtype[np.generic]

    @property
    def is_uniform(self) -> bool:
        """Whether the whole tensor has one scale and one zero point."""
        return self.scale.size == 1 and self.zero.size == 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Dequantised(Tensor):
    """A float tensor known to be integers, `centred` on their zero points, times `factor`."""

    centred: Tensor
    factor: Array


def grid(node: Node, scale: int, zero: int, rank: int = 0, axis: int = 0) -> Grid:
    """The grid that two constant inputs describe; a list of them runs along `axis` of a tensor of that rank."""
    scales = node.constant(scale, "scale")
    zeros = node.constant(zero, "zero point") if node.has(zero) else np.zeros(scales.shape, np.uint8)
    if scales.dtype != np.float32:
        node.refuse(f"its scale is {scales.dtype}: only float32 scales can be imported")
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        node.refuse("a scale is not a positive number: quantise the network again")
    return Grid(
        _along(node, scales, rank, axis), _along(node, zeros.astype(np.int64), rank, axis), zeros.dtype
    )


def quantised_grid(node: Node, scale: int, zero: int, x: Tensor, axis: int = 0) -> Grid:
    """The grid of an input of 8- or 16-bit integers; without a zero point it is 0, in the input's type."""
    found = grid(node, scale, zero, x.rank, axis)
    if x.dtype not in TYPES or (node.has(zero) and found.dtype != x.dtype):
        node.refuse(
            f"its input is {x.dtype} with a zero point of {found.dtype}: only uint8, int8 and int16 can be"
        )
    return Grid(found.scale, found.zero, x.dtype)


def _along(node: Node, values: Array, rank: int, axis: int) -> Array:
    if values.size == 1:
        return values.reshape(())
    if values.ndim != 1 or not -rank <= axis < rank:
        node.refuse(
            f"scales or zero points of {values.shape} do not run along axis {axis}: blocks are not supported"
        )
    return values.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


def centred(low: Lowering, x: Tensor, zero: Array | Tensor) -> Tensor:
    """x − zero as i32, exactly."""
    if not isinstance(zero, Tensor):
        if x.data is not None:
            return Tensor.constant(x.data.astype(np.int64) - zero)
        if not zero.any():
            return x
        zero = Tensor.constant(zero)
    return low.apply(lambda v, z: v - z, x, zero, dtype=I32)


def dequantised(low: Lowering, x: Tensor, g: Grid) -> Dequantised:
    """float(x − zero)·scale, one binary32 product; the integers stay known."""
    # with no more than these, a tensor that several nodes read is not written out as floats
    whole = centred(low, low.compact(x, operations=2), g.zero)
    if whole.data is not None:
        data = whole.data.astype(np.float32) * g.scale
        return Dequantised(data.shape, F32, data, centred=whole, factor=g.scale)
    t = low.apply(lambda v, s: v.to_float() * s, whole, Tensor.constant(g.scale))
    return Dequantised(t.shape, F32, None, t.expression, t.axes, None, centred=whole, factor=g.scale)


def quantised(low: Lowering, x: Tensor, g: Grid) -> Tensor:
    """round(x / scale) + zero, half to even, saturated: one binary32 division."""
    lowest, highest = integer_bounds(g.dtype)
    if x.data is not None:
        rounded = np.rint(x.data / g.scale).astype(np.float64)
        return Tensor.constant(np.clip(rounded + g.zero, lowest, highest).astype(g.dtype))
    return onto(low, low.apply(lambda v, s: v / s, x, Tensor.constant(g.scale)), g)


def onto(low: Lowering, x: Tensor, g: Grid) -> Tensor:
    """round(x) + zero, half to even, saturated, for x in units of the grid's scale."""
    lowest, highest = integer_bounds(g.dtype)

    def function(v: Scalar, z: Scalar | int) -> Scalar:
        if isinstance(z, int):
            return v.round().clamp(float(lowest - z), float(highest - z)).to_int() + z
        # no sum of a clamped float and a zero point can overflow, and it saturates as the runtime's does
        wide = float(2 * (highest - lowest))
        return (v.round().clamp(-wide, wide).to_int() + z).clamp(lowest, highest)

    return low.apply(function, x, Tensor.constant(g.zero), dtype=g.dtype)


def requantised(low: Lowering, total: Tensor, multiplier: Array, bias: Array | None, g: Grid) -> Tensor:
    """round(float(total + bias)·multiplier) + zero, saturated: QLinearConv's and QLinearMatMul's last step."""
    return onto(low, scaled_sum(low, total, multiplier, bias), g)


def scaled_sum(low: Lowering, total: Tensor, multiplier: Array, bias: Array | None = None) -> Tensor:
    """float(total + bias)·multiplier, the sum in i32 and one binary32 product."""
    if bias is not None:
        total = low.apply(lambda a, b: a + b, total, Tensor.constant(bias), dtype=I32)
    return low.apply(lambda a, m: a.to_float() * m, total, Tensor.constant(multiplier.astype(np.float32)))


def integer_conv(low: Lowering, node: Node, x: Tensor, kernel: Array) -> Tensor:
    """(N, C, …) ⊛ (O, C/group, …) of centred integers, exactly; padding is the zero point."""
    view = convolved(low, node, x, narrow(kernel))
    return _accumulated(low, node, Tensor.of_view(view, low.b.interval(view), I32))


def integer_product(low: Lowering, node: Node, a: Tensor, b: Tensor) -> Tensor:
    """numpy's matmul of centred integers, exactly."""
    shape = result_shape(node, a, b)
    a = reshaped(low, a, (1, *a.shape)) if a.rank == 1 else a
    b = reshaped(low, b, (*b.shape, 1)) if b.rank == 1 else b
    rows, columns = (_rows(low, t) for t in (a, transposed(low, b)))
    view = contract(low, rows.unsqueeze(-2), columns.unsqueeze(-3), 1)
    total = _accumulated(low, node, Tensor.of_view(view, low.b.interval(view), I32))
    return reshaped(low, total, shape)


def _rows(low: Lowering, x: Tensor) -> View:
    return low.b.const(narrow(x.data)) if x.data is not None else low.contiguous(x)


def narrow(data: Array) -> Array:
    """Centred weights in the narrowest type of a tape."""
    lowest, highest = int(data.min(initial=0)), int(data.max(initial=0))
    for dtype in (np.int8, np.uint8, np.int16, np.int32):
        if np.iinfo(dtype).min <= lowest and highest <= np.iinfo(dtype).max:
            return np.ascontiguousarray(data.astype(dtype))
    return np.ascontiguousarray(data)


def _accumulated(low: Lowering, node: Node, total: Tensor) -> Tensor:
    lowest, highest = integer_bounds(I32)
    interval = low.interval(total)
    if interval.lo < lowest or interval.hi > highest:
        node.refuse(
            f"its sums {interval} may overflow int32, where the runtime wraps around: split the product"
        )
    return total


def combined(parts: Sequence[Array]) -> Array:
    """The product of scales in binary32, from left to right."""
    result = parts[0].astype(np.float32)
    for part in parts[1:]:
        result = result * part.astype(np.float32)
    return result
