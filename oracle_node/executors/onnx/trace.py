"""How long ONNX Runtime took for each kernel, as its own profiler writes it down (one JSON file a session)."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

_SUFFIX = "_kernel_time"


@dataclass(frozen=True, slots=True)
class Kernel:
    """One node of a graph: the instruction that it was written for, its operator, and the median seconds of its runs.

    The profiler itself adds about 2 µs to each.
    """

    position: int
    operator: str
    seconds: float


def kernel_times(trace: Path) -> Iterator[tuple[int, str, float]]:
    """(label, operator, median seconds without the first run) of every node; see `Graph.label`. The file is deleted."""
    for name, (operator, seconds) in _times(trace).items():
        yield int(name.split("/")[0]), operator, seconds
    trace.unlink()


def operator_times(trace: Path) -> dict[str, float]:
    """Median seconds of all nodes of each operator together, for any session's trace. The file is deleted."""
    total: dict[str, float] = defaultdict(float)
    for operator, seconds in _times(trace).values():
        total[operator] += seconds
    trace.unlink()
    return dict(total)


def _times(trace: Path) -> dict[str, tuple[str, float]]:
    """Operator and median seconds of every node, by its name."""
    taken: dict[str, list[float]] = defaultdict(list)
    operators: dict[str, str] = {}
    for event in json.loads(trace.read_text()):
        name = event["name"]
        if event.get("cat") == "Node" and name.endswith(_SUFFIX):
            name = name.removesuffix(_SUFFIX)
            operators[name] = event["args"]["op_name"]
            taken[name].append(event["dur"] * 1e-6)
    return {name: (operators[name], median(times[1:] or times)) for name, times in taken.items()}
