"""Intervals of scalar values and what scalar operations make of them.

A float interval's ends are binary32 values. Correctly rounded operations are monotone, so applying the operation itself
to the ends gives the exact range: no outward rounding is needed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from oracle_node.tape.scalar import SIGNATURES, Op, Program, ScalarOp
from oracle_node.tape.types import Array, DType, Kind

_I64_MIN, _I64_MAX = -(1 << 63), (1 << 63) - 1
_F32 = np.float32


class RangeError(ValueError):
    """An operation that some value in its operands' intervals takes out of its defined range."""


@dataclass(frozen=True, slots=True)
class Interval:
    """`lo ≤ value ≤ hi`: ints for integer values, floats (exact binary32) for f32 values."""

    lo: int | float
    hi: int | float

    @property
    def magnitude(self) -> int | float:
        """Largest absolute value."""
        return max(abs(self.lo), abs(self.hi))

    @property
    def kind(self) -> Kind:
        return "float" if isinstance(self.lo, float) else "int"

    def union(self, other: "Interval") -> "Interval":
        return Interval(min(self.lo, other.lo), max(self.hi, other.hi))

    def __str__(self) -> str:
        return f"[{self.lo:.9g}, {self.hi:.9g}]" if self.kind == "float" else f"[{self.lo}, {self.hi}]"


def of_array(array: Array) -> Interval:
    """The range of constant data; RangeError where it is not finite."""
    if array.size == 0:
        return Interval(0.0, 0.0) if array.dtype == np.float32 else Interval(0, 0)
    if array.dtype == np.float32:
        lo, hi = float(array.min()), float(array.max())
        if not (np.isfinite(lo) and np.isfinite(hi)):
            raise RangeError(f"constant data reaches from {lo} to {hi}: it must be finite")
        return Interval(lo, hi)
    return Interval(int(array.min()), int(array.max()))


def require_fits(interval: Interval, dtype: DType) -> None:
    """RangeError unless every value of the interval can be stored in `dtype`."""
    if dtype is DType.F32:
        return
    low, high = dtype.bounds
    if interval.lo < low or interval.hi > high:
        raise RangeError(f"{interval} does not fit {dtype.name.lower()}")


def run_program(program: Program, operands: Sequence[Interval]) -> list[Interval]:
    """The interval of every register; RangeError naming the operation where it may leave its range."""
    registers = list(operands)
    for position, operation in enumerate(program.ops):
        try:
            registers.append(_apply(operation, registers))
        except RangeError as error:
            raise RangeError(f"scalar operation {position} ({operation.op.name.lower()}): {error}") from None
    return registers


def _apply(operation: ScalarOp, registers: list[Interval]) -> Interval:
    op, arguments = operation.op, [registers[r] for r in operation.arguments]
    if op is Op.ICONST:
        return Interval(operation.immediate, operation.immediate)
    if op is Op.FCONST:
        return of_array(np.asarray([operation.immediate], np.uint32).view(np.float32))
    if op in (Op.IMUL, Op.FMUL) and operation.arguments[0] == operation.arguments[1]:
        return _checked(op, _square(arguments[0], _CORNERS[op]))
    if op in _CORNERS:
        return _checked(op, _corners(_CORNERS[op], arguments))
    return _checked(op, _SPECIAL[op](*arguments))


def _checked(op: Op, interval: Interval) -> Interval:
    if SIGNATURES[op].result == "float":
        lo, hi = float(interval.lo), float(interval.hi)
        if not (np.isfinite(lo) and np.isfinite(hi)):
            raise RangeError(f"the result may reach [{lo:.9g}, {hi:.9g}], beyond the finite binary32 range")
        return Interval(lo + 0.0, hi + 0.0)
    if interval.lo < _I64_MIN or interval.hi > _I64_MAX:
        raise RangeError(f"the result may reach {interval}, beyond 64 bits")
    return Interval(int(interval.lo), int(interval.hi))


def _corners(function: Callable[..., int | float], arguments: Sequence[Interval]) -> Interval:
    """The range of an operation that is monotone in each argument."""
    values = [()]
    for argument in arguments:
        values = [(*v, end) for v in values for end in (argument.lo, argument.hi)]  # type: ignore[misc]
    with np.errstate(all="ignore"):
        results = [function(*v) for v in values]
    return Interval(min(results), max(results))


def _square(a: Interval, multiply: Callable[..., int | float]) -> Interval:
    with np.errstate(all="ignore"):
        ends = [multiply(a.lo, a.lo), multiply(a.hi, a.hi)]
    zero = type(a.lo)(0)
    return Interval(zero if a.lo <= 0 <= a.hi else min(ends), max(ends))


