"""Lengths of axes: numbers, or affine in the one length that a request chooses.

An operator that needs numbers asks `fixed` for them, which refuses what is not; everything else computes with extents.
Not here: what lengths a request may have (`graph`), proofs about them (`oracle_node.tape.region`).
"""

from collections.abc import Iterable, Sequence
from math import gcd, prod

from oracle_node.errors import ModelError
from oracle_node.tape.affine import SYMBOLS, Affine
from oracle_node.tape.view import View

Extent = int | Affine
"""A length; one that does not depend on the request is always an int."""
Extents = tuple[Extent, ...]
Dims = tuple[int, ...]
_TYPICAL = (1 << 10,) * SYMBOLS
"""For choices that only affect cost, such as which axis is the nearest in memory."""


def extent(value: "Affine | int") -> Extent:
    """A constant expression as a number."""
    if isinstance(value, Affine):
        return value.constant if value.is_constant else value
    return int(value)


def extents_of(view: View) -> Extents:
    """A view's shape."""
    return tuple(map(extent, view.shape))


def is_fixed(extents: Iterable[Extent]) -> bool:
    """Whether no length depends on the request."""
    return all(isinstance(e, int) for e in extents)


def fixed(extents: Iterable[Extent]) -> Dims:
    """The lengths as numbers; ModelError where one depends on the request."""
    extents = tuple(extents)
    numbers = tuple(e for e in extents if isinstance(e, int))
    if len(numbers) < len(extents):
        raise ModelError(f"its length is free in {text(extents)}: here only fixed ones are supported")
    return numbers


def text(extents: Iterable[Extent]) -> str:
    """For people: (1, n, 384), (1, 2n+1)."""
    return f"({', '.join(map(_name, extents))})"


def _name(e: Extent) -> str:
    if isinstance(e, int):
        return str(e)
    factors = "+".join("n" if c == 1 else f"{c}n" for _, c in e.terms)
    return f"{factors}{e.constant:+d}" if e.constant else factors


def typical(value: "Affine | int") -> int:
    """A plausible value, for choices that only affect cost."""
    return value.at(_TYPICAL) if isinstance(value, Affine) else value


def times(extents: Iterable[Extent]) -> Extent:
    """The product; ModelError where two lengths are free in it."""
    result: Extent = 1
    for e in extents:
        try:
            result = extent(Affine.of(result) * e) if isinstance(e, Affine) else extent(e * result)
        except ValueError:
            raise ModelError("an axis whose length is a free one squared is not supported") from None
    return result


def parts_of(extents: Iterable[Extent]) -> tuple[int, tuple[Affine, ...]]:
    """The product as a number and free factors without a common divisor, in a fixed order: equal for equal products."""
    number, free = 1, []
    for e in extents:
        if isinstance(e, int):
            number *= e
            continue
        common = gcd(e.constant, *(c for _, c in e.terms))
        number *= common
        free.append(Affine(e.constant // common, tuple((s, c // common) for s, c in e.terms)))
    return number, tuple(sorted(free, key=lambda a: (a.terms, a.constant)))


def quotient(whole: Sequence[Extent], parts: Sequence[Extent]) -> Extent | None:
    """The length that makes the product of `parts` that of `whole`; None where there is none."""
    (number, free), (divisor, known) = parts_of(whole), parts_of(parts)
    rest = list(free)
    for factor in known:
        if factor not in rest:
            return None
        rest.remove(factor)
    if not divisor or number % divisor:
        return None
    return times([number // divisor, *rest])


def broadcast_extents(shapes: Sequence[Extents]) -> Extents:
    """numpy's broadcasting; ModelError where the shapes do not fit for every length."""
    rank, result = max(map(len, shapes)), []
    for axis in range(-rank, 0):
        lengths = {s[axis] for s in shapes if len(s) >= -axis} - {1}
        if len(lengths) > 1:
            raise ModelError(f"shapes {', '.join(map(text, shapes))} do not broadcast")
        result.append(lengths.pop() if lengths else 1)
    return tuple(result)


def storable(order: Sequence[int], extents: Extents) -> list[int]:
    """The axes in that order, but free ones except the last before all others: strides are affine then."""
    free = [a for a in order if not isinstance(extents[a], int)]
    return free[:-1] + [a for a in order if a not in free[:-1]]


def size(dims: Iterable[Extent]) -> int:
    """Elements of a shape of fixed lengths."""
    return prod(fixed(dims))
