"""`bench exact`: one exact answer beside ONNX Runtime float32 and dynamic int8 on the same network, in the same run."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from oracle_node.bench.compare import FloatSource
from oracle_node.bench.timing import medians_s
from oracle_node.executors.base import Executor
from oracle_node.model.model import Model
from oracle_node.model.solver import solve
from oracle_node.tape.types import SourceKind


def bench_exact(
    model: Model, executor: Executor, source: Path, request: np.ndarray, threads: int, rounds: int = 50
) -> dict[str, float | int | None]:
    """Median milliseconds of one answer and of the two baselines, and their ratios (above 1: we are slower).

    `request` (n,) is the input of all three. The int8 figures are None where ONNX Runtime cannot quantize or run the
    network.
    """
    data = request.astype(model.tape.sources[SourceKind.REQUEST].dtype.numpy).tobytes()
    float32 = FloatSource(source, threads)
    works = {
        "exact": lambda: solve(model, executor, data),
        "float32": lambda: float32.run(request),
    }
    with TemporaryDirectory() as folder:
        int8 = _dynamic_int8(source, Path(folder), threads)
        if int8 is not None:
            works["int8"] = lambda: int8.run(request)
        seconds = medians_s(works, rounds)
    return {
        "threads": threads,
        "rounds": rounds,
        "exact_ms": 1e3 * seconds["exact"],
        "float32_ms": 1e3 * seconds["float32"],
        "int8_dynamic_ms": 1e3 * seconds["int8"] if int8 else None,
        "ratio_float32": seconds["exact"] / seconds["float32"],
        "ratio_int8_dynamic": seconds["exact"] / seconds["int8"] if int8 else None,
    }


def _dynamic_int8(source: Path, folder: Path, threads: int) -> FloatSource | None:
    """The network as ONNX Runtime's own tool quantizes it; None where it fails (it has gaps)."""
    import oracle_node.executors.onnx.runtime  # noqa: F401, I001  (first: without telemetry)

    from onnxruntime.quantization import QuantType, quantize_dynamic

    try:
        with _quiet_root_logger():  # the tool recommends its own preprocessing there
            quantize_dynamic(source, folder / "int8.onnx", weight_type=QuantType.QUInt8)
        return FloatSource(folder / "int8.onnx", threads)
    except Exception:  # the tool and the runtime raise whatever they meet
        return None


@contextmanager
def _quiet_root_logger() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