def _trunc_div(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _idiv(a: Interval, b: Interval) -> Interval:
    if b.lo <= 0 <= b.hi:
        raise RangeError(f"the divisor {b} contains zero")
    if a.lo == _I64_MIN and b.lo <= -1 <= b.hi:
        raise RangeError("the smallest integer may be divided by -1")
    return _corners(_trunc_div, (a, b))


def _fdiv(a: Interval, b: Interval) -> Interval:
    if b.lo <= 0 <= b.hi:
        raise RangeError(f"the divisor {b} contains zero")
    return _corners(lambda x, y: float(_F32(x) / _F32(y)), (a, b))


def _fsqrt(a: Interval) -> Interval:
    if a.lo < 0:
        raise RangeError(f"the square root of {a}")
    return Interval(float(np.sqrt(_F32(a.lo))), float(np.sqrt(_F32(a.hi))))


def _ishr(a: Interval, b: Interval) -> Interval:
    if b.lo < 0 or b.hi > 63:
        raise RangeError(f"a shift by {b}")
    return _corners(lambda x, y: x >> y, (a, b))


def _bits(a: Interval, b: Interval) -> Interval:
    """Enough bits for either operand hold their and, or and exclusive or."""
    if a.lo >= 0 and b.lo >= 0:
        return Interval(0, (1 << max(int(a.hi).bit_length(), int(b.hi).bit_length())) - 1)
    width = max((int(v) if v >= 0 else ~int(v)).bit_length() for v in (a.lo, a.hi, b.lo, b.hi))
    return Interval(-(1 << width), (1 << width) - 1)


def _iand(a: Interval, b: Interval) -> Interval:
    if a.lo >= 0 or b.lo >= 0:
        return Interval(0, min(v.hi for v in (a, b) if v.lo >= 0))
    return _bits(a, b)


def _abs(a: Interval) -> Interval:
    return Interval(0.0 if a.lo <= 0 <= a.hi else min(abs(a.lo), abs(a.hi)), a.magnitude)


def _fpow2(a: Interval) -> Interval:
    if a.lo < -126 or a.hi > 127:
        raise RangeError(f"2 to the power of {a}")
    return Interval(2.0**a.lo, 2.0**a.hi)


def _f2i(a: Interval) -> Interval:
    if a.lo < -(2.0**63) or a.hi >= 2.0**63:
        raise RangeError(f"{a} does not fit 64 bits")
    return Interval(int(a.lo), int(a.hi))


def _compare(surely: Callable[[Interval, Interval], bool], never: Callable[[Interval, Interval], bool]):  # type: ignore[no-untyped-def]
    return lambda a, b: Interval(int(surely(a, b)), int(not never(a, b)))


def _where(c: Interval, a: Interval, b: Interval) -> Interval:
    if c.lo > 0 or c.hi < 0:
        return a
    return b if c.lo == c.hi == 0 else a.union(b)


_EQUAL = _compare(lambda a, b: a.lo == a.hi == b.lo == b.hi, lambda a, b: a.hi < b.lo or b.hi < a.lo)
_LESS = _compare(lambda a, b: a.hi < b.lo, lambda a, b: a.lo >= b.hi)
_LESS_EQUAL = _compare(lambda a, b: a.hi <= b.lo, lambda a, b: a.lo > b.hi)

_CORNERS: dict[Op, Callable[..., int | float]] = {
    Op.IADD: lambda a, b: a + b,
    Op.ISUB: lambda a, b: a - b,
    Op.IMUL: lambda a, b: a * b,
    Op.IMIN: min,
    Op.IMAX: max,
    Op.FADD: lambda a, b: float(_F32(a) + _F32(b)),
    Op.FSUB: lambda a, b: float(_F32(a) - _F32(b)),
    Op.FMUL: lambda a, b: float(_F32(a) * _F32(b)),
    Op.FMIN: min,
    Op.FMAX: max,
    Op.FNEG: lambda a: -a,
    Op.FFLOOR: lambda a: float(np.floor(a)),
    Op.FROUND: lambda a: float(np.rint(a)),
    Op.I2F: lambda a: float(_F32(a)) if abs(a) <= 1 << 53 else float(np.int64(a).astype(np.float32)),
}

_SPECIAL: dict[Op, Callable[..., Interval]] = {
    Op.IDIV: _idiv,
    Op.IAND: _iand,
    Op.IOR: _bits,
    Op.IXOR: _bits,
    Op.ISHR: _ishr,
    Op.IEQ: _EQUAL,
    Op.ILT: _LESS,
    Op.ILE: _LESS_EQUAL,
    Op.IWHERE: _where,
    Op.FDIV: _fdiv,
    Op.FABS: _abs,
    Op.FSQRT: _fsqrt,
    Op.FEQ: _EQUAL,
    Op.FLT: _LESS,
    Op.FLE: _LESS_EQUAL,
    Op.FWHERE: _where,
    Op.FPOW2: _fpow2,
    Op.F2I: _f2i,
}
