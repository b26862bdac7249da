"""Comparisons, booleans, choices and integer bits: exact, an operation or two an element; constants fold in numpy."""

from collections.abc import Callable

import numpy as np

from oracle_node.importers.onnx.extents import Extent, broadcast_extents, extent, text
from oracle_node.importers.onnx.lowering import Lowering, integer_bounds
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators.movement import broadcast_to
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.affine import Affine
from oracle_node.tape.expression import Number, Scalar, ScalarFunction
from oracle_node.tape.types import Array

BOOL = np.dtype(np.bool_)


def _commutes(function: Callable[[Scalar, Scalar | Number], Scalar]) -> ScalarFunction:
    """The function of two arguments in either order: a number comes second."""
    return lambda a, b: function(a, b) if isinstance(a, Scalar) else function(b, a)


_COMPARED: dict[str, tuple[ScalarFunction, Callable[..., Array]]] = {
    "Equal": (_commutes(lambda a, b: a.equals(b)), np.equal),
    "Less": (lambda a, b: a < b, np.less),
    "LessOrEqual": (lambda a, b: a <= b, np.less_equal),
    "Greater": (lambda a, b: a > b, np.greater),
    "GreaterOrEqual": (lambda a, b: a >= b, np.greater_equal),
}
_JOINED: dict[str, tuple[ScalarFunction, Callable[..., Array]]] = {
    "And": (_commutes(lambda a, b: a & b), np.bitwise_and),  # type: ignore[operator]
    "Or": (_commutes(lambda a, b: a | b), np.bitwise_or),  # type: ignore[operator]
    "Xor": (_commutes(lambda a, b: a ^ b), np.bitwise_xor),  # type: ignore[operator]
}


def _pair(
    low: Lowering,
    node: Node,
    functions: tuple[ScalarFunction, Callable[..., Array]],
    dtype: np.dtype[np.generic],
) -> list[Tensor]:
    a, b = node.input(0), node.input(1)
    if a.data is not None and b.data is not None:
        if object in (a.data.dtype, b.data.dtype):
            return [Tensor.constant(_compared_lengths(low, node, a.data, b.data))]
        return [Tensor.constant(np.asarray(functions[1](a.data, b.data)))]
    if a.dtype != b.dtype:
        node.refuse(f"its inputs are {a.dtype} and {b.dtype}, not of one type")
    return [low.apply(functions[0], a, b, dtype=dtype)]


def _compared_lengths(low: Lowering, node: Node, a: Array, b: Array) -> Array:
    """Comparisons of lengths that depend on the request's, where the outcome does not."""
    pairs = np.broadcast(a, b)
    found = [_compared_length(low, node, *map(extent, pair)) for pair in pairs]
    return np.asarray(found, np.bool_).reshape(pairs.shape)


def _compared_length(low: Lowering, node: Node, a: Extent, b: Extent) -> bool:
    ends = low.bounds(Affine.of(a) - b)
    found = {bool(_COMPARED[node.operator][1](end, 0)) for end in ends}
    if len(found) > 1 or (node.operator == "Equal" and ends[0] < 0 < ends[1]):
        node.refuse(f"{text([a])} against {text([b])}: the outcome depends on the request's length")
    return found.pop()


def compared(low: Lowering, node: Node) -> list[Tensor]:
    """Equal, Less, Greater and their kin: of numbers or booleans, to booleans."""
    return _pair(low, node, _COMPARED[node.operator], BOOL)


def joined(low: Lowering, node: Node) -> list[Tensor]:
    """And, Or, Xor of booleans; with Bitwise before their name, of integers."""
    name, dtype = node.operator.removeprefix("Bitwise"), node.input(0).dtype
    if (dtype == BOOL) == (name != node.operator) or dtype.kind == "f":
        node.refuse(f"its inputs are {dtype}")
    return _pair(low, node, _JOINED[name], dtype)


def negated(low: Lowering, node: Node) -> list[Tensor]:
    """Not of booleans, BitwiseNot of integers."""
    x = node.input(0)
    if (x.dtype == BOOL) != (node.operator == "Not") or x.dtype.kind == "f":
        node.refuse(f"its input is {x.dtype}")
    if x.data is not None:
        return [Tensor.constant(np.asarray(~x.data))]
    ones = 1 if x.dtype == BOOL else sum(integer_bounds(x.dtype))
    return [low.apply(lambda v: ones - v, x, dtype=x.dtype)]


