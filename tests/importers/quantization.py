"""Quantised networks in tests: ONNX Runtime's answers without its fusions, and how far an import's lie from them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.importers.imported import ImportedModel
from oracle_node.importers.onnx import import_onnx
from tests.importers.networks import Array, answer

Network = Callable[..., Path]
MICROSOFT = "com.microsoft"
STANDARD = ("QLinearConv", "QLinearMatMul")
U8, I8, F32 = np.uint8, np.int8, np.float32


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def runtime(path: Path, requests: Sequence[Array]) -> Array:
    """The first output for every request (n, elements), without graph optimisation."""
    session = _session(path)
    name = session.get_inputs()[0].name
    return np.stack([session.run(None, {name: r})[0].reshape(-1) for r in requests])


def answers(model: ImportedModel, requests: Sequence[Array]) -> Array:
    """The answers to many requests by the fast executor, (n, elements)."""
    tape, executor = model.tape, OnnxExecutor(model.tape)
    claim = np.zeros(model.answer.elements, model.answer.dtype)
    symbols = tape.symbols((model.input.elements, claim.size, 0))
    sources = [[request.reshape(-1), claim, np.zeros(0, np.uint8)] for request in requests]
    return np.stack([executor.run(symbols, s, [tape.output])[tape.output].reshape(-1) for s in sources])


def microsoft(path: Path) -> Path:
    """The file with its nodes whose names say so moved into the runtime's own domain."""
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type.startswith(("QLinear", "QGemm")) and node.op_type not in STANDARD:
            node.domain = MICROSOFT
    model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    onnx.save(model, path)
    return path


def difference(
    network: Network, nodes: Any, x: Array, constants: dict[str, Array], output: Any = U8, opset: int = 17
) -> float:
    """How far the import's answer to x lies from the runtime's."""
    path = microsoft(network(nodes, {"x": x}, {"y": output}, constants, opset))
    expected = runtime(path, [x])[0]
    model = import_onnx(path)
    assert np.dtype(model.answer.dtype) == expected.dtype
    got = answer(model, x)
    return float(np.abs(got.astype(np.float64) - expected.astype(np.float64)).max())


def integers(rng: np.random.Generator, kind: Any, shape: tuple[int, ...]) -> Array:
    """All values of the type, at random."""
    bounds = np.iinfo(kind)
    return rng.integers(bounds.min, bounds.max, shape, endpoint=True).astype(kind)


def grid(name: str, scale: Any, zero: Any, kind: Any) -> dict[str, Array]:
    """A scale and a zero point as constants."""
    return {f"{name}s": np.asarray(scale, F32), f"{name}z": np.asarray(zero, kind)}
