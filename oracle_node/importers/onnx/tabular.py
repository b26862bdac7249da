"""What a tabular model's file (domain ai.onnx.ml) says beside its arithmetic: scores, class labels, missing values.

scikit-learn, LightGBM and XGBoost converters write a classifier with two outputs, label and scores. Not here: what the
operators compute (`operators`).
"""

from collections.abc import Iterable
from math import isnan
from typing import Any, Protocol

import onnx

DOMAIN = "ai.onnx.ml"
_LABEL_TYPES = (onnx.TensorProto.INT64, onnx.TensorProto.STRING)
_LABELS = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")
_MISSING = (
    "its own handling of missing values never applies: a request cannot carry NaN (it reads as 0), "
    "so fill in what is missing before asking"
)


class _Named(Protocol):
    @property
    def operator(self) -> str: ...


def is_tabular(node: onnx.NodeProto) -> bool:
    return bool(node.domain == DOMAIN)


def has_tables(nodes: Iterable[_Named]) -> bool:
    """Whether any operator is of the domain."""
    return any(node.operator.startswith(f"{DOMAIN}.") for node in nodes)


def has_trees(nodes: Iterable[_Named]) -> bool:
    """Whether thresholds are compared with what other operators compute."""
    return any(node.operator.startswith(f"{DOMAIN}.TreeEnsemble") for node in nodes)


def default_outputs(graph: onnx.GraphProto) -> tuple[str, ...]:
    """All outputs; of a tabular model that has both scores and labels, the scores."""
    names = tuple(output.name for output in graph.output)
    if not any(map(is_tabular, graph.node)):
        return names
    return tuple(output.name for output in graph.output if not _is_label(output)) or names


def _is_label(output: onnx.ValueInfoProto) -> bool:
    return output.type.tensor_type.elem_type in _LABEL_TYPES  # a ZipMap's output is no tensor


def class_labels(graph: onnx.GraphProto) -> tuple[str, ...]:
    """The labels that the last node with any has, as text."""
    for node in reversed(graph.node):
        given = _attributes(node) if is_tabular(node) else {}
        for name in _LABELS:
            if given.get(name):
                return tuple(
                    v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in given[name]
                )
    return ()


def notes(graph: onnx.GraphProto) -> tuple[str, ...]:
    """A warning where the model was made to see missing values."""
    return (_MISSING,) if any(_sees_missing(_attributes(n)) for n in graph.node if is_tabular(n)) else ()


def _sees_missing(attributes: dict[str, Any]) -> bool:
    marker = attributes.get("replaced_value_float", 0.0)
    return any(attributes.get("nodes_missing_value_tracks_true", ())) or isnan(marker)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
