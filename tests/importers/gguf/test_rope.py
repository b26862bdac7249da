"""Rotary tables: correctly rounded, as slow exact arithmetic says, and as pinned for every machine."""

import hashlib
import math
import time
from decimal import Decimal, localcontext

import numpy as np
import pytest

from oracle_node.errors import ModelError
from oracle_node.importers.gguf.hyperparameters import Rope
from oracle_node.importers.gguf.rope import _frequency, _rounded, rotary_tables

LLAMA2 = Rope(10000.0, 128, "adjacent")
LLAMA3 = Rope(500000.0, 16, "adjacent", frequency_factors=(1.0, 1.0, 1.0, 1.5, 3.25, 8.0, 8.0, 8.0))
ODD = Rope(float(np.float32(12345.678)), 6, "halves", linear_factor=float(np.float32(0.7)))


def exact_cosine_and_sine(angle: Decimal) -> tuple[Decimal, Decimal]:
    """Their Taylor series, with no reduction of the angle: only good with many digits."""
    cosine = sine = Decimal(0)
    term, n = Decimal(1), 0
    while n < 40 or abs(term) > Decimal("1e-120"):
        if n % 2 == 0:
            cosine += term if n % 4 == 0 else -term
        else:
            sine += term if n % 4 == 1 else -term
        n += 1
        term = term * angle / n
    return cosine, sine


def nearest_binary32(x: Decimal) -> np.float32:
    """Of the two neighbours of a first guess, and the guess, the one that is nearest."""
    guess = np.float32(float(x))
    around = (np.nextafter(guess, np.float32(-2)), guess, np.nextafter(guess, np.float32(2)))
    return min(around, key=lambda candidate: abs(Decimal(float(candidate)) - x))


@pytest.mark.parametrize("rope", [LLAMA2, LLAMA3, ODD], ids=["llama2", "llama3", "odd"])
def test_tables__samples__are_the_nearest_binary32(rope: Rope) -> None:
    cosines, sines = rotary_tables(rope, 200)
    factors = rope.frequency_factors or (1.0,) * (rope.dimensions // 2)
    with localcontext(prec=300):
        for position in (1, 2, 13, 199):
            for pair in range(0, rope.dimensions // 2, max(1, rope.dimensions // 16)):
                frequency = (Decimal(rope.base).ln() * Decimal(-2 * pair) / rope.dimensions).exp()
                angle = position * frequency / Decimal(rope.linear_factor) / Decimal(factors[pair])
                cosine, sine = exact_cosine_and_sine(angle)
                assert cosines[position, pair] == nearest_binary32(cosine)
                assert sines[position, pair] == nearest_binary32(sine)


def test_tables__all_of_a_long_context__are_near_the_processors_in_time() -> None:
    began = time.perf_counter()
    cosines, sines = rotary_tables(LLAMA2, 4096)
    assert time.perf_counter() - began < 3
    assert (cosines.shape, cosines.dtype, sines.dtype) == ((4096, 64), np.float32, np.float32)
    angles = np.arange(4096)[:, None] * 10000.0 ** (-np.arange(64) / 64)
    assert np.abs(cosines - np.cos(angles)).max() < 2**-24
    assert np.abs(sines - np.sin(angles)).max() < 2**-24


def test_tables__are_the_same_on_every_machine() -> None:
    cosines, sines = rotary_tables(LLAMA3, 300)
    assert hashlib.sha256(cosines.tobytes() + sines.tobytes()).hexdigest()[:16] == "ec95a7bfdb9da0a4"


def test_tables__position_0__turns_nothing() -> None:
    cosines, sines = rotary_tables(ODD, 1)
    assert (cosines.tolist(), sines.tolist()) == ([[1.0] * 3], [[0.0] * 3])


def test_tables__a_longer_table__begins_with_the_shorter() -> None:
    np.testing.assert_array_equal(rotary_tables(ODD, 100)[1][:40], rotary_tables(ODD, 40)[1])


@pytest.mark.parametrize("pair", [0, 1, 63])
def test_frequency__more_bits__agree(pair: int) -> None:
    assert abs((_frequency(LLAMA2, pair, 800) >> 640) - _frequency(LLAMA2, pair, 160)) <= 1
    assert _frequency(LLAMA2, pair, 160) / 2**160 == pytest.approx(10000.0 ** (-pair / 64), rel=1e-12)


def test_rounded__near_a_boundary__waits_for_more_bits() -> None:
    boundary = (2**24 + 1) << 100  # half-way between two numbers of 24 bits
    assert _rounded(boundary + 50, 49, 200) == math.ldexp(2**23 + 1, 101 - 200)
    assert _rounded(boundary - 50, 49, 200) == math.ldexp(2**23, 101 - 200)
    assert _rounded(boundary + 50, 51, 200) is None
    assert _rounded(-boundary - 50, 49, 200) == -math.ldexp(2**23 + 1, 101 - 200)
    assert _rounded(0, 1, 200) is None


@pytest.mark.parametrize("rope", [Rope(10000.0, 4, "halves", linear_factor=0.1), Rope(1e38, 64, "halves")])
def test_tables__frequencies_beyond_any_model__are_refused(rope: Rope) -> None:
    with pytest.raises(ModelError, match="radians a position, expected 1E-15 to 4"):
        rotary_tables(rope, 4)
