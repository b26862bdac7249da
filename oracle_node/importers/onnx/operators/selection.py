"""TopK: the largest of an axis, one after another."""

import numpy as np

from oracle_node.importers.onnx.lowering import I64, LIMIT, Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators.movement import concatenated
from oracle_node.importers.onnx.reductions import argmax, extreme
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.expression import Scalar
from oracle_node.tape.instruction import Reducer

_MOST = 64
"""Each takes a maximum, a position and a mask over the whole axis."""


def top_k(low: Lowering, node: Node) -> list[Tensor]:
    """Values and positions of the k largest (`largest` 0: smallest), in order, of equal ones the first; exact.

    A float below −2^60, where no activation is, counts as one that was taken.
    """
    x = low.settled(low.frozen(node.input(0)))
    axis = x.axis(int(node.get("axis", -1)))
    given = node.constant(1, "k") if node.opset >= 10 else np.asarray(node.get("k", 0))
    k = int(given.reshape(-1)[0]) if given.size == 1 else -1
    if not 1 <= k <= min(_MOST, x.shape[axis]):
        node.refuse(
            f"its k is {k}: 1 to {min(_MOST, x.shape[axis])} of an axis of {x.shape[axis]} are supported"
        )
    is_largest = bool(node.get("largest", 1))
    places = Tensor.constant(
        np.arange(x.shape[axis]).reshape([-1 if a == axis else 1 for a in range(x.rank)])
    )
    kind = x.dtype if x.is_float else I64
    left = low.materialise(low.apply(lambda v: v if is_largest else -v, x, dtype=kind))
    span = low.interval(left)
    taken = -LIMIT if x.is_float else int(min(span.lo, 0)) - 1

    def without(v: Scalar, best: Scalar, place: Scalar) -> Scalar:
        return best.equals(place).where(taken, v)

    values, positions = [], []
    for _ in range(k):
        positions.append(argmax(low, left, axis))
        values.append(extreme(low, Reducer.MAX, left, [axis]))
        left = low.materialise(low.apply(without, left, positions[-1], places, dtype=kind))
    best = concatenated(low, values, axis)

    def restored(v: Scalar) -> Scalar:
        # fewer are taken than there are: a relation that intervals cannot see
        kept = v if x.is_float else v.maximum(int(span.lo))
        return kept if is_largest else -kept

    return [low.apply(restored, best, dtype=x.dtype), concatenated(low, positions, axis)]


HANDLERS: dict[str, Handler] = {"TopK": top_k}
