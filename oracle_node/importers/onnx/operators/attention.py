"""Attention of opset 23 and later: products, a mask, a softmax and a product; the caches of decoders are refused."""

from math import sqrt

import numpy as np

from oracle_node.importers.onnx.extents import Extent, text
from oracle_node.importers.onnx.lowering import I64, Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators.movement import broadcast_to, reshape_to, sliced
from oracle_node.importers.onnx.operators.product import multiplied, transposed
from oracle_node.importers.onnx.operators.reduction import softmax_along
from oracle_node.importers.onnx.scores import UNREAD
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape import functions

_MASK = 3
_MASKED = -(2.0**60)
"""The score of what a token does not see: its weight is exactly 0."""


def attention(low: Lowering, node: Node) -> list[Tensor]:
    """softmax(scale·Q·Kᵀ + mask)·V over heads, (batch, heads, length, width) or (batch, length, heads·width)."""
    if any(node.has(i) for i in range(_MASK + 1, 7)) or any(node.is_read(i) for i in (1, 2, 3)):
        node.refuse("past keys and values, padded lengths, and outputs beside the first are not supported")
    joined = node.input(0).rank == 3
    queries, keys, values = (_heads(low, node, i) for i in range(3))
    count, own = queries.extents[1], keys.extents[1]
    if not isinstance(count, int) or not isinstance(own, int) or count % own:
        node.refuse(f"{text([count])} heads of queries and {text([own])} of keys do not fit")
    keys, values = (_repeated(low, x, count // own) for x in (keys, values))
    scale = float(node.get("scale", 0.0)) or 1 / sqrt(_width(queries))
    scores = low.scaled(multiplied(low, queries, transposed(low, keys)), scale)
    scores = _masked(low, node, scores)
    cap = float(np.float32(node.get("softcap", 0.0)))
    if cap > 0:
        scores = low.apply(lambda s: functions.tanh(s / cap) * cap, scores)
    mixed = multiplied(low, softmax_along(low, scores, -1), values)
    if joined:
        rows = _exchanged(low, mixed)
        mixed = reshape_to(low, rows, (*rows.extents[:2], count * _width(mixed)))
    return [mixed, *[UNREAD] * (node.outputs - 1)]


def _heads(low: Lowering, node: Node, position: int) -> Tensor:
    """Queries, keys or values as (batch, heads, length, width)."""
    x = node.input(position)
    if x.rank == 4:
        return x
    heads = int(node.get("q_num_heads" if position == 0 else "kv_num_heads", 0))
    if x.rank != 3 or heads < 1 or _width(x) % heads:
        node.refuse(f"{text(x.extents)} are not {heads} heads")
    return _exchanged(low, reshape_to(low, x, (*x.extents[:2], heads, _width(x) // heads)))


def _width(x: Tensor) -> int:
    width = x.extents[-1]
    assert isinstance(width, int)
    return width


def _exchanged(low: Lowering, x: Tensor) -> Tensor:
    """Heads and length in each other's place."""
    x, order = low.settled(x), (0, 2, 1, 3)
    shape = tuple(x.extents[a] for a in order)
    return x.moved(shape, lambda d: d.transpose(order), lambda v: v.transpose(*order))


def _repeated(low: Lowering, x: Tensor, times: int) -> Tensor:
    """Every head that many times, one after another."""
    if times == 1:
        return x
    batch, heads, length, width = x.extents
    wide: tuple[Extent, ...] = (batch, heads, times, length, width)
    x = broadcast_to(low, reshape_to(low, x, (batch, heads, 1, length, width)), wide)
    return reshape_to(low, x, (batch, heads * times, length, width))


def _masked(low: Lowering, node: Node, scores: Tensor) -> Tensor:
    """Scores plus a mask of numbers, or where one of booleans holds; and, if causal, of no later position."""
    if node.has(_MASK):
        mask = node.input(_MASK)
        if mask.extents[-1] != scores.extents[-1]:
            node.refuse(f"its mask {text(mask.extents)} is shorter than the keys")
        if mask.is_float:
            scores = low.apply(lambda s, m: s + m, scores, mask)
        else:
            scores = low.apply(lambda s, m: m.where(s, _MASKED), scores, mask)
    if not node.get("is_causal", 0):
        return scores
    rows, columns = (_counting(low, scores.extents[axis]) for axis in (-2, -1))
    rows = reshape_to(low, rows, (scores.extents[-2], 1))
    return low.apply(lambda s, r, c: (c <= r).where(s, _MASKED), scores, rows, columns)


def _counting(low: Lowering, length: Extent) -> Tensor:
    """0, 1, 2, … (length,)."""
    _, most = low.bounds(length)
    low.require_room(most)
    whole = Tensor.constant(np.arange(most, dtype=I64))
    return whole if isinstance(length, int) and length > 1 else sliced(low, low.leaf(whole), 0, 0, length)


HANDLERS: dict[str, Handler] = {"Attention": attention}
