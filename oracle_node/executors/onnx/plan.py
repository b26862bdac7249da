"""From a tape and concrete symbols to one graph that computes the wanted tensors from its inputs.

Tensors that nothing wanted depends on are left out; partial sums that only a summing REDUCE reads are joined into one
product.
"""

from collections.abc import Collection, Mapping
from math import prod

import numpy as np

from oracle_node.executors.onnx.context import Context, Result, widened
from oracle_node.executors.onnx.graph import Elem, Graph
from oracle_node.executors.onnx.matrices import Product
from oracle_node.executors.onnx.movement import lower_concat, lower_gather
from oracle_node.executors.onnx.products import lower_product
from oracle_node.executors.onnx.reductions import Reduce, lower_reduce
from oracle_node.executors.onnx.tensors import Constants, Reading, Tensor, Tensors
from oracle_node.executors.onnx.views import View, contiguous
from oracle_node.tape.affine import Symbols
from oracle_node.tape.analysis import Analysis
from oracle_node.tape.instruction import Instruction, Opcode, Operand, Parts, Reducer, Reduction, Rows, Tape
from oracle_node.tape.scalar import Program
from oracle_node.tape.types import DType

_SOURCES = (Opcode.INPUT, Opcode.CONST)


class Plan:
    """The graph of a set of instructions, and the names of its inputs and outputs.

    `given` are tensors that the graph takes as inputs; `wanted` ones are outputs, in their own types and shapes.
    """

    def __init__(
        self,
        tape: Tape,
        analysis: Analysis,
        constants: Constants,
        symbols: Symbols,
        wanted: Collection[int],
        given: Collection[int] = (),
    ) -> None:
        self._tape, self._analysis, self._symbols = tape, analysis, symbols
        self.graph = Graph()
        self._context = Context(self.graph, Tensors(self.graph, constants))
        self.inputs: dict[int, str] = {}
        self.outputs: dict[int, str] = {}
        needed = cone(tape, wanted, given)
        readers = _readers(tape, needed)
        kept = {*wanted, *given}
        self._partial: dict[int, int] = {}
        for position in sorted(needed):
            source = self._summed(position)
            if source is not None and source not in kept and readers[source] == {position}:
                self._partial[position] = source
        for position in sorted(needed - set(self._partial.values())):
            self._lower(position, given)
        for position in wanted:
            if position not in given:
                self._expose(position)

    def _lower(self, position: int, given: Collection[int]) -> None:
        """Put the tensor of an instruction into the graph."""
        instruction = self._tape.instructions[position]
        shape = instruction.concrete_shape(self._symbols)
        tensor = Tensor(instruction.dtype, shape, self._analysis.results[position])
        self._context.tensors[position] = tensor
        elem = Elem.of(instruction.dtype)
        if instruction.opcode is Opcode.CONST:
            tensor.array = self._tape.weights[instruction.operands[0].ref]
            if tensor.array.shape != shape:
                tensor.array = tensor.array.reshape(shape)
        elif prod(shape) == 0:
            tensor.array = np.zeros(shape, elem.numpy)
        elif position in given or instruction.opcode is Opcode.INPUT:
            self.inputs[position] = f"tensor{position}"
            tensor.forms[elem] = self.graph.input(self.inputs[position], elem, shape)
        else:
            result = self._compute(position, instruction)
            tensor.forms[result.value.elem] = result.value
            tensor.parts = result.parts
            tensor.signed_zero = result.signed_zero and instruction.dtype is not DType.F32

    def _compute(self, position: int, instruction: Instruction) -> Result:
        shape = instruction.concrete_shape(self._symbols)
        reduce_shape = instruction.concrete_reduce_shape(self._symbols)
        interval = self._analysis.results[position]
        is_float = instruction.dtype is DType.F32
        if instruction.opcode is Opcode.MATMUL or position in self._partial:
            return lower_product(self._context, self._product(position))
        readings = [self._reading(operand, (*shape, *reduce_shape)) for operand in instruction.operands]
        match instruction.tail:
            case Program() as program:
                intervals = self._analysis.registers(position)
                wide, readings = widened(self._context, shape, readings) or (shape, readings)
                registers = self._context.registers(
                    program, readings, intervals, result_sign_matters=is_float
                )
                value = self._context.full(registers.best(registers.result), wide)
                return Result(self.graph.reshape(value, shape), registers.signed_zero(registers.result))
            case Reduction(reducer, program):
                intervals = self._analysis.registers(position)
                return lower_reduce(
                    self._context,
                    Reduce(
                        reducer, program, tuple(readings), shape, reduce_shape, intervals, interval, is_float
                    ),
                )
            case Rows(stride, count):
                index, table = readings
                return lower_gather(
                    self._context, index, table, stride.at(self._symbols), count.at(self._symbols)
                )
            case Parts(axis, extents):
                lengths = [extent.at(self._symbols) for extent in extents]
                parts = [
                    self._reading(operand, (*shape[:axis], length, *shape[axis + 1 :]))
                    for operand, length in zip(instruction.operands, lengths, strict=True)
                ]
                return lower_concat(self._context, parts, axis, interval, is_float)
            case _:
                raise AssertionError(f"{instruction.opcode.name} is no computation")

    def _reading(self, operand: Operand, shape: tuple[int, ...]) -> Reading:
        strides = tuple(
            0 if n == 1 else s.at(self._symbols) for n, s in zip(shape, operand.strides, strict=True)
        )
        return Reading(operand.ref, View(operand.offset.at(self._symbols), shape, strides))

    def _summed(self, position: int) -> int | None:
        """The partial sums of a product that this instruction only adds up, each element once."""
        instruction = self._tape.instructions[position]
        reduction = instruction.tail
        if (
            not isinstance(reduction, Reduction)
            or reduction.reducer is not Reducer.SUM
            or reduction.program.ops
        ):
            return None
        if len(instruction.operands) != 1 or self._axis_map(position) is None:
            return None
        source = instruction.operands[0].ref
        is_product = self._tape.instructions[source].opcode is Opcode.MATMUL or source in self._partial
        return source if is_product else None

    def _axis_map(self, position: int) -> list[tuple[int, int]] | None:
        """For every axis of a REDUCE, the axis of its operand that it walks and its step there.

        None unless all axes together walk every element of the operand once.
        """
        instruction = self._tape.instructions[position]
        axes = (*instruction.concrete_shape(self._symbols), *instruction.concrete_reduce_shape(self._symbols))
        view = self._reading(instruction.operands[0], axes).view
        shape = self._tape.instructions[instruction.operands[0].ref].concrete_shape(self._symbols)
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
        """The product of a MATMUL, or of one whose partial sums this instruction adds up."""
        instruction = self._tape.instructions[position]
        shape = instruction.concrete_shape(self._symbols)
        depth = instruction.concrete_reduce_shape(self._symbols)
        interval = self._analysis.results[position]
        source = self._partial.get(position)
        if source is None:
            left, right = (self._reading(operand, (*shape, *depth)) for operand in instruction.operands)
            return Product(left, right, shape, depth, interval)
        inner, mapped = self._product(source), self._axis_map(position)
        assert mapped is not None
        outer = len(inner.shape)

        def joined(reading: Reading) -> Reading:
            own = reading.view.strides
            strides = tuple(own[a] * step for a, step in mapped) + own[outer:]
            return Reading(
                reading.ref, View(reading.view.offset, (*shape, *depth, *inner.reduce_shape), strides)
            )

        return Product(
            joined(inner.left), joined(inner.right), shape, (*depth, *inner.reduce_shape), interval
        )

    def _expose(self, position: int) -> None:
        """Make a tensor an output, in its own type and shape."""
        tensor = self._context.tensors[position]
        self.outputs[position] = self.graph.output(
            self._context.tensors.form(position, Elem.of(tensor.dtype))
        )


def cone(tape: Tape, wanted: Collection[int], given: Collection[int]) -> set[int]:
    """The instructions that the wanted tensors depend on, up to and including the given ones."""
    seen: set[int] = set()
    todo = list(wanted)
    while todo:
        position = todo.pop()
        if position in seen:
            continue
        seen.add(position)
        instruction = tape.instructions[position]
        if instruction.opcode not in _SOURCES and position not in given:
            todo += [operand.ref for operand in instruction.operands]
    return seen


def _readers(tape: Tape, needed: Collection[int]) -> Mapping[int, set[int]]:
    """For every tensor, the needed instructions that read it."""
    readers: dict[int, set[int]] = {position: set() for position in needed}
    for position in needed:
        if tape.instructions[position].opcode not in _SOURCES:
            for operand in tape.instructions[position].operands:
                readers.setdefault(operand.ref, set()).add(position)
    return readers
