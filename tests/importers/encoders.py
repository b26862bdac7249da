"""Networks with an input of free length, built node by node as exporters write them, and both answers to a request."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.executors.reference import run
from oracle_node.importers.imported import ImportedModel

Array = np.ndarray
MASKED = {"infinite": -np.inf, "lowest": np.finfo(np.float32).min, "large": -1e4}


class Network:
    """Nodes, constants and inputs, written to a file at the end; `add` returns the name of a node's result."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: "str | Array", **attributes: Any) -> str:
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        out = f"{operator.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, names, [out], name=out, **attributes))
        return out

    def constant(self, array: Array) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def write(
        self,
        path: Path,
        output: str,
        dtype: Any = np.float32,
        inputs: Sequence[str] = ("input_ids",),
        shape: Sequence[Any] = ("batch", "sequence"),
    ) -> Path:
        """The file, with `inputs` of int64 and that shape; the one output is called `y`."""
        self._nodes.append(helper.make_node("Identity", [output], ["y"]))
        graph = helper.make_graph(
            self._nodes,
            "network",
            [helper.make_tensor_value_info(name, onnx.TensorProto.INT64, shape) for name in inputs],
            [helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), None)],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        onnx.save(model, path)
        return path


def integers(*values: int) -> Array:
    return np.asarray(values, np.int64)


def encoder(
    path: Path, rng: np.random.Generator, masked: float | None = None, inputs: Sequence[str] = ("input_ids",)
) -> Path:
    """Two layers of four heads as PyTorch's exporters write BERT, mean-pooled and normalised: ids → (1, 32).

    With `masked` the positions whose id is 0 get that score and no part of the mean; the mask is an input where it is
    among `inputs`.
    """
    n, width = Network(), 32

    def matrix(*shape: int) -> Array:
        return (rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)

    length = n.add("Gather", n.add("Shape", "input_ids"), integers(1), axis=0)
    positions = n.add("Slice", np.arange(64)[None], integers(0), length, integers(1))
    x = n.add("Gather", 4 * matrix(50, width), "input_ids")
    x = n.add("Add", x, n.add("Gather", 4 * matrix(64, width), positions))
    if "token_type_ids" in inputs:
        x = n.add("Add", x, n.add("Gather", 4 * matrix(2, width), "token_type_ids"))
    mask = None
    if masked is not None:
        given = "attention_mask" if "attention_mask" in inputs else "input_ids"
        kept = n.add("Cast", given, to=9)
        mask = n.add("Unsqueeze", n.add("Unsqueeze", kept, integers(1)), integers(1))
    for _ in range(2):
        x = _normed(n, n.add("Add", x, _attention(n, x, matrix, length, mask, masked)), width)
        h = n.add("Add", n.add("MatMul", x, matrix(width, 64)), matrix(64))
        half = n.add("Mul", h, np.float32(0.5))
        erf = n.add("Erf", n.add("Div", h, np.float32(np.sqrt(2))))
        h = n.add("Mul", half, n.add("Add", erf, np.float32(1)))
        x = _normed(n, n.add("Add", x, n.add("MatMul", h, matrix(64, width))), width)
    if masked is None:
        pooled = n.add("ReduceMean", x, axes=[1], keepdims=0)
    else:
        wide = n.add("Expand", n.add("Unsqueeze", kept, integers(2)), n.add("Shape", x))
        weights = n.add("Cast", wide, to=1)
        total = n.add("ReduceSum", n.add("Mul", x, weights), integers(1), keepdims=0)
        counted = n.add("ReduceSum", weights, integers(1), keepdims=0)
        pooled = n.add("Div", total, n.add("Clip", counted, np.float32(1e-9)))
    norm = n.add("ReduceL2", pooled, axes=[1], keepdims=1)
    norm = n.add("Expand", n.add("Clip", norm, np.float32(1e-12)), n.add("Shape", pooled))
    return n.write(path, n.add("Div", pooled, norm), inputs=inputs)


def _normed(n: Network, x: str, width: int) -> str:
    """Layer normalization in single operators, as exporters before opset 17 write it."""
    centred = n.add("Sub", x, n.add("ReduceMean", x, axes=[-1]))
    variance = n.add("ReduceMean", n.add("Pow", centred, np.float32(2)), axes=[-1])
    root = n.add("Sqrt", n.add("Add", variance, np.float32(1e-12)))
    scaled = n.add("Mul", n.add("Div", centred, root), np.full(width, 1.25, np.float32))
    return n.add("Add", scaled, np.full(width, 0.125, np.float32))


def _attention(n: Network, x: str, matrix: Any, length: str, mask: str | None, masked: float | None) -> str:
    """Four heads of eight; the shapes of the heads are put together from the input's."""
    heads = n.add("Concat", integers(1), length, integers(4), integers(8), axis=0)

    def part(order: list[int]) -> str:
        return n.add("Transpose", n.add("Reshape", n.add("MatMul", x, matrix(32, 32)), heads), perm=order)

    queries, keys, values = part([0, 2, 1, 3]), part([0, 2, 3, 1]), part([0, 2, 1, 3])
    scores = n.add("Div", n.add("MatMul", queries, keys), np.float32(np.sqrt(8)))
    if mask is not None:
        beside = n.add("Where", mask, np.float32(0), np.float32(masked))
        scores = n.add("Add", scores, beside)
    mixed = n.add("MatMul", n.add("Softmax", scores, axis=-1), values)
    joined = n.add("Reshape", n.add("Transpose", mixed, perm=[0, 2, 1, 3]), integers(1, -1, 32))
    return n.add("MatMul", joined, matrix(32, 32))


def both(path: Path, model: ImportedModel, ids: Array, **beside: Array) -> tuple[Array, Array]:
    """(what the tape answers to ids (n,), what ONNX Runtime's float32 says); both executors agree to the last bit."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"input_ids": ids[None], **{k: v[None] for k, v in beside.items()}})[0]
    tape = model.tape
    claim = np.zeros(expected.size, model.answer.dtype)
    sources = (ids, claim, np.zeros(0, np.uint8))
    symbols = tape.symbols((ids.size, claim.size, 0))
    got = dict(run(tape, symbols, sources))[tape.output]
    fast = OnnxExecutor(tape).run(symbols, sources, {tape.output})[tape.output]
    assert got.reshape(-1).tobytes() == fast.reshape(-1).tobytes()
    return got.reshape(expected.shape), expected


def cosine(a: Array, b: Array) -> float:
    """Of two vectors, in binary64."""
    a, b = a.astype(np.float64).reshape(-1), b.astype(np.float64).reshape(-1)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
