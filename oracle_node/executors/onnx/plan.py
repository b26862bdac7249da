"""From nodes to one graph that computes the wanted tensors from its inputs.

Tensors that nothing wanted depends on are left out, and those that only exist to keep a tape's steps small (`joining`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from math import prod

import numpy as np

from oracle_node.executors.onnx.constants import Constant, Constants
from oracle_node.executors.onnx.context import Context, Result
from oracle_node.executors.onnx.graph import Elem, Graph, Value
from oracle_node.executors.onnx.joining import Joins
from oracle_node.executors.onnx.maps import lower_map
from oracle_node.executors.onnx.movement import lower_concat, lower_gather
from oracle_node.executors.onnx.nodes import SOURCES, Join, Lookup, Node
from oracle_node.executors.onnx.products import lower_product
from oracle_node.executors.onnx.reductions import lower_reduce
from oracle_node.executors.onnx.tensors import EXACT, Port, Tensor, Tensors, carriers
from oracle_node.executors.onnx.views import View
from oracle_node.tape.instruction import Opcode, Reduction
from oracle_node.tape.scalar import Program
from oracle_node.tape.types import DType


class Plan:
    """The graph of a set of nodes, and the names of its inputs and outputs.

    `given` are tensors that the graph takes as inputs, beside those of INPUTs; `wanted` ones are outputs, in their own
    types and shapes. With `feeding`, large constants are inputs too: `fed` names them. Integers in `loose` are given
    and wanted in the types that are said there, or in any that suits the graph, and given through views if it likes.
    """

    def __init__(
        self,
        node: Callable[[int], Node],
        constants: Constants,
        wanted: Collection[int],
        given: Collection[int] = (),
        feeding: bool = False,
        loose: Mapping[int, Mapping[View | None, Elem]] | None = None,
    ) -> None:
        self._node, self._loose = node, loose or {}
        self.graph = Graph()
        self._tensors = Tensors(self.graph, constants, feeding)
        self._context = Context(self.graph, self._tensors)
        self.inputs: dict[Port, Value] = {}
        self.outputs: dict[Port, Value] = {}
        needed = cone(node, wanted, given)
        self._joins = Joins(node, sorted(needed.difference(given)), wanted)
        for position in sorted(needed - self._joins.hidden):
            self._lower(position, given)
        for position in wanted:
            if position not in given:
                self._expose(position)
        read = self.graph.used_names()
        self.inputs = {port: value for port, value in self.inputs.items() if value.name in read}
        self.fed: dict[str, Constant] = {
            name: constant for name, constant in self._tensors.fed.items() if name in read
        }

    def _lower(self, position: int, given: Collection[int]) -> None:
        """Put the tensor of a node into the graph."""
        node = self._node(position)
        self.graph.label = position
        tensor = Tensor(node.dtype, node.shape, node.bounds.interval, balanced=node.bounds.balanced)
        self._tensors[position] = tensor
        elem = Elem.of(node.dtype)
        if node.opcode is Opcode.CONST:
            tensor.array = self._tensors.constants.weights(node.weights, node.shape)
            tensor.signed_zero = node.dtype is DType.F32 and tensor.array.fact("−0", _holds_minus_zero) > 0
        elif prod(node.shape) == 0:
            tensor.array = self._tensors.constants.empty(node.shape, elem.numpy)
        elif position in given or node.opcode is Opcode.INPUT:
            tensor.signed_zero = node.dtype is DType.F32 and node.opcode is not Opcode.INPUT
            if position in self._loose:
                tensor.deferred = partial(self._input, position)
            else:
                tensor.forms[elem] = self._input(position, elem)
        else:
            result = self._compute(position, node)
            tensor.forms[result.value.elem] = result.value
            tensor.parts = result.parts
            tensor.signed_zero = result.signed_zero

    def _input(self, position: int, elem: Elem, view: View | None = None) -> Value:
        """Make a tensor, or a view of it, an input: in the type ordered before, or in this one if it may be."""
        tensor, port = self._tensors[position], Port(position, view)
        if port not in self.inputs:
            if position in self._loose:
                # a product of small weights may ask for a type that does not hold what others read
                chosen = elem if elem in carriers(tensor.interval.magnitude) else Elem.of(tensor.dtype)
                elem = self._loose[position].get(view, chosen)
            shape = tensor.shape if view is None else view.core
            self.inputs[port] = self.graph.input(f"tensor{len(self.inputs)}", elem, shape)
        return self.inputs[port]

    def _compute(self, position: int, node: Node) -> Result:
        is_float = node.dtype is DType.F32
        if self._joins.is_product(position):
            return lower_product(self._context, self._joins.product(position))
        match node.tail:
            case Program():
                return lower_map(self._context, self._joins.elementwise(position))
            case Reduction() as reduction:
                return lower_reduce(self._context, self._joins.reduction(position, reduction))
            case Lookup(stride, rows):
                index, table = node.readings
                return lower_gather(self._context, index, table, stride, rows)
            case Join(axis):
                return lower_concat(self._context, node.readings, axis, node.bounds.interval, is_float)
            case _:
                raise AssertionError(f"{node.opcode.name} is no computation")

    def _expose(self, position: int) -> None:
        """Make a tensor an output, in its own type, or as it is if it is loose; in any shape."""
        tensor, elem = self._tensors[position], Elem.of(self._tensors[position].dtype)
        self.graph.label = position
        if position in self._loose:
            elem = next((form for form in tensor.forms if form in EXACT), elem)
        value = self.graph.before_reshaping(self._tensors.form(position, elem))
        self.outputs[Port(position)] = replace(value, name=self.graph.output(value))


def _holds_minus_zero(data: np.ndarray) -> int:
    return int(np.any(np.signbit(data) & (data == 0)))


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
