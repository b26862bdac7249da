"""Conv: a MATMUL over a window view of the quantised, padded activations, which lie with their channels innermost.

Depthwise ones have no matrix in them: they are multiplied and added in binary32, tap by tap, and lose nothing to
quantisation.
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from oracle_node.importers.onnx.expression import select
from oracle_node.importers.onnx.geometry import WindowAxis, windowed, windows_of
from oracle_node.importers.onnx.lowering import F32, Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.products import activations, contract, float_weights, quantised_weights
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.expression import Scalar
from oracle_node.tape.types import Array
from oracle_node.tape.view import View

_FLOAT_TAPS = 25
"""Depthwise windows of more positions are quantised: so long a chain of operations is slower."""
_FIRST_TAPS, _NEXT_TAPS = 3, 2
"""Taps of the first MAP, and of those that go on adding: as many as their operands' chunks allow one step."""
_SCATTERED_BYTES = 16384
"""A grouped window that spans more than this with its channels innermost is laid out with them outermost."""


def conv(low: Lowering, node: Node) -> list[Tensor]:
    """(N, C, …) ⊛ (O, C/group, …) + bias (O,)."""
    x, kernel = node.input(0), node.constant(1, "weight")
    axes = _windows(node, x, kernel.shape)
    if kernel.shape[:2] == (x.shape[1], 1) and prod(kernel.shape[2:]) <= _FLOAT_TAPS and x.is_float:
        return [_biased(low, node, _depthwise(low, x, float_weights(kernel), axes), len(axes))]
    weights = quantised_weights(low, kernel)
    parts = activations(low, x)
    acc = _convolved(low, parts.q, weights.q, axes, int(node.get("group", 1)))
    result = Tensor.of_view(acc, low.b.interval(acc), F32)
    scale = (weights.scale / parts.limit).reshape(1, -1, *(1 for _ in axes))
    return [_biased(low, node, low.rescaled(result, scale, parts.scale), len(axes))]


def _biased(low: Lowering, node: Node, result: Tensor, rank: int) -> Tensor:
    """The result and the node's bias, if it has one, a channel."""
    if not node.has(2):
        return result
    return low.scaled(result, 1.0, node.constant(2, "bias").reshape(1, -1, *[1] * rank))


def _depthwise(low: Lowering, x: Tensor, kernel: Array, axes: Sequence[WindowAxis]) -> Tensor:
    """Σ x·w over the window in row-major order, rounded after every operation: (N, C, out…); kernel (C, 1, …)."""
    padded = _padded(low, x, axes, channels_last=True)
    taps = windowed(padded, 1, axes)  # (N, out…, C, window…)
    weights = low.b.const(np.ascontiguousarray(kernel.reshape(len(kernel), -1).T))

    def tap(position: tuple[int, ...]) -> list[Tensor]:
        view = taps
        for index in reversed(position):
            view = view.pick(-1, index)
        index = int(np.ravel_multi_index(position, kernel.shape[2:]))
        row = weights.pick(0, index).broadcast_to(view.dims)
        return [Tensor.of_view(v.moved(-1, 1), low.b.interval(v), F32) for v in (view, row)]

    pairs = [tap(position) for position in np.ndindex(*kernel.shape[2:])]
    first, rest = pairs[:_FIRST_TAPS], pairs[_FIRST_TAPS:]
    total = low.apply(lambda *v: _dot(v), *(t for pair in first for t in pair))
    for start in range(0, len(rest), _NEXT_TAPS):
        more = [t for pair in rest[start : start + _NEXT_TAPS] for t in pair]
        total = low.apply(lambda acc, *v: _dot(v, acc), low.materialise(total), *more)
    return total


def _dot(values: Sequence[Scalar], total: Scalar | None = None) -> Scalar:
    """total + Σ a·b of values that alternate, in order."""
    for a, b in zip(values[::2], values[1::2], strict=True):
        total = a * b if total is None else total + a * b
    assert total is not None
    return total


def convolved(low: Lowering, node: Node, q: Tensor, kernel: Array) -> View:
    """The exact sums (N, O, …) of integers and integer weights, for quantised networks."""
    return _convolved(low, q, kernel, _windows(node, q, kernel.shape), int(node.get("group", 1)))


def _windows(node: Node, x: Tensor, kernel: Sequence[int]) -> list[WindowAxis]:
    """The windows of a kernel that fits x."""
    group = int(node.get("group", 1))
    fits = x.rank >= 3 and len(kernel) == x.rank and group >= 1
    if not fits or x.shape[1] != kernel[1] * group or kernel[0] % group:
        node.refuse(f"weights {tuple(kernel)} in {group} groups do not fit an input of {x.shape}")
    return windows_of(node, x.shape[2:], kernel[2:])


def _convolved(low: Lowering, q: Tensor, kernel: Array, axes: Sequence[WindowAxis], group: int) -> View:
    padded = _padded(low, q, axes, _channels_last(kernel.shape, axes, group))
    acc = contract(low, *_operands(low, padded, kernel, axes, group))
    return acc.reshape(q.shape[0], *(a.count for a in axes), kernel.shape[0]).moved(-1, 1)


def _channels_last(kernel: Sequence[int], axes: Sequence[WindowAxis], group: int) -> bool:
    """Whether the channels should be innermost: they are where a product runs over all of them."""
    channels = kernel[1] * group
    return group == 1 or prod(a.size for a in axes) * channels * 2 <= _SCATTERED_BYTES


def _padded(low: Lowering, q: Tensor, axes: Sequence[WindowAxis], channels_last: bool) -> View:
    """q as a view (N, spatial…, C) with its padding."""
    spatial = list(range(2, q.rank))
    order = [0, *spatial, 1] if channels_last else [0, 1, *spatial]
    view = select(low.only_view(low.materialise(q, order)), order)
    first = 1 if channels_last else 2
    for position in reversed(range(len(axes))):
        axis = axes[position]
        if axis.before or axis.after:
            view = low.b.pad(view, first + position, axis.before, axis.after)
    return view if channels_last else view.moved(1, -1)


def _operands(
    low: Lowering, x: View, q: Array, axes: Sequence[WindowAxis], group: int
) -> tuple[View, View, int]:
    """Views of activations (N, out…, [group,] 1, window…, C/group) and weights ([group,] O/group, window…, C/group)."""
    inner = [i for i, a in enumerate(axes) if a.size > 1]
    channels = q.shape[1]
    has_channels = channels > 1 or not inner
    kernel = np.moveaxis(q, 1, -1).reshape(
        *([group] if group > 1 else []),
        q.shape[0] // group,
        *(axes[i].size for i in inner),
        *([channels] if has_channels else []),
    )
    view = windowed(x, 1, axes)  # (N, out…, C, window…)
    rank = len(axes)
    for i in reversed(range(rank)):
        if axes[i].size == 1:
            view = view.squeeze(2 + rank + i)
    view = view.split_axis(1 + rank, channels)  # (N, out…, group, C/group, window…)
    view = view.moved(2 + rank, -1) if has_channels else view.squeeze(2 + rank)
    view = view.unsqueeze(2 + rank)
    if group == 1:
        view = view.squeeze(1 + rank)
    return view, low.b.const(np.ascontiguousarray(kernel)), len(inner) + has_channels


HANDLERS: dict[str, Handler] = {"Conv": conv}
