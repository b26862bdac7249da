"""Affine expressions over a tape's symbols: dimensions, strides and offsets that depend on input lengths."""

from collections.abc import Sequence
from dataclasses import dataclass

SYMBOLS = 8
"""Three source lengths and five derived symbols."""

Symbols = tuple[int, ...]
"""The values of the eight symbols for one request and claim."""


@dataclass(frozen=True, slots=True)
class Affine:
    """`constant + Σ coefficient·symbol`; terms are sorted by symbol and hold no zero coefficient."""

    constant: int = 0
    terms: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, value: "Affine | int") -> "Affine":
        """An integer as a constant expression; expressions pass through."""
        return value if isinstance(value, Affine) else cls(int(value))

    @classmethod
    def symbol(cls, index: int) -> "Affine":
        """The symbol itself."""
        if not 0 <= index < SYMBOLS:
            raise ValueError(f"symbol {index} is outside 0…{SYMBOLS - 1}")
        return cls(0, ((index, 1),))

    @property
    def is_constant(self) -> bool:
        return not self.terms

    def at(self, symbols: Sequence[int]) -> int:
        """The value for concrete symbols."""
        return self.constant + sum(c * symbols[s] for s, c in self.terms)

    def __add__(self, other: "Affine | int") -> "Affine":
        other = Affine.of(other)
        total = dict(self.terms)
        for symbol, coefficient in other.terms:
            total[symbol] = total.get(symbol, 0) + coefficient
        return Affine(self.constant + other.constant, tuple(sorted((s, c) for s, c in total.items() if c)))

    __radd__ = __add__

    def __neg__(self) -> "Affine":
        return self * -1

    def __sub__(self, other: "Affine | int") -> "Affine":
        return self + -Affine.of(other)

    def __rsub__(self, other: int) -> "Affine":
        return Affine.of(other) - self

    def __mul__(self, other: "Affine | int") -> "Affine":
        """The product; ValueError where it would not be affine."""
        other = Affine.of(other)
        if not other.is_constant:
            if not self.is_constant:
                raise ValueError(
                    f"({self})·({other}) is not affine: keep at most one symbolic factor in a stride"
                )
            return other * self
        k = other.constant
        return Affine(self.constant * k, tuple((s, c * k) for s, c in self.terms) if k else ())

    __rmul__ = __mul__

    def __str__(self) -> str:
        parts = [f"{c}·n{s}" if c != 1 else f"n{s}" for s, c in self.terms]
        if self.constant or not parts:
            parts.append(str(self.constant))
        return "+".join(parts)


Dim = Affine | int
"""What the builder accepts where a dimension, stride or offset is meant."""


def product(factors: Sequence[Affine]) -> Affine:
    """The product of dimensions; ValueError where more than one is symbolic."""
    result = Affine(1)
    for factor in factors:
        result = result * factor
    return result
