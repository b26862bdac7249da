"""A file's weights as integers with one scale a row, a block of rows at a time: no matrix is ever whole in memory."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, Protocol

import numpy as np

from oracle_node.importers.gguf.file import GgufFile
from oracle_node.importers.gguf.transformer import Matrix
from oracle_node.tape.blocks import quantize_weights
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.types import Array

_BLOCK_ELEMENTS = 1 << 22


class Keep(Protocol):
    """Where weights are kept: `model.directory.ModelWriter`, or memory."""

    def __call__(self, array: Array) -> Array:
        """The same data, wherever it lies from now on."""
        ...

    def stream(self, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterable[Array]) -> Array:
        """Blocks of rows as one array, written as they come."""
        ...


class Weights:
    """Matrices and vectors of a file; equal names give the same views."""

    def __init__(self, file: GgufFile, bits: Literal[8, 15], keep: Keep | None = None) -> None:
        self._file, self._bits, self._keep = file, bits, keep
        self._known: dict[str, Matrix] = {}

    def vector(self, name: str) -> Array:
        """(n,) f32."""
        return self._file.vector(name)

    def matrix(self, b: TapeBuilder) -> Callable[[str], Matrix]:
        """Matrices as constants of a tape under construction."""

        def get(name: str) -> Matrix:
            if name not in self._known:
                with b.scope(name):
                    self._known[name] = Matrix(*map(b.const, self._quantized(name)))
            return self._known[name]

        return get

    def _quantized(self, name: str) -> tuple[Array, Array]:
        """(rows, columns) i8 or i16, and (rows,) f32."""
        rows, columns = self._file.shape(name)
        step = max(1, _BLOCK_ELEMENTS // columns)
        scales = np.empty(rows, np.float32)

        def blocks() -> Iterator[Array]:
            for start in range(0, rows, step):
                stop = min(start + step, rows)
                q, scales[start:stop] = quantize_weights(self._file.rows(name, start, stop), self._bits)
                yield q

        dtype = np.dtype(np.int8 if self._bits == 8 else np.int16)
        if self._keep is not None:
            return self._keep.stream((rows, columns), dtype, blocks()), scales
        return np.concatenate(list(blocks())), scales
