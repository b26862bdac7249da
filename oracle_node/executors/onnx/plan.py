"""From nodes to one graph that computes the wanted tensors from its inputs.

Tensors that nothing wanted depends on are left out; partial sums that only a summing REDUCE reads are joined into one
product.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from math import prod

from oracle_node.executors.onnx.constants import Constant, Constants
from oracle_node.executors.onnx.context import Context, Result, widened
from oracle_node.executors.onnx.graph import Elem, Graph
from oracle_node.executors.onnx.matrices import Product
from oracle_node.executors.onnx.movement import lower_concat, lower_gather
from oracle_node.executors.onnx.nodes import SOURCES, Join, Lookup, Node
from oracle_node.executors.onnx.products import lower_product
from oracle_node.executors.onnx.reductions import Reduce, lower_reduce
from oracle_node.executors.onnx.tensors import Reading, Tensor, Tensors
from oracle_node.executors.onnx.views import View, contiguous
from oracle_node.tape.instruction import Opcode, Reducer, Reduction
from oracle_node.tape.scalar import Program
from oracle_node.tape.types import DType


class Plan:
    """The graph of a set of nodes, and the names of its inputs and outputs.

    `given` are tensors that the graph takes as inputs, beside those of INPUTs; `wanted` ones are outputs, in their own
    types and shapes. With `feeding`, large constants are inputs too: `fed` names them.
    """

    def __init__(
        self,
        node: Callable[[int], Node],
        constants: Constants,
        wanted: Collection[int],
        given: Collection[int] = (),
        feeding: bool = False,
    ) -> None:
        self._node = node
        self.graph = Graph()
        self._tensors = Tensors(self.graph, constants, feeding)
        self._context = Context(self.graph, self._tensors)
        self.inputs: dict[int, str] = {}
        self.outputs: dict[int, str] = {}
        needed = cone(node, wanted, given)
        computed = sorted(needed.difference(given))
        readers = self._readers(computed)
        self._partial: dict[int, int] = {}
        for position in computed:
            source = self._summed(position)
            if source in needed.difference(wanted, given) and readers[source] == {position}:
                self._partial[position] = source
        for position in sorted(needed - set(self._partial.values())):
            self._lower(position, given)
        for position in wanted:
            if position not in given:
                self._expose(position)
        read = self.graph.used_names()
        self.inputs = {position: name for position, name in self.inputs.items() if name in read}
        self.fed: dict[str, Constant] = {
            name: constant for name, constant in self._tensors.fed.items() if name in read
        }

    def _lower(self, position: int, given: Collection[int]) -> None:
        """Put the tensor of a node into the graph."""
        node = self._node(position)
        tensor = Tensor(node.dtype, node.shape, node.bounds.interval, balanced=node.bounds.balanced)
        self._tensors[position] = tensor
        elem = Elem.of(node.dtype)
        if node.opcode is Opcode.CONST:
            tensor.array = self._tensors.constants.weights(node.weights, node.shape)
        elif prod(node.shape) == 0:
            tensor.array = self._tensors.constants.empty(node.shape, elem.numpy)
        elif position in given or node.opcode is Opcode.INPUT:
            self.inputs[position] = f"tensor{len(self.inputs)}"
            tensor.forms[elem] = self.graph.input(self.inputs[position], elem, node.shape)
        else:
            result = self._compute(position, node)
            tensor.forms[result.value.elem] = result.value
            tensor.parts = result.parts
            tensor.signed_zero = result.signed_zero and node.dtype is not DType.F32

    def _compute(self, position: int, node: Node) -> Result:
        is_float = node.dtype is DType.F32
        if node.opcode is Opcode.MATMUL or position in self._partial:
            return lower_product(self._context, self._product(position))
        match node.tail:
            case Program() as program:
                wide, readings = widened(self._context, node.shape, node.readings) or (
                    node.shape,
                    node.readings,
                )
                registers = self._context.registers(
                    program, readings, node.bounds.registers, result_sign_matters=is_float
                )
                value = self._context.full(registers.best(registers.result), wide)
                return Result(self.graph.reshape(value, node.shape), registers.signed_zero(registers.result))
            case Reduction(reducer, program):
                reduce = Reduce(
                    reducer, program, node.readings, node.shape, node.reduce_shape,
                    node.bounds.registers, node.bounds.interval, is_float,
                )  # fmt: skip
                return lower_reduce(self._context, reduce)
            case Lookup(stride, rows):
                index, table = node.readings
                return lower_gather(self._context, index, table, stride, rows)
            case Join(axis):
                return lower_concat(self._context, node.readings, axis, node.bounds.interval, is_float)
            case _:
                raise AssertionError(f"{node.opcode.name} is no computation")

    def _summed(self, position: int) -> int | None:
        """The partial sums of a product that this node only adds up, each element once."""
        node = self._node(position)
        if (
            not isinstance(node.tail, Reduction)
            or node.tail.reducer is not Reducer.SUM
            or node.tail.program.ops
            or len(node.readings) != 1
        ):
            return None
        source = node.readings[0].ref
        is_product = self._node(source).opcode is Opcode.MATMUL or source in self._partial
        return source if is_product and self._axis_map(node) is not None else None

    def _axis_map(self, node: Node) -> list[tuple[int, int]] | None:
        """For every axis of a REDUCE, the axis of its operand that it walks and its step there.

        None unless all axes together walk every element of the operand once.
        """
        (reading,) = node.readings
        axes, view = reading.view.shape, reading.view
        shape = self._node(reading.ref).shape
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

    def _product(self, position: int) -> Product:
        """The product of a MATMUL, or of one whose partial sums this node adds up."""
        node = self._node(position)
        source, interval = self._partial.get(position), node.bounds.interval
        if source is None:
            left, right = node.readings
            return Product(left, right, node.shape, node.reduce_shape, interval)
        inner, mapped = self._product(source), self._axis_map(node)
        assert mapped is not None
        outer, depth = len(inner.shape), (*node.reduce_shape, *inner.reduce_shape)

        def joined(reading: Reading) -> Reading:
            own = reading.view.strides
            strides = tuple(own[a] * step for a, step in mapped) + own[outer:]
            return Reading(reading.ref, View(reading.view.offset, (*node.shape, *depth), strides))

        return Product(joined(inner.left), joined(inner.right), node.shape, depth, interval)

    def _expose(self, position: int) -> None:
        """Make a tensor an output, in its own type and shape."""
        tensor = self._tensors[position]
        self.outputs[position] = self.graph.output(self._tensors.form(position, Elem.of(tensor.dtype)))

    def _readers(self, needed: Collection[int]) -> Mapping[int, set[int]]:
        """For every tensor, the needed nodes that read it."""
        readers: dict[int, set[int]] = {position: set() for position in needed}
        for position in needed:
            for ref in self._node(position).refs:
                readers.setdefault(ref, set()).add(position)
        return readers


def cone(node: Callable[[int], Node], wanted: Iterable[int], given: Collection[int]) -> set[int]:
    """The nodes that the wanted tensors depend on, up to and including the given ones."""
    seen: set[int] = set()
    todo = list(wanted)
    while todo:
        position = todo.pop()
        if position not in seen:
            seen.add(position)
            if position not in given and node(position).opcode not in SOURCES:
                todo += node(position).refs
    return seen
