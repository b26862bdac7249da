"""QuantizeLinear, DequantizeLinear, the products between them, and products of integers (MatMulInteger, ConvInteger).

QuantizeLinear is round-half-even(x / scale) + zero point, saturated, with one binary32 division; DequantizeLinear is
(q − zero point)·scale in binary32: both as in ONNX Runtime. A Conv, MatMul or Gemm of two dequantised tensors is the
exact integer sum Σ (q−zq)(w−zw) times the scales: that is the tape's definition. The runtime's own result for such
a graph depends on whether it fuses it (then QLinearConv, rounded once) or not (then a float product), so the integers
that follow may differ from it by one where a sum lies half way between two.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from oracle_node.importers.onnx.lowering import Lowering, integer_bounds
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators import convolution, product
from oracle_node.importers.onnx.operators.grids import (
    I32,
    TYPES,
    Dequantised,
    Grid,
    centred,
    combined,
    dequantised,
    grid,
    integer_conv,
    integer_product,
    quantised,
    scaled_sum,
)
from oracle_node.importers.onnx.reductions import extreme
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.instruction import Reducer
from oracle_node.tape.types import Array

_SMALLEST_STEP = 2.0**-60
"""DynamicQuantizeLinear's scale is at least this: a tensor that spans less has no answer that means anything."""


class _Named(Protocol):
    @property
    def operator(self) -> str: ...


def has_quantised(nodes: Iterable[_Named]) -> bool:
    """Whether the network is quantised already, so that its float operations must be rounded one by one."""
    return any(
        "Quantize" in n.operator or "QLinear" in n.operator or n.operator.endswith("Integer") for n in nodes
    )


def quantize_linear(low: Lowering, node: Node) -> list[Tensor]:
    """To uint8, int8 or int16; per tensor or along an axis."""
    x = node.input(0)
    if not x.is_float:
        node.refuse(f"its input is {x.dtype}: only float32 can be quantised, put a Cast before it")
    return [quantised(low, x, _grid(node, x))]


def dequantize_linear(low: Lowering, node: Node) -> list[Tensor]:
    """From uint8, int8, int16 or int32; per tensor or along an axis."""
    x, g = node.input(0), _grid(node, node.input(0))
    if x.dtype not in (*TYPES, I32):
        node.refuse(f"its input is {x.dtype}: only uint8, int8, int16 and int32 can be dequantised")
    return [dequantised(low, x, g)]


def _grid(node: Node, x: Tensor) -> Grid:
    if node.get("block_size", 0):
        node.refuse("scales a block are not supported: quantise per tensor or per channel")
    found = grid(node, 1, 2, x.rank, int(node.get("axis", 1)))
    if node.operator.endswith("DequantizeLinear"):
        return found
    if not node.has(2) and node.get("output_dtype", 0):
        kinds = {2: np.uint8, 3: np.int8, 5: np.int16}
        found = replace(found, dtype=np.dtype(kinds.get(int(node.get("output_dtype", 0)), np.void)))
    if found.dtype not in TYPES:
        node.refuse(f"it quantises to {found.dtype}: only uint8, int8 and int16 can be")
    return found


def dynamic_quantize_linear(low: Lowering, node: Node) -> list[Tensor]:
    """uint8 integers, scale and zero point from the tensor's own range, which includes 0."""
    x = low.settled(low.compact(node.input(0), operations=8))
    if not x.is_float or x.is_constant:
        node.refuse("its input is not a float tensor that the network computes")
    ends = [extreme(low, reducer, x, range(x.rank)).reshaped(()) for reducer in (Reducer.MIN, Reducer.MAX)]

    def step(lowest, highest):  # type: ignore[no-untyped-def]
        span = highest.maximum(0.0) - lowest.minimum(0.0)
        return span.equals(0.0).where(1.0, (span / 255.0).maximum(_SMALLEST_STEP))

    scale = low.materialise(low.apply(step, *ends))
    zero = low.apply(
        lambda v, s: (0.0 - v.minimum(0.0) / s).clamp(0.0, 255.0).round().to_int(),
        ends[0], scale, dtype=np.dtype(np.uint8),
    )  # fmt: skip
    zero = low.materialise(zero)
    q = low.apply(
        lambda v, s, z: ((v / s).round().clamp(-512.0, 512.0).to_int() + z).clamp(0, 255),
        x, scale, zero, dtype=np.dtype(np.uint8),
    )  # fmt: skip
    return [q, scale, zero][: node.outputs]


def matmul_integer(low: Lowering, node: Node) -> list[Tensor]:
    """Σ (a − za)(b − zb) in int32; zero points may be the network's own, a row of a or a column of b."""
    a, b = node.input(0), node.input(1)
    left = centred(low, a, _zero(node, 2, (-1, 1)))
    return [integer_product(low, node, left, centred(low, b, _zero(node, 3, (-1,))))]


