"""What computed an answer, for the record: versions, processor and ONNX Runtime's configuration.

An answer does not depend on any of it; where two nodes differ all the same, this says where to look.
"""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from oracle_node.executors.onnx.runtime import ort
from oracle_node.executors.onnx.session import EXECUTION_MODE, OPTIMIZATION_LEVEL, PROVIDER


def environment(threads: int) -> dict[str, Any]:
    """JSON values; `threads` as the executor was given them (0: one a core).

    `cpu_features` are the groups of instructions that numpy knows and this processor has.
    """
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return {
        "executor": "onnx",
        "package_version": _version("oracle-node") or "unknown",
        "onnxruntime_version": ort.__version__,
        "llvmlite_version": _version("llvmlite"),
        "numpy_version": np.__version__,
        "machine": platform.machine(),
        "cpu_features": [*simd.get("baseline", ()), *simd.get("found", ())],
        "provider": PROVIDER,
        "graph_optimization": OPTIMIZATION_LEVEL.name,
        "execution_mode": EXECUTION_MODE.name,
        "intra_op_threads": threads,
        "inter_op_threads": 1,
    }


def _version(package: str) -> str | None:
    """None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
