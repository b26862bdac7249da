"""Activations and other functions of one element, beyond the plain ones of `elementwise`; and sums of several tensors.

Their errors are those of `oracle_node.tape.functions`.
"""

from collections.abc import Callable
from dataclasses import replace
from math import sqrt

import numpy as np
from onnx import helper

from oracle_node.importers.onnx.lowering import Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators.elementwise import cast, divide
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape import functions
from oracle_node.tape.expression import Number, Scalar

_SELU = (1.67326319217681884765625, 1.05070102214813232421875)


def _float(node: Node, attribute: str, default: float) -> float:
    return float(np.float32(node.get(attribute, default)))


def _plain(function: Callable[[Scalar], Scalar]) -> Handler:
    def handler(low: Lowering, node: Node) -> list[Tensor]:
        x = node.input(0)
        if not x.is_float:
            node.refuse(f"its input is {x.dtype}, not float32")
        return [low.apply(function, x)]

    return handler


def sign(low: Lowering, node: Node) -> list[Tensor]:
    """−1, 0 or 1; exact."""
    x = node.input(0)

    def function(v: Scalar) -> Scalar:
        zero: Number = 0.0 if v.kind == "float" else 0
        result = (v > zero) - (v < zero)
        return result.to_float() if v.kind == "float" else result

    return [low.apply(function, x, dtype=x.dtype)]


def elu(low: Lowering, node: Node) -> list[Tensor]:
    alpha = _float(node, "alpha", 1.0)
    return [low.apply(lambda v: functions.elu(v, alpha), node.input(0))]


def celu(low: Lowering, node: Node) -> list[Tensor]:
    alpha = _float(node, "alpha", 1.0)
    if alpha <= 0:
        node.refuse(f"its alpha {alpha} is not positive")
    return [low.apply(lambda v: functions.celu(v, alpha), node.input(0))]


def selu(low: Lowering, node: Node) -> list[Tensor]:
    """gamma·elu(x, alpha)."""
    alpha, gamma = _float(node, "alpha", _SELU[0]), _float(node, "gamma", _SELU[1])
    return [low.apply(lambda v: functions.elu(v, alpha) * gamma, node.input(0))]


def thresholded_relu(low: Lowering, node: Node) -> list[Tensor]:
    alpha = _float(node, "alpha", 1.0)
    return [low.apply(lambda v: (v > alpha).where(v, 0.0), node.input(0))]


def shrink(low: Lowering, node: Node) -> list[Tensor]:
    """Towards zero by bias, and zero within lambd of it."""
    bias, limit = _float(node, "bias", 0.0), _float(node, "lambd", 0.5)
    if not node.input(0).is_float:
        node.refuse(f"its input is {node.input(0).dtype}, not float32")
    return [
        low.apply(lambda v: (v < -limit).where(v + bias, (v > limit).where(v - bias, 0.0)), node.input(0))
    ]


def prelu(low: Lowering, node: Node) -> list[Tensor]:
    """x, or slope·x below zero; the slope broadcasts to x."""
    x, slope = node.input(0), node.input(1)
    if np.broadcast_shapes(x.shape, slope.shape) != x.shape:
        node.refuse(f"its slope {slope.shape} does not broadcast to {x.shape}")
    zero: Number = 0.0 if x.is_float else 0
    return [low.apply(lambda v, s: (v < zero).where(v * s, v), x, slope, dtype=x.dtype)]


def gelu(low: Lowering, node: Node) -> list[Tensor]:
    approximate = node.get("approximate", "none")
    if approximate not in ("none", "tanh"):
        node.refuse(f"its approximation {approximate!r} is not known")
    if approximate == "tanh":
        return [low.apply(functions.gelu_tanh, node.input(0))]
    x = low.compact(node.input(0), operations=0)
    halves = _erf(low, low.scaled(x, sqrt(0.5)))
    return [low.apply(lambda v, e: v * 0.5 * (e + 1.0), x, halves)]


def _erf(low: Lowering, x: Tensor) -> Tensor:
    """erf in two programs: one alone is so long that proving it costs as much as several operands."""
    x = low.compact(low.frozen(x), operations=0)
    far = low.materialise(low.apply(functions.erf_far, x))
    return low.apply(functions.erf_with, x, far)


def erf(low: Lowering, node: Node) -> list[Tensor]:
    if not node.input(0).is_float:
        node.refuse(f"its input is {node.input(0).dtype}, not float32")
    return [_erf(low, node.input(0))]


def swish(low: Lowering, node: Node) -> list[Tensor]:
    """x·sigmoid(alpha·x)."""
    alpha = _float(node, "alpha", 1.0)
    return [low.apply(lambda v: v * functions.sigmoid(v * alpha), node.input(0))]


def reciprocal(low: Lowering, node: Node) -> list[Tensor]:
    """1/x, of what is proved not to be zero."""
    x = node.input(0)
    return [divide(low, Tensor.constant(np.ones((), np.float32)), x)]


def added(low: Lowering, node: Node) -> list[Tensor]:
    """Sum of any number of tensors, in order; Mean divides it by their number (one more rounding)."""
    parts = [node.input(i) for i in range(len(node.inputs))]
    result = parts[0]
    for part in parts[1:]:
        result = low.apply(lambda a, b: a + b, result, part, dtype=result.dtype)
    return [low.scaled(result, 1.0 / len(parts)) if node.operator == "Mean" else result]


def cast_like(low: Lowering, node: Node) -> list[Tensor]:
    """Cast to the type of the second input."""
    target = helper.np_dtype_to_tensor_dtype(node.input(1).dtype)
    return list(cast(low, replace(node, attributes={"to": int(target)})))


HANDLERS: dict[str, Handler] = {
    "Exp": _plain(functions.exp),
    "Log": _plain(functions.ln),
    "Erf": erf,
    "Floor": _plain(lambda v: v.floor()),
    "Ceil": _plain(lambda v: -(-v).floor()),
    "Round": _plain(lambda v: v.round()),
    "Softplus": _plain(functions.softplus),
    "Softsign": _plain(functions.softsign),
    "Mish": _plain(functions.mish),
    "Sign": sign,
    "Elu": elu,
    "Celu": celu,
    "Selu": selu,
    "ThresholdedRelu": thresholded_relu,
    "Shrink": shrink,
    "PRelu": prelu,
    "Gelu": gelu,
    "Swish": swish,
    "Reciprocal": reciprocal,
    "CastLike": cast_like,
    "Sum": added,
    "Mean": added,
}