def conv_integer(low: Lowering, node: Node) -> list[Tensor]:
    """The same as a convolution, padded with x's zero point; the weights are constant."""
    x, w = node.input(0), node.constant(1, "weight")
    zero = _zero(node, 3, (-1, *(1 for _ in w.shape[1:])))
    if isinstance(zero, Tensor):
        node.refuse("its weights' zero point is computed by the network: only a constant can be imported")
    kernel = w.astype(np.int64) - zero
    return [integer_conv(low, node, centred(low, x, _zero(node, 2, ())), kernel)]


def _zero(node: Node, position: int, shape: Sequence[int]) -> Array | Tensor:
    """A zero point that is absent, constant or computed, as it broadcasts."""
    if not node.has(position):
        return np.zeros((), np.int64)
    given = node.input(position)
    if given.size == 1:
        return given.data.astype(np.int64).reshape(()) if given.data is not None else given
    if given.data is None or given.rank != 1:
        node.refuse(f"zero points of shape {given.shape} are supported only as a constant list")
    return given.data.astype(np.int64).reshape(tuple(shape))


def conv(low: Lowering, node: Node) -> list[Tensor]:
    """Between dequantised tensors the exact integer convolution, times the scales."""
    x, w = node.input(0), node.input(1)
    if not (isinstance(x, Dequantised) and isinstance(w, Dequantised) and w.centred.data is not None):
        return convolution.conv(low, node)
    if x.factor.size > 1 or (w.factor.size > 1 and w.factor.shape[0] != w.factor.size):
        return convolution.conv(low, node)
    total = integer_conv(low, node, x.centred, w.centred.data)
    channels = (1, -1, *(1 for _ in w.shape[2:]))
    factor = combined([x.factor, w.factor.reshape(channels) if w.factor.size > 1 else w.factor])
    return [_with_bias(low, total, factor, node.input(2) if node.has(2) else None, channels)]


def matmul(low: Lowering, node: Node) -> list[Tensor]:
    """Between dequantised tensors the exact integer product, times the scales."""
    factor = _product_factor(node.input(0), node.input(1))
    if factor is None:
        return product.matmul(low, node)
    total = integer_product(low, node, _integers(node.input(0)), _integers(node.input(1)))
    return [scaled_sum(low, total, factor)]


def gemm(low: Lowering, node: Node) -> list[Tensor]:
    """The same with transpositions and a bias; alpha and beta only as 1."""
    a, b = node.input(0), node.input(1)
    plain = float(node.get("alpha", 1.0)) == 1 and float(node.get("beta", 1.0)) == 1
    turned = [bool(node.get(f"trans{n}", 0)) for n in "AB"]
    factor = _product_factor(a, b, turned) if plain and a.rank == b.rank == 2 else None
    if factor is None:
        return product.gemm(low, node)
    sides = [
        product.transposed(low, _integers(t)) if turn else _integers(t)
        for t, turn in zip((a, b), turned, strict=True)
    ]
    total = integer_product(low, node, *sides)
    return [_with_bias(low, total, factor, node.input(2) if node.has(2) else None, (-1,))]


def _integers(x: Tensor) -> Tensor:
    assert isinstance(x, Dequantised)
    return x.centred


def _product_factor(a: Tensor, b: Tensor, turned: Sequence[bool] = (False, False)) -> Array | None:
    """The scale of every element of a·b; None where the factors are no integers, or have scales along the sum."""
    factors = []
    for side, turn, summed in zip((a, b), turned, (-1, -2), strict=True):
        if not isinstance(side, Dequantised):
            return None
        factor = side.factor.T if turn else side.factor
        if factor.size > 1 and (factor.ndim < 2 or factor.shape[summed] > 1):
            return None
        factors.append(factor)
    if any(f.size > 1 for f in factors) and min(a.rank, b.rank) < 2:
        return None
    return combined(factors)


def _with_bias(
    low: Lowering, total: Tensor, factor: Array, bias: Tensor | None, shape: Sequence[int]
) -> Tensor:
    """float(total + bias)·factor where the bias is in the same units, else float(total)·factor + bias."""
    if bias is None:
        return scaled_sum(low, total, factor)
    if isinstance(bias, Dequantised) and bias.centred.data is not None and bias.rank == 1:
        units = np.broadcast_to(bias.factor, bias.shape).reshape(tuple(shape))
        lowest, highest = integer_bounds(I32)
        span = low.interval(total)
        largest = int(np.abs(bias.centred.data).max(initial=0))
        if np.all(units == factor) and lowest + largest <= span.lo and span.hi <= highest - largest:
            return scaled_sum(low, total, factor, bias.centred.data.reshape(tuple(shape)))
    if bias.data is not None and bias.rank == 1:
        bias = Tensor.constant(bias.data.reshape(tuple(shape)))
    return low.apply(lambda v, c: v + c, scaled_sum(low, total, factor), bias)


_Q: dict[str, Callable[[Lowering, Node], list[Tensor]]] = {
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
}

HANDLERS: dict[str, Handler] = {
    **_Q,
    **{f"com.microsoft.{name}": handler for name, handler in _Q.items()},
    "DynamicQuantizeLinear": dynamic_quantize_linear,
    "MatMulInteger": matmul_integer,
    "ConvInteger": conv_integer,
    "Conv": conv,
    "MatMul": matmul,
    "Gemm": gemm,
}
