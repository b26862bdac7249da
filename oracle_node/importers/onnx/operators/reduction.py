"""Reductions over axes, argmax, softmax, and normalisation with stored statistics."""

from collections.abc import Callable

import numpy as np

from oracle_node.importers.onnx.extents import fixed, storable, times
from oracle_node.importers.onnx.lowering import F32, Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators.movement import reshape_to
from oracle_node.importers.onnx.reductions import argmax, extreme, total
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.blocks import log_softmax, softmax
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Reducer
from oracle_node.tape.view import View


def reduce(low: Lowering, node: Node) -> list[Tensor]:
    """ReduceSum, Mean, Max, Min; axes are an attribute in older opsets and an input in newer ones."""
    x, given = node.input(0), node.integers(1, "axes")
    if not given and node.get("noop_with_empty_axes", 0):
        return [x]
    axes = sorted({x.axis(a) for a in given}) if given else list(range(x.rank))
    count = times(x.extents[a] for a in axes)
    if node.operator in ("ReduceMax", "ReduceMin"):
        result = extreme(low, Reducer.MAX if node.operator == "ReduceMax" else Reducer.MIN, x, axes)
    elif node.operator == "ReduceMean" and not x.is_float:
        node.refuse("the mean of integers: cast to float32 first")
    elif node.operator == "ReduceSum":
        result = total(low, x, axes)
    elif isinstance(count, int):
        result = total(low, x, axes, float(count))
    else:
        result = total(low, x, axes)
        result = low.apply(lambda v, n: v / n.to_float().maximum(1.0), result, Tensor.lengths([count]))
    if not node.get("keepdims", 1):
        result = reshape_to(low, result, [d for a, d in enumerate(x.extents) if a not in axes])
    return [result]


def position(low: Lowering, node: Node) -> list[Tensor]:
    """ArgMax and ArgMin; the first or the last of equals."""
    x = low.settled(node.input(0))
    axis = x.axis(int(node.get("axis", 0)))
    (length,) = fixed(x.extents[axis : axis + 1])
    x = low.frozen(x)
    if node.operator == "ArgMin":
        x = low.apply(lambda v: -v, x, dtype=x.dtype)
    last = bool(node.get("select_last_index", 0))
    if last:
        x = x.moved(x.extents, lambda d: np.flip(d, axis), lambda v: v.slice(axis, length - 1, length, -1))
    result = argmax(low, x, axis)
    if last:
        result = low.apply(lambda i: length - 1 - i, result, dtype=result.dtype)
    if not node.get("keepdims", 1):
        result = reshape_to(low, result, [d for a, d in enumerate(x.extents) if a != axis])
    return [result]


def normalised_exponentials(low: Lowering, node: Node) -> list[Tensor]:
    """Softmax and LogSoftmax: over one axis since opset 13, over all axes from `axis` on before."""
    x = low.settled(node.input(0))
    axis = x.axis(int(node.get("axis", -1 if node.opset >= 13 else 1)))
    block = softmax if node.operator == "Softmax" else log_softmax
    if node.opset < 13:
        rows = reshape_to(low, x, (times(x.extents[:axis]), times(x.extents[axis:])))
        view = block(low.b, low.contiguous(rows))
        return [Tensor.of_view(view, low.b.interval(view), F32).reshaped(x.extents)]
    return [softmax_along(low, x, axis, block)]


def softmax_along(
    low: Lowering, x: Tensor, axis: int, block: Callable[[TapeBuilder, View], View] = softmax
) -> Tensor:
    """Softmax (or what `block` is) over one axis."""
    x, axis = low.settled(x), x.axis(axis)
    order = storable([*(a for a in range(x.rank) if a != axis), axis], x.extents)
    shape = tuple(x.extents[a] for a in order)
    last = low.frozen(x).moved(shape, lambda d: d, lambda v: v.transpose(*order))
    view = block(low.b, low.contiguous(last)).transpose(*(order.index(a) for a in range(x.rank)))
    return Tensor.of_view(view, low.b.interval(view), F32)


def batch_normalization(low: Lowering, node: Node) -> list[Tensor]:
    """(x − mean)/√(variance + ε)·scale + bias with stored statistics, as one scaling a channel."""
    if node.outputs > 1 or node.get("training_mode", 0):
        node.refuse("it is in training mode: export the network for inference")
    if not node.get("spatial", 1):
        node.refuse("spatial=0 is not supported")
    x = node.input(0)
    names = ("scale", "bias", "mean", "variance")
    scale, bias, mean, variance = (node.constant(i + 1, n).astype(np.float64) for i, n in enumerate(names))
    epsilon = np.float64(np.float32(node.get("epsilon", 1e-5)))
    if np.any(variance + epsilon <= 0):
        node.refuse("a variance plus epsilon is not positive")
    factor = scale / np.sqrt(variance + epsilon)
    shift = bias - mean * factor
    shape = (1, -1, *(1 for _ in x.shape[2:]))
    return [low.scaled(x, factor.reshape(shape), shift.reshape(shape))]


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"), reduce),
    **dict.fromkeys(("ArgMax", "ArgMin"), position),
    **dict.fromkeys(("Softmax", "LogSoftmax"), normalised_exponentials),
    "BatchNormalization": batch_normalization,
}
