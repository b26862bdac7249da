"""How a view's coordinates become coordinates of the tensor it reads, along the axes that somebody asks about."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from oracle_node.tape.affine import Affine
from oracle_node.tape.instruction import Operand
from oracle_node.tape.region import Polynomial, Region, count


@dataclass(frozen=True, slots=True)
class Walk:
    """For every tensor axis asked about: the reader's axis that walks it one by one (None if none), and its start."""

    axes: dict[int, tuple[int | None, Affine]]


def walk(
    operand: Operand, axes: Sequence[Affine], shape: Sequence[Affine], wanted: Collection[int], region: Region
) -> Walk | None:
    """The walk of a view over `axes` through a tensor of `shape`; None where no simple one is proved.

    A reader's axis walks a tensor's axis if their strides are equal, all finer steps together stay within one stride,
    and all coarser ones are multiples of the tensor's axis.
    """
    if count(operand.shape) != count(shape):
        return None
    found: dict[int, tuple[int | None, Affine]] = {}
    for axis in wanted:
        if shape[axis] == Affine(1):  # its only coordinate is 0, and its unit is the next axis's
            found[axis] = (None, Affine(0))
            continue
        unit = count(shape[axis + 1 :])
        block = unit * shape[axis]
        split = _split_offset(operand.offset, unit)
        if split is None:
            return None
        start, lowest = split
        highest = lowest
        walker: int | None = None
        for place, (stride, size) in enumerate(zip(operand.strides, axes, strict=True)):
            step = Polynomial.of(stride)
            if step == Polynomial.of(0) or size == Affine(1):
                continue
            if step == unit and walker is None:
                walker = place
            elif axis and _is_multiple(step, block):
                continue
            elif region.bounds(stride)[0] >= 0:
                highest = highest + step * (size - 1)
            elif region.bounds(stride)[1] <= 0:
                lowest = lowest + step * (size - 1)
            else:
                return None
        if region.bounds(unit - highest - 1)[0] < 0 or region.bounds(lowest)[0] < 0:
            return None
        length = Affine(1) if walker is None else axes[walker]
        if axis and region.bounds(shape[axis] - length - start)[0] < 0:
            return None
        found[axis] = (walker, start)
    return Walk(found)


def _split_offset(offset: Affine, unit: Polynomial) -> tuple[Affine, Polynomial] | None:
    """(q, r) with offset = q·unit + r and r a constant; None where that cannot be seen."""
    constant = dict(unit.terms).get((), 0) if all(m == () for m, _ in unit.terms) else None
    if offset.is_constant and constant is None:
        return Affine(0), Polynomial.of(offset)
    if constant is None or constant <= 0 or any(c % constant for _, c in offset.terms):
        return None
    q = Affine(offset.constant // constant, tuple((s, c // constant) for s, c in offset.terms))
    return q, Polynomial.of(offset.constant % constant)


def _is_multiple(step: Polynomial, block: Polynomial) -> bool:
    """Whether every term of the step is the same whole number of times the block's."""
    steps, blocks = dict(step.terms), dict(block.terms)
    if steps.keys() != blocks.keys():
        return False
    ratios = {steps[m] / blocks[m] for m in blocks if blocks[m]}
    whole = {steps[m] % blocks[m] for m in blocks if blocks[m]}
    return len(ratios) == 1 and whole == {0}
