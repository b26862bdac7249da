"""Small ONNX networks, what ONNX Runtime's float32 says of them, and what the imported tape does."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from oracle_node.importers.onnx import import_onnx
from tests.importers.networks import Array, answer

Node = tuple[str, Sequence[str], Sequence[str], dict[str, Any]]


@pytest.fixture
def network(tmp_path: Path) -> Callable[..., Path]:
    """network(nodes, inputs, outputs, constants): the path of such an ONNX file.

    Nodes are (operator, inputs, outputs, attributes); inputs are name → array of the right shape and type; outputs name
    → numpy type; constants name → array.
    """

    def build(
        nodes: Sequence[Node],
        inputs: dict[str, Array],
        outputs: dict[str, Any],
        constants: dict[str, Array] | None = None,
        opset: int = 17,
    ) -> Path:
        made = [
            helper.make_node(operator, list(reads), list(writes), name=f"{operator.lower()}{i}", **attributes)
            for i, (operator, reads, writes, attributes) in enumerate(nodes)
        ]
        graph = helper.make_graph(
            made,
            "network",
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
                for name, value in inputs.items()
            ],
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), None)
                for name, kind in outputs.items()
            ],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 8
        path = tmp_path / "network.onnx"
        onnx.save(model, path)
        return path

    return build


@pytest.fixture
def compare(network: Callable[..., Path]) -> Callable[..., float]:
    """compare(nodes, x, constants…): the largest difference from ONNX Runtime float32, relative to its largest value.

    The network reads `x` and writes `y`; shapes and types have to be equal. `model` of the result holds the import.
    """

    def error(
        nodes: Sequence[Node],
        x: Array,
        constants: dict[str, Array] | None = None,
        opset: int = 17,
        output: Any = np.float32,
        **options: Any,
    ) -> float:
        path = network(nodes, {"x": x}, {"y": output}, constants, opset)
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        expected = session.run(None, {"x": x})[0]
        model = import_onnx(path, **options)
        assert model.answer.shape == expected.shape
        assert np.dtype(model.answer.dtype) == (np.uint8 if expected.dtype == bool else expected.dtype)
        got = answer(model, x).astype(np.float64)
        wanted = expected.astype(np.float64).reshape(-1)
        return float(np.abs(got - wanted).max() / max(float(np.abs(wanted).max()), 1e-30))

    return error


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)
