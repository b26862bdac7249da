"""TreeEnsembleClassifier and -Regressor: the exact leaf of every tree, its votes added in the trees' order.

All trees descend at once, one comparison a level. Sums are float32 additions in the order in which ONNX Runtime adds
with one thread, so that raw scores have its bits and a tie between classes falls the same way.
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
    opposite,
    post_transform,
    transformed,
    two_labels,
)
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.importers.onnx.trees import Ensemble, read_ensemble
from oracle_node.tape.expression import Scalar
from oracle_node.tape.types import DType
from oracle_node.tape.view import View


def classifier(low: Lowering, node: Node) -> list[Tensor]:
    """Label (n,) and scores (n, classes) of rows (n, features)."""
    x, labels = _rows(low, node), labels_of(node)
    if len(labels) < 2 or node.get("aggregate_function", "SUM") != "SUM":
        node.refuse("it has fewer than two classes, or does not add its votes")
    return (_two_classes if len(labels) == 2 else _many_classes)(low, node, x, labels)


def _two_classes(low: Lowering, node: Node, x: View, labels: list[int]) -> list[Tensor]:
    """Votes for the second class alone; where none is negative they are its probability, else a margin.

    ONNX Runtime decides by the sum itself, before the transform, against one half or zero.
    """
    if set(node.attributes.get("class_ids", ())) != {0}:
        node.refuse("its leaves vote for both of two classes: convert it again with a current converter")
    ensemble = read_ensemble(node, "class", 1, x.dims[-1])
    base = _base(node, 1)
    score = _plus(low, _scores(low, x, ensemble), base)
    is_probability = min(node.attributes["class_weights"]) >= 0
    threshold = 0.5 if is_probability else 0.0
    label, scores, transform = UNREAD, UNREAD, post_transform(node)
    if node.is_read(0):
        label = two_labels(low, score, threshold, labels)
    if node.is_read(1) and is_probability and transform != "LOGISTIC":
        scores = complement(low, score)
    elif node.is_read(1):
        scores = opposite(low, score, transform)
    return [label, scores][: node.outputs]


def _many_classes(low: Lowering, node: Node, x: View, labels: list[int]) -> list[Tensor]:
    ensemble = read_ensemble(node, "class", len(labels), x.dims[-1])
    base = _base(node, len(labels))
    if not (ensemble.has_all_votes or base.size or min(node.attributes["class_weights"]) > 0):
        node.refuse("some classes may get no vote at all while others get negative ones: give it base_values")
    transform = post_transform(node)
    scores = low.compact(_plus(low, _scores(low, x, ensemble), base), operations=0)
    label = best_label(low, scores, labels) if node.is_read(0) else UNREAD
    scores = transformed(low, transform, scores) if node.is_read(1) else UNREAD
    return [label, scores][: node.outputs]


def regressor(low: Lowering, node: Node) -> list[Tensor]:
    """Σ or mean of the leaves' values (n, targets)."""
    x, targets = _rows(low, node), int(node.get("n_targets", 1))
    function = node.get("aggregate_function", "SUM")
    if function not in ("SUM", "AVERAGE") or post_transform(node) != "NONE":
        node.refuse("only sums and averages without post_transform are supported")
    low.require_room(targets, len(node.attributes.get("nodes_modes", ())))
    ensemble = read_ensemble(node, "target", targets, x.dims[-1])
    scores = _scores(low, x, ensemble)
    if function == "AVERAGE":
        scores = low.apply(lambda s: s / float(ensemble.trees), scores)
    return [_plus(low, scores, _base(node, targets))]


def _rows(low: Lowering, node: Node) -> View:
    """The input as contiguous floats (n, features)."""
    x = low.settled(node.input(0))
    if x.rank not in (1, 2):
        node.refuse(f"its input {x.shape} is not rows of features")
    x = x if x.is_float else low.apply(lambda v: v.to_float(), x)
    view = low.contiguous(low.leaf(x))
    return view.reshape(1, x.shape[0]) if x.rank == 1 else view


def _base(node: Node, count: int) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    base = np.asarray(node.attributes.get("base_values", ()), np.float32)
    if base.size not in (0, count):
        node.refuse(f"it has {base.size} base values for {count} sums")
    return base


def _plus(low: Lowering, scores: Tensor, base: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> Tensor:
    if not base.any():
        return scores
    return low.apply(lambda s, c: s + c, scores, Tensor.constant(base))


def _scores(low: Lowering, x: View, ensemble: Ensemble) -> Tensor:
    """The sums (n, classes) over all trees."""
    leaf = _descend(low, x, ensemble)
    rows, (classes, trees) = x.dims[0], ensemble.roots.shape
    votes = low.b.const(ensemble.votes)
    if not ensemble.is_grouped:
        classes, votes = votes.dims[0], votes.unsqueeze(1)
    leaf = leaf.broadcast_to((rows, classes, trees))
    chosen = low.b.take(leaf, votes.broadcast_to((rows, classes, trees, votes.dims[-1])))
    total = low.b.copy(added_in_order(low.b, chosen))
    return Tensor.of_view(total, low.b.interval(total), F32)


def _descend(low: Lowering, x: View, ensemble: Ensemble) -> View:
    """The leaf (n, groups, trees) i32 that every tree reaches: all take a step a level, leaves lead to themselves."""
    b, shape = low.b, (x.dims[0], *ensemble.roots.shape)
    nodes, thresholds = b.const(ensemble.nodes), b.const(ensemble.thresholds)
    features = x.unsqueeze(1).unsqueeze(1).broadcast_to((*shape, x.dims[-1]))
    position = b.const(ensemble.roots).broadcast_to(shape)
    for _ in range(ensemble.depth):
        node = b.gather(position, nodes)
        value, threshold = b.take(node.pick(-1, 0), features), b.gather(position, thresholds)
        position = b.map(_step, value, threshold, node.pick(-1, 1), node.pick(-1, 2), dtype=DType.I32)
    return position


def _step(value: Scalar, threshold: Scalar, yes: Scalar, no: Scalar) -> Scalar:
    return (value <= threshold).where(yes, no)


HANDLERS: dict[str, Handler] = {
    "ai.onnx.ml.TreeEnsembleClassifier": classifier,
    "ai.onnx.ml.TreeEnsembleRegressor": regressor,
}
