"""ONNX Runtime sessions as the exactness rules want them: no graph optimisation, the plain CPU provider."""

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort

from oracle_node.errors import DeterminismError
from oracle_node.executors.onnx.graph import Graph

MINIMUM_VERSION = (1, 23, 2)
"""Older ones have no correctly rounded float32 square root, or lose the sign of zero (docs: numerics)."""


def require_supported_version(version: str = ort.__version__) -> None:
    """DeterminismError where the installed ONNX Runtime is too old to be exact."""
    numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:3] if part.isdigit())
    if numbers < MINIMUM_VERSION:
        raise DeterminismError(
            f"onnxruntime {version} is not exact: install {'.'.join(map(str, MINIMUM_VERSION))} or later"
        )


class Session:
    """A compiled graph."""

    def __init__(self, graph: Graph, threads: int) -> None:
        options = ort.SessionOptions()
        options.graph_optimization_level = (
            ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        )  # even BASIC changes bits
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        model, constants = graph.serialize()
        if constants:
            values = [ort.OrtValue.ortvalue_from_numpy(array) for array in constants.values()]
            options.add_external_initializers(list(constants), values)
        self._constants = constants  # the session reads their memory
        self._names = [output.name for output in graph.outputs]
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The graph's outputs by name."""
        return dict(zip(self._names, self._session.run(self._names, dict(inputs)), strict=True))
