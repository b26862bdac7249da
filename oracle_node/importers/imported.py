"""What an importer hands over: a tape, and how people write its input and read its answer."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from oracle_node.tape.instruction import Tape

Progress = Callable[[int, int], None]
"""Called with (done, total) as an import goes on."""


@dataclass(frozen=True)
class TensorInfo:
    """A tensor at the edge of a model: row-major little-endian bytes of `dtype` (a numpy name) and `shape`."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        total = 1
        for dimension in self.shape:
            total *= dimension
        return total


@dataclass(frozen=True)
class ImportedModel:
    """A tape and where it came from. Several inputs (answers) stand one after another in the request (claim)."""

    tape: Tape
    inputs: tuple[TensorInfo, ...]
    answers: tuple[TensorInfo, ...]
    source_sha256: str
    options: Mapping[str, object]
    operators: Mapping[str, int]
    """How often each operator of the source network was lowered."""
    labels: tuple[str, ...] = ()
    """The class of every element of the answer, where the source names them."""
    notes: tuple[str, ...] = ()
    """One sentence each on what the source does that the tape does not."""

    @property
    def input(self) -> TensorInfo:
        """The request input: the network's only one, or all of them as one vector."""
        return _joined(self.inputs)

    @property
    def answer(self) -> TensorInfo:
        """The answer: the network's only output, or all of them as one vector."""
        return _joined(self.answers)


def _joined(parts: tuple[TensorInfo, ...]) -> TensorInfo:
    if len(parts) == 1:
        return parts[0]
    return TensorInfo("+".join(p.name for p in parts), (sum(p.elements for p in parts),), parts[0].dtype)


def count_names(names: list[str]) -> dict[str, int]:
    """How often each name occurs, in alphabetical order."""
    return dict(sorted(Counter(names).items()))
