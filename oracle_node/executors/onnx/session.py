"""ONNX Runtime sessions as the exactness rules want them: no graph optimisation, the plain CPU provider."""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np

from oracle_node.errors import DeterminismError
from oracle_node.executors.onnx.graph import Graph
from oracle_node.executors.onnx.runtime import ort
from oracle_node.executors.onnx.trace import kernel_times

MINIMUM_VERSION = (1, 23, 2)
"""Older ones have no correctly rounded float32 square root, or lose the sign of zero (docs: numerics)."""
OPTIMIZATION_LEVEL = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
"""Even BASIC changes bits."""
EXECUTION_MODE = ort.ExecutionMode.ORT_SEQUENTIAL
EXECUTION_ORDER = ort.ExecutionOrder.PRIORITY_BASED
"""Nodes run in the order in which the plan wrote them: what was just computed is read while it is in the cache."""
PROVIDER = "CPUExecutionProvider"
_NUMBERS = count()


def require_supported_version(version: str = ort.__version__) -> None:
    """DeterminismError where the installed ONNX Runtime is too old to be exact."""
    numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:3] if part.isdigit())
    if numbers < MINIMUM_VERSION:
        raise DeterminismError(
            f"onnxruntime {version} is not exact: install {'.'.join(map(str, MINIMUM_VERSION))} or later"
        )


@cache
def _create_common_arena() -> None:
    """One arena for all sessions that ask for it; registered for the life of the process."""
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, None)


class Session:
    """A compiled graph.

    With `in_turn` it is one of several that run one after another. They take their memory in one place: a third of what
    sessions with arenas of their own hold, at no cost in time (measured on 4 layers of a 1B model, 512 rows). And their
    threads do not wait for the next run by spinning, where they would keep the others' from the cores (a detector in 31
    sessions on 2 cores: 8.5 ms instead of 138).
    """

    def __init__(self, graph: Graph, threads: int, in_turn: bool = False, traces: Path | None = None) -> None:
        """With a folder for `traces`, every kernel's time is recorded."""
        options = ort.SessionOptions()
        options.graph_optimization_level = OPTIMIZATION_LEVEL
        options.execution_mode = EXECUTION_MODE
        options.execution_order = EXECUTION_ORDER
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong comes as an exception
        if in_turn:
            _create_common_arena()
            options.enable_mem_pattern = False  # it reserves one block for the whole graph
            options.add_session_config_entry("session.use_env_allocators", "1")
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if traces is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(traces / f"kernels{next(_NUMBERS)}")
        model, constants = graph.serialize()
        if constants:
            values = [ort.OrtValue.ortvalue_from_numpy(array) for array in constants.values()]
            options.add_external_initializers(list(constants), values)
        self._constants = constants  # the session reads their memory
        self._names = [output.name for output in graph.outputs]
        read = graph.used_names()
        self._aliases = {name: known for known, name in graph.aliases.items() if name in read}
        self._session = ort.InferenceSession(model, options, providers=[PROVIDER])
        self._inputs = {given.name for given in self._session.get_inputs()}

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The graph's outputs by name."""
        feeds = {name: array for name, array in inputs.items() if name in self._inputs}
        for name, (source, shape) in self._aliases.items():
            feeds[name] = inputs[source].reshape(shape)
        return dict(zip(self._names, self._session.run(self._names, feeds), strict=True))

    def end_trace(self) -> Iterator[tuple[int, str, float]]:
        """Stop recording: label, operator and median seconds of every node."""
        return kernel_times(Path(self._session.end_profiling()))
