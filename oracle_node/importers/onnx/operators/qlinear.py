"""QLinearConv, QLinearMatMul and com.microsoft's QLinear* operators: integers in, integers out.

The products sum exactly and are rescaled by one binary32 product, rounded half to even: ONNX Runtime's bits. The others
compute with floats inside, which the runtime does in several ways by processor (QLinearAdd with or without a fused
multiply-add): they follow its portable formula, and may differ from a given machine's by one where that is near a tie.
"""

from dataclasses import replace
from math import prod

import numpy as np

from oracle_node.importers.onnx.lowering import Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators import elementwise, movement, pooling, reduction
from oracle_node.importers.onnx.operators.grids import (
    I32,
    Grid,
    centred,
    combined,
    dequantised,
    grid,
    integer_conv,
    integer_product,
    onto,
    quantised,
    quantised_grid,
    requantised,
    scaled_sum,
)
from oracle_node.importers.onnx.operators.product import transposed
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.blocks import sum_bounded
from oracle_node.tape.expression import Scalar


def conv(low: Lowering, node: Node) -> list[Tensor]:
    """x, w (one scale, or one an output channel), and an int32 bias in units of both scales."""
    x, w = node.input(0), node.constant(3, "weight")
    gx, gw = quantised_grid(node, 1, 2, x), quantised_grid(node, 4, 5, node.input(3))
    gy = _result_grid(node, 6, 7)
    _require_uniform(node, gx, gy)
    total = integer_conv(low, node, centred(low, x, gx.zero), w.astype(np.int64) - gw.zero)
    channels = (1, -1, *(1 for _ in w.shape[2:]))
    scale = gw.scale.reshape(channels) if gw.scale.size > 1 else gw.scale
    bias = node.constant(8, "bias").reshape(channels) if node.has(8) else None
    return [requantised(low, total, combined([gx.scale, scale]) / gy.scale, bias, gy)]


def matmul(low: Lowering, node: Node) -> list[Tensor]:
    """a times b (one scale, or one a column)."""
    a, b = node.input(0), node.input(3)
    ga, gb = quantised_grid(node, 1, 2, a), quantised_grid(node, 4, 5, b, -1)
    gy = _result_grid(node, 6, 7)
    _require_uniform(node, ga, gy)
    total = integer_product(low, node, centred(low, a, ga.zero), centred(low, b, gb.zero))
    return [requantised(low, total, combined([ga.scale, gb.scale]) / gy.scale, None, gy)]


def gemm(low: Lowering, node: Node) -> list[Tensor]:
    """alpha·A·B + C with an int32 C; without an output scale the result is float."""
    turned = [bool(node.get(f"trans{n}", 0)) for n in "AB"]
    a, b = node.input(0), node.input(3)
    ga, gb = quantised_grid(node, 1, 2, a), quantised_grid(node, 4, 5, b, 0 if turned[1] else 1)
    _require_uniform(node, ga)
    sides = [centred(low, a, ga.zero), centred(low, b, gb.zero)]
    sides = [transposed(low, t) if turn else t for t, turn in zip(sides, turned, strict=True)]
    total = integer_product(low, node, *sides)
    alpha = np.asarray(node.get("alpha", 1.0), np.float32)
    scale = combined([alpha, ga.scale, gb.scale.reshape(-1) if gb.scale.size > 1 else gb.scale])
    bias = node.constant(6, "bias") if node.has(6) else None
    if not node.has(7):
        return [scaled_sum(low, total, scale, bias)]
    gy = _result_grid(node, 7, 8)
    return [requantised(low, total, scale / gy.scale, bias, gy)]


def add(low: Lowering, node: Node) -> list[Tensor]:
    """a·(sa/sy) + (b·(sb/sy) + (zy − (za·(sa/sy) + zb·(sb/sy)))), each step in binary32."""
    a, b = node.input(0), node.input(3)
    ga, gb, gy = quantised_grid(node, 1, 2, a), quantised_grid(node, 4, 5, b), _result_grid(node, 6, 7)
    _require_uniform(node, ga, gb, gy)
    left, right = ga.scale / gy.scale, gb.scale / gy.scale
    zeros = (g.zero.astype(np.float32) for g in (ga, gb, gy))
    za, zb, zy = zeros
    fixed = float(zy - (left * za + right * zb))
    p, q = float(left), float(right)

    def function(v: Scalar, w: Scalar) -> Scalar:
        return v.to_float() * p + (w.to_float() * q + fixed)

    return [_saturated(low, low.apply(function, _as_tensor(low, a), _as_tensor(low, b)), gy)]


