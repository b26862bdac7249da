"""The executor that a command was asked for."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from oracle_node.executors import reference
from oracle_node.executors.base import Executor
from oracle_node.tape.affine import Symbols
from oracle_node.tape.instruction import Tape


def make_executor(tape: Tape, name: str = "onnx", threads: int | None = None) -> Executor:
    """`onnx` or `reference`; `threads` concerns ONNX Runtime."""
    if name == "reference":
        return ReferenceExecutor(tape)
    from oracle_node.executors.onnx import OnnxExecutor

    return OnnxExecutor(tape, threads=threads or 0)


class ReferenceExecutor:
    """The specification as an `Executor`."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def run(
        self, symbols: Symbols, sources: Sequence[np.ndarray], wanted: Collection[int]
    ) -> dict[int, np.ndarray]:
        return {index: tensor for index, tensor in self.stream(symbols, sources) if index in wanted}

    def stream(self, symbols: Symbols, sources: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        return reference.run(self._tape, symbols, sources)
