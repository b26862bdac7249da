"""From a tape and concrete symbols to one graph that computes the wanted tensors from its inputs.

Tensors that nothing wanted depends on are left out; partial sums that only a summing REDUCE reads are joined into one product.
"""

from collections.abc import Collection, Mapping
from math import prod

import numpy as np

from oracle_node.executors.onnx.context import Context, Reading, Result
from oracle_node.executors.onnx.graph import Elem, Graph
from oracle_node.executors.onnx.matrices import Product
from oracle_node.executors.onnx.movement import lower_concat, lower_gather
from oracle_node.executors.onnx.products import lower_product
from oracle_node.executors.onnx.reductions import Reduce, lower_reduce
from oracle_node.executors.onnx.tensors import Constants, Tensor, Tensors
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
        partial = {
            position: source
            for position in needed
            if (source := self._partial_sums(position)) is not None
            and source not in wanted
            and source not in given
            and readers[source] == {position}
        }
        for position in sorted(needed):
            if position not in partial.values():
                self._lower(position, given, partial.get(position))
        for position in wanted:
            if position not in given:
                self._expose(position)

    def _lower(self, position: int, given: Collection[int], partial: int | None) -> None:
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
            result = self._compute(position, instruction, partial)
            tensor.forms[result.value.elem] = result.value
            tensor.signed_zero = result.signed_zero and instruction.dtype is not DType.F32

    def _compute(self, position: int, instruction: Instruction, partial: int | None) -> Result:
        shape = instruction.concrete_shape(self._symbols)
        reduce_shape = instruction.concrete_reduce_shape(self._symbols)
        interval = self._analysis.results[position]
        is_float = instruction.dtype is DType.F32
        if partial is not None:
            return lower_product(self._context, self._joined(position, partial))
        readings = [self._reading(operand, (*shape, *reduce_shape)) for operand in instruction.operands]
        match instruction.tail:
            case Program() as program:
                intervals = self._analysis.registers(position)
                registers = self._context.registers(program, readings, intervals, result_sign_matters=is_float)
                value = self._context.full(registers.best(registers.result), shape)
                return Result(value, registers.signed_zero(registers.result))
            case Reduction(reducer, program):
                intervals = self._analysis.registers(position)
                return lower_reduce(
                    self._context,
                    Reduce(reducer, program, tuple(readings), shape, reduce_shape, intervals, interval, is_float),
                )
            case Rows(stride, count):
                return lower_gather(self._context, *readings, stride.at(self._symbols), count.at(self._symbols))
            case Parts(axis, extents):
                lengths = [extent.at(self._symbols) for extent in extents]
                parts = [
                    self._reading(operand, (*shape[:axis], length, *shape[axis + 1 :]))
                    for operand, length in zip(instruction.operands, lengths, strict=True)
                ]
                return lower_concat(self._context, parts, axis, interval, is_float)
            case _:
                return lower_product(self._context, Product(*readings, shape, reduce_shape, interval))

    def _reading(self, operand: Operand, shape: tuple[int, ...]) -> Reading:
        strides = tuple(0 if n == 1 else s.at(self._symbols) for n, s in zip(shape, operand.strides, strict=True))
        return Reading(operand.ref, View(operand.offset.at(self._symbols), shape, strides))

    def _partial_sums(self, position: int) -> int | None:
        """The MATMUL whose results this instruction only adds up, each once."""
        instruction = self._tape.instructions[position]
        reduction = instruction.tail
        if not isinstance(reduction, Reduction) or reduction.reducer is not Reducer.SUM or reduction.program.ops:
            return None
        if len(instruction.operands) != 1:
            return None
        source = instruction.operands[0].ref
        if self._tape.instructions[source].opcode is not Opcode.MATMUL:
            return None
        return source if self._axis_map(position, source) is not None else None

    def _axis_map(self, position: int, source: int) -> list[int | None] | None:
        """For every axis of a REDUCE, the axis of its operand that it walks from end to end; None for axes of size 1."""
        instruction = self._tape.instructions[position]
        axes = (*instruction.concrete_shape(self._symbols), *instruction.concrete_reduce_shape(self._symbols))
        view = self._reading(instruction.operands[0], axes).view
        shape = self._tape.instructions[source].concrete_shape(self._symbols)
        walks = {(n, s): a for a, (n, s) in enumerate(zip(shape, contiguous(shape), strict=True)) if n > 1}
        pairs = list(zip(view.shape, view.strides, strict=True))
        found = [walks.get(pair) for pair in pairs]
        if view.offset or any(f is None and n != 1 for f, (n, _) in zip(found, pairs, strict=True)):
            return None
        used = [f for f in found if f is not None]
        return found if len(used) == len(set(used)) == len(walks) else None

    def _joined(self, position: int, source: int) -> Product:
        """One product over the reduce axes of both instructions."""
        outer, inner = self._tape.instructions[position], self._tape.instructions[source]
        shape, split = outer.concrete_shape(self._symbols), outer.concrete_reduce_shape(self._symbols)
        depth = inner.concrete_reduce_shape(self._symbols)
        mapped = self._axis_map(position, source)
        assert mapped is not None
        readings = []
        for operand in inner.operands:
            own = self._reading(operand, (*inner.concrete_shape(self._symbols), *depth)).view
            strides = tuple(0 if a is None else own.strides[a] for a in mapped) + own.strides[len(inner.shape) :]
            readings.append(Reading(operand.ref, View(own.offset, (*shape, *split, *depth), strides)))
        return Product(*readings, shape, (*split, *depth), self._analysis.results[position])

    def _expose(self, position: int) -> None:
        """Make a tensor an output, in its own type and shape."""
        tensor = self._context.tensors[position]
        self.outputs[position] = self.graph.output(self._context.tensors.form(position, Elem.of(tensor.dtype)))


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
