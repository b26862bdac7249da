"""Normalisation by what a group of elements has at run time, norms, and running sums.

Means and sums are those of `blocks.mean`: fixed point, relative to the largest of their own group.
"""

from collections.abc import Sequence
from math import prod, sqrt

import numpy as np

from oracle_node.importers.onnx.extents import size
from oracle_node.importers.onnx.lowering import F32, I64, Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators.elementwise import divide
from oracle_node.importers.onnx.operators.movement import reshape_to, sliced
from oracle_node.importers.onnx.products import contract
from oracle_node.importers.onnx.reductions import SUM_LIMIT, extreme, mean, quantise, total
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape import functions
from oracle_node.tape.expression import Scalar
from oracle_node.tape.instruction import Reducer

_PRODUCT_ELEMENTS = 64


def _standardised(
    low: Lowering, x: Tensor, axes: Sequence[int], epsilon: float, centre: bool = True
) -> tuple[Tensor, Tensor | None, Tensor]:
    """(x − mean)/√(variance + ε) over the axes, the mean, and the reciprocal of the root; without `centre`, x/rms."""
    x = low.settled(low.compact(low.frozen(x), operations=0))
    middle = mean(low, x, axes) if centre else None
    d = x if middle is None else low.materialise(low.apply(lambda v, m: v - m, x, middle))
    variance = mean(low, low.apply(lambda v: v * v, d), axes)
    # without ε the network has no answer for a group of equal elements: here they are zeros
    least = max(epsilon, 2.0**-60)
    inverse = low.materialise(low.apply(lambda v: 1.0 / (v.maximum(0.0) + least).sqrt(), variance))
    # |d|/rms ≤ √n: a relation that intervals cannot see
    bound = float(np.float32(sqrt(size(x.extents[a] for a in axes)) * 1.001))
    return low.apply(lambda v, s: (v * s).clamp(-bound, bound), d, inverse), middle, inverse


def _affine(low: Lowering, x: Tensor, scale: Tensor | None, bias: Tensor | None) -> Tensor:
    """x·scale + bias, either of which may be absent."""
    if scale is not None:
        constant = scale.data is not None
        x = low.scaled(x, scale.data) if constant else low.apply(lambda v, s: v * s, x, scale)  # type: ignore[arg-type]
    if bias is not None:
        constant = bias.data is not None
        x = low.scaled(x, 1.0, bias.data) if constant else low.apply(lambda v, s: v + s, x, bias)  # type: ignore[arg-type]
    return x


def _require_floats(node: Node) -> Tensor:
    x = node.input(0)
    if not x.is_float:
        node.refuse(f"its input is {x.dtype}, not float32")
    return x


def _epsilon(node: Node, default: float = 1e-5) -> float:
    return float(np.float32(node.get("epsilon", default)))


def layer_normalization(low: Lowering, node: Node) -> list[Tensor]:
    """Over the axes from `axis` on, with the mean and the reciprocal deviation where they are asked for."""
    x = _require_floats(node)
    axes = range(x.axis(int(node.get("axis", -1))), x.rank)
    y, middle, inverse = _standardised(low, x, axes, _epsilon(node))
    assert middle is not None
    y = _affine(low, y, node.input(1), node.input(2) if node.has(2) else None)
    return [y, middle, inverse][: node.outputs]


def rms_normalization(low: Lowering, node: Node) -> list[Tensor]:
    x = _require_floats(node)
    axes = range(x.axis(int(node.get("axis", -1))), x.rank)
    return [_affine(low, _standardised(low, x, axes, _epsilon(node), centre=False)[0], node.input(1), None)]


def instance_normalization(low: Lowering, node: Node) -> list[Tensor]:
    """Every channel of every image by itself."""
    x = _require_floats(node)
    y = _standardised(low, x, range(2, x.rank), _epsilon(node))[0]
    return [_affine(low, y, *(_channels(low, node.input(i), x.rank) for i in (1, 2)))]


