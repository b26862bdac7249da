"""Integers as digits for `MatMulInteger`, which is exact and fast for u8 activations ≤ 129 and weights in −127…127.

Activation digits are balanced (−64…64) and stored with 64 added; weight digits are balanced base-255 ones in i8.
"""

from dataclasses import dataclass

import numpy as np

from oracle_node.executors.onnx.constants import Constant
from oracle_node.executors.onnx.context import Context
from oracle_node.executors.onnx.graph import Elem, Graph, Value
from oracle_node.executors.onnx.tensors import EXACT, Reading
from oracle_node.executors.onnx.views import read
from oracle_node.tape.interval import Interval

ACTIVATION_LIMIT = 128
WEIGHT_LIMIT = 127
"""Largest digit, and largest magnitude of a weight digit."""
_BASE = 128
_HALF = 64
_WEIGHT_BASE = 255


@dataclass(frozen=True, slots=True)
class Digits:
    """How the integers of an interval become unsigned digits: `x = zero + Σ scale·(digit − shift)`."""

    scales: tuple[int, ...]
    zero: int
    shift: int
    """What `MatMulInteger` takes off every digit."""


def activation_digits(interval: Interval) -> Digits | None:
    """The fewest digits for the interval; None where they would be more than three."""
    low, high = int(interval.lo), int(interval.hi)
    if interval.magnitude > EXACT[Elem.F32]:
        return None
    if high - low <= ACTIVATION_LIMIT:
        if low >= 0:
            return Digits((1,), 0 if high <= ACTIVATION_LIMIT else low, 0)
        return Digits((1,), 0, -low) if high >= 0 else Digits((1,), low, 0)
    for scales in ((_BASE, 1), (_BASE * _BASE, _BASE, 1)):
        reach = _HALF * sum(scales)
        if high - low <= 2 * reach:
            return Digits(scales, 0 if -reach <= low and high <= reach else (low + high) // 2, _HALF)
    return None


def split_activations(context: Context, ref: int, digits: Digits) -> Value:
    """All digits of a tensor, the most significant first: u8 (digits, *shape). A CONCAT joins its parts' digits."""
    tensor = context.tensors[ref]
    if tensor.parts is not None and tensor.parts.worth_moving(context.tensors):
        axis = tensor.parts.axis + 1
        return context.graph.concat(
            [_part(context, reading, digits) for reading in tensor.parts.readings], axis
        )
    return context.tensors.derived(ref, digits, lambda: _split(context, ref, digits))


def _part(context: Context, reading: Reading, digits: Digits) -> Value:
    """The digits of one operand of a CONCAT: (digits, *its shape)."""
    tensor, planes = context.tensor(reading), len(digits.scales)
    if tensor.array is not None:
        whole = context.tensors.array(reading.ref, reading.view, Elem.of(tensor.dtype))
        shape = (planes, *whole.shape)
        split = whole.derived(digits, lambda data: _split_constant(data, digits), shape, np.dtype(np.uint8))
        value = context.tensors.constant(split)
    else:
        value = read(
            context.graph,
            split_activations(context, reading.ref, digits),
            reading.view.stacked(planes, tensor.count),
        )
    return context.graph.expand(value, (planes, *reading.view.shape))


def _split(context: Context, ref: int, digits: Digits) -> Value:
    graph = context.graph
    tensor = context.tensors[ref]
    shape = (1, *tensor.shape)
    if digits == Digits((1,), 0, 0) and Elem.U8 in tensor.forms:
        return graph.reshape(tensor.forms[Elem.U8], shape)
    value = context.tensors.form(ref, Elem.F32)
    if digits.scales == (1,):
        if digits.shift != digits.zero:
            value = graph.op("Add", [value, graph.scalar(digits.shift - digits.zero, Elem.F32)])
        return graph.reshape(graph.cast(value, Elem.U8), shape)
    if digits.zero:
        value = graph.op("Sub", [value, graph.scalar(digits.zero, Elem.F32)])
    low_first = []
    for _ in digits.scales[2:]:
        higher = graph.op("Round", [graph.op("Mul", [value, graph.scalar(1 / _BASE, Elem.F32)])])
        low = graph.op("Sub", [value, graph.op("Mul", [higher, graph.scalar(_BASE, Elem.F32)])])
        low_first.append(_quantize(graph, low, 1))
        value = higher
    top = _quantize(graph, value, _BASE)
    high = graph.op("DequantizeLinear", [top, *_scale(graph, _BASE)], Elem.F32, top.shape)
    low_first += [_quantize(graph, graph.op("Sub", [value, high]), 1), top]
    return graph.concat([graph.reshape(digit, shape) for digit in reversed(low_first)], axis=0)


def _split_constant(array: np.ndarray, digits: Digits) -> np.ndarray:
    """The digits of constant data: u8 (digits, *shape)."""
    rest, planes = array.astype(np.int64) - digits.zero, []
    for scale in digits.scales[:-1]:
        digit = np.rint(rest / scale).astype(np.int64)  # |rest| < 2^24: the quotient is exact
        planes.append(digit)
        rest = rest - digit * scale
    return (np.stack([*planes, rest]) + digits.shift).astype(np.uint8)


def _scale(graph: Graph, scale: int) -> tuple[Value, Value]:
    return graph.scalar(float(scale), Elem.F32), graph.scalar(_HALF, Elem.U8)


def _quantize(graph: Graph, value: Value, scale: int) -> Value:
    """round(value / scale) + 64 as u8."""
    return graph.op("QuantizeLinear", [value, *_scale(graph, scale)], Elem.U8, value.shape)


def weight_digits(weights: Constant, interval: Interval) -> list[tuple[int, Constant]] | None:
    """(scale, i8 matrix) pairs that add up to an integer matrix; None where two digits cannot hold it."""
    largest, i8 = int(interval.magnitude), np.dtype(np.int8)
    if largest <= WEIGHT_LIMIT:
        return [(1, weights.cast(i8))]
    if largest > WEIGHT_LIMIT * (_WEIGHT_BASE + 1):
        return None
    top = weights.mapped("high digit", lambda data: _high_digit(data).astype(np.int8), i8)
    low = weights.mapped(
        "low digit", lambda data: (data - _high_digit(data) * _WEIGHT_BASE).astype(np.int8), i8
    )
    return [(_WEIGHT_BASE, top), (1, low)]


def _high_digit(data: np.ndarray) -> np.ndarray:
    """The most significant of two digits, in i16 at least: |data| + 127 fits it."""
    wide = data.astype(np.promote_types(data.dtype, np.int16), copy=False)
    return np.asarray((wide + WEIGHT_LIMIT) // _WEIGHT_BASE)
