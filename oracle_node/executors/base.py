"""What every executor of whole tapes offers; `reference` and `onnx` implement it and must agree to the last bit."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from oracle_node.tape.affine import Symbols
from oracle_node.tape.types import Array


class Executor(Protocol):
    """Runs one tape.

    `sources` are the request input, claim output and witness: (n,) arrays of their registered types.
    """

    def run(self, symbols: Symbols, sources: Sequence[Array], wanted: Collection[int]) -> dict[int, Array]:
        """The wanted tensors, each in its shape and type: the fast path."""
        ...

    def stream(self, symbols: Symbols, sources: Sequence[Array]) -> Iterator[tuple[int, Array]]:
        """Every tensor in instruction order; a consumer that keeps none never holds all of them in memory."""
        ...
