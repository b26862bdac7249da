"""Blocks: what networks are made of, as plain functions over a builder that emit a few instructions each.

Long reductions are split so that one element's proof stays small (DESIGN §3, "Bounded step"); sums of floats are sums
of fixed-point integers. Each docstring states the error against exact arithmetic;
tests/tape/test_blocks.py measures it.
"""

from dataclasses import dataclass, replace

import numpy as np

from oracle_node.errors import AdmissionError
from oracle_node.tape.affine import Affine
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.expression import ScalarFunction
from oracle_node.tape.functions import exp, log
from oracle_node.tape.instruction import Reducer
from oracle_node.tape.types import Array, DType
from oracle_node.tape.view import View

SMALLEST_SCALE = 2.0**-40
"""A tensor whose values are all smaller is quantised as if this were its largest."""
BLOCK_ELEMENTS = 512
"""How many elements one step of a split reduction reads: two f32 chunks."""
_SUM_BITS = 22
_PROBABILITY_BITS = 24


@dataclass(frozen=True)
class Quantized:
    """Integers `q` with |q| ≤ limit, and `scale` (the largest absolute value): x ≈ q·scale/limit."""

    q: View
    scale: View
    limit: int


def _divisor(length: int, limit: int) -> int:
    """The largest divisor of `length` up to `limit`."""
    return next(d for d in range(min(limit, length), 0, -1) if length % d == 0)


def _merged(view: View, axes: int) -> View:
    """The last `axes` axes as one; ValueError unless they follow one another in memory."""
    split = view.rank - axes
    total, stride = Affine(1), Affine(1) if axes == 0 else view.strides[-1]
    for dimension, step in zip(reversed(view.shape[split:]), reversed(view.strides[split:]), strict=True):
        if dimension != Affine(1) and step != stride * total:
            raise ValueError("the axes do not follow one another in memory")
        total = total * dimension
    return replace(view, shape=(*view.shape[:split], total), strides=(*view.strides[:split], stride))


def _flattened(b: TapeBuilder, view: View, axes: int) -> View:
    try:
        return _merged(view, axes)
    except ValueError:
        return _merged(b.copy(view), axes)


