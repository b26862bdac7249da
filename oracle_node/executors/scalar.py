"""Scalar programs on numpy arrays: registers are i64 or f32 arrays that broadcast together.

Every float operation is one IEEE-754 binary32 operation, rounded by itself; numpy's are, except where noted.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle_node.tape.scalar import Op, Program, ScalarOp
from oracle_node.tape.types import Array

_I64_MIN, _I64_MAX = -(1 << 63), (1 << 63) - 1


def run_program(program: Program, operands: Sequence[Array]) -> Array:
    """The last register after running the program on the operands' registers."""
    registers = list(operands)
    with np.errstate(all="ignore"):
        for operation in program.ops:
            registers.append(_apply(operation, [registers[r] for r in operation.arguments]))
    return np.asarray(registers[-1])


def _apply(operation: ScalarOp, arguments: list[Array]) -> Array:
    if operation.op is Op.ICONST:
        return np.asarray(operation.immediate, np.int64)
    if operation.op is Op.FCONST:
        return np.asarray(operation.immediate, np.uint32).view(np.float32)
    return np.asarray(_OPS[operation.op](*arguments))


def _idiv(a: Array, b: Array) -> Array:
    undefined = (b == 0) | ((a == _I64_MIN) & (b == -1))
    safe = np.where(undefined, 1, b)
    floored = a // safe
    truncated = floored + ((a % safe != 0) & ((a < 0) != (safe < 0)))
    return np.asarray(np.where(undefined, 0, truncated))


def _positive_zero(value: Any) -> Array:
    return np.where(value == 0, np.float32(0), value).astype(np.float32)


def _f2i(a: Array) -> Array:
    inside = (a >= -(2.0**63)) & (a < 2.0**63)
    value = np.where(inside, a, np.float32(0)).astype(np.int64)
    return np.where(inside, value, np.where(a > 0, _I64_MAX, np.where(a < 0, _I64_MIN, 0)))


def _fpow2(a: Array) -> Array:
    exponent = np.clip(a, -126, 127) + 127
    return (exponent << 23).astype(np.uint32).view(np.float32)


def _int(value: Array) -> Array:
    return np.asarray(value).astype(np.int64)


_OPS: dict[Op, Callable[..., Any]] = {
    Op.IADD: np.add,
    Op.ISUB: np.subtract,
    Op.IMUL: np.multiply,
    Op.IDIV: _idiv,
    Op.IMIN: np.minimum,
    Op.IMAX: np.maximum,
    Op.IAND: np.bitwise_and,
    Op.IOR: np.bitwise_or,
    Op.IXOR: np.bitwise_xor,
    Op.ISHR: lambda a, b: np.right_shift(a, np.clip(b, 0, 63)),
    Op.IEQ: lambda a, b: _int(a == b),
    Op.ILT: lambda a, b: _int(a < b),
    Op.ILE: lambda a, b: _int(a <= b),
    Op.IWHERE: lambda c, a, b: np.where(c != 0, a, b),
    Op.FADD: np.add,
    Op.FSUB: np.subtract,
    Op.FMUL: np.multiply,
    Op.FDIV: np.divide,
    Op.FMIN: lambda a, b: _positive_zero(np.minimum(a, b)),
    Op.FMAX: lambda a, b: _positive_zero(np.maximum(a, b)),
    Op.FNEG: np.negative,
    Op.FABS: np.abs,
    Op.FFLOOR: np.floor,
    Op.FROUND: np.rint,
    Op.FSQRT: np.sqrt,
    Op.FEQ: lambda a, b: _int(a == b),
    Op.FLT: lambda a, b: _int(a < b),
    Op.FLE: lambda a, b: _int(a <= b),
    Op.FWHERE: lambda c, a, b: _positive_zero(np.where(c != 0, a, b)),
    Op.FPOW2: _fpow2,
    Op.I2F: lambda a: np.asarray(a).astype(np.float32),
    Op.F2I: _f2i,
}
