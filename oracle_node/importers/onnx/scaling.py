"""Writing a pending scaling into an expression, in as few operations and constants as it allows."""

from math import ldexp
from typing import TYPE_CHECKING

import numpy as np

from oracle_node.errors import ModelError
from oracle_node.importers.onnx.expression import Expression, Leaf, broadcast
from oracle_node.importers.onnx.extents import Extents
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.expression import Scalar, ScalarFunction
from oracle_node.tape.types import Array

if TYPE_CHECKING:
    from oracle_node.importers.onnx.lowering import Lowering

FACTOR_LIMIT = 2.0**40
"""The largest scale of quantised activations; beyond it their product saturates."""


def write_scaling(low: "Lowering", x: Tensor) -> Tensor:
    """x·(factor·scale) + shift without the parts that do nothing; the constants are rounded to binary32 here."""
    pending = x.scaling
    assert pending is not None
    scale, shift = pending.scale, pending.shift
    value = x.expression
    if value.kind == "int":
        value = low.node(lambda v: v.to_float(), (value,))
    if pending.factor is not None:
        factor, scale = _balanced(low, pending.factor, scale, shift)
        parts = _pair(low, scale, shift, x.axes)
        function: ScalarFunction
        function, parts = (_rescale_shift, parts) if shift.any() else (_rescale, parts[:1])
        value = low.node(function, (value, factor, *parts))
    else:
        value = _scaled(low, value, scale, shift, x.axes)
    return Tensor(x.extents, x.dtype, None, value, x.axes)


def _scaled(low: "Lowering", value: Expression, scale: Array, shift: Array, axes: Extents) -> Expression:
    parts = _pair(low, scale, shift, axes)
    match bool((scale != 1).any()), bool(shift.any()):
        case True, True:
            return low.node(_scale_shift, (value, *parts))
        case True, False:
            return low.node(_scale, (value, parts[0]))
        case False, True:
            return low.node(_shift, (value, parts[1]))
    return value


def _balanced(low: "Lowering", factor: Expression, scale: Array, shift: Array) -> tuple[Expression, Array]:
    """factor·2^−e and scale·2^e, with e such that scales and shifts, which share a constant, share a magnitude.

    The interval of that constant would otherwise be that of the larger kind, and the proof's bounds far too wide.
    """
    if factor.interval.hi > FACTOR_LIMIT:
        factor = low.node(lambda f: f.minimum(FACTOR_LIMIT), (factor,))
    exponent = _exponent(shift) - _exponent(scale)
    down = ldexp(1.0, -exponent)
    if exponent:
        factor = low.node(lambda f: f * down, (factor,))
    return factor, np.ldexp(scale, exponent)


def _pair(low: "Lowering", scale: Array, shift: Array, axes: Extents) -> list[Expression]:
    """Both as f32 expressions over the axes; equal shapes share one constant."""
    a, c = np.asarray(scale, np.float32), np.asarray(shift, np.float32)
    if not (np.isfinite(a).all() and np.isfinite(c).all()):
        raise ModelError("a folded factor or summand is beyond float32")
    if a.size > 1 and a.shape == c.shape and c.any() and (a != 1).any():
        view = low.b.const(np.stack([a, c]))
        return [Leaf(view.pick(0, i).broadcast_to(axes), low.b.interval(view)) for i in (0, 1)]
    return [broadcast(low.constant(v).expression, axes) for v in (a, c)]


def _exponent(values: Array) -> int:
    """e with max |values| in [2^(e−1), 2^e); 0 for all zero."""
    return int(np.frexp(np.abs(values).max(initial=0.0))[1])


def _rescale_shift(x: Scalar, factor: Scalar, scale: Scalar, shift: Scalar) -> Scalar:
    return x * (factor * scale) + shift


def _rescale(x: Scalar, factor: Scalar, scale: Scalar) -> Scalar:
    return x * (factor * scale)


def _scale_shift(x: Scalar, scale: Scalar, shift: Scalar) -> Scalar:
    return x * scale + shift


def _scale(x: Scalar, scale: Scalar) -> Scalar:
    return x * scale


def _shift(x: Scalar, shift: Scalar) -> Scalar:
    return x + shift
