"""Instructions that a plan computes as one: a tape splits long reductions so that a step stays small, kernels need not.

- partial sums of a product, and the REDUCE that adds them up: one product
- elementwise instructions of which only the next one reads the result, element by element: one program, as long as one
  instruction's may be
- maxima of blocks and the maximum of those, down to one value: one reduction over everything (minima likewise)
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod

from oracle_node.executors.onnx.maps import Elementwise
from oracle_node.executors.onnx.matrices import Product
from oracle_node.executors.onnx.nodes import Node
from oracle_node.executors.onnx.reductions import Reduce
from oracle_node.executors.onnx.tensors import Reading
from oracle_node.executors.onnx.views import View, contiguous
from oracle_node.tape.instruction import Opcode, Reducer, Reduction
from oracle_node.tape.scalar import MAX_OPERATIONS, Program
from oracle_node.tape.types import DType

_REPEATABLE = (Reducer.MAX, Reducer.MIN)
"""Reducers that do not mind reading an element twice."""


class Joins:
    """What is joined among the computed nodes; `hidden` are those that others stand for.

    `kept` are nodes whose tensors somebody wants to see.
    """

    def __init__(self, node: Callable[[int], Node], computed: Sequence[int], kept: Collection[int]) -> None:
        self._node = node
        self._source: dict[int, int] = {}
        read_by = readers(node, computed)

        def joinable(position: int, source: int) -> bool:
            return source in read_by and source not in kept and read_by[source] == {position}

        def join(position: int, source: int | None) -> None:
            if source is not None and joinable(position, source):
                self._source[position] = source

        for position in computed:
            join(position, self._summed(position))
        for position in reversed(computed):  # the last maximum tells that those before it serve nothing else
            join(position, self._refined(position))
        sizes: dict[int, int] = {}
        for position in computed:
            tail = node(position).tail
            own = sizes[position] = len(tail.ops) if isinstance(tail, Program) else 0
            for source in self._continued(position):
                if joinable(position, source) and own + sizes[source] <= MAX_OPERATIONS:
                    join(position, source)
                    sizes[position] = own + sizes[source]
        self.hidden = frozenset(self._source.values())

    def is_product(self, position: int) -> bool:
        """Whether the node is a MATMUL, or adds up what is left of one."""
        while position in self._source:
            position = self._source[position]
        return self._node(position).opcode is Opcode.MATMUL

    def product(self, position: int) -> Product:
        """The product of a MATMUL, or of one whose partial sums this node adds up."""
        node, source = self._node(position), self._source.get(position)
        if source is None:
            left, right = node.readings
            return Product(left, right, node.shape, node.reduce_shape, node.bounds.interval)
        inner, mapped = self.product(source), _axis_map(node, self._node(source).shape)
        assert mapped is not None
        outer, depth = len(inner.shape), (*node.reduce_shape, *inner.reduce_shape)

        def joined(reading: Reading) -> Reading:
            own = reading.view.strides
            strides = tuple(own[a] * step for a, step in mapped) + own[outer:]
            return Reading(reading.ref, View(reading.view.offset, (*node.shape, *depth), strides))

        return Product(joined(inner.left), joined(inner.right), node.shape, depth, node.bounds.interval)

    def reduction(self, position: int, reduction: Reduction) -> Reduce:
        """A REDUCE, over all that those before it reduce."""
        node, first = self._node(position), position
        while first in self._source:
            first = self._source[first]
        inner, program = self._node(first), reduction.program
        readings, shape, reduce_shape = node.readings, node.shape, node.reduce_shape
        if first != position:
            assert isinstance(inner.tail, Reduction)
            views = covered([reading.view for reading in inner.readings])
            program, reduce_shape = inner.tail.program, views[0].shape
            readings = tuple(
                Reading(r.ref, View(v.offset, (*shape, *v.shape), (*[0] * len(shape), *v.strides)))
                for r, v in zip(inner.readings, views, strict=True)
            )
        return Reduce(
            reduction.reducer, program, readings, shape, reduce_shape,
            inner.bounds.registers, node.bounds.interval, node.dtype is DType.F32,
        )  # fmt: skip

    def elementwise(self, position: int) -> Elementwise:
        """A MAP, and those before it whose results it alone reads."""
        node, source = self._node(position), self._source.get(position)
        assert isinstance(node.tail, Program)
        whole = Elementwise(
            node.tail, node.readings, node.shape, node.bounds.registers, node.dtype is DType.F32
        )
        if source is None or not node.tail.ops:
            return whole if source is None else replace(self.elementwise(source), is_float=whole.is_float)
        return _chained(self.elementwise(source), whole, source)

    def _continued(self, position: int) -> Iterator[int]:
        """The elementwise instructions whose results this one reads as they lie."""
        node = self._node(position)
        if not isinstance(node.tail, Program) or not prod(node.shape):
            return
        whole = View(0, node.shape, contiguous(node.shape))
        # without operations the last operand is the result
        for ref in dict.fromkeys(node.refs if node.tail.ops else node.refs[-1:]):
            source = self._node(ref)
            as_it_lies = all(reading.view == whole for reading in node.readings if reading.ref == ref)
            if isinstance(source.tail, Program) and source.shape == node.shape and as_it_lies:
                yield ref

    def _summed(self, position: int) -> int | None:
        """The partial sums of a product that this node only adds up, each element once."""
        ref = self._reduced_again(position, Reducer.SUM)
        if ref is None or not self.is_product(ref):
            return None
        return None if _axis_map(self._node(position), self._node(ref).shape) is None else ref

    def _refined(self, position: int) -> int | None:
        """The extremes of parts of something, of which this node takes the extreme on the way to a single value."""
        node = self._node(position)
        for reducer in _REPEATABLE:
            ref = self._reduced_again(position, reducer)
            if ref is not None and (prod(node.shape) == 1 or position in self._source.values()):
                tail, count = self._node(ref).tail, prod(self._node(ref).shape)
                is_same = isinstance(tail, Reduction) and tail.reducer is reducer and self._node(ref).readings
                return ref if is_same and _reads_all(node.readings[0].view, count) else None
        return None

    def _reduced_again(self, position: int, reducer: Reducer) -> int | None:
        """The tensor whose elements, as they are, this node reduces."""
        node = self._node(position)
        if not isinstance(node.tail, Reduction) or node.tail.reducer is not reducer or node.tail.program.ops:
            return None
        return node.readings[0].ref if len(node.readings) == 1 else None


def _chained(first: Elementwise, then: Elementwise, source: int) -> Elementwise:
    """Both programs as one; `source` is the tensor by which `then` reads the result of `first`."""
    operands = list(dict.fromkeys((*first.readings, *(r for r in then.readings if r.ref != source))))
    count, own = len(operands), len(first.program.ops)
    moved = [operands.index(r) for r in first.readings] + list(range(count, count + own))
    ops = [replace(o, arguments=tuple(moved[a] for a in o.arguments)) for o in first.program.ops]
    result = moved[-1]
    moved = [result if r.ref == source else operands.index(r) for r in then.readings]
    moved += range(count + own, count + own + len(then.program.ops))
    ops += [replace(o, arguments=tuple(moved[a] for a in o.arguments)) for o in then.program.ops]
    known = dict(zip(first.readings, first.intervals, strict=False))
    known |= dict(zip(then.readings, then.intervals, strict=False))
    intervals = [known[reading] for reading in operands]
    intervals += [*first.intervals[len(first.readings) :], *then.intervals[len(then.readings) :]]
    return Elementwise(Program(tuple(ops)), tuple(operands), then.shape, tuple(intervals), then.is_float)


def _reads_all(view: View, count: int) -> bool:
    """Whether the view reads each of the tensor's elements at least once."""
    (whole,) = covered([view])
    return whole.offset == 0 and whole.shape == (count,) and whole.strides in ((1,), (0,))


