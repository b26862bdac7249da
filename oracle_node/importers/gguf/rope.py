"""The tables of a rotary embedding: cosines and sines that are the same on every machine, correctly rounded.

A processor's cosine is not: mathematical libraries differ in the last bit. Here a frequency comes from `decimal`, whose
logarithm and exponential are correctly rounded, and positions from turning a complex number of integers, step by step.
"""

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal

import numpy as np

from oracle_node.errors import ModelError
from oracle_node.importers.gguf.hyperparameters import Rope
from oracle_node.tape.types import Array

_BITS = 160
"""Fractional bits of the fixed point to begin with; doubled for a frequency whose rounding they do not decide."""
_MANTISSA_BITS = 24
_SLOWEST, _FASTEST = Decimal("1e-15"), Decimal(4)
"""Radians a position: what the error bound below covers, and more than any model uses."""
_STEP_ERROR_BITS = 12


def rotary_tables(rope: Rope, positions: int) -> tuple[Array, Array]:
    """(cosines, sines) of the angle of each pair at positions 0 … positions − 1: (positions, dimensions / 2) f32 each.

    Every value is the binary32 nearest to the exact one. ModelError for a frequency that no rotary embedding has.
    """
    pairs = rope.dimensions // 2
    cosines, sines = np.empty((2, positions, pairs), np.float32)
    for pair in range(pairs):
        bits = _BITS
        while (columns := _columns(_frequency(rope, pair, bits), positions, bits)) is None:
            bits *= 2
        cosines[:, pair], sines[:, pair] = columns
    return cosines, sines


def _frequency(rope: Rope, pair: int, bits: int) -> int:
    """Radians a position of one pair, times 2**bits, off by at most 1."""
    context = Context(prec=bits // 3 + 20, rounding=ROUND_HALF_EVEN)  # 10**-prec is far below 2**-bits
    exponent = context.divide(Decimal(-2 * pair), Decimal(rope.dimensions))
    frequency = context.exp(context.multiply(exponent, context.ln(Decimal(rope.base))))
    frequency = context.divide(frequency, Decimal(rope.linear_factor))
    if rope.frequency_factors is not None:
        frequency = context.divide(frequency, Decimal(rope.frequency_factors[pair]))
    if not _SLOWEST <= frequency <= _FASTEST:
        raise ModelError(
            f"rotary pair {pair} turns {frequency:.3e} radians a position, expected {_SLOWEST} to {_FASTEST}"
        )
    return int(context.to_integral_value(context.multiply(frequency, Decimal(1 << bits))))


def _columns(frequency: int, positions: int, bits: int) -> tuple[list[float], list[float]] | None:
    """Cosines and sines of position · frequency, correctly rounded to binary32; None where `bits` do not decide it.

    In units of 2**-bits: the frequency is off by 1, so its cosine and sine by 1 for that and by at most 2**10 for the
    series (`_turn`); as a complex number, by less than ε = 2**11. Multiplying by such a turn w, |w| ≤ 1 + ε·2**-bits,
    takes an error e to at most e·|w| + ε + 2, the 2 for the bits dropped; so after p steps it is below p · 2**12, and
    positions · 2**12 bounds it throughout.
    """
    turn_cosine, turn_sine = _turn(frequency, bits)
    error = positions << _STEP_ERROR_BITS
    cosine, sine = 1 << bits, 0
    cosines, sines = [1.0], [0.0]  # position 0 is exact
    for _ in range(1, positions):
        cosine, sine = (
            (cosine * turn_cosine - sine * turn_sine) >> bits,
            (cosine * turn_sine + sine * turn_cosine) >> bits,
        )
        rounded_cosine, rounded_sine = _rounded(cosine, error, bits), _rounded(sine, error, bits)
        if rounded_cosine is None or rounded_sine is None:
            return None
        cosines.append(rounded_cosine)
        sines.append(rounded_sine)
    return cosines[:positions], sines[:positions]


def _turn(angle: int, bits: int) -> tuple[int, int]:
    """Cosine and sine of an angle from 0 to 4, all times 2**bits, by their Taylor series; off by less than 2**10.

    A term is off by at most 5: the square by 1, each shift and division by 1, and an error so far is multiplied by at
    most 16 / 2, then 16 / 12, then less. There are fewer than 128 terms of each, at up to 900 bits, until they vanish.
    """
    square = angle * angle >> bits
    cosine = term = 1 << bits
    sine = odd = angle
    n = 0
    while term or odd:
        n += 2
        term = -(term * square >> bits) // (n * (n - 1))
        odd = -(odd * square >> bits) // (n * (n + 1))
        cosine += term
        sine += odd
    return cosine, sine


def _rounded(value: int, error: int, bits: int) -> float | None:
    """value / 2**bits to 24 significant bits; None if a value that differs by `error` might round differently.

    The exact value never lies on a boundary itself: cosines and sines of algebraic numbers other than 0 are
    transcendental. So more bits always decide.
    """
    drop = value.bit_length() - _MANTISSA_BITS
    if drop < 2:
        return None
    half = 1 << (drop - 1)
    nearest = (value + half) >> drop
    if (value + half - error) >> drop != nearest or (value + half + error) >> drop != nearest:
        return None
    return math.ldexp(nearest, drop - bits)
