"""What an importer hands over: a tape, and how people write its input and read its answer."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from oracle_node.tape.instruction import Tape

FILLED = {"attention_mask": 1, "token_type_ids": 0}
"""What Hugging Face's exporters call an encoder's masks and segments, and what stands beside every token."""
LENGTH = "length"
"""What a dimension that requests choose is called where its file has no name for it."""
Progress = Callable[[int, int], None]
"""Called with (done, total) as an import goes on."""


@dataclass(frozen=True)
class TensorInfo:
    """A tensor at the edge of a model: row-major little-endian bytes of `dtype` (a numpy name) and `shape`.

    A dimension that requests choose has a name instead of a number.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str

    @property
    def is_free(self) -> bool:
        """Whether its number of elements depends on the request."""
        return not all(isinstance(dimension, int) for dimension in self.shape)

    @property
    def dims(self) -> tuple[int, ...]:
        """The shape as numbers; ValueError where one depends on the request."""
        dims = tuple(dimension for dimension in self.shape if isinstance(dimension, int))
        if len(dims) < len(self.shape):
            raise ValueError(f"{self.name} of shape {self.shape} has no fixed length")
        return dims

    @property
    def elements(self) -> int:
        """How many; ValueError where that depends on the request."""
        return prod(self.dims)


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
    name = "+".join(p.name for p in parts)
    if any(part.is_free for part in parts):
        return TensorInfo(name, (LENGTH,), parts[0].dtype)
    return TensorInfo(name, (sum(p.elements for p in parts),), parts[0].dtype)


def count_names(names: list[str]) -> dict[str, int]:
    """How often each name occurs, in alphabetical order."""
    return dict(sorted(Counter(names).items()))
