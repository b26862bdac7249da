"""The trace of one run: 32 bytes a tensor. Computed only for a dispute, or on request."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from oracle_node.commitments.merkle import MerkleTree
from oracle_node.commitments.tensor import tensor_root
from oracle_node.executors.base import Executor
from oracle_node.tape.affine import Symbols

Progress = Callable[[int], None]
"""Called with what is done so far: tensors, or bytes."""


@dataclass(frozen=True)
class Trace:
    """The tensor roots of all instructions, in order."""

    roots: tuple[bytes, ...]

    @cached_property
    def tree(self) -> MerkleTree:
        """The trace tree; its leaves are the tensor roots themselves."""
        return MerkleTree.of(self.roots)

    @property
    def root(self) -> bytes:
        return self.tree.root


def trace(
    executor: Executor,
    symbols: Symbols,
    sources: Sequence[np.ndarray],
    progress: Progress | None = None,
    known: Iterable[tuple[np.ndarray, bytes]] = (),
) -> Trace:
    """Run the tape and commit to every tensor, holding none longer than the executor does.

    `known` are arrays with their roots, above all the weights: the executor's tensors that are these very arrays, in
    memory, are not hashed again.
    """
    roots: list[bytes] = []
    by_place = {_place(array): root for array, root in known if array.nbytes}
    for index, tensor in executor.stream(symbols, sources):
        if index != len(roots):
            raise ValueError(f"the executor streams tensor {index} where {len(roots)} is due")
        root = by_place.get(_place(tensor))
        roots.append(tensor_root(tensor) if root is None else root)
        if progress is not None:
            progress(len(roots))
    return Trace(tuple(roots))


def _place(array: np.ndarray) -> tuple[int, int, str]:
    return array.ctypes.data, array.nbytes, array.dtype.str
