"""Strided views as ONNX data movement. Broadcast axes (stride 0) come out with size 1, for the reader to broadcast.

A view that walks separate axes of some factorisation of its tensor is Reshape, Slice and Transpose. Any other
(overlapping windows above all) gathers the longest rows that all its positions share, by a constant index, or single
elements where those rows are short.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from oracle_node.executors.onnx.graph import Graph, Value

_SHORT_ROW = 12
"""Gathering a row costs as much as gathering so many elements."""


@dataclass(frozen=True, slots=True)
class View:
    """`offset + Σ coordinate·stride` over a box of `shape`, in elements of the tensor's flat data."""

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def core(self) -> tuple[int, ...]:
        """The shape with broadcast axes as size 1."""
        return tuple(1 if stride == 0 else n for n, stride in zip(self.shape, self.strides, strict=True))

    def moved(self, count: int) -> "View":
        """The same from `count` elements further on."""
        return View(self.offset + count, self.shape, self.strides)

    def permuted(self, axes: Sequence[int]) -> "View":
        return View(self.offset, tuple(self.shape[a] for a in axes), tuple(self.strides[a] for a in axes))

    def fixed(self, axes: Sequence[int], coordinates: Sequence[int]) -> "View":
        """The view at the coordinates along the axes, which vanish."""
        offset = self.offset + sum(self.strides[a] * c for a, c in zip(axes, coordinates, strict=True))
        return View(
            offset, *(tuple(v for a, v in enumerate(t) if a not in axes) for t in (self.shape, self.strides))
        )

    def stacked(self, planes: int, count: int) -> "View":
        """The view of each of `planes` tensors of `count` elements that follow each other, along a new first axis."""
        return View(self.offset, (planes, *self.shape), (count if planes > 1 else 0, *self.strides))

    def moves(self, count: int) -> bool:
        """Whether it reads anything but a tensor of `count` elements as it lies, broadcast perhaps."""
        return not View(self.offset, self.core, self.strides).is_identity_of(count)

    def is_identity_of(self, count: int) -> bool:
        """Whether it reads a tensor of `count` elements in row-major order, once."""
        whole = self.offset == 0 and self.core == self.shape and prod(self.shape) == count
        return whole and self.strides == contiguous(self.shape)


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides; 0 for axes of size 1."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step if n != 1 else 0)
        step *= n
    return tuple(reversed(strides))


def read_array(array: np.ndarray, view: View) -> np.ndarray:
    """The view of constant data, broadcast axes of size 1; contiguous."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if view.is_identity_of(flat.size):
        return flat.reshape(view.shape)
    steps = [stride * flat.itemsize for stride in view.strides]
    window = np.lib.stride_tricks.as_strided(flat[view.offset :], view.core, steps, writeable=False)
    return np.ascontiguousarray(window).reshape(view.core)


@dataclass(frozen=True, slots=True)
class _Factor:
    """One axis of the factorised tensor: its size, where the view starts on it, and the view axes that walk it.

    A walk is (stride within the factor, count, view axis); largest stride first.
    """

    size: int
    start: int
    walks: tuple[tuple[int, int, int], ...]

    @property
    def last(self) -> int:
        """The largest coordinate that the view reads."""
        return self.start + sum(stride * (n - 1) for stride, n, _ in self.walks)


def read(graph: Graph, base: Value, view: View) -> Value:
    """The view of a value of any shape; the result's shape is `view.core`."""
    if 0 in view.core:
        return graph.constant(np.zeros(view.core, base.elem.numpy))
    if view.core == view.shape and view.is_identity_of(base.count):
        return graph.reshape(base, view.shape)
    axes = [a for a, n in enumerate(view.core) if n > 1]
    offset = view.offset + sum(view.strides[a] * (view.shape[a] - 1) for a in axes if view.strides[a] < 0)
    walks = sorted(((abs(view.strides[a]), view.shape[a], a) for a in axes), reverse=True)
    factors = _factorise(base, offset, walks)
    split = _separate(factors)
    if split is None:
        return _gather_rows(graph, base, view)
    window, separate = split
    value = graph.reshape(base, [factor.size for factor in factors])
    value = graph.slice(
        value, [start for start, _ in window], [count for _, count in window], [1] * len(window)
    )
    value = graph.reshape(value, [factor.size for factor in separate])
    counts = [factor.walks[0][1] if factor.walks else 1 for factor in separate]
    value = graph.slice(
        value, [f.start for f in separate], counts, [f.walks[0][0] if f.walks else 1 for f in separate]
    )
    order = [factor.walks[0][2] for factor in separate if factor.walks]
    value = graph.reshape(value, [view.shape[a] for a in order])
    value = graph.transpose(value, [order.index(a) for a in axes])
    flipped = [view.strides[a] < 0 for a in axes]
    starts = [n - 1 if flip else 0 for n, flip in zip(value.shape, flipped, strict=True)]
    value = graph.slice(value, starts, value.shape, [-1 if flip else 1 for flip in flipped])
    return graph.reshape(value, view.core)


