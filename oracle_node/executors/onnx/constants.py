"""Weights, and what lowering derives from them (transposed, split into digits, cast): made when needed, kept while
there is room.

A `Constant` is not data but how to make it, so that layers which differ in their weights alone can share one graph: it
stands for one array a member of the group, all of one shape and type.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import numpy as np

from oracle_node.executors.onnx.arrays import Elementwise, rearranged
from oracle_node.executors.onnx.views import View
from oracle_node.tape.mapped import release

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class _Move:
    """The first step: the weight's flat data through a view, repeated to `sizes`."""

    view: View
    sizes: tuple[int, ...]
    dtype: np.dtype[np.generic]


@dataclass(frozen=True, slots=True)
class _Step:
    """A later step; elementwise ones are fused with the move, block by block. Equal keys do the same."""

    key: Hashable
    make: Elementwise
    dtype: np.dtype[np.generic]
    elementwise: bool


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """Constant data of a shape and type, one array a member; `key` tells what it is."""

    store: "Constants"
    sources: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    steps: tuple[_Move | _Step, ...] = ()

    @property
    def key(self) -> Hashable:
        return (self.sources, self.shape, _key(self.steps))

    @property
    def varies(self) -> bool:
        """Whether members differ."""
        return len(self.sources) > 1

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def array(self, member: int = 0) -> np.ndarray:
        """A member's data."""
        return self.store.get(self.sources[member if self.varies else 0], self.steps).reshape(self.shape)

    def reshaped(self, shape: Sequence[int]) -> "Constant":
        return Constant(self.store, self.sources, tuple(shape), self.dtype, self.steps)

    def moved(self, view: View, sizes: Sequence[int], shape: Sequence[int]) -> "Constant":
        """The data, so far unchanged, through a view; broadcast axes repeated to `sizes`, then reshaped."""
        assert not self.steps
        move = _Move(*_fewest_axes(view, sizes), self.dtype)
        return Constant(self.store, self.sources, tuple(shape), self.dtype, (move,))

    def mapped(self, key: Hashable, function: Elementwise, dtype: np.dtype[np.generic]) -> "Constant":
        """An elementwise function of the data."""
        step = _Step(key, function, dtype, elementwise=True)
        return Constant(self.store, self.sources, self.shape, dtype, (*self.steps, step))

    def cast(self, dtype: np.dtype[np.generic]) -> "Constant":
        if dtype == self.dtype:
            return self
        return self.mapped(("cast", dtype), lambda data: data.astype(dtype), dtype)

    def derived(
        self,
        key: Hashable,
        make: Callable[[np.ndarray], np.ndarray],
        shape: Sequence[int],
        dtype: np.dtype[np.generic],
    ) -> "Constant":
        """What `make` returns for the data in its present shape."""
        before = self.shape
        step = _Step((key, before), lambda data: make(data.reshape(before)), dtype, elementwise=False)
        return Constant(self.store, self.sources, tuple(shape), dtype, (*self.steps, step))

    def fact(self, key: Hashable, compute: Callable[[np.ndarray], int]) -> int:
        """The largest that a number is for any member; computed once a weight."""
        full = (_key(self.steps), self.shape, key)

        def of(member: int) -> int:
            return self.store.fact(self.sources[member], full, lambda: compute(self.array(member)))

        return max(self.store.in_parallel(of, range(len(self.sources))))


def _key(steps: Sequence[_Move | _Step]) -> Hashable:
    return tuple(step if isinstance(step, _Move) else step.key for step in steps)


def _fewest_axes(view: View, sizes: Sequence[int]) -> tuple[View, tuple[int, ...]]:
    """The same data in the same order with neighbouring axes joined: equal rearrangements are kept once."""
    axes: list[tuple[int, int]] = []
    for size, count, stride in zip(sizes, view.core, view.strides, strict=True):
        step = stride if count > 1 else 0
        if size == 1:
            continue
        if axes and axes[-1][1] == step * size:
            size *= axes.pop()[0]
        axes.append((size, step))
    shape = tuple(size for size, _ in axes)
    return View(view.offset, shape, tuple(step for _, step in axes)), shape


