"""Elementwise operators: scalar functions that stay pending and fuse; constants fold one IEEE operation at a time."""

from collections.abc import Callable, Sequence

import numpy as np

from oracle_node.importers.onnx.extents import Extent, broadcast_extents, extent, quotient, text
from oracle_node.importers.onnx.lowering import F32, I64, Lowering, integer_bounds
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators.movement import broadcast_to
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape import functions
from oracle_node.tape.expression import Number, Scalar, ScalarFunction
from oracle_node.tape.types import Array

_FOLDED: dict[str, Callable[..., Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Sqrt": np.sqrt,
    "Abs": np.abs,
    "Min": np.minimum,
    "Max": np.maximum,
}
"""What numpy computes in one exact or correctly rounded step an element, on every machine."""


def _folded(node: Node) -> Tensor | None:
    """The result where all inputs are constants and the operator is exact in numpy."""
    arrays = [node.input(i).data for i in range(len(node.inputs))]
    if node.operator == "Div" and all(a is not None for a in arrays):
        return Tensor.constant(_divide(node, *arrays))  # type: ignore[arg-type]
    function = _FOLDED.get(node.operator)
    if function is None or any(a is None for a in arrays):
        return None
    result = arrays[0] if len(arrays) == 1 and node.operator in ("Min", "Max") else function(*arrays[:2])
    for array in arrays[2:]:
        result = function(result, array)
    return Tensor.constant(np.asarray(result))


def _divide(node: Node, a: Array, b: Array) -> Array:
    if np.any(b == 0):
        node.refuse("it divides by a constant zero")
    if object in (a.dtype, b.dtype):
        return _divided_lengths(node, a, b)
    if a.dtype.kind == "f":
        return np.asarray(np.divide(a, b))
    quotient = np.abs(a.astype(np.int64)) // np.abs(b.astype(np.int64))
    return (quotient * np.where((a < 0) == (b < 0), 1, -1)).astype(a.dtype)


def _divided_lengths(node: Node, a: Array, b: Array) -> Array:
    """Lengths that depend on the request's by what divides them for every request."""
    pairs = np.broadcast(a, b)
    found = [_divided_length(node, *map(extent, pair)) for pair in pairs]
    return np.asarray(found, object).reshape(pairs.shape)


def _divided_length(node: Node, a: Extent, b: Extent) -> Extent:
    result = quotient([a], [b])
    if result is None:
        node.refuse(f"{text([a])} is not {text([b])} times a whole number for every request")
    return result


def _linear(low: Lowering, node: Node) -> Tensor | None:
    """x ∘ constant as a scaling of x, where x keeps its shape."""
    a, b = node.input(0), node.input(1)
    x, constant = (a, b.data) if b.data is not None else (b, a.data)
    if constant is None or not x.is_float or broadcast_extents([x.extents, constant.shape]) != x.extents:
        return None
    c = constant.astype(np.float64)
    if node.operator in ("Add", "Sub") and np.abs(c).max(initial=0.0) > _LARGEST_SUMMAND:
        return None  # a mask: nothing is left of what it is merged with
    match node.operator, x is a:
        case "Add", _:
            return low.scaled(x, 1.0, c)
        case "Sub", True:
            return low.scaled(x, 1.0, -c)
        case "Sub", False:
            return low.scaled(x, -1.0, c)
        case "Mul", _:
            return low.scaled(x, c)
        case "Div", True:
            if not c.all():
                node.refuse("it divides by a constant zero")
            return low.scaled(x, 1.0 / c)
    return None


_LARGEST_SUMMAND = 2.0**40
_BINARY: dict[str, ScalarFunction] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
}


_SMALLEST_DIVISOR = 2.0**-60
"""A divisor of one sign that the network lets come arbitrarily near zero stays this far from it."""


def divide(low: Lowering, a: Tensor, b: Tensor) -> Tensor:
    """a / b; a float divisor that cannot change sign is kept off zero, where the network itself has no answer."""
    interval = low.interval(b)
    if b.is_float and interval.lo >= 0 and interval.lo < _SMALLEST_DIVISOR:
        b = low.apply(lambda v: v.maximum(_SMALLEST_DIVISOR), b)
    elif b.is_float and interval.hi <= 0 and interval.hi > -_SMALLEST_DIVISOR:
        b = low.apply(lambda v: v.minimum(-_SMALLEST_DIVISOR), b)
    return low.apply(lambda v, w: v / w, a, b, dtype=a.dtype)


def binary(low: Lowering, node: Node) -> list[Tensor]:
    """Add, Sub, Mul, Div with numpy's broadcasting."""
    result = _folded(node) or _linear(low, node)
    return [result] if result is not None else rounded_binary(low, node)


def rounded_binary(low: Lowering, node: Node) -> list[Tensor]:
    """Add, Sub, Mul, Div as one binary32 operation an element, not merged with what comes before or after."""
    a, b = node.input(0), node.input(1)
    result = _folded(node)
    if result is None and node.operator == "Div":
        return [divide(low, a, b)]
    return [result or low.apply(_BINARY[node.operator], a, b, dtype=a.dtype)]


def extremes(low: Lowering, node: Node) -> list[Tensor]:
    """Min and Max of any number of inputs."""
    folded = _folded(node)
    if folded is not None:
        return [folded]
    result, *others = sorted((node.input(i) for i in range(len(node.inputs))), key=lambda t: t.is_constant)
    for other in others:
        if node.operator == "Max":
            result = low.apply(lambda a, b: a.maximum(b), result, other, dtype=result.dtype)
        else:
            result = low.apply(lambda a, b: a.minimum(b), result, other, dtype=result.dtype)
    return [result]


