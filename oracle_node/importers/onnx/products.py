"""Quantised products: activations as they come, weights a row once, exact integer sums.

| weights | activations | |
|---|---|---|
| 8, 15 bits | 14 bits | two digits of the plan's integer kernels |
| 21 bits | 21 bits | one binary64 product; as near to the real numbers as binary32 arithmetic comes |
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oracle_node.errors import ModelError
from oracle_node.importers.onnx.expression import place, select
from oracle_node.importers.onnx.extents import extent, storable
from oracle_node.importers.onnx.lowering import Lowering
from oracle_node.importers.onnx.reductions import Quantised, quantise
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.blocks import contract_bounded, quantize_weights, sum_bounded
from oracle_node.tape.types import Array
from oracle_node.tape.view import View, broadcast_shape

PRODUCT_BLOCK = 512
"""Products that one step adds up: proving it takes about 400,000 gas then."""
_ACTIVATION_LIMITS = {8: 2**13 - 1, 15: 2**13 - 1, 21: 2**20 - 1}
"""Largest activation, by the bits of the weights."""


@dataclass(frozen=True)
class Weights:
    """Rows of quantised weights and the scale of each row: w ≈ q·scale."""

    q: Array
    scale: Array


def float_weights(rows: Array) -> Array:
    """The weights as they are; ModelError unless they are finite float32."""
    if rows.dtype != np.float32:
        raise ModelError(f"its weights are {rows.dtype}: only float32 weights can be imported")
    if not np.isfinite(rows).all():
        raise ModelError("its weights are not all finite")
    return rows


def quantised_weights(low: Lowering, rows: Array) -> Weights:
    """Weights (n, …) f32, one scale a row."""
    q, scale = quantize_weights(float_weights(rows), low.weight_bits)
    return Weights(q, scale.astype(np.float64))


def activations(low: Lowering, x: Tensor, axes: Sequence[int] | None = None) -> Quantised:
    """x as integers relative to its largest absolute value over the axes (None: over all)."""
    return quantise(low, x, _ACTIVATION_LIMITS[low.weight_bits], axes)


def contract(low: Lowering, a: View, w: View, reduce_axes: int) -> View:
    """Σ a·w over the last axes of the broadcast views; output axes of length 1 do not weigh on the instruction."""
    axes = broadcast_shape([a.shape, w.shape])
    split = len(axes) - reduce_axes
    extents = tuple(map(extent, axes[:split]))
    kept = storable([i for i, d in enumerate(extents) if d != 1], extents)
    a, w = (select(view.broadcast_to(axes), [*kept, *range(split, len(axes))]) for view in (a, w))
    return place(_split(low, a, w, reduce_axes), kept, extents)


def _split(low: Lowering, a: View, w: View, reduce_axes: int) -> View:
    """Partial sums of PRODUCT_BLOCK elements where a row is longer and can be cut, else of what one step takes."""
    length = extent(a.shape[-1])
    if reduce_axes > 1 or not isinstance(length, int) or length <= PRODUCT_BLOCK:
        return contract_bounded(low.b, a, w, reduce_axes)
    block = next(size for size in range(PRODUCT_BLOCK, 0, -1) if length % size == 0)
    if block < PRODUCT_BLOCK // 4:
        return contract_bounded(low.b, a, w, reduce_axes)
    rows, columns = (view.split_axis(view.rank - 1, block) for view in (a, w))
    return sum_bounded(low.b, contract_bounded(low.b, rows, columns, 1), 1)