def max_bounded(
    b: TapeBuilder, x: View, axes: int, function: ScalarFunction, block: int = BLOCK_ELEMENTS
) -> View:
    """max of `function` over the last `axes` axes, exactly, in steps of at most `block` elements.

    Blocks may overlap where the length has no handy divisor: a maximum does not mind counting an element twice.
    """
    flat = _flattened(b, x, axes)
    while flat.shape[-1].is_constant and flat.shape[-1].constant > block:
        length = flat.shape[-1].constant
        blocks = -(-length // block)
        size = -(-length // blocks)
        stride = (length - size) // (blocks - 1)
        tiled = flat.slice(-1, 0, stride * (blocks - 1) + size).windows(-1, size, stride)
        # the last window must end at the last element: start the remainder there
        short = length - (stride * (blocks - 1) + size)
        partial = b.reduce(Reducer.MAX, tiled, function=function)
        if short:
            tail = b.reduce(Reducer.MAX, flat.slice(-1, length - size, size).unsqueeze(-2), function=function)
            partial = b.concat([partial, tail], -1)
        flat, function = partial, lambda v: v
    return b.reduce(Reducer.MAX, flat, function=function)


def sum_bounded(
    b: TapeBuilder, x: View, axes: int, function: ScalarFunction = lambda v: v, block: int = BLOCK_ELEMENTS
) -> View:
    """Σ of an integer `function` over the last `axes` axes, exactly, in steps of at most `block` elements."""
    flat = _flattened(b, x, axes)
    while flat.shape[-1].is_constant and flat.shape[-1].constant > block:
        length = flat.shape[-1].constant
        size = _divisor(length, block)
        if size < block // 4:  # no handy divisor: whole blocks, then the rest
            size, whole = block, length // block * block
            partial = b.reduce(
                Reducer.SUM, flat.slice(-1, 0, whole).split_axis(flat.rank - 1, size), function=function
            )
            rest = b.reduce(
                Reducer.SUM,
                flat.slice(-1, whole, length - whole).unsqueeze(-2),
                function=function,
                dtype=partial.dtype,
            )
            flat = b.concat([partial, rest], -1)
        else:
            flat = b.reduce(Reducer.SUM, flat.split_axis(flat.rank - 1, size), function=function)
        function = lambda v: v  # noqa: E731
    return b.reduce(Reducer.SUM, flat, function=function)


def absmax(b: TapeBuilder, x: View, axes: int, block: int = BLOCK_ELEMENTS) -> View:
    """max |x| over the last `axes` axes, at least SMALLEST_SCALE; exact."""
    return max_bounded(b, x, axes, lambda v: v.abs().maximum(SMALLEST_SCALE), block)


def quantize(b: TapeBuilder, x: View, bits: int = 14, axes: int = 1) -> Quantized:
    """x as `bits`-bit integers relative to max |x| over the last `axes` axes; errs by at most half a step."""
    return _fixed_point(b, x, 2 ** (bits - 1) - 1, axes)


def _fixed_point(b: TapeBuilder, x: View, limit: int, axes: int, block: int = BLOCK_ELEMENTS) -> Quantized:
    scale = absmax(b, x, axes, block)
    spread, bound = scale, float(limit)
    for _ in range(axes):
        spread = spread.unsqueeze(-1)
    # |x|·(limit/scale) ≤ limit up to rounding: the clamp states the relation that intervals cannot see
    q = b.map(lambda v, s: (v * (bound / s)).round().clamp(-bound, bound).to_int(), x, spread)
    return Quantized(q, scale, limit)


def quantize_weights(weight: Array, bits: int) -> tuple[Array, Array]:
    """Rows (n, …) of f32 weights as integers and their scales (n,) f32: w ≈ q·scale.

    8 bits: |q| ≤ 127 in i8 (one digit of the plan); 15 bits: |q| ≤ 16383 in i16 (two); 21 bits: |q| < 2^20 in i32.
    Every step is a single IEEE operation in binary64, so the integers are the same on every machine.
    """
    limit, dtype = {8: (127, np.int8), 15: (16383, np.int16), 21: (2**20 - 1, np.int32)}[bits]
    rows = weight.reshape(len(weight), -1)
    scales = (np.abs(rows).max(axis=1).astype(np.float64) / limit).astype(np.float32)
    # a row of zeros, or one whose scale is no normal number, becomes zeros
    usable = scales >= np.finfo(np.float32).tiny
    scales = np.where(usable, scales, np.float32(1))
    q = np.rint(rows.astype(np.float64) / scales.astype(np.float64)[:, None])
    q = np.where(usable[:, None], np.clip(q, -limit, limit), 0).astype(dtype)
    return q.reshape(weight.shape), scales


def contract_bounded(b: TapeBuilder, a: View, w: View, reduce_axes: int) -> View:
    """Σ a·w over the last `reduce_axes` axes, exactly; in partial sums and a REDUCE where one step would be too large.

    The outermost reduce axis leaves the product first; the last one is cut into blocks.
    """
    try:
        return b.contract(a, w, reduce_axes)
    except AdmissionError:
        if reduce_axes == 1:
            return _contract_blocks(b, a, w)
    partial = contract_bounded(b, a, w, reduce_axes - 1)
    return sum_bounded(b, partial, 1)


def _contract_blocks(b: TapeBuilder, a: View, w: View) -> View:
    length = max(a.shape[-1].constant, w.shape[-1].constant)
    for parts in range(2, length + 1):
        if length % parts:
            continue
        try:
            partial = b.contract(
                a.split_axis(a.rank - 1, length // parts), w.split_axis(w.rank - 1, length // parts), 1
            )
        except AdmissionError:
            continue
        return sum_bounded(b, partial, 1)
    raise AdmissionError(f"a product over {length} elements cannot be split to fit the step bound")


def mean(
    b: TapeBuilder, x: View, axes: int, divisor: float | None = None, block: int = BLOCK_ELEMENTS
) -> View:
    """Mean over the last `axes` axes (or Σ / divisor); error at most 2^-21 of the largest |x| of the group."""
    size = float(np.prod(x.dims[x.rank - axes :])) if divisor is None else divisor
    fixed = _fixed_point(b, x, 2 ** (_SUM_BITS - 1), axes, block)
    total = sum_bounded(b, fixed.q, axes, block=block)
    return b.map(lambda t, s: t.to_float() * (s * (1.0 / (fixed.limit * size))), total, fixed.scale)


def softmax(b: TapeBuilder, x: View) -> View:
    """Softmax over the last axis; absolute error below 2e-7 plus x's own rounding."""
    weights, total = _exponentials(b, x)
    # the largest term alone is `one`, and no term exceeds the sum: relations that intervals cannot see
    one = float(1 << _PROBABILITY_BITS)
    return b.map(lambda e, t: e.to_float() / t.to_float().maximum(one), weights, total.unsqueeze(-1))


def log_softmax(b: TapeBuilder, x: View) -> View:
    """Logarithm of softmax over the last axis; absolute error below 2e-6 + 1e-7·|result| + 3e-8·n for n classes."""
    _, total = _exponentials(b, x)
    highest = max_bounded(b, x, 1, lambda v: v)
    scale = 2.0**-_PROBABILITY_BITS
    exponent = (int(b.interval(total).hi) >> _PROBABILITY_BITS).bit_length()
    logarithm = b.map(lambda t: log(t.to_float() * scale, exponent), total)
    return b.map(lambda v, m, t: v - m - t, x, highest.unsqueeze(-1), logarithm.unsqueeze(-1))


def _exponentials(b: TapeBuilder, x: View) -> tuple[View, View]:
    """round(2^24·e^(x − max)) as i32, and its sum; the largest is exactly 2^24."""
    one = float(1 << _PROBABILITY_BITS)
    highest = max_bounded(b, x, 1, lambda v: v)
    weights = b.map(
        lambda v, m: (exp((v - m).minimum(0.0)) * one).round().clamp(0.0, one).to_int(),
        x, highest.unsqueeze(-1), dtype=DType.I32,
    )  # fmt: skip
    return weights, sum_bounded(b, weights, 1)