def multiply(low: Lowering, node: Node) -> list[Tensor]:
    """(a − za)·(b − zb)·(sa·sb/sy)."""
    a, b = node.input(0), node.input(3)
    ga, gb, gy = quantised_grid(node, 1, 2, a), quantised_grid(node, 4, 5, b), _result_grid(node, 6, 7)
    _require_uniform(node, ga, gb, gy)
    factor = combined([ga.scale, gb.scale]) / gy.scale
    parts = [centred(low, _as_tensor(low, a), ga.zero), centred(low, _as_tensor(low, b), gb.zero)]
    total = low.apply(lambda v, w: v * w, *parts, dtype=I32)
    return [requantised(low, total, factor, None, gy)]


def global_average(low: Lowering, node: Node) -> list[Tensor]:
    """Σ (x − zx)·(sx / (sy·n)) over all positions."""
    x = node.input(0)
    gx, gy = quantised_grid(node, 1, 2, x), _result_grid(node, 3, 4)
    _require_uniform(node, gx, gy)
    if x.rank < 3 or node.get("channels_last", 0):
        node.refuse("only channels before the positions are supported: channels_last must be 0")
    size = prod(x.shape[2:])
    rows = low.contiguous(centred(low, x, gx.zero)).reshape(*x.shape[:2], size)
    view = sum_bounded(low.b, rows, 1).reshape(*x.shape[:2], *(1 for _ in x.shape[2:]))
    total = Tensor.of_view(view, low.b.interval(view), I32)
    factor = gx.scale / (gy.scale * np.float32(size))
    return [requantised(low, total, np.asarray(factor, np.float32), None, gy)]


def concat(low: Lowering, node: Node) -> list[Tensor]:
    """Every part brought onto the result's grid, unless it is there already."""
    gy, parts = _result_grid(node, 0, 1), []
    for position in range(2, len(node.inputs), 3):
        x = node.input(position)
        g = quantised_grid(node, position + 1, position + 2, x)
        _require_uniform(node, g, gy)
        same = g.scale == gy.scale and g.zero == gy.zero and x.dtype == gy.dtype
        parts.append(x if same else quantised(low, dequantised(low, x, g), gy))
    axis = parts[0].axis(int(node.get("axis", 0)))
    return [movement.concatenated(low, parts, axis)]


def _between(operator: str, handler: Handler) -> Handler:
    """The float operator between DequantizeLinear and QuantizeLinear, as the runtime tabulates it."""

    def handle(low: Lowering, node: Node) -> list[Tensor]:
        x = node.input(0)
        gx, gy = quantised_grid(node, 1, 2, x), _result_grid(node, 3, 4)
        _require_uniform(node, gx, gy)
        opset = int(node.get("opset", node.opset))
        inner = replace(node, operator=operator, inputs=(dequantised(low, x, gx),), opset=opset)
        return [quantised(low, handler(low, inner)[0], gy)]

    return handle


def _result_grid(node: Node, scale: int, zero: int) -> Grid:
    found = grid(node, scale, zero)
    if found.dtype not in (np.uint8, np.int8):
        node.refuse(f"its result is {found.dtype}: only uint8 and int8 can be imported")
    return found


def _require_uniform(node: Node, *grids: Grid) -> None:
    if not all(g.is_uniform for g in grids):
        node.refuse("scales a channel are supported only for the weights of products: quantise per tensor")


def _as_tensor(low: Lowering, x: Tensor) -> Tensor:
    return low.compact(x, operations=4)


def _saturated(low: Lowering, x: Tensor, g: Grid) -> Tensor:
    """round(x), half to even, saturated; x holds the zero point already."""
    return onto(low, x, Grid(g.scale, np.zeros((), np.int64), g.dtype))


_MICROSOFT: dict[str, Handler] = {
    "QGemm": gemm,
    "QLinearAdd": add,
    "QLinearMul": multiply,
    "QLinearGlobalAveragePool": global_average,
    "QLinearAveragePool": _between("AveragePool", pooling.average_pool),
    "QLinearConcat": concat,
    "QLinearSigmoid": _between("Sigmoid", elementwise.HANDLERS["Sigmoid"]),
    "QLinearLeakyRelu": _between("LeakyRelu", elementwise.HANDLERS["LeakyRelu"]),
    "QLinearSoftmax": _between("Softmax", reduction.HANDLERS["Softmax"]),
}

HANDLERS: dict[str, Handler] = {
    "QLinearConv": conv,
    "QLinearMatMul": matmul,
    **{f"com.microsoft.{name}": handler for name, handler in _MICROSOFT.items()},
}
