"""What classifiers of the domain ai.onnx.ml make of their sums: labels, and scores after `post_transform`."""

import numpy as np

from oracle_node.importers.onnx.lowering import F32, I64, Lowering
from oracle_node.importers.onnx.node import Node
from oracle_node.importers.onnx.reductions import argmax
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape import functions
from oracle_node.tape.blocks import softmax

UNREAD = Tensor.constant(np.zeros(0, np.float32))
"""Stands for a result that nothing needs."""
_ZERO, _LEAST = 1e-7, -1e30


def labels_of(node: Node) -> list[int]:
    """The number of every class: its label, or where labels are text its position."""
    texts = node.attributes.get("classlabels_strings", ())
    numbers = node.attributes.get("classlabels_int64s", node.attributes.get("classlabels_ints", ()))
    if bool(texts) == bool(numbers):
        node.refuse("it has no class labels, or those of two types")
    return [int(n) for n in numbers] or list(range(len(texts)))


def post_transform(node: Node) -> str:
    name: str = node.get("post_transform", "NONE")
    if name not in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        node.refuse(
            f"post_transform {name} is not supported: cut it off with outputs=, or convert without it"
        )
    return name


def transformed(low: Lowering, transform: str, scores: Tensor) -> Tensor:
    """Scores (n, classes), two classes or more, after `post_transform`; absolute error below 3e-7.

    SOFTMAX_ZERO leaves classes of score 0 (below 1e-7) at 0.
    """
    if transform == "NONE":
        return scores
    if transform == "LOGISTIC":
        return low.apply(functions.sigmoid, scores)
    if transform == "SOFTMAX_ZERO":
        scores = low.apply(lambda s: (s.abs() <= _ZERO).where(_LEAST, s), scores)
    view = softmax(low.b, low.contiguous(scores))
    return Tensor.of_view(view, low.b.interval(view), F32)


def best_label(low: Lowering, scores: Tensor, labels: list[int]) -> Tensor:
    """The label (n,) of the first of the largest scores (n, classes)."""
    position = argmax(low, scores, 1).reshaped(scores.shape[:1])
    if labels == list(range(len(labels))):
        return position
    table = low.b.const(np.asarray(labels, np.int64))
    view = low.b.gather(low.only_view(low.leaf(position)), table)
    return Tensor.of_view(view, low.b.interval(view), I64)


def two_labels(low: Lowering, score: Tensor, threshold: float, labels: list[int]) -> Tensor:
    """The second label (n,) where the score (n, 1) exceeds the threshold, else the first."""
    no, yes = labels
    flat = low.settled(score).reshaped(score.shape[:1])
    return low.apply(lambda s: (s > threshold).where(yes, no), flat, dtype=I64)


def complement(low: Lowering, score: Tensor) -> Tensor:
    """(n, 1) → (n, 2): 1 − s, s."""
    return _pair(low, low.apply(lambda s: 1.0 - s, score), score)


def opposite(low: Lowering, score: Tensor, transform: str) -> Tensor:
    """(n, 1) → (n, 2): −s, s, each through the logistic function where that is the transform."""
    pair = _pair(low, low.apply(lambda s: -s, score), score)
    return transformed(low, transform, pair) if transform == "LOGISTIC" else pair


def _pair(low: Lowering, first: Tensor, second: Tensor) -> Tensor:
    view = low.b.concat([low.contiguous(first), low.contiguous(second)], 1)
    return Tensor.of_view(view, low.b.interval(view), F32)
