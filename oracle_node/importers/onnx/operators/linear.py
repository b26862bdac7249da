"""LinearClassifier and LinearRegressor: float32 products, added in order; nothing is quantised.

Features of a table differ by orders of magnitude: quantised to 14 bits a row, as elsewhere, the small ones were lost.
"""

import numpy as np

from oracle_node.importers.onnx.lowering import F32, Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.reductions import added_in_order
from oracle_node.importers.onnx.scores import (
    UNREAD,
    best_label,
    complement,
    labels_of,
    post_transform,
    transformed,
    two_labels,
)
from oracle_node.importers.onnx.tensor import Tensor


def classifier(low: Lowering, node: Node) -> list[Tensor]:
    """Label (n,) and scores (n, classes); one score for two classes is the second's."""
    labels, transform = labels_of(node), post_transform(node)
    count = len(node.attributes.get("intercepts", ()))
    if count not in (len(labels), 1) or (count == 1 and (len(labels) != 2 or transform != "NONE")):
        node.refuse(f"it has {count} intercepts for {len(labels)} classes and post_transform {transform}")
    scores = low.compact(_scores(low, node, count), operations=0)
    label = UNREAD
    if node.is_read(0):
        label = two_labels(low, scores, 0.0, labels) if count == 1 else best_label(low, scores, labels)
    if not node.is_read(1):
        scores = UNREAD
    else:
        scores = complement(low, scores) if count == 1 else transformed(low, transform, scores)
    return [label, scores][: node.outputs]


def regressor(low: Lowering, node: Node) -> list[Tensor]:
    """x·coefficientsᵀ + intercepts (n, targets)."""
    if post_transform(node) != "NONE":
        node.refuse("only post_transform NONE is supported")
    return [_scores(low, node, int(node.get("targets", 1)))]


def _scores(low: Lowering, node: Node, count: int) -> Tensor:
    """Σ x·w + intercept (n, count); a relative error of 6e-8 a feature against the sum of all |x·w|."""
    x = low.settled(node.input(0))
    x = x if x.is_float else low.apply(lambda v: v.to_float(), x)
    rows, features = (1, *x.shape)[-2:]
    weights = np.asarray(node.attributes.get("coefficients", ()), np.float32)
    if x.rank not in (1, 2) or weights.size != count * features:
        node.refuse(f"it has {weights.size} coefficients for {count} sums over an input {x.shape}")
    x = low.leaf(x).reshaped((rows, 1, features))
    products = low.apply(lambda v, w: v * w, x, Tensor.constant(weights.reshape(1, count, features)))
    total = low.b.copy(added_in_order(low.b, low.contiguous(products)))
    scores = Tensor.of_view(total, low.b.interval(total), F32)
    intercepts = np.asarray(node.attributes.get("intercepts", ()), np.float32)
    if intercepts.size != count:
        return scores
    return low.apply(lambda s, c: s + c, scores, Tensor.constant(intercepts))


HANDLERS: dict[str, Handler] = {
    "ai.onnx.ml.LinearClassifier": classifier,
    "ai.onnx.ml.LinearRegressor": regressor,
}
