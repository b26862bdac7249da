"""Models of the domain ai.onnx.ml: small files, random tree ensembles, and what ONNX Runtime says of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.importers.imported import ImportedModel

Array = np.ndarray
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
GRID = np.asarray([-2, -1, -0.5, 0, 0.5, 1, 2], np.float32)
"""Thresholds and inputs of random ensembles: few, so that they often meet."""


def save(
    path: Path,
    nodes: Sequence[tuple[str, Sequence[str], Sequence[str], dict[str, Any]]],
    x: Array,
    outputs: dict[str, Any],
    constants: dict[str, Array] | None = None,
) -> Path:
    """A model of those nodes over one input `x`; operators named "ml.…" are of the domain ai.onnx.ml.

    `outputs` maps names to numpy types; `str` is text, None a sequence of maps.
    """
    made = [
        helper.make_node(
            operator.removeprefix("ml."), list(reads), list(writes), f"{operator}{i}",
            domain="ai.onnx.ml" if operator.startswith("ml.") else "", **attributes,
        )
        for i, (operator, reads, writes, attributes) in enumerate(nodes)
    ]  # fmt: skip
    infos = [_info(name, kind) for name, kind in outputs.items()]
    inputs = [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)]
    weights = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(made, "tabular", inputs, infos, weights)
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    if all(node.domain for node in made):
        domains = domains[1:]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=8), path)
    return path


def _info(name: str, kind: Any) -> onnx.ValueInfoProto:
    if kind is None:
        value = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
        return helper.make_value_info(
            name, helper.make_sequence_type_proto(helper.make_map_type_proto(onnx.TensorProto.INT64, value))
        )
    code = onnx.TensorProto.STRING if kind is str else helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    return helper.make_tensor_value_info(name, code, None)


def runtime(path: Path) -> onnxruntime.InferenceSession:
    """ONNX Runtime with one thread: with more it adds the trees of one row in another order."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


def expected(path: Path, requests: Array, output: str) -> Array:
    """One output of ONNX Runtime for every request, (n, elements); maps become their values."""
    session = runtime(path)
    (name,) = (i.name for i in session.get_inputs())
    found = [session.run([output], {name: request})[0] for request in requests]
    if isinstance(found[0], list):
        found = [[list(row.values()) for row in maps] for maps in found]
    return np.stack([np.asarray(f).reshape(-1) for f in found])


def answers(model: ImportedModel, requests: Array) -> Array:
    """The answers to many requests by the fast executor, (n, elements)."""
    tape, executor = model.tape, OnnxExecutor(model.tape)
    claim = np.zeros(model.answer.elements, model.answer.dtype)
    symbols = tape.symbols((model.input.elements, claim.size, 0))
    sources = [[np.ascontiguousarray(r).reshape(-1), claim, np.zeros(0, np.uint8)] for r in requests]
    return np.stack([executor.run(symbols, s, [tape.output])[tape.output].reshape(-1) for s in sources])


def random_ensemble(
    rng: np.random.Generator,
    trees: int,
    features: int,
    classes: int,
    kind: str = "class",
    votes: str = "all",
    modes: Sequence[str] = MODES,
    depth: int = 5,
    lowest: float = -1.0,
) -> dict[str, Any]:
    """Attributes of unbalanced random trees; `votes`: every leaf for "all" classes, a tree for "one", or "first"."""
    nodes: dict[str, list[Any]] = {
        n: [] for n in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    }
    leaves: dict[str, list[Any]] = {n: [] for n in ("treeids", "nodeids", "ids", "weights")}

    def grow(tree: int, number: int, room: int) -> int:
        """Writes a node and what is below it; returns the next free number."""
        at = len(nodes["modes"])
        is_leaf = room == 0 or (number > 0 and rng.random() < 0.25)
        row = (tree, number, int(rng.integers(features)), "LEAF" if is_leaf else str(rng.choice(modes)))
        for name, value in zip(nodes, (*row, float(rng.choice(GRID)), 0, 0), strict=True):
            nodes[name].append(value)
        if is_leaf:
            chosen = {"all": range(classes), "one": [tree % classes], "first": [0]}[votes]
            for c in chosen:
                weight = float(np.float32(rng.uniform(lowest, 1)))
                for name, value in zip(leaves, (tree, number, c, weight), strict=True):
                    leaves[name].append(value)
            return number + 1
        nodes["truenodeids"][at] = number + 1
        nodes["falsenodeids"][at] = after = grow(tree, number + 1, room - 1)
        return grow(tree, after, room - 1)

    for tree in range(trees):
        grow(tree, 0, depth)
    found = {f"nodes_{name}": values for name, values in nodes.items()}
    return found | {f"{kind}_{name}": values for name, values in leaves.items()}


def grid_rows(rng: np.random.Generator, rows: int, features: int) -> Array:
    """(rows, 1, features) inputs on the grid of thresholds, beside it by one bit, and beyond."""
    x = rng.choice(GRID, (rows, 1, features))
    nudge = rng.choice(np.asarray([-np.inf, np.inf], np.float32), x.shape)
    x = np.where(rng.random(x.shape) < 0.3, np.nextafter(x, nudge), x)
    return np.where(rng.random(x.shape) < 0.05, rng.choice([-1e5, 1e5], x.shape), x).astype(np.float32)


OUTPUTS = {"label": np.int64, "scores": np.float32}


def classifier_file(path: Path, attributes: dict[str, Any], x: Array, text: bool = False) -> Path:
    """A TreeEnsembleClassifier of those attributes over `x`, with labels of text or numbers."""
    outputs = OUTPUTS | ({"label": str} if text else {})
    node = ("ml.TreeEnsembleClassifier", ["x"], ["label", "scores"], attributes)
    return save(path / "trees.onnx", [node], x, outputs)


def regressor_file(path: Path, attributes: dict[str, Any], x: Array) -> Path:
    """A TreeEnsembleRegressor of those attributes over `x`."""
    node = ("ml.TreeEnsembleRegressor", ["x"], ["y"], attributes)
    return save(path / "trees.onnx", [node], x, {"y": np.float32})
