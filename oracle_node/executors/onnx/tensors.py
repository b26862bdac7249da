"""The tensors of a plan: each tape tensor in the forms its readers asked for.

An integer tensor travels in a *carrier*, any element type that holds its proven interval exactly; storage types (i8,
i16) appear only where the graph meets the outside. A float tensor is always f32, to the bit.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from math import prod

import numpy as np

from oracle_node.executors.onnx.graph import Elem, Graph, Value
from oracle_node.executors.onnx.views import View, read, read_array
from oracle_node.tape.interval import Interval
from oracle_node.tape.types import DType

EXACT: dict[Elem, int] = {Elem.F32: 1 << 24, Elem.I32: (1 << 31) - 1, Elem.F64: 1 << 53, Elem.I64: 1 << 63}
"""Carriers, cheapest first, and the largest magnitude up to which each holds every integer."""


def carriers(magnitude: int | float) -> list[Elem]:
    """The carriers that hold integers of that size, cheapest first."""
    return [elem for elem, limit in EXACT.items() if magnitude <= limit]


@dataclass(frozen=True, slots=True)
class Reading:
    """A tensor read through a view over the output axes, then the reduce axes.

    With `repeat`, the view is of one axis, and the value that many copies of it, one after another, as one row.
    """

    ref: int
    view: View
    repeat: int = 1


@dataclass(frozen=True, slots=True)
class Joined:
    """The operands of a CONCAT, for readers that would rather join something derived from them."""

    readings: tuple[Reading, ...]
    axis: int

    def worth_moving(self, tensors: "Tensors") -> bool:
        """Whether deriving something from the operands' tensors is no more work than from what is joined."""
        sources = {r.ref: tensors[r.ref] for r in self.readings}.values()
        total = sum(prod(r.view.shape) for r in self.readings)
        return sum(tensor.count for tensor in sources if tensor.array is None) <= total


@dataclass(slots=True)
class Tensor:
    """One tape tensor.

    `forms` hold the same values in `shape`; `array` is the data of a constant; `parts` are a CONCAT's; `signed_zero`
    tells that a float carrier of integers may hold −0.
    """

    dtype: DType
    shape: tuple[int, ...]
    interval: Interval
    forms: dict[Elem, Value] = field(default_factory=dict)
    array: np.ndarray | None = None
    parts: Joined | None = None
    signed_zero: bool = False

    @property
    def count(self) -> int:
        return prod(self.shape)


class Constants:
    """Constants derived from weights (transposed, split, cast), kept for all graphs of a tape."""

    def __init__(self) -> None:
        self._arrays: dict[Hashable, tuple[np.ndarray, np.ndarray]] = {}

    def get(self, source: np.ndarray, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """What `make` returns, made once for a source array and key."""
        full = (id(source), key)
        if full not in self._arrays:
            self._arrays[full] = (source, make())
        return self._arrays[full][1]


class Tensors:
    """Tensors by instruction, and reading them through views."""

    def __init__(self, graph: Graph, constants: Constants) -> None:
        self.graph = graph
        self.constants = constants
        self._tensors: dict[int, Tensor] = {}
        self._views: dict[tuple[int, View, Elem], Value] = {}
        self._derived: dict[tuple[int, Hashable], Value] = {}

    def __getitem__(self, ref: int) -> Tensor:
        return self._tensors[ref]

    def __setitem__(self, ref: int, tensor: Tensor) -> None:
        self._tensors[ref] = tensor

    def form(self, ref: int, elem: Elem) -> Value:
        """The whole tensor as that element type."""
        tensor = self[ref]
        if elem not in tensor.forms:
            if tensor.array is not None:
                array = tensor.array
                cast = (
                    array
                    if array.dtype == elem.numpy
                    else self.constants.get(array, elem, lambda: array.astype(elem.numpy))
                )
                tensor.forms[elem] = self.graph.constant(cast)
            else:
                tensor.forms[elem] = self.graph.cast(self.any_form(ref), elem)
        return tensor.forms[elem]

    def any_form(self, ref: int) -> Value:
        """The tensor as it was first computed; constants in their own type."""
        tensor = self[ref]
        if not tensor.forms:
            return self.form(ref, Elem.of(tensor.dtype))
        return next(iter(tensor.forms.values()))

    def derived(self, ref: int, key: Hashable, make: Callable[[], Value]) -> Value:
        """What `make` computes from a tensor, computed once."""
        if (ref, key) not in self._derived:
            self._derived[ref, key] = make()
        return self._derived[ref, key]

    def repeated(self, ref: int, view: View, repeat: int, elem: Elem) -> Value:
        """A view of one axis, `repeat` times, as one row."""
        if self[ref].array is not None:
            array = self.array(ref, view, elem)
            row = self.constants.get(array, ("repeat", repeat), lambda: np.tile(array, repeat).reshape(1, -1))
            return self.graph.constant(row)
        value = self.read(ref, view, elem)
        return self.graph.reshape(self.graph.expand(value, (repeat, value.count)), (1, repeat * value.count))

    def read(self, ref: int, view: View, elem: Elem) -> Value:
        """The view of a tensor, broadcast axes of size 1; cast before or after, whichever moves fewer bytes."""
        key = (ref, view, elem)
        if key not in self._views:
            tensor = self[ref]
            if tensor.array is not None:
                value = self.graph.constant(self.array(ref, view, elem))
            elif elem in tensor.forms or self._cast_first(ref, view, elem):
                value = read(self.graph, self.form(ref, elem), view)
            else:
                value = self.graph.cast(read(self.graph, self.any_form(ref), view), elem)
            self._views[key] = value
        return self._views[key]

    def _cast_first(self, ref: int, view: View, elem: Elem) -> bool:
        count, wider = self[ref].count, elem.numpy.itemsize > self.any_form(ref).elem.numpy.itemsize
        return prod(view.core) > count or (prod(view.core) == count and not wider)

    def array(self, ref: int, view: View, elem: Elem) -> np.ndarray:
        """The view of a constant."""
        array = self[ref].array
        assert array is not None
        return self.constants.get(
            array, (view, elem), lambda: read_array(array, view).astype(elem.numpy, copy=False)
        )