def group_normalization(low: Lowering, node: Node) -> list[Tensor]:
    """Groups of channels; scale and bias are one a group before opset 21, one a channel since."""
    x, groups = _require_floats(node), int(node.get("num_groups", 0))
    if groups < 1 or x.shape[1] % groups:
        node.refuse(f"{x.shape[1]} channels are not {groups} groups")
    grouped = reshape_to(low, low.settled(x), (x.shape[0], groups, x.size // (x.shape[0] * groups)))
    y = _standardised(low, grouped, [2], _epsilon(node))[0]
    scale, bias = node.input(1), node.input(2)
    if node.opset < 21:
        y = _affine(low, y, _channels(low, scale, 3), _channels(low, bias, 3))
        return [reshape_to(low, y, x.extents)]
    return [_affine(low, reshape_to(low, y, x.extents), *(_channels(low, t, x.rank) for t in (scale, bias)))]


def _channels(low: Lowering, x: Tensor, rank: int) -> Tensor:
    """One number a channel, along axis 1."""
    return reshape_to(low, x, (1, x.size, *[1] * (rank - 2)))


def mean_variance_normalization(low: Lowering, node: Node) -> list[Tensor]:
    x = _require_floats(node)
    axes = [x.axis(int(a)) for a in node.get("axes", [0, 2, 3])]
    return [_standardised(low, x, axes, 1e-9)[0]]


def lp_normalization(low: Lowering, node: Node) -> list[Tensor]:
    """x divided by its norm along an axis; zeros stay zeros."""
    x = low.settled(_require_floats(node))
    axis, p = x.axis(int(node.get("axis", -1))), int(node.get("p", 2))
    if p not in (1, 2):
        node.refuse(f"its norm p={p} is not 1 or 2")
    return [divide(low, x, norm(low, x, [axis], "ReduceL1" if p == 1 else "ReduceL2"))]


def norm(low: Lowering, x: Tensor, axes: Sequence[int], operator: str) -> Tensor:
    """ReduceL1, ReduceL2 and ReduceSumSquare over the axes, which stay with length 1."""
    if operator == "ReduceL1":
        parts = low.apply(lambda v: v.abs(), x, dtype=x.dtype)
    else:
        parts = low.apply(lambda v: v * v, x, dtype=x.dtype)
    if not x.is_float:
        return total(low, parts, axes)
    summed = mean(low, parts, axes, 1.0)
    return low.apply(lambda v: v.maximum(0.0).sqrt(), summed) if operator == "ReduceL2" else summed


def _log_sum(low: Lowering, x: Tensor, axes: Sequence[int], operator: str) -> Tensor:
    """ln Σ x, or ln Σ e^x relative to the largest x."""
    if operator == "ReduceLogSum":
        return low.apply(functions.ln, mean(low, x, axes, 1.0))
    x = low.settled(low.compact(low.frozen(x), operations=0))
    highest = extreme(low, Reducer.MAX, x, axes)
    parts = low.apply(lambda v, m: functions.exp((v - m).minimum(0.0)), x, highest)
    return low.apply(lambda s, m: functions.ln(s) + m, mean(low, parts, axes, 1.0), highest)


def _product(low: Lowering, node: Node, x: Tensor, axes: Sequence[int]) -> Tensor:
    """The slices along the axes multiplied in row-major order; beyond ±2^60 a product of floats is clamped."""
    sizes = [x.shape[a] for a in axes]
    if prod(sizes) > _PRODUCT_ELEMENTS:
        node.refuse(f"a product of {prod(sizes)} elements: at most {_PRODUCT_ELEMENTS} are supported")
    x = low.compact(low.settled(x), operations=0)
    result: Tensor | None = None
    for position in np.ndindex(*sizes):
        part = x
        for axis, start in zip(axes, position, strict=True):
            part = sliced(low, part, axis, start, 1)
        result = part if result is None else low.apply(lambda a, b: a * b, result, part, dtype=x.dtype)
    assert result is not None
    return result


def reduce(low: Lowering, node: Node) -> list[Tensor]:
    """Norms, products and logarithms of sums; axes are an attribute in older opsets and an input in newer ones."""
    x, given = node.input(0), node.integers(1, "axes")
    if not given and node.get("noop_with_empty_axes", 0):
        node.refuse("it reduces no axes")
    axes = sorted({x.axis(a) for a in given}) if given else list(range(x.rank))
    if not x.is_float and node.operator in ("ReduceL2", "ReduceLogSum", "ReduceLogSumExp"):
        node.refuse(f"its input is {x.dtype}, not float32")
    if node.operator == "ReduceProd":
        result = _product(low, node, x, axes)
    elif node.operator.startswith("ReduceLog"):
        result = _log_sum(low, x, axes, node.operator)
    else:
        result = norm(low, x, axes, node.operator)
    if not node.get("keepdims", 1):
        result = reshape_to(low, result, [d for a, d in enumerate(x.extents) if a not in axes])
    return [result]


def cumulative_sum(low: Lowering, node: Node) -> list[Tensor]:
    """Σ of the elements up to each along an axis, as an exact product with a triangle of ones.

    Integers are exact; floats are integers up to 2^21 relative to the largest along the axis.
    """
    x = low.settled(node.input(0))
    axis = x.axis(int(node.constant(1, "axis").reshape(())))
    length = x.shape[axis]
    low.require_room(length, length)
    ones = np.tri(length, k=-1 if node.get("exclusive", 0) else 0, dtype=np.int8)
    ones = ones[::-1, ::-1] if node.get("reverse", 0) else ones
    if x.is_float:
        parts = quantise(low, x, SUM_LIMIT, [axis])
        q, factor = parts.q, parts.scale
    else:
        q, factor = low.frozen(x), None
    order = [a for a in range(x.rank) if a != axis] + [axis]
    last = low.settled(q).moved(tuple(x.shape[a] for a in order), lambda d: d, lambda v: v.transpose(*order))
    weights = low.b.const(np.ascontiguousarray(ones))
    summed = contract(low, low.contiguous(last).unsqueeze(-2), weights, 1).moved(-1, axis)
    if factor is not None:
        result = Tensor.of_view(summed, low.b.interval(summed), F32)
        return [low.rescaled(result, np.asarray(1.0 / SUM_LIMIT), factor)]
    result = Tensor.of_view(summed, low.b.interval(summed), I64)
    return [low.apply(_same, result, dtype=x.dtype)]


def _same(v: Scalar) -> Scalar:
    return v


HANDLERS: dict[str, Handler] = {
    "LayerNormalization": layer_normalization,
    "RMSNormalization": rms_normalization,
    "InstanceNormalization": instance_normalization,
    "GroupNormalization": group_normalization,
    "MeanVarianceNormalization": mean_variance_normalization,
    "LpNormalization": lp_normalization,
    "CumSum": cumulative_sum,
    **dict.fromkeys(
        ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd", "ReduceLogSum", "ReduceLogSumExp"), reduce
    ),
}
