"""Matrix products with constant weights on `MatMulInteger`.

Digits of the activations are extra rows of one product; each digit of the weights is a matrix of its own.
"""

from oracle_node.executors.onnx.arrays import column_sums
from oracle_node.executors.onnx.constants import Constant
from oracle_node.executors.onnx.digits import (
    ACTIVATION_LIMIT,
    WEIGHT_LIMIT,
    Digits,
    activation_digits,
    split_activations,
    weight_digits,
)
from oracle_node.executors.onnx.graph import Elem, Value
from oracle_node.executors.onnx.matrices import Matrices, largest_column_sum
from oracle_node.executors.onnx.tensors import EXACT

_F32_MACS_PER_NS, _F64_MACS_PER_NS, _INTEGER_MACS_PER_NS = 40.0, 26.0, 180.0
_F32_WEIGHT_NS, _F64_WEIGHT_NS, _INTEGER_WEIGHT_NS = 0.08, 0.35, 0.02
"""Measured on one core with VNNI: products while nothing else matters, and per weight, for few rows."""
_DIGIT_NS, _COMBINE_NS, _F64_CAST_NS, _WINDOW_NS, _KERNEL_NS = 0.5, 0.6, 0.3, 0.6, 500.0
"""The same: per activation and digit, per result and digit, per element cast from or to f64, per element of a window
gathered, and per kernel, whatever its size."""
_CLEARLY = 1.25
"""Products of one tensor share its digits: in doubt they are cheaper."""


def multiply_digits(matrices: Matrices) -> Value | None:
    """The product, (batch, rows, columns); None where digits do not apply or a float product is cheaper."""
    weights = matrices.constant_right()
    digits = activation_digits(matrices.context.tensor(matrices.product.left).interval)
    if weights is None or digits is None:
        return None
    if matrices.inner * ACTIVATION_LIMIT * WEIGHT_LIMIT > EXACT[Elem.I32]:
        return None
    parts = weight_digits(weights, matrices.context.tensor(matrices.product.right).interval)
    if parts is None or _float_is_cheaper(matrices, digits, len(parts)):
        return None
    tensors, ref = matrices.context.tensors, matrices.product.left.ref
    planes = tensors.derived(
        ref, ("planes", digits), lambda: split_activations(matrices.context, ref, digits)
    )
    rows = matrices.left_planes(planes)
    elem = _carrier(matrices, parts)
    total: Value | None = None
    for scale, part in parts:
        value = _scaled(matrices, _multiply(matrices, rows, part, len(parts), digits, elem), scale)
        total = value if total is None else matrices.context.graph.op("Add", [total, value])
    return total


def _float_is_cheaper(matrices: Matrices, digits: Digits, parts: int) -> bool:
    """Whether one exact float product costs less than splitting, multiplying digits and putting them together."""
    planes = len(digits.scales)
    macs = matrices.batch * matrices.rows * matrices.columns * matrices.inner
    read, written = (matrices.batch * matrices.rows * n for n in (matrices.inner, matrices.columns))
    windows = _WINDOW_NS * read if read > matrices.context.tensor(matrices.product.left).count else 0.0
    weights = matrices.batch * matrices.inner * matrices.columns
    kernels = 3 * (planes - 1) + parts * (3 * planes - 2)
    integer = parts * (macs * planes / _INTEGER_MACS_PER_NS + weights * _INTEGER_WEIGHT_NS)
    integer += kernels * _KERNEL_NS
    integer += planes * (read * _DIGIT_NS + windows + written * parts * _COMBINE_NS)
    bound = matrices.largest_sum()
    if bound < EXACT[Elem.F32]:
        return macs / _F32_MACS_PER_NS + weights * _F32_WEIGHT_NS + windows < integer
    wide = macs / _F64_MACS_PER_NS + weights * _F64_WEIGHT_NS + windows + (read + written) * _F64_CAST_NS
    return bound < EXACT[Elem.F64] and _CLEARLY * wide < integer


def _carrier(matrices: Matrices, parts: list[tuple[int, Constant]]) -> Elem:
    """A carrier for the result; i32 may wrap on the way, f64 must hold every part."""
    if matrices.product.result.magnitude <= EXACT[Elem.I32]:
        return Elem.I32
    bound = sum(scale * _largest_sum(matrices, part, len(parts)) for scale, part in parts)
    return Elem.F64 if bound < EXACT[Elem.F64] else Elem.I64


def _largest_sum(matrices: Matrices, part: Constant, parts: int) -> int:
    """Σ|left||digit of right|: the most that any partial sum can reach."""
    if parts == 1:
        return matrices.largest_sum()
    left = int(matrices.context.tensor(matrices.product.left).interval.magnitude)
    coarse = left * matrices.inner * WEIGHT_LIMIT
    return coarse if coarse <= EXACT[Elem.I32] else left * largest_column_sum(part)


def _multiply(
    matrices: Matrices, rows: Value, weights: Constant, parts: int, digits: Digits, elem: Elem
) -> Value:
    """One digit of the weights with all digits of the activations, put together in a carrier."""
    graph, planes = matrices.context.graph, len(digits.scales)
    shape = matrices.stack(planes * matrices.rows, matrices.columns)
    operands = [rows, matrices.context.tensors.constant(weights)]
    if digits.shift:
        operands.append(graph.scalar(digits.shift, Elem.U8))
    sums = graph.op("MatMulInteger", operands, Elem.I32, shape)
    inner = Elem.I32 if _largest_sum(matrices, weights, parts) <= EXACT[Elem.I32] else elem
    value = _join_planes(matrices, graph.cast(sums, inner), digits)
    if digits.zero:
        correction = weights.derived(
            ("correction", digits, inner),
            lambda data: (column_sums(data) * digits.zero).astype(inner.numpy),  # wraps with the carrier
            (*weights.shape[:-2], 1, weights.shape[-1]),
            inner.numpy,
        )
        value = graph.op("Add", [value, matrices.context.tensors.constant(correction)])
    return graph.cast(value, elem)


def _join_planes(matrices: Matrices, sums: Value, digits: Digits) -> Value:
    """Σ scale·plane over planes that lie below each other."""
    if len(digits.scales) == 1:
        return sums
    total: Value | None = None
    axis = len(sums.shape) - 2
    counts = (*sums.shape[:axis], matrices.rows, matrices.columns)
    for plane, scale in enumerate(digits.scales):
        starts = [0] * len(counts)
        starts[axis] = plane * matrices.rows
        value = _scaled(
            matrices, matrices.context.graph.slice(sums, starts, counts, [1] * len(counts)), scale
        )
        total = value if total is None else matrices.context.graph.op("Add", [total, value])
    assert total is not None
    return total


def _scaled(matrices: Matrices, value: Value, scale: int) -> Value:
    graph = matrices.context.graph
    return value if scale == 1 else graph.op("Mul", [value, graph.scalar(scale, value.elem)])
