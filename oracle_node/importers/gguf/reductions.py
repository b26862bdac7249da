"""Reductions and products of a language model, cut so that proving one element stays cheap wherever it lies.

Blocks are small enough that recomputing an element takes about 400,000 gas at most (`tape.step`), for axes of fixed
length; the axis of earlier tokens is reduced in one step, which costs as much as a sequence is long.
"""

from dataclasses import dataclass

from oracle_node.tape.blocks import SMALLEST_SCALE, Quantized, max_bounded
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Reducer
from oracle_node.tape.types import DType
from oracle_node.tape.view import View

ACTIVATION_LIMIT = 8191
"""Activations are 14-bit integers: two digits of the fast plan."""
HEAD_LIMIT = 32767
"""Queries, keys and values are 16-bit integers: their products are made in float64 anyway."""
PRODUCT_BLOCK = 512
MAXIMUM_BLOCK = 64
ARGMAX_BLOCK = 192


@dataclass(frozen=True)
class Linear:
    """Integers `sums` (…, n), to be multiplied by a row's `step` (…, 1) and a column's `scale` (n,)."""

    sums: View
    step: View
    scale: View


def quantized_rows(b: TapeBuilder, x: View, limit: int = ACTIVATION_LIMIT) -> Quantized:
    """x as i16 integers up to `limit`, relative to the largest of each row; errs by at most half a step."""
    scale = largest(b, x)
    bound = float(limit)
    q = b.map(
        lambda v, s: (v * (bound / s)).round().clamp(-bound, bound).to_int(),
        x, scale.unsqueeze(-1), dtype=DType.I16,
    )  # fmt: skip
    return Quantized(q, scale, limit)


def largest(b: TapeBuilder, x: View) -> View:
    """max |x| of each row, at least SMALLEST_SCALE; exact."""
    return max_bounded(b, x, 1, lambda v: v.abs().maximum(SMALLEST_SCALE), MAXIMUM_BLOCK)


def product(b: TapeBuilder, x: View, weights: View) -> View:
    """Σ x·w for every row of x (…, k) and w (n, k): (…, n), exactly, in partial sums of PRODUCT_BLOCK."""
    length = weights.shape[-1].constant
    dtype = _sum_type(length, weights.dtype)
    rows = x.unsqueeze(-2)
    if length <= PRODUCT_BLOCK:
        return b.contract(rows, weights, 1, dtype)
    block = next(size for size in range(PRODUCT_BLOCK, 0, -1) if length % size == 0)
    rows, columns = rows.split_axis(rows.rank - 1, block), weights.split_axis(weights.rank - 1, block)
    partial = b.contract(rows, columns, 1, _sum_type(block, weights.dtype))
    return b.reduce(Reducer.SUM, partial, dtype=dtype)


def _sum_type(length: int, weights: DType) -> DType:
    """By the worst case, so that all layers are alike."""
    worst = length * ACTIVATION_LIMIT * {DType.I8: 127, DType.I16: 16383}[weights]
    return DType.I32 if worst < 1 << 31 else DType.I64


def argmax(b: TapeBuilder, x: View) -> View:
    """The index of the largest in each row, the lowest on ties: (…, n) → (…) i32; n is fixed."""
    length = x.shape[-1].constant
    if length <= ARGMAX_BLOCK:
        return b.reduce(Reducer.ARGMAX, x)
    last = x.rank - 1
    whole = length // ARGMAX_BLOCK * ARGMAX_BLOCK
    blocks = [x.slice(-1, 0, whole).split_axis(last, ARGMAX_BLOCK)]
    if whole < length:
        # the last block overlaps the one before; of equals the earlier block is taken, which has the lower index
        blocks.append(x.slice(-1, length - ARGMAX_BLOCK, ARGMAX_BLOCK).unsqueeze(-2))
    highest = b.concat([b.reduce(Reducer.MAX, block) for block in blocks], -1)
    inside = b.concat([b.reduce(Reducer.ARGMAX, block) for block in blocks], -1)
    block = argmax(b, highest)
    place = b.take(block, inside)
    final = length - ARGMAX_BLOCK
    return b.map(lambda k, p: (k * ARGMAX_BLOCK).minimum(final) + p, block, place, dtype=DType.I32)
