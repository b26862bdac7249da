"""What the lowering of one instruction needs: the graph, the tensors so far, and operands as concrete views."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from oracle_node.executors.onnx.graph import Elem, Graph, Value
from oracle_node.executors.onnx.scalars import Operand, Registers
from oracle_node.executors.onnx.tensors import Tensor, Tensors
from oracle_node.executors.onnx.views import View
from oracle_node.tape.interval import Interval
from oracle_node.tape.scalar import Program


@dataclass(frozen=True, slots=True)
class Reading:
    """A tensor read through a view over the output axes, then the reduce axes."""

    ref: int
    view: View


@dataclass(frozen=True, slots=True)
class Context:
    """The state that lowerings share."""

    graph: Graph
    tensors: Tensors

    def read(self, reading: Reading, elem: Elem) -> Value:
        return self.tensors.read(reading.ref, reading.view, elem)

    def tensor(self, reading: Reading) -> Tensor:
        return self.tensors[reading.ref]

    def registers(
        self, program: Program, readings: Sequence[Reading], intervals: Sequence[Interval], result_sign_matters: bool
    ) -> Registers:
        """The program at work on the readings; every register broadcasts over the readings' axes."""
        operands = []
        for reading in readings:
            tensor = self.tensor(reading)
            ready = tuple(Elem) if tensor.array is not None else tuple(tensor.forms)
            load = lambda elem, reading=reading: self.read(reading, elem)  # noqa: E731
            operands.append(Operand(tensor.dtype, load, ready, tensor.signed_zero))
        return Registers(self.graph, program, operands, intervals, result_sign_matters)

    def full(self, value: Value, shape: Sequence[int]) -> Value:
        """The value with size-1 axes (and missing leading ones) repeated to the shape."""
        if len(value.shape) < len(shape):
            value = self.graph.reshape(value, [1] * (len(shape) - len(value.shape)) + list(value.shape))
        return self.graph.expand(value, shape)


@dataclass(frozen=True, slots=True)
class Result:
    """A lowered tensor: its value in full shape, and whether a float carrier of integers may hold −0."""

    value: Value
    signed_zero: bool = False


def is_empty(shape: Sequence[int]) -> bool:
    return prod(shape) == 0
