"""A set of elementwise nodes as compiled loops: the counterpart of `plan` for what no matrix product is in."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import prod
from time import perf_counter

import numpy as np

from oracle_node.executors.loops.loop import Access, Loop
from oracle_node.executors.onnx.constants import Constant, Constants
from oracle_node.executors.onnx.graph import Elem, Value
from oracle_node.executors.onnx.joining import Joins, readers
from oracle_node.executors.onnx.nodes import Join, Node
from oracle_node.executors.onnx.plan import cone
from oracle_node.executors.onnx.tensors import Port, Reading
from oracle_node.executors.onnx.views import View, contiguous
from oracle_node.tape.instruction import Opcode, Reduction
from oracle_node.tape.scalar import Program

_COPY = Program()


class LoopPlan:
    """The loops of a set of nodes, and their inputs and outputs, as `Plan` has them.

    `wanted` says in which types; `carriers` are the types of given ones that do not come in their own.
    """

    def __init__(
        self,
        node: Callable[[int], Node],
        constants: Constants,
        wanted: Mapping[Port, Elem],
        given: Collection[int],
        carriers: Mapping[int, Elem],
    ) -> None:
        whole = {port.ref: elem for port, elem in wanted.items() if port.view is None}
        self._node, self._types = node, {**carriers, **whole}
        self.inputs: dict[Port, Value] = {}
        self.outputs: dict[Port, Value] = {}
        self.fed: dict[str, Constant] = {}
        self.loops: list[tuple[int, Loop]] = []
        """In order, each with the node it is for."""
        self.arrays: list[np.ndarray | None] = []
        """The buffers: constants, and what lies between the loops; None for inputs and outputs."""
        self._buffers: dict[Port, int] = {}
        kept = {port.ref for port in wanted}
        needed = cone(node, kept, given)
        computed = sorted(needed.difference(given))
        self._joins, self._homes = Joins(node, computed, kept), _homes(node, computed, kept)
        for number in sorted(needed - self._joins.hidden - self._homes.keys()):
            own, port = node(number), Port(number)
            value = Value(f"tensor{number}", self._elem(number), own.shape)
            array: np.ndarray | None = None
            if own.opcode is Opcode.CONST:
                array = np.ascontiguousarray(constants.weights(own.weights, own.shape).array())
            elif number in given:
                self.inputs[port] = value
            elif port in wanted:
                self.outputs[port] = value
            else:
                array = np.empty(own.shape, value.elem.numpy)
            self._add_buffer(port, array)
        for number in sorted(needed.difference(given, self._joins.hidden)):
            if node(number).opcode is not Opcode.CONST:
                self._add_loops(number, self._lower(number, node(number)))
        for port, elem in wanted.items():
            if port.view is not None:
                self.outputs[port] = Value(f"view{len(self.outputs)}", elem, port.view.core)
                self._add_buffer(port, None)
                self._add_loops(port.ref, [self._hand_over(port.ref, port.view, elem)])

    def buffer(self, port: Port) -> int:
        """Where a tensor, or what is handed over of it, lies."""
        return self._buffers[port]

    def _add_buffer(self, port: Port, array: np.ndarray | None) -> None:
        self._buffers[port] = len(self.arrays)
        self.arrays.append(array)

    def _add_loops(self, number: int, loops: Iterable[Loop]) -> None:
        self.loops += [(number, loop) for loop in loops if loop.count]

    def _hand_over(self, number: int, view: View, elem: Elem) -> Loop:
        """What a view reads of a computed tensor, into a buffer of its own."""
        buffer, kind = self._buffers[Port(number, view)], self._node(number).dtype.kind
        write = Access(buffer, elem.numpy, kind, 0, contiguous(view.core))
        return self._copy(Reading(number, View(view.offset, view.core, view.strides)), write)

    def _copy(self, reading: Reading, write: Access) -> Loop:
        intervals = (self._node(reading.ref).bounds.interval,)
        return Loop(_COPY, intervals, reading.view.shape, (self._read(reading),), write)

    def _elem(self, number: int) -> Elem:
        return self._types.get(number, Elem.of(self._node(number).dtype))

    def _lower(self, number: int, node: Node) -> Iterator[Loop]:
        """The loops that compute one node."""
        home, offset, strides = self._home(number)
        write = self._access(home, offset, strides)
        match node.tail:
            case Program():
                mapped = self._joins.elementwise(number)
                reads = tuple(map(self._read, mapped.readings))
                yield Loop(mapped.program, mapped.intervals, node.shape, reads, write)
            case Reduction() as reduction:
                reduce = self._joins.reduction(number, reduction)
                reads = tuple(map(self._read, reduce.readings))
                yield Loop(
                    reduce.program, reduce.intervals, node.shape, reads, write, reduce.reducer, reduce.reduce_shape
                )  # fmt: skip
            case Join(axis):
                for reading, start in _parts(node, axis):
                    if reading.ref not in self._homes:
                        part = self._access(home, offset + start * strides[axis], strides)
                        yield self._copy(reading, part)
            case _:
                raise AssertionError(f"{node.opcode.name} is no loop")

    def _home(self, number: int) -> tuple[int, int, tuple[int, ...]]:
        """Where a computed tensor is written: the tensor that has a buffer, offset and strides in it."""
        node = self._node(number)
        if number not in self._homes:
            return number, 0, contiguous(node.shape)
        joined, axis, start = self._homes[number]
        home, offset, strides = self._home(joined)
        outer = zip(self._node(joined).shape, strides, strict=True)
        walked = iter([stride for n, stride in outer if n > 1])
        return home, offset + start * strides[axis], tuple(0 if n == 1 else next(walked) for n in node.shape)

    def _read(self, reading: Reading) -> Access:
        return self._access(reading.ref, reading.view.offset, reading.view.strides)

    def _access(self, number: int, offset: int, strides: tuple[int, ...]) -> Access:
        elem, kind = self._elem(number), self._node(number).dtype.kind
        return Access(self._buffers[Port(number)], elem.numpy, kind, offset, strides)


def _parts(node: Node, axis: int) -> Iterator[tuple[Reading, int]]:
    """Every operand of a CONCAT and where it starts."""
    lengths = [reading.view.shape[axis] for reading in node.readings]
    return zip(node.readings, accumulate(lengths, initial=0), strict=False)


def _homes(
    node: Callable[[int], Node], computed: Sequence[int], wanted: Collection[int]
) -> dict[int, tuple[int, int, int]]:
    """Tensors that are computed to be joined only, and are written there at once: the CONCAT, its axis, the start."""
    homes: dict[int, tuple[int, int, int]] = {}
    for number, reading_numbers in readers(node, computed).items():
        own = node(number)
        if number in wanted or len(reading_numbers) != 1 or not prod(own.shape):
            continue
        (joined,) = reading_numbers
        outer = node(joined)
        if not isinstance(outer.tail, Join) or own.opcode is Opcode.CONST or outer.refs.count(number) != 1:
            continue
        axis = outer.tail.axis
        for reading, start in _parts(outer, axis):
            sizes = [
                n for a, n in enumerate(reading.view.shape) if n > 1 or (a == axis and outer.shape[a] > 1)
            ]
            is_whole = reading.ref == number and reading.view.is_identity_of(prod(own.shape))
            if is_whole and sizes == [n for n in own.shape if n > 1]:
                homes[number] = (joined, axis, start)
    return homes


class Loops:
    """A plan's loops, compiled. What lies between them is the plan's own: one run at a time."""

    def __init__(self, plan: LoopPlan, traced: bool) -> None:
        """Traced, each loop is a function of its own, and its time is recorded."""
        # llvmlite is not installed everywhere
        from oracle_node.executors.loops.compiler import address, compiled

        self._address = address
        self._addresses = [0 if array is None else address(array) for array in plan.arrays]
        groups = [[entry] for entry in plan.loops] if traced else [plan.loops]
        self._functions = [
            (group[-1][0], compiled(tuple(loop for _, loop in group))) for group in groups if group
        ]
        self._seconds: list[list[float]] | None = [[] for _ in groups] if traced else None
        self._plan = plan

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name."""
        plan = self._plan
        inputs = {value.name: np.ascontiguousarray(feeds[value.name]) for value in plan.inputs.values()}
        results = {value.name: np.empty(value.shape, value.elem.numpy) for value in plan.outputs.values()}
        addresses = list(self._addresses)
        for ports, arrays in ((plan.inputs, inputs), (plan.outputs, results)):
            for port, value in ports.items():
                addresses[plan.buffer(port)] = self._address(arrays[value.name])
        for place, (_, function) in enumerate(self._functions):
            start = perf_counter()
            function(addresses)
            if self._seconds is not None:
                self._seconds[place].append(perf_counter() - start)
        return results

    def end_trace(self) -> Iterator[tuple[int, str, float]]:
        """Label, "Loop" and median seconds of every function."""
        for (label, _), seconds in zip(self._functions, self._seconds or (), strict=True):
            yield label, "Loop", float(np.median(seconds[1:] or seconds))