class Constants:
    """The weights of a tape, and derived arrays of at most `cache_bytes` altogether.

    Runs walk through the weights in a circle, where throwing out the least recently used would leave nothing for the
    next round: a newcomer replaces only what the last whole run did not use, else it is not kept.
    """

    def __init__(
        self, weights: Sequence[np.ndarray] = (), cache_bytes: int | None = None, threads: int = 1
    ) -> None:
        """`threads` 0 means one a core."""
        self._weights = weights
        self._pool = ThreadPoolExecutor(threads or os.cpu_count()) if threads != 1 else None
        self._empty: list[np.ndarray] = []
        self._room = cache_bytes
        self._kept: OrderedDict[Hashable, tuple[np.ndarray, int]] = OrderedDict()
        self._facts: dict[Hashable, int] = {}
        self._round = 0
        self._lock = Lock()
        self.cached_bytes = 0

    def weights(self, refs: Sequence[int], shape: Sequence[int]) -> Constant:
        """Weight tensors in a shape, one a member; one alone if they are all the same."""
        refs = tuple(refs) if len(set(refs)) > 1 else (refs[0],)
        return Constant(self, refs, tuple(shape), self._weights[refs[0]].dtype)

    def empty(self, shape: Sequence[int], dtype: np.dtype[np.generic]) -> Constant:
        """A tensor of no elements."""
        known = [(array.shape, array.dtype) for array in self._empty]
        if (tuple(shape), dtype) not in known:
            known.append((tuple(shape), dtype))
            self._empty.append(np.empty(shape, dtype))
        return Constant(self, (-1 - known.index((tuple(shape), dtype)),), tuple(shape), dtype)

    def arrays(self, constants: Collection[Constant], member: int) -> Iterable[np.ndarray]:
        """A member's data of several constants; what is not cached is made by several threads."""
        return self.in_parallel(lambda constant: constant.array(member), constants)

    def in_parallel(self, function: Callable[[_T], _R], items: Iterable[_T]) -> Iterable[_R]:
        """The function of each item, in order, several at a time."""
        return map(function, items) if self._pool is None else self._pool.map(function, items)

    def start_round(self) -> None:
        """A run begins."""
        self._round += 1

    def get(self, source: int, steps: tuple[_Move | _Step, ...]) -> np.ndarray:
        """The array that the steps make of a weight, cached or made now."""
        key = (source, _key(steps))
        with self._lock:
            if key in self._kept:
                array, _ = self._kept.pop(key)
                self._kept[key] = (array, self._round)
                return array
        weight = self._empty[-1 - source] if source < 0 else self._weights[source]
        array = _make(weight, steps)
        if not np.may_share_memory(array, weight):
            release(weight)
            self._keep(key, array)
        return array

    def fact(self, source: int, key: Hashable, compute: Callable[[], int]) -> int:
        """What `compute` returns, computed once for a weight and key."""
        full = (source, key)
        if full not in self._facts:
            self._facts[full] = compute()
        return self._facts[full]

    def _keep(self, key: Hashable, array: np.ndarray) -> None:
        """Keep an array if there is room once what nobody used lately is thrown out."""
        with self._lock:
            while self._room is not None and self.cached_bytes + array.nbytes > self._room:
                oldest = next(iter(self._kept), None)
                if oldest is None or self._kept[oldest][1] >= self._round - 1:
                    return
                self.cached_bytes -= self._kept.pop(oldest)[0].nbytes
            if key not in self._kept:
                self._kept[key] = (array, self._round)
                self.cached_bytes += array.nbytes


def _make(weight: np.ndarray, steps: Sequence[_Move | _Step]) -> np.ndarray:
    """All steps in order."""
    array, left = np.asarray(weight), list(steps)
    while left:
        step = left.pop(0)
        if isinstance(step, _Move) or step.elementwise:
            functions = [] if isinstance(step, _Move) else [step.make]
            dtype = step.dtype
            while left and isinstance(left[0], _Step) and left[0].elementwise:
                functions.append(left[0].make)
                dtype = left.pop(0).dtype
            size = (array.size,)
            view, sizes = (step.view, step.sizes) if isinstance(step, _Move) else (View(0, size, (1,)), size)
            array = rearranged(array, view, sizes, functions, dtype)
        else:
            array = step.make(array)
    return array