def _unary(function: Callable[[Scalar], Scalar]) -> Handler:
    def handler(low: Lowering, node: Node) -> list[Tensor]:
        x = node.input(0)
        return [_folded(node) or low.apply(function, x, dtype=x.dtype)]

    return handler


def _root(v: Scalar) -> Scalar:
    """The square root; 0 below zero, where the network has no answer."""
    return v.maximum(0.0).sqrt()


def negate(low: Lowering, node: Node) -> list[Tensor]:
    x = node.input(0)
    return [
        _folded(node) or (low.scaled(x, -1.0) if x.is_float else low.apply(lambda v: -v, x, dtype=x.dtype))
    ]


def _float(node: Node, attribute: str, default: float) -> float:
    return float(np.float32(node.get(attribute, default)))


def leaky_relu(low: Lowering, node: Node) -> list[Tensor]:
    slope = _float(node, "alpha", 0.01)
    return [low.apply(lambda v: functions.leaky_relu(v, slope), node.input(0))]


def hard_sigmoid(low: Lowering, node: Node) -> list[Tensor]:
    slope, offset = _float(node, "alpha", 0.2), _float(node, "beta", 0.5)
    return [low.apply(lambda v: functions.hard_sigmoid(v, slope, offset), node.input(0))]


def clip(low: Lowering, node: Node) -> list[Tensor]:
    """Bounds are attributes before opset 11, optional inputs since."""
    x = node.input(0)
    bounds: list[Number | None] = [None, None]
    for i, name in enumerate(("min", "max")):
        if node.has(i + 1):
            value = node.constant(i + 1, name).reshape(())
            bounds[i] = float(value) if x.is_float else int(value)
        elif name in node.attributes:
            bounds[i] = _float(node, name, 0.0)
    lowest, highest = bounds

    def function(v: Scalar) -> Scalar:
        v = v if lowest is None else v.maximum(lowest)
        return v if highest is None else v.minimum(highest)

    return [x if lowest is highest is None else low.apply(function, x, dtype=x.dtype)]


def power(low: Lowering, node: Node) -> list[Tensor]:
    """x to a constant power: a small integer, or an odd multiple of one half."""
    x, exponents = node.input(0), node.constant(1, "exponent")
    exponent = float(exponents.reshape(-1)[0])
    if np.any(exponents != exponents.reshape(-1)[0]) or exponent * 2 % 1 or abs(exponent) > 8:
        node.refuse("only one constant exponent, a multiple of 0.5 between -8 and 8, is supported")
    whole, half = divmod(abs(exponent), 1)
    result = low.apply(_root, x) if half else None
    for _ in range(int(whole)):
        result = x if result is None else low.apply(lambda a, b: a * b, result, x, dtype=x.dtype)
    if result is None:
        return [broadcast_to(low, Tensor.constant(np.ones((), x.dtype)), x.extents)]
    return [divide(low, Tensor.constant(np.ones((), F32)), result) if exponent < 0 else result]


_TYPES = {
    1: np.float32, 2: np.uint8, 3: np.int8, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64,
}  # fmt: skip


def cast(low: Lowering, node: Node) -> list[Tensor]:
    """Between float32, bool and integers up to 64 bits; floats are truncated and saturate."""
    x, target = node.input(0), _TYPES.get(int(node.get("to", 0)))
    if target is None or (target is np.float64 and not x.is_constant):
        node.refuse("its target type is not float32, bool or an integer of at most 64 bits")
    dtype = np.dtype(target)
    if x.data is not None and x.data.dtype == object:
        if dtype == I64 or dtype == np.int32:
            return [x]
        x = low.measured(x.data)
    if x.data is not None and not (x.is_float and dtype.kind in "iu"):
        return [Tensor.constant(x.data.astype(dtype))]
    if dtype == x.dtype:
        return [x]
    if dtype == F32:
        return [low.apply(lambda v: v.to_float(), x)]
    if dtype == np.bool_:
        zero: Number = 0.0 if x.is_float else 0
        return [low.apply(lambda v: 1 - v.equals(zero), x, dtype=dtype)]
    lowest, highest = integer_bounds(dtype)
    interval = low.interval(x)
    inside = lowest <= interval.lo and interval.hi <= highest
    return [low.apply(lambda v: v.to_int() if inside else v.to_int().clamp(lowest, highest), x, dtype=dtype)]


def identity(low: Lowering, node: Node) -> Sequence[Tensor]:
    """Identity, and Dropout at inference."""
    if node.has(2) and bool(np.any(node.constant(2, "training_mode"))):
        node.refuse("training_mode is set: export the network for inference")
    if node.outputs > 1:
        node.refuse("its mask output is not supported")
    return [node.input(0)]


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), binary),
    **dict.fromkeys(("Min", "Max"), extremes),
    **dict.fromkeys(("Identity", "Dropout"), identity),
    "Neg": negate,
    "Abs": _unary(lambda v: v.abs()),
    "Sqrt": _unary(_root),
    "Relu": _unary(lambda v: v.maximum(0.0 if v.kind == "float" else 0)),
    "Sigmoid": _unary(functions.sigmoid),
    "Tanh": _unary(functions.tanh),
    "HardSwish": _unary(functions.hard_swish),
    "HardSigmoid": hard_sigmoid,
    "LeakyRelu": leaky_relu,
    "Clip": clip,
    "Pow": power,
    "Cast": cast,
}

ROUNDED_HANDLERS: dict[str, Handler] = dict.fromkeys(("Add", "Sub", "Mul", "Div"), rounded_binary)
