"""What a compiled loop does, in terms of numbered buffers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from oracle_node.tape.instruction import Reducer
from oracle_node.tape.interval import Interval
from oracle_node.tape.scalar import Program
from oracle_node.tape.types import Kind


@dataclass(frozen=True, slots=True)
class Access:
    """`buffer[offset + Σ coordinate·stride]`, in elements of the buffer's type.

    `kind` is what the elements mean: integers may lie in a buffer of floats.
    """

    buffer: int
    dtype: np.dtype[np.generic]
    kind: Kind
    offset: int
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """`write = program(reads)` at every coordinate of the shape; `intervals` bound the program's registers.

    With a reducer, the program's results over the axes of `reduce_shape`, which come last in the reads and are none of
    the write's, become one: the largest, the least or the sum.
    """

    program: Program
    intervals: tuple[Interval, ...]
    shape: tuple[int, ...]
    reads: tuple[Access, ...]
    write: Access
    reducer: Reducer | None = None
    reduce_shape: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many elements are written."""
        return prod(self.shape)

    @property
    def width(self) -> int:
        """How many results become one."""
        return prod(self.reduce_shape)

    def merged(self) -> "Loop":
        """The same with neighbouring axes as one, wherever every access walks them as one."""
        outer = len(self.shape)
        shape, strides = _fewest(self.shape, [a.strides[:outer] for a in (*self.reads, self.write)])
        reduced, inner = _fewest(self.reduce_shape, [a.strides[outer:] for a in self.reads])
        reads = [replace(a, strides=(*strides[i], *inner[i])) for i, a in enumerate(self.reads)]
        write = replace(self.write, strides=strides[-1])
        return replace(self, shape=shape, reads=tuple(reads), write=write, reduce_shape=reduced)


def _fewest(
    sizes: Sequence[int], strides: Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """The axes without those of size 1, neighbours that all walk as one joined; and each one's strides."""
    axes: list[tuple[int, list[int]]] = []
    for axis, size in enumerate(sizes):
        steps = [own[axis] for own in strides]
        if size == 1:
            continue
        if axes and all(outer == size * step for outer, step in zip(axes[-1][1], steps, strict=True)):
            size *= axes.pop()[0]
        axes.append((size, steps))
    return tuple(n for n, _ in axes), [tuple(steps[i] for _, steps in axes) for i in range(len(strides))]
