"""Bit patterns that are hard on binary32 arithmetic, and i64 values that are hard on integer arithmetic."""

import numpy as np

Array = np.ndarray

_MAGNITUDES = np.array(
    [
        *(0x00000000, 0x00000001, 0x00000002, 0x00000003, 0x003FFFFF, 0x00400000, 0x007FFFFE, 0x007FFFFF),
        *(0x00800000, 0x00800001, 0x00FFFFFF, 0x01000000, 0x0B800000, 0x0C000000, 0x19800000, 0x20000000),
        *(0x33000000, 0x337FFFFF, 0x33800000, 0x33800001, 0x34000000, 0x3E800000, 0x3EFFFFFF, 0x3F000000),
        *(0x3F000001, 0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x3FBFFFFF, 0x3FC00000, 0x3FC00001, 0x3FFFFFFF),
        *(0x40000000, 0x40200000, 0x40600000, 0x4AFFFFFF, 0x4B000000, 0x4B000001, 0x4B7FFFFF, 0x4B800000),
        *(0x4B800001, 0x5EFFFFFF, 0x5F000000, 0x5F7FFFFF, 0x5F800000, 0x7E7FFFFF, 0x7E800000, 0x7F000000),
        *(0x7F7FFFFE, 0x7F7FFFFF),
    ],
    np.uint32,
)
SPECIAL = np.concatenate([_MAGNITUDES, _MAGNITUDES | np.uint32(0x80000000)])
"""Zeros, denormals, the edges of the exponents, halves, ±1, the edges of exact integers and of i64."""

INTEGERS = np.array(
    sorted(
        {
            s * ((1 << k) + d)
            for k in (0, 1, 2, 7, 8, 15, 23, 24, 25, 31, 32, 53, 62)
            for d in (-1, 0, 1)
            for s in (1, -1)
        }
        | {0, (1 << 63) - 1, (1 << 63) - 2, -(1 << 63), 1 - (1 << 63), 126, 127, 128, -126, -127, 63, 64, -64}
    ),
    np.int64,
)


def floats(bits: Array) -> Array:
    """The numbers of the bits, without NaN and infinities (their exponent loses its last bit)."""
    unusual = bits & np.uint32(0x7F800000) == np.uint32(0x7F800000)
    return np.where(unusual, bits ^ np.uint32(0x00800000), bits).astype(np.uint32).view(np.float32)


def random_floats(rng: np.random.Generator, count: int) -> Array:
    """Any finite bit pattern."""
    return floats(rng.integers(0, 1 << 32, count, dtype=np.uint32))


def sparse_floats(rng: np.random.Generator, count: int) -> Array:
    """Significands with long runs of zeros or ones at the end, in all exponents: sums and products near ties."""
    bits = rng.integers(0, 1 << 32, count, dtype=np.uint32)
    run = (np.uint32(1) << rng.integers(0, 24, count, dtype=np.uint32)) - np.uint32(1)
    return floats(np.where(rng.integers(0, 2, count) == 1, bits | run, bits & ~run).astype(np.uint32))


def near(rng: np.random.Generator, value: Array, exponents: int) -> Array:
    """Numbers of either sign, at most `exponents` binary places and a few units from the given ones."""
    bits = value.view(np.uint32).astype(np.int64)
    field = np.clip((bits >> 23 & 0xFF) + rng.integers(-exponents, exponents + 1, value.size), 0, 254)
    fraction = bits + rng.integers(-3, 4, value.size) & 0x7FFFFF
    sign = rng.integers(0, 2, value.size) << 31
    return (sign | field << 23 | fraction).astype(np.uint32).view(np.float32)


def random_integers(rng: np.random.Generator, count: int) -> Array:
    """i64 values of every length."""
    return rng.integers(-(1 << 63), (1 << 63) - 1, count, dtype=np.int64, endpoint=True) >> rng.integers(
        0, 64, count
    )
