"""What pipelines put around a model of tables: scaling, imputing, encoding, normalizing, picking columns, ZipMap.

Every float operation is rounded by itself, in ONNX Runtime's order: trees compare the results with thresholds.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import frexp, isnan, ldexp

import numpy as np

from oracle_node.importers.onnx.lowering import F32, I64, Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators.movement import gather, reshape_to
from oracle_node.importers.onnx.reductions import added_in_order, extreme
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.expression import Scalar
from oracle_node.tape.instruction import Reducer
from oracle_node.tape.types import Array
from oracle_node.tape.view import View

_SMALLEST = 2.0**-60
"""Norms are kept this far from zero; a row of zeros stays one."""


def _float(low: Lowering, x: Tensor) -> Tensor:
    return x if x.is_float else low.apply(lambda v: v.to_float(), x)


def _each(node: Node, attribute: str, features: int, dtype: "np.dtype[np.generic]" = F32) -> Array:
    """One number, or one a feature."""
    values: Array = np.asarray(node.attributes.get(attribute, ()), dtype)
    if values.size not in (1, features):
        node.refuse(f"its {attribute} has {values.size} numbers for {features} features")
    return values


def scaler(low: Lowering, node: Node) -> list[Tensor]:
    """(x − offset)·scale: two roundings."""
    x = _float(low, node.input(0))
    offset, scale = (Tensor.constant(_each(node, name, x.shape[-1])) for name in ("offset", "scale"))
    return [low.apply(lambda v, o, s: (v - o) * s, x, offset, scale)]


def imputer(low: Lowering, node: Node) -> list[Tensor]:
    """Another value in place of the one that marks what is missing.

    Where the marker is NaN nothing is left to do: no request can carry it, INPUT reads it as 0.
    """
    x = node.input(0)
    if x.is_float:
        marker: float = float(np.float32(node.get("replaced_value_float", 0.0)))
        values = _each(node, "imputed_value_floats", x.shape[-1])
    else:
        marker = int(node.get("replaced_value_int64", 0))
        values = _each(node, "imputed_value_int64s", x.shape[-1], I64)
    if isnan(marker):
        return [x]
    return [low.apply(lambda v, w: v.equals(marker).where(w, v), x, Tensor.constant(values), dtype=x.dtype)]


def one_hot_encoder(low: Lowering, node: Node) -> list[Tensor]:
    """(…) → (…, categories): 1 where the number, truncated, is the category's.

    An unknown category gives zeros, also where `zeros` is 0 and ONNX Runtime would stop: a tape has an answer always.
    """
    categories = np.asarray(node.attributes.get("cats_int64s", ()), np.int64)
    if not categories.size:
        node.refuse("its categories are text: a request holds numbers, encode them before asking")
    x = low.settled(node.input(0))
    x = reshape_to(low, low.leaf(x), (*x.shape, 1))

    def function(v: Scalar, category: Scalar) -> Scalar:
        return v.to_int().equals(category).to_float()

    return [low.apply(function, x, Tensor.constant(categories))]


def normalizer(low: Lowering, node: Node) -> list[Tensor]:
    """Rows divided by their largest element, the sum of their absolute values, or their Euclidean length.

    Sums are added in order. Norms are kept from zero by 2^-60, squares by 2^-126 of the largest one admitted.
    """
    x = low.leaf(_float(low, node.input(0)))
    view, norm = low.contiguous(x), node.get("norm", "MAX")
    if norm == "MAX":
        return [low.apply(_by_largest, x, extreme(low, Reducer.MAX, x, [x.rank - 1]))]
    if norm == "L1":
        total = _sum(low, low.b.map(lambda v: v.abs(), view))
        # |x| ≤ Σ|x|: the clamp states the relation that intervals cannot see
        return [low.apply(lambda v, n: (v / n.maximum(_SMALLEST)).clamp(-1.0, 1.0), x, total)]
    if norm != "L2":
        node.refuse(f"its norm {norm} is not MAX, L1 or L2")
    squares = low.b.map(lambda v: v * v, view)
    least = ldexp(1.0, frexp(low.b.interval(squares).hi)[1] - 126)
    return [low.apply(lambda v, n: _by_length(v, n.maximum(least)), x, _sum(low, squares))]


def _by_largest(v: Scalar, largest: Scalar) -> Scalar:
    quotient = v / largest.abs().maximum(_SMALLEST)
    quotient = (largest < 0.0).where(-quotient, quotient)
    return largest.equals(0.0).where(v, quotient)


def _by_length(v: Scalar, squares: Scalar) -> Scalar:
    root = ((v * v) / squares).minimum(1.0).sqrt()
    return (v < 0.0).where(-root, root)


def _sum(low: Lowering, x: View) -> Tensor:
    """Over the last axis, which stays with length 1."""
    view = low.b.copy(added_in_order(low.b, x)).unsqueeze(-1)
    return Tensor.of_view(view, low.b.interval(view), F32)


def array_feature_extractor(low: Lowering, node: Node) -> list[Tensor]:
    """Positions of the last axis, (…, n); of text labels at a computed position, the position itself."""
    x, index = node.input(0), node.input(1)
    flat = reshape_to(low, index, (index.size,))
    if x.data is not None and x.data.dtype.kind not in "iuf":
        if index.is_constant or x.size != x.shape[-1]:
            node.refuse("it extracts text: only numbers can be answered")
        return [reshape_to(low, flat, (1, index.size))]
    x = reshape_to(low, x, (1, x.size)) if x.rank == 1 else x
    return list(gather(low, replace(node, inputs=(x, flat), attributes={"axis": -1})))


def zip_map(low: Lowering, node: Node) -> Sequence[Tensor]:
    """The scores themselves, in the order of its keys: a map of them is the same numbers."""
    return [node.input(0)]


HANDLERS: dict[str, Handler] = {
    "ai.onnx.ml.Scaler": scaler,
    "ai.onnx.ml.Imputer": imputer,
    "ai.onnx.ml.OneHotEncoder": one_hot_encoder,
    "ai.onnx.ml.Normalizer": normalizer,
    "ai.onnx.ml.ArrayFeatureExtractor": array_feature_extractor,
    "ai.onnx.ml.ZipMap": zip_map,
}
