"""What every executor of whole tapes offers; `reference` and `onnx` implement it and must agree to the last bit."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import numpy as np

from oracle_node.tape.affine import Symbols


class Executor(Protocol):
    """Runs one tape. `sources` are the request input, claim output and witness: (n,) arrays of their registered types."""

    def run(self, symbols: Symbols, sources: Sequence[np.ndarray], wanted: Collection[int]) -> dict[int, np.ndarray]:
        """The wanted tensors, each in its shape and type: the fast path."""
        ...

    def stream(self, symbols: Symbols, sources: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """Every tensor in instruction order; a consumer that keeps none never holds all of them in memory."""
        ...
