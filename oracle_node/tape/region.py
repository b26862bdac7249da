"""The region of symbol values that a model admits, and proofs over all of it.

Dimensions, strides and offsets are affine in the symbols; element counts and largest indices are products of those, so
the proofs work on polynomials, bounded monomial by monomial: safe always, exact where the monomials agree in direction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product as cartesian

from oracle_node.tape.affine import SYMBOLS, Affine, Symbols
from oracle_node.tape.instruction import DerivedSymbol, Inequality, Source

Monomial = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Polynomial:
    """Σ coefficient · Π symbols; keys are sorted symbol tuples, () is the constant."""

    terms: tuple[tuple[Monomial, int], ...]

    @classmethod
    def of(cls, value: "Affine | int | Polynomial") -> "Polynomial":
        if isinstance(value, Polynomial):
            return value
        value = Affine.of(value)
        return cls._from({(): value.constant, **{(s,): c for s, c in value.terms}})

    @classmethod
    def _from(cls, terms: dict[Monomial, int]) -> "Polynomial":
        return cls(tuple(sorted((m, c) for m, c in terms.items() if c)))

    def __add__(self, other: "Affine | int | Polynomial") -> "Polynomial":
        total = dict(self.terms)
        for monomial, coefficient in Polynomial.of(other).terms:
            total[monomial] = total.get(monomial, 0) + coefficient
        return Polynomial._from(total)

    def __sub__(self, other: "Affine | int | Polynomial") -> "Polynomial":
        return self + Polynomial.of(other) * -1

    def __mul__(self, other: "Affine | int | Polynomial") -> "Polynomial":
        total: dict[Monomial, int] = {}
        for (m, c), (n, d) in cartesian(self.terms, Polynomial.of(other).terms):
            key = tuple(sorted(m + n))
            total[key] = total.get(key, 0) + c * d
        return Polynomial._from(total)


def count(shape: Iterable[Affine]) -> Polynomial:
    """Elements of a tensor of that shape."""
    total = Polynomial.of(1)
    for dimension in shape:
        total = total * dimension
    return total


class Region:
    """All symbol values that a model's limits allow, as a box trimmed by the inequalities."""

    def __init__(
        self,
        sources: Sequence[Source],
        inequalities: Sequence[Inequality] = (),
        derived: Sequence[DerivedSymbol] = (),
    ) -> None:
        low = [source.min_elements for source in sources]
        high = [source.max_elements for source in sources]
        for rule in inequalities:
            for symbol, coefficient in enumerate(rule.coefficients):
                if coefficient > 0:
                    others = sum(
                        min(c * low[s], c * high[s]) for s, c in enumerate(rule.coefficients) if s != symbol
                    )
                    high[symbol] = min(high[symbol], (rule.bound - others) // coefficient)
        for d in derived:
            low.append(-(-low[d.source] // d.divisor))
            high.append(-(-high[d.source] // d.divisor))
        padding = [0] * (SYMBOLS - len(low))
        self.low, self.high = low + padding, high + padding
        self.sources, self.derived, self.inequalities = tuple(sources), tuple(derived), tuple(inequalities)

    @property
    def largest(self) -> Symbols:
        """The corner where every symbol is largest."""
        return tuple(self.high)

    def bounds(self, value: "Affine | int | Polynomial") -> tuple[int, int]:
        """Bounds of the value over the region (no symbol is negative); exact for an affine under one inequality."""
        low = high = 0
        linear: dict[int, int] = {}
        for monomial, coefficient in Polynomial.of(value).terms:
            if len(monomial) == 1:
                linear[monomial[0]] = coefficient
                continue
            smallest = largest = coefficient
            for symbol in monomial:
                smallest *= self.low[symbol]
                largest *= self.high[symbol]
            low += min(smallest, largest)
            high += max(smallest, largest)
        negated = {symbol: -coefficient for symbol, coefficient in linear.items()}
        return low - self._largest(negated), high + self._largest(linear)

    def _largest(self, linear: Mapping[int, int]) -> int:
        """The most that Σ coefficient · symbol can be, as far as the box and any one inequality tell.

        For every λ ≥ 0 a sum is at most λ·bound plus the largest Σ (coefficient − λ·a)·symbol in the box; the least of
        these is at a λ where one of the terms vanishes.
        """
        best = sum(self._corner(c, s) for s, c in linear.items())
        for rule in self.inequalities:
            for symbol, a in enumerate(rule.coefficients):
                if a == 0 or linear.get(symbol, 0) % a or (factor := linear.get(symbol, 0) // a) <= 0:
                    continue
                rest = dict(linear)
                for s, c in enumerate(rule.coefficients):
                    rest[s] = rest.get(s, 0) - factor * c
                best = min(best, factor * rule.bound + sum(self._corner(c, s) for s, c in rest.items()))
        return best

    def _corner(self, coefficient: int, symbol: int) -> int:
        return coefficient * (self.high if coefficient > 0 else self.low)[symbol]
