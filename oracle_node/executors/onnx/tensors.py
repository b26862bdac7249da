"""The tensors of a plan: each tape tensor in the forms its readers asked for.

An integer tensor travels in a *carrier*, any element type that holds its proven interval exactly; storage types (i8,
i16) appear only where the graph meets the outside. A float tensor is always f32, to the bit.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from math import prod

import numpy as np

from oracle_node.executors.onnx.constants import Constant, Constants
from oracle_node.executors.onnx.graph import Elem, Graph, Value
from oracle_node.executors.onnx.views import View, read
from oracle_node.tape.interval import Interval
from oracle_node.tape.types import DType

EXACT: dict[Elem, int] = {Elem.F32: 1 << 24, Elem.I32: (1 << 31) - 1, Elem.F64: 1 << 53, Elem.I64: 1 << 63}
"""Carriers, cheapest first, and the largest magnitude up to which each holds every integer."""


_FED_BYTES = 1 << 20
"""A constant of this size that the graph holds would be there twice, and could not be let go."""


def carriers(magnitude: int | float) -> list[Elem]:
    """The carriers that hold integers of that size, cheapest first."""
    return [elem for elem, limit in EXACT.items() if magnitude <= limit]


@dataclass(frozen=True, slots=True)
class Reading:
    """A tensor read through a view over the output axes, then the reduce axes.

    With a `block`, only the view's last axis matters, and the value is that row, again and again, in the block's shape.
    With `rows`, the value comes in that shape, whatever the view's axes.
    """

    ref: int
    view: View
    block: tuple[int, ...] | None = None
    rows: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """What is handed over of a tensor: all of it, or what a view reads, in the shape of the view's core."""

    ref: int
    view: View | None = None


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
    tells that floats, or a float carrier of integers, may hold −0; `balanced` that the analysis gave the tensor −b…b.
    """

    dtype: DType
    shape: tuple[int, ...]
    interval: Interval
    forms: dict[Elem, Value] = field(default_factory=dict)
    array: Constant | None = None
    parts: Joined | None = None
    signed_zero: bool = False
    balanced: bool = False
    deferred: Callable[[Elem, View | None], Value] | None = None
    """Orders what comes in any type, whole or through a view."""

    @property
    def ready(self) -> tuple[Elem, ...]:
        """The element types that it has without a cast."""
        is_open = self.array is not None or (self.deferred is not None and not self.forms)
        return tuple(Elem) if is_open else tuple(self.forms)

    @property
    def count(self) -> int:
        return prod(self.shape)


class Tensors:
    """Tensors by instruction, and reading them through views.

    With `feeding`, constants that differ among members, and large ones, are inputs of the graph: `fed` names them.
    """

    def __init__(self, graph: Graph, constants: Constants, feeding: bool = False) -> None:
        self.graph = graph
        self.constants = constants
        self.fed: dict[str, Constant] = {}
        self._feeding = feeding
        self._constants: dict[Hashable, Value] = {}
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
                tensor.forms[elem] = self.constant(tensor.array.cast(elem.numpy))
            elif tensor.deferred is not None and not tensor.forms:
                first = tensor.deferred(elem, None)
                tensor.forms[first.elem] = first
                tensor.forms.setdefault(elem, self.graph.cast(first, elem))
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

    def repeated(self, ref: int, row: View, block: tuple[int, ...], elem: Elem) -> Value:
        """A view of one axis, as often as it fits into a block of that shape."""
        width = prod(row.core)
        repeat = prod(block) // width
        if self[ref].array is not None:
            array = self.array(ref, row, elem)
            return self.constant(
                array.derived(
                    ("repeat", block), lambda data: np.tile(data, repeat).reshape(block), block, elem.numpy
                )
            )
        return self.graph.reshape(self.graph.expand(self.read(ref, row, elem), (repeat, width)), block)

    def read(self, ref: int, view: View, elem: Elem) -> Value:
        """The view of a tensor, broadcast axes of size 1; cast before or after, whichever moves fewer bytes."""
        key = (ref, view, elem)
        if key not in self._views:
            tensor = self[ref]
            if tensor.array is not None:
                value = self.constant(self.array(ref, view, elem))
            elif tensor.deferred is not None and view.moves(tensor.count):
                value = self.graph.cast(tensor.deferred(elem, view), elem)
            elif elem in tensor.ready or self._cast_first(ref, view, elem):
                value = read(self.graph, self.form(ref, elem), view)
            else:
                value = self.graph.cast(read(self.graph, self.any_form(ref), view), elem)
            self._views[key] = value
        return self._views[key]

    def _cast_first(self, ref: int, view: View, elem: Elem) -> bool:
        count, wider = self[ref].count, elem.numpy.itemsize > self.any_form(ref).elem.numpy.itemsize
        return prod(view.core) > count or (prod(view.core) == count and not wider)

    def array(self, ref: int, view: View, elem: Elem) -> Constant:
        """The view of a constant, broadcast axes of size 1."""
        array = self[ref].array
        assert array is not None
        return array.moved(view, view.core, view.core).cast(elem.numpy)

    def constant(self, constant: Constant) -> Value:
        """A constant in the graph, or as an input of it."""
        if constant.key not in self._constants:
            if self._feeding and (constant.varies or constant.nbytes > _FED_BYTES):
                name, elem = f"weight{len(self.fed)}", Elem.of(constant.dtype)
                self.fed[name] = constant
                value = self.graph.input(name, elem, constant.shape)
            else:
                value = self.graph.constant(constant.array())
            self._constants[constant.key] = value
        return self._constants[constant.key]
