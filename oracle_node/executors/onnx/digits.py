"""Integers as base-128 digits for `MatMulInteger`, which is exact and fast for u8 activations ≤ 129 and weights in −127…127.

Activation digits are balanced (−64…64) and stored with 64 added; weight digits are balanced base-255 ones in i8.
"""

from dataclasses import dataclass

import numpy as np

from oracle_node.executors.onnx.context import Context
from oracle_node.executors.onnx.graph import Elem, Graph, Value
from oracle_node.executors.onnx.tensors import EXACT, Constants
from oracle_node.tape.interval import Interval

ACTIVATION_LIMIT = 128
WEIGHT_LIMIT = 127
"""Largest digit, and largest magnitude of a weight digit."""
_BASE = 128
_HALF = 64
_WEIGHT_BASE = 255


@dataclass(frozen=True, slots=True)
class Digits:
    """How the integers of an interval become unsigned digits: `x = Σ scale·digit + correction`."""

    scales: tuple[int, ...]
    zero: int
    """Subtracted before the split."""
    shift: int
    """Added to every digit."""

    @property
    def correction(self) -> int:
        return self.zero - self.shift * sum(self.scales)


def activation_digits(interval: Interval) -> Digits | None:
    """The fewest digits for the interval; None where they would be more than three."""
    low, high = int(interval.lo), int(interval.hi)
    if interval.magnitude > EXACT[Elem.F32]:
        return None
    if high - low <= ACTIVATION_LIMIT:
        return Digits((1,), 0 if 0 <= low and high <= ACTIVATION_LIMIT else low, 0)
    for scales in ((_BASE, 1), (_BASE * _BASE, _BASE, 1)):
        reach = _HALF * sum(scales)
        if -reach <= low and high <= reach:
            return Digits(scales, 0, _HALF)
        if high - low <= 2 * reach:
            return Digits(scales, (low + high) // 2, _HALF)
    return None


def split_activations(context: Context, ref: int, digits: Digits) -> Value:
    """All digits of a tensor, the most significant first: u8 of shape (digits, *shape)."""
    graph = context.graph
    tensor = context.tensors[ref]
    if digits.scales == (1,) and digits.zero == 0 and Elem.U8 in tensor.forms:
        return graph.reshape(tensor.forms[Elem.U8], (1, *tensor.shape))
    value = context.tensors.form(ref, Elem.F32)
    if digits.zero:
        value = graph.op("Sub", [value, graph.scalar(digits.zero, Elem.F32)])
    if digits.scales == (1,):
        return graph.reshape(graph.cast(value, Elem.U8), (1, *tensor.shape))
    low_first = []
    for _ in digits.scales[2:]:
        higher = graph.op("Round", [graph.op("Mul", [value, graph.scalar(1 / _BASE, Elem.F32)])])
        low = graph.op("Sub", [value, graph.op("Mul", [higher, graph.scalar(_BASE, Elem.F32)])])
        low_first.append(_quantize(graph, low, 1))
        value = higher
    top = _quantize(graph, value, _BASE)
    high = graph.op("DequantizeLinear", [top, *_scale(graph, _BASE)], Elem.F32, top.shape)
    low_first += [_quantize(graph, graph.op("Sub", [value, high]), 1), top]
    return graph.concat([graph.reshape(digit, (1, *tensor.shape)) for digit in reversed(low_first)], axis=0)


def _scale(graph: Graph, scale: int) -> tuple[Value, Value]:
    return graph.scalar(float(scale), Elem.F32), graph.scalar(_HALF, Elem.U8)


def _quantize(graph: Graph, value: Value, scale: int) -> Value:
    """round(value / scale) + 64 as u8."""
    return graph.op("QuantizeLinear", [value, *_scale(graph, scale)], Elem.U8, value.shape)


def weight_digits(constants: Constants, weights: np.ndarray) -> list[tuple[int, np.ndarray]] | None:
    """(scale, i8 matrix) pairs that add up to an integer matrix; None where two digits cannot hold it."""
    largest = max(abs(int(weights.min())), abs(int(weights.max()))) if weights.size else 0
    if largest <= WEIGHT_LIMIT:
        return [(1, constants.get(weights, Elem.I8, lambda: weights.astype(np.int8)))]
    if largest > WEIGHT_LIMIT * (_WEIGHT_BASE + 1):
        return None

    def high() -> np.ndarray:
        return (weights.astype(np.int32) + WEIGHT_LIMIT) // _WEIGHT_BASE

    top = constants.get(weights, "high digit", lambda: high().astype(np.int8))
    low = constants.get(weights, "low digit", lambda: (weights - high() * _WEIGHT_BASE).astype(np.int8))
    return [(_WEIGHT_BASE, top), (1, low)]