def where(low: Lowering, node: Node) -> list[Tensor]:
    """The first where the condition holds, elsewhere the second."""
    condition, yes, no = (node.input(i) for i in range(3))
    if condition.data is not None and yes.data is not None and no.data is not None:
        return [Tensor.constant(np.where(condition.data, yes.data, no.data))]
    if yes.dtype != no.dtype:
        node.refuse(f"it chooses between {yes.dtype} and {no.dtype}")

    always = low.only_value(condition)
    if always is not None:
        chosen = yes if always else no
        return [broadcast_to(low, chosen, broadcast_extents([t.extents for t in (condition, yes, no)]))]
    return [low.apply(lambda c, a, b: c.where(a, b), condition, yes, no, dtype=yes.dtype)]


def _shifted(low: Lowering, node: Node, x: Tensor, by: Tensor) -> Tensor:
    """Unsigned integers shifted by 0 to 62 bits; what leaves the type is lost."""
    highest = integer_bounds(x.dtype)[1]
    if node.get("direction", "") == "RIGHT":
        return low.apply(lambda v, s: _scalar(v, s) >> _limited(s), x, by, dtype=x.dtype)
    bits = x.dtype.itemsize * 8

    def left(v: Scalar, s: Scalar) -> Scalar:
        # 2^s beyond the type shifts everything out, as 2^bits does
        power = 1 << min(s, bits) if isinstance(s, int) else s.clamp(0, bits).pow2().to_int()
        return (v * power) & highest

    return low.apply(left, x, by, dtype=x.dtype)


def _limited(s: Scalar | Number) -> "Scalar | int":
    return s.clamp(0, 62) if isinstance(s, Scalar) else min(int(s), 62)


def _scalar(v: Scalar | Number, other: Scalar | Number) -> Scalar:
    """A number as a scalar of the other's program."""
    if isinstance(v, Scalar):
        return v
    assert isinstance(other, Scalar)
    return other._lift(v)


def shift(low: Lowering, node: Node) -> list[Tensor]:
    """BitShift of unsigned integers."""
    x, by = node.input(0), node.input(1)
    if x.dtype.kind != "u" or x.dtype.itemsize > 4:
        node.refuse(f"its input is {x.dtype}: only unsigned integers up to 32 bits are supported")
    x = low.materialise(x) if x.data is not None and x.size == 1 else x
    return [_shifted(low, node, x, by)]


def modulo(low: Lowering, node: Node) -> list[Tensor]:
    """Mod of integers: with the divisor's sign, with fmod the dividend's; the divisor must be proved not zero."""
    a, b = node.input(0), node.input(1)
    if a.dtype.kind not in "iu" or b.dtype.kind not in "iu":
        node.refuse("the remainder of floats is not one operation: only integers are supported")
    if b.data is not None and not b.data.all():
        node.refuse("it divides by a constant zero")
    limit = int(low.interval(b).magnitude) - 1
    if b.data is not None:
        size = Tensor.constant(np.abs(b.data.astype(np.int64)))
    elif low.interval(b).lo > 0:
        size = b
    else:
        size = low.apply(lambda v: v.abs(), b, dtype=b.dtype)
    # the remainder is smaller than the divisor, and of the dividend's sign: relations that intervals cannot see
    lowest = 0 if low.interval(a).lo >= 0 else -limit
    rest = low.apply(lambda v, m: (v - v / m * m).clamp(lowest, limit), a, size, dtype=a.dtype)
    if node.get("fmod", 0) or (low.interval(a).lo >= 0 and low.interval(b).lo >= 0):
        return [rest]

    def signed(r: Scalar, m: Scalar) -> Scalar:
        other = (r < 0) ^ (m < 0) if isinstance(m, Scalar) else ((r < 0) if m > 0 else (r > 0))
        moved = other * (1 - r.equals(0))
        return (r + moved * m).clamp(-limit, limit)

    return [low.apply(signed, rest, b, dtype=a.dtype)]


def never(low: Lowering, node: Node) -> list[Tensor]:
    """IsNaN and IsInf: no tape holds either."""
    return [low.uniform(np.zeros((), np.bool_), node.input(0).extents)]


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(_COMPARED, compared),
    **dict.fromkeys(("And", "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor"), joined),
    **dict.fromkeys(("Not", "BitwiseNot"), negated),
    "Where": where,
    **dict.fromkeys(("IsNaN", "IsInf"), never),
    "BitShift": shift,
    "Mod": modulo,
}