def covered(views: Sequence[View]) -> list[View]:
    """The elements that the views read together, over as few axes as can be; some may have been read several times.

    Two axes become one where windows (the inner axis) touch or overlap from one place (the outer axis) to the next.
    """
    axes = [
        (n, strides)
        for n, *strides in zip(views[0].shape, *(view.strides for view in views), strict=True)
        if n > 1 and any(strides)
    ]
    axes.sort(key=lambda axis: [-abs(stride) for stride in axis[1]])
    place = len(axes) - 1
    while place > 0:
        merged = _merged(axes[place - 1], axes[place])
        if merged is not None:
            axes[place - 1 : place + 1] = [merged]
            place = len(axes)
        place -= 1
    axes = axes or [(1, [0] * len(views))]
    shape = tuple(n for n, _ in axes)
    return [View(view.offset, shape, tuple(s[i] for _, s in axes)) for i, view in enumerate(views)]


def _merged(outer: tuple[int, list[int]], inner: tuple[int, list[int]]) -> tuple[int, list[int]] | None:
    """Both axes as one; None where their places do not follow one another in every view."""
    (count, steps), (size, strides) = outer, inner
    ratios = {s // t if t and s % t == 0 else 0 for s, t in zip(steps, strides, strict=True) if s or t}
    if len(ratios) != 1:
        return None
    (ratio,) = ratios
    return ((count - 1) * ratio + size, strides) if 1 <= ratio <= size else None


def readers(node: Callable[[int], Node], computed: Sequence[int]) -> Mapping[int, set[int]]:
    """For every computed node, those that read it."""
    readers: dict[int, set[int]] = {position: set() for position in computed}
    for position in computed:
        for ref in node(position).refs:
            if ref in readers:
                readers[ref].add(position)
    return readers


def _axis_map(node: Node, shape: Sequence[int]) -> list[tuple[int, int]] | None:
    """For every axis of a REDUCE, the axis of its operand (of that shape) that it walks and its step there.

    None unless all axes together walk every element of the operand once.
    """
    (reading,) = node.readings
    axes, view = reading.view.shape, reading.view
    left = dict.fromkeys(range(len(shape)), 1)  # how much of each of the operand's axes is walked so far
    found = [(0, 0)] * len(axes)
    for axis in sorted(range(len(axes)), key=lambda a: view.strides[a]):
        if axes[axis] == 1:
            continue
        steps = [
            (a, view.strides[axis] // s)
            for a, s in enumerate(contiguous(shape))
            if s and view.strides[axis] == left[a] * s
        ]
        if not steps:
            return None
        found[axis] = steps[0]
        left[steps[0][0]] *= axes[axis]
    return found if view.offset == 0 and [left[a] for a in left] == list(shape) else None