def _factorise(base: Value, offset: int, walks: Sequence[tuple[int, int, int]]) -> list[_Factor]:
    """The tensor's own axes, neighbours merged until every view axis walks exactly one of them."""
    sizes = [n for n in base.shape if n != 1] or [1]
    while True:
        factors: list[_Factor] = []
        step, rest, clash = base.count, offset, None
        for position, size in enumerate(sizes):
            above, step = step, step // size
            mine = [walk for walk in walks if step <= walk[0] < above]
            factor = _Factor(size, rest // step, tuple((stride // step, n, axis) for stride, n, axis in mine))
            rest %= step
            if any(stride % step for stride, _, _ in mine):
                clash = position
            elif factor.last >= size:
                clash = position - 1
            if clash is not None:
                break
            factors.append(factor)
        if clash is None:
            return factors
        sizes[clash : clash + 2] = [sizes[clash] * sizes[clash + 1]]


def _separate(factors: Sequence[_Factor]) -> tuple[list[tuple[int, int]], list[_Factor]] | None:
    """Factors split until each is walked by at most one view axis, and the (start, count) to cut from each one first.

    None where two axes of the view overlap (windows).
    """
    window, separate = [], []
    for whole in factors:
        factor, cut = whole, (0, whole.size)
        while len(factor.walks) > 1:
            (stride, count, axis), *finer = factor.walks
            inner = _Factor(stride, factor.start % stride, tuple(finer))
            if factor.size % stride or inner.last >= stride:
                start = min(factor.start, factor.size - stride * count)
                inner = _Factor(stride, (factor.start - start) % stride, tuple(finer))
                if factor is not whole or start < 0 or inner.last >= stride:
                    return None
                cut = (start, stride * count)
                factor = _Factor(stride * count, factor.start - start, factor.walks)
            separate.append(_Factor(factor.size // stride, factor.start // stride, ((1, count, axis),)))
            factor = inner
        separate.append(factor)
        window.append(cut)
    return window, separate


def _gather_rows(graph: Graph, base: Value, view: View) -> Value:
    """Gather the longest rows that every position of the view starts at a multiple of, or elements."""
    axes = [a for a, n in enumerate(view.core) if n > 1]
    row, kept = _row_axes(view, axes, base.count)
    if row < _SHORT_ROW:
        row, kept = 1, []
    outer = [a for a in axes if a not in kept]
    index = np.asarray(view.offset // row, np.int64)
    for a in outer:
        index = index[..., None] + np.arange(view.shape[a], dtype=np.int64) * (view.strides[a] // row)
    value = gather(graph, graph.reshape(base, [base.count // row, row]), graph.constant(narrow(index)))
    order = [*outer, *kept]
    value = graph.reshape(value, [view.shape[a] for a in order])
    value = graph.transpose(value, [order.index(a) for a in axes])
    return graph.reshape(value, view.core)


def _row_axes(view: View, axes: Sequence[int], count: int) -> tuple[int, list[int]]:
    """The longest contiguous run of axes that divides all else of the view: its length, and the axes in order."""
    run = 1
    candidate: list[int] = []
    best: tuple[int, list[int]] = (1, [])
    for a in sorted(axes, key=lambda a: abs(view.strides[a])):
        if view.strides[a] != run:
            break
        run, candidate = run * view.shape[a], [a, *candidate]
        others = [view.strides[b] for b in axes if b not in candidate]
        if not any(number % run for number in (count, view.offset, *others)):
            best = (run, candidate)
    return best


def gather(graph: Graph, table: Value, index: Value) -> Value:
    """Rows of a (rows, width) table: (*index shape, width). Scalars take the operator that is fast for them."""
    rows, width = table.shape
    if width > 1:
        return graph.op("Gather", [table, index], shape=(*index.shape, width), axis=0)
    flat = graph.reshape(index, [index.count])
    value = graph.op("GatherElements", [graph.reshape(table, [rows]), flat], shape=flat.shape, axis=0)
    return graph.reshape(value, [*index.shape, 1])


def narrow(index: np.ndarray) -> np.ndarray:
    """Indices as i32 where they fit."""
    return index.astype(np.int32) if index.size == 0 or np.abs(index).max() < 1 << 31 else index
