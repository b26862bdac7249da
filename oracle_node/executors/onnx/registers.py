"""What is known of a scalar program's registers before any kernel is chosen.

The sign of a zero is the one thing that ONNX Runtime's minimum and maximum leave open. It can only be seen in a float
that is stored, or that reaches one through operations that pass the sign on: nowhere else is it worth a kernel.
"""

from collections.abc import Sequence

import numpy as np

from oracle_node.tape.interval import Interval
from oracle_node.tape.scalar import Op, Program
from oracle_node.tape.types import Kind

_PASS_SIGN = {Op.FADD: (0, 1), Op.FSUB: (0, 1), Op.FMUL: (0, 1), Op.FDIV: (0, 1)} | dict.fromkeys(
    (Op.FNEG, Op.FFLOOR, Op.FROUND, Op.FSQRT), (0,)
)
"""Arguments whose zero's sign can show in the sign of the result's zero."""
_STAYS_INTEGRAL = {Op.FADD, Op.FSUB, Op.FMUL, Op.FMIN, Op.FMAX, Op.FNEG, Op.FABS}
_MINUS_ZERO_BITS = 1 << 31
_MAKES_INTEGRAL = {Op.FFLOOR, Op.FROUND, Op.I2F}


def sign_matters(program: Program, operands: int, result_sign_matters: bool) -> list[bool]:
    """For every register: whether the sign of its zero can show in the result."""
    total = operands + len(program.ops)
    matters = [False] * total
    if total:
        matters[-1] = result_sign_matters
    for position in range(len(program.ops) - 1, -1, -1):
        operation = program.ops[position]
        if matters[operands + position]:
            for place in _PASS_SIGN.get(operation.op, ()):
                matters[operation.arguments[place]] = True
    return matters


def minus_zero(
    program: Program, operands: Sequence[bool], intervals: Sequence[Interval], matters: Sequence[bool]
) -> list[bool]:
    """For every register: whether it can be −0 where kernels are right about zeros that matter; integers cannot.

    A sum is −0 only if both summands are; a product of what is never below zero, and never −0, is +0 where it vanishes.
    """
    known = list(operands)
    for operation in program.ops:
        left_open = not matters[len(known)]
        arguments = [known[r] for r in operation.arguments]
        negative = [intervals[r].lo < 0 for r in operation.arguments]
        match operation.op:
            case Op.FADD:
                known.append(all(arguments))
            case Op.FMUL | Op.FDIV:
                known.append(any(arguments) or any(negative))
            case Op.FNEG:
                known.append(intervals[operation.arguments[0]].hi >= 0)
            case Op.FROUND:
                known.append(arguments[0] or negative[0])
            case Op.FSUB | Op.FFLOOR | Op.FSQRT:
                known.append(arguments[0])
            case Op.FCONST:
                known.append(operation.immediate == _MINUS_ZERO_BITS)
            case Op.FMIN | Op.FMAX | Op.FWHERE:
                known.append(left_open and any(arguments))
            case Op.I2F:
                known.append(left_open)
            case _:
                known.append(False)
    return known


def integral(program: Program, operands: int) -> list[bool]:
    """For every float register: whether all its values are whole numbers. Rounding keeps whole numbers whole."""
    known = [False] * operands
    for operation in program.ops:
        arguments = [known[r] for r in operation.arguments]
        if operation.op is Op.FCONST:
            known.append(float(float_constant(operation.immediate)).is_integer())
        elif operation.op is Op.FWHERE:
            known.append(all(arguments[1:]))
        else:
            known.append(
                operation.op in _MAKES_INTEGRAL or (operation.op in _STAYS_INTEGRAL and all(arguments))
            )
    return known


def float_constant(bits: int) -> np.float32:
    """The binary32 number with those bits."""
    return np.float32(np.asarray(bits, np.uint32).view(np.float32)[()])


def fixed_value(interval: Interval, kind: Kind) -> int | np.float32 | None:
    """The one value that a register can have, if its interval proves it; a float zero may have either sign."""
    if interval.lo != interval.hi:
        return None
    if kind == "int":
        return int(interval.lo)
    return np.float32(interval.lo) if interval.lo != 0 else None
