"""`bench exact --profile`: where the time of one exact answer goes, by layer, and the float network's, by kernel."""

from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from oracle_node.bench.compare import FloatSource
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.executors.onnx.trace import operator_times
from oracle_node.model.model import Model
from oracle_node.model.solver import solve
from oracle_node.tape.types import SourceKind


def profile_exact(
    model: Model, source: Path, request: np.ndarray, threads: int, rounds: int = 20
) -> dict[str, Any]:
    """Milliseconds of every layer's kernels, the slowest layer first, and of each operator on either side.

    A layer is what the importer names it: a node of the source network. Kernels that several layers share count for the
    first. Medians; tracing adds about 2 µs to each kernel, so that many small ones look slower than they are.
    """
    data = request.astype(model.tape.sources[SourceKind.REQUEST].dtype.numpy).tobytes()
    with TemporaryDirectory() as folder:
        executor = OnnxExecutor(model.tape, threads, traces=Path(folder))
        float32 = FloatSource(source, threads, traces=Path(folder))
        for _ in range(rounds + 1):
            solve(model, executor, data)
            float32.run(request)
        kernels = executor.kernels()
        theirs = operator_times(float32.end_trace())
    ours: dict[str, float] = defaultdict(float)
    spent: dict[str, float] = defaultdict(float)
    used: dict[str, Counter[str]] = defaultdict(Counter)
    for kernel in kernels:
        layer = model.tape.names[kernel.position]
        ours[kernel.operator] += kernel.seconds
        spent[layer] += kernel.seconds
        used[layer][kernel.operator] += 1
    total = sum(spent.values())
    layers = [
        {
            "layer": name,
            "ms": 1e3 * seconds,
            "share": seconds / total,
            "kernels": dict(used[name].most_common()),
        }
        for name, seconds in sorted(spent.items(), key=lambda item: -item[1])
    ]
    return {
        "threads": threads,
        "rounds": rounds,
        "kernels": len(kernels),
        "ms": 1e3 * total,
        "layers": layers,
        "operators_ms": _milliseconds(ours),
        "float32_operators_ms": _milliseconds(theirs),
    }


def _milliseconds(seconds: dict[str, float]) -> dict[str, float]:
    return {name: 1e3 * value for name, value in sorted(seconds.items(), key=lambda item: -item[1])}
