"""Causal masks in scalar programs: which comparisons of coordinates they are, and where they leave constants."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from oracle_node.tape.affine import Affine
from oracle_node.tape.interval import Interval
from oracle_node.tape.scalar import Op, ScalarOp


@dataclass(frozen=True, slots=True)
class Blank:
    """Where coordinate `later` exceeds coordinate `row` + `margin`, the value is the constant `value`."""

    row: int
    later: int
    margin: Affine
    value: int | float


@dataclass(frozen=True, slots=True)
class Position:
    """An integer that is the coordinate of an axis plus a constant; `axis` None for the constant alone."""

    axis: int | None
    constant: Affine


def added(op: Op, a: Position | None, b: Position | None) -> Position | None:
    """A position plus (IADD) or less (ISUB) a constant."""
    if a is None or b is None or b.axis is not None:
        return None
    return Position(a.axis, a.constant + (b.constant if op is Op.IADD else -b.constant))


def guard_of(op: Op, later: Position | None, row: Position | None) -> Blank | None:
    """later + c ≤ row + d (ILE; < for ILT) as later ≤ row + margin; its value is what is left where it is false."""
    if later is None or row is None or later.axis is None or row.axis is None or later.axis == row.axis:
        return None
    return Blank(row.axis, later.axis, row.constant - later.constant - int(op is Op.ILT), 0)


def masked(guard: Blank | None, otherwise: Interval) -> Blank | None:
    """What `where(guard, …, otherwise)` leaves, if `otherwise` is one value."""
    if guard is None or otherwise.lo != otherwise.hi:
        return None
    return replace(guard, value=otherwise.lo)


def kept_zero(
    operation: ScalarOp, blanks: Sequence[Blank | None], intervals: Sequence[Interval]
) -> Blank | None:
    """The blank of an argument that is zero there, where the result is zero then too: +0, whatever is beside it.

    `blanks` are the arguments'; `intervals` all registers'.
    """
    for place, blank in enumerate(blanks):
        if blank is not None and blank.value == 0:
            others = [intervals[r] for p, r in enumerate(operation.arguments) if p != place]
            return blank if _keeps_zero(operation.op, place, others) else None
    return None


def _keeps_zero(op: Op, place: int, others: Sequence[Interval]) -> bool:
    if op in (Op.I2F, Op.F2I, Op.FROUND, Op.FFLOOR, Op.FABS, Op.FSQRT, Op.IMUL):
        return True
    if op is Op.FMUL or (op is Op.FDIV and place == 0):
        return others[0].lo > 0
    if op in (Op.IMIN, Op.FMIN):
        return others[0].lo >= 0
    return op in (Op.IMAX, Op.FMAX) and others[0].hi <= 0
