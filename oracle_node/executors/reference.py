"""The specification, runnable: what every instruction computes, element by element, in numpy.

Each function maps element numbers to values by computing the flat indices its views read, as the contract does, so any
subset of a tensor can be evaluated alone. Clarity comes before speed; the `onnx` executor is the fast one.
"""

from collections.abc import Collection, Iterator, Sequence
from math import prod

import numpy as np

from oracle_node.executors.scalar import run_program
from oracle_node.tape.affine import Symbols
from oracle_node.tape.instruction import (
    Clamp,
    Instruction,
    Opcode,
    Operand,
    Parts,
    Reducer,
    Reduction,
    Rows,
    Tape,
)
from oracle_node.tape.scalar import Program
from oracle_node.tape.types import Array, DType

_BLOCK = 1 << 21
"""Reads (elements × reduce coordinates) evaluated at once, to bound memory."""


def evaluate(instruction: Instruction, symbols: Symbols, operands: Sequence[Array], elements: Array) -> Array:
    """Values of the given elements.

    `operands[j]` is operand j's tensor (any shape, row-major); `elements` (n,) i64 are element numbers of the result.
    Returns (n,) of the instruction's type.
    """
    flat = [np.ascontiguousarray(operand).reshape(-1) for operand in operands]
    reads = max(1, prod(instruction.concrete_reduce_shape(symbols)))
    step = max(1, _BLOCK // reads)
    out = np.empty(len(elements), instruction.dtype.numpy)
    for start in range(0, len(elements), step):
        block = elements[start : start + step]
        out[start : start + step] = _KERNELS[instruction.opcode](instruction, symbols, flat, block)
    return out


def evaluate_all(instruction: Instruction, symbols: Symbols, operands: Sequence[Array]) -> Array:
    """The whole tensor, in its shape."""
    shape = instruction.concrete_shape(symbols)
    return evaluate(instruction, symbols, operands, np.arange(prod(shape), dtype=np.int64)).reshape(shape)


def _coordinates(shape: tuple[int, ...], elements: Array) -> list[Array]:
    return [c.astype(np.int64) for c in np.unravel_index(elements, shape)] if shape else []


def _index(operand: Operand, symbols: Symbols, coordinates: Sequence[Array]) -> Array:
    """Flat positions that the view reads at the coordinates (broadcast together)."""
    total = np.asarray(operand.offset.at(symbols), np.int64)
    for stride, coordinate in zip(operand.strides, coordinates, strict=True):
        total = total + coordinate * stride.at(symbols)
    return total


def _take(data: Array, index: Array, count: int | None = None) -> Array:
    """Elements at flat positions, repeated to `count` where the view ignores every coordinate."""
    taken = np.asarray(data[index])
    return taken if count is None else np.broadcast_to(taken, (count,))


def _load(operand: Operand, data: Array, index: Array) -> Array:
    """Elements as registers: i64 or f32."""
    return _take(data, index).astype(np.float32 if operand.dtype is DType.F32 else np.int64)


def _reduce_coordinates(instruction: Instruction, symbols: Symbols, elements: Array) -> list[Array]:
    """Coordinates (n, 1) of the output axes and (1, K) of the reduce axes."""
    reduce_shape = instruction.concrete_reduce_shape(symbols)
    outer = [c[:, None] for c in _coordinates(instruction.concrete_shape(symbols), elements)]
    return outer + [c[None, :] for c in _coordinates(reduce_shape, np.arange(prod(reduce_shape)))]


def _input(instruction: Instruction, symbols: Symbols, data: Sequence[Array], elements: Array) -> Array:
    clamp = instruction.tail
    assert isinstance(clamp, Clamp)
    coordinates = _coordinates(instruction.concrete_shape(symbols), elements)
    raw = _take(data[0], _index(instruction.operands[0], symbols, coordinates), len(elements))
    if instruction.dtype is not DType.F32:
        return np.clip(raw.astype(np.int64), int(clamp.lo), int(clamp.hi))
    finite = np.where(np.isnan(raw), np.float32(0), raw)
    clamped = np.clip(finite, np.float32(clamp.lo), np.float32(clamp.hi))
    return np.where(clamped == 0, np.float32(0), clamped)


def _copy(instruction: Instruction, symbols: Symbols, data: Sequence[Array], elements: Array) -> Array:
    coordinates = _coordinates(instruction.concrete_shape(symbols), elements)
    return _take(data[0], _index(instruction.operands[0], symbols, coordinates), len(elements))


def _map(instruction: Instruction, symbols: Symbols, data: Sequence[Array], elements: Array) -> Array:
    program = instruction.tail
    assert isinstance(program, Program)
    coordinates = _coordinates(instruction.concrete_shape(symbols), elements)
    registers = [
        _load(operand, d, _index(operand, symbols, coordinates))
        for operand, d in zip(instruction.operands, data, strict=True)
    ]
    return np.broadcast_to(run_program(program, registers), (len(elements),))


def _matmul(instruction: Instruction, symbols: Symbols, data: Sequence[Array], elements: Array) -> Array:
    coordinates = _reduce_coordinates(instruction, symbols, elements)
    a, b = (
        _load(operand, d, _index(operand, symbols, coordinates))
        for operand, d in zip(instruction.operands, data, strict=True)
    )
    return np.broadcast_to((a * b).sum(axis=1), (len(elements),))


def _reduce(instruction: Instruction, symbols: Symbols, data: Sequence[Array], elements: Array) -> Array:
    reduction = instruction.tail
    assert isinstance(reduction, Reduction)
    coordinates = _reduce_coordinates(instruction, symbols, elements)
    registers = [
        _load(operand, d, _index(operand, symbols, coordinates))
        for operand, d in zip(instruction.operands, data, strict=True)
    ]
    width = prod(instruction.concrete_reduce_shape(symbols))
    values = np.broadcast_to(run_program(reduction.program, registers), (len(elements), width))
    match reduction.reducer:
        case Reducer.SUM:
            return np.asarray(values.sum(axis=1))
        case Reducer.ARGMAX:
            return np.asarray(values.argmax(axis=1))
        case reducer:
            best = values.max(axis=1) if reducer is Reducer.MAX else values.min(axis=1)
            return np.where(best == 0, np.zeros(1, best.dtype), best)


def _gather(instruction: Instruction, symbols: Symbols, data: Sequence[Array], elements: Array) -> Array:
    rows = instruction.tail
    assert isinstance(rows, Rows)
    index_view, table_view = instruction.operands
    coordinates = _coordinates(instruction.concrete_shape(symbols), elements)
    row = _load(index_view, data[0], _index(index_view, symbols, coordinates))
    row = np.clip(row, 0, rows.count.at(symbols) - 1)
    return _take(
        data[1], _index(table_view, symbols, coordinates) + row * rows.stride.at(symbols), len(elements)
    )


def _concat(instruction: Instruction, symbols: Symbols, data: Sequence[Array], elements: Array) -> Array:
    parts = instruction.tail
    assert isinstance(parts, Parts)
    coordinates = _coordinates(instruction.concrete_shape(symbols), elements)
    position = coordinates[parts.axis]
    out = np.zeros(len(elements), instruction.dtype.numpy)
    start = 0
    for operand, extent, tensor in zip(instruction.operands, parts.extents, data, strict=True):
        stop = start + extent.at(symbols)
        inside = np.flatnonzero((position >= start) & (position < stop))
        local = [c[inside] for c in coordinates]
        local[parts.axis] = local[parts.axis] - start
        out[inside] = tensor[_index(operand, symbols, local)]
        start = stop
    return out


_KERNELS = {
    Opcode.INPUT: _input,
    Opcode.CONST: _copy,
    Opcode.MAP: _map,
    Opcode.MATMUL: _matmul,
    Opcode.REDUCE: _reduce,
    Opcode.GATHER: _gather,
    Opcode.CONCAT: _concat,
}


def operand_tensors(
    tape: Tape, instruction: Instruction, sources: Sequence[Array], tensors: dict[int, Array]
) -> list[Array]:
    """The tensors an instruction reads: sources for INPUT, weights for CONST, earlier results otherwise."""
    if instruction.opcode is Opcode.INPUT:
        return [sources[operand.ref] for operand in instruction.operands]
    if instruction.opcode is Opcode.CONST:
        return [tape.weights[operand.ref] for operand in instruction.operands]
    return [tensors[operand.ref] for operand in instruction.operands]


def run(tape: Tape, symbols: Symbols, sources: Sequence[Array]) -> Iterator[tuple[int, Array]]:
    """Every tensor of the tape in order, each freed after its last reader.

    `sources` are the request input, claim output and claim witness, (n,) arrays of their registered types.
    """
    last = last_readers(tape)
    tensors: dict[int, Array] = {}
    for position, instruction in enumerate(tape.instructions):
        result = evaluate_all(instruction, symbols, operand_tensors(tape, instruction, sources, tensors))
        tensors[position] = result
        yield position, result
        for index in [i for i in tensors if last.get(i, i) <= position]:
            del tensors[index]


def last_readers(tape: Tape) -> dict[int, int]:
    """For every tensor that is read: the index of the last instruction that reads it."""
    last: dict[int, int] = {}
    for position, instruction in enumerate(tape.instructions):
        if instruction.opcode not in (Opcode.INPUT, Opcode.CONST):
            last.update({operand.ref: position for operand in instruction.operands})
    return last


class ReferenceExecutor:
    """The specification as an `Executor`."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def run(self, symbols: Symbols, sources: Sequence[Array], wanted: Collection[int]) -> dict[int, Array]:
        """The wanted tensors; all of the tape is computed."""
        return {index: tensor for index, tensor in self.stream(symbols, sources) if index in wanted}

    def stream(self, symbols: Symbols, sources: Sequence[Array]) -> Iterator[tuple[int, Array]]:
        """Every tensor in order."""
        return run(self._tape, symbols, sources)
