"""Which elements of each operand one element of a result reads: what a proof has to open."""

from collections.abc import Sequence
from math import prod

import numpy as np

from oracle_node.commitments.hashing import CHUNK_BYTES
from oracle_node.tape.affine import Symbols
from oracle_node.tape.instruction import Instruction, Operand, Parts, Rows


def chunks_read(
    instruction: Instruction, symbols: Symbols, operands: Sequence[np.ndarray], element: int
) -> dict[int, list[int]]:
    """Ascending chunk positions by operand ref, refs ascending; operands that the element does not read have none.

    `operands` as for `reference.evaluate`; only GATHER looks at their values.
    """
    opened: dict[int, set[int]] = {operand.ref: set() for operand in instruction.operands}
    for operand, elements in zip(
        instruction.operands, elements_read(instruction, symbols, operands, element), strict=True
    ):
        opened[operand.ref].update((elements * operand.dtype.width // CHUNK_BYTES).tolist())
    return {ref: sorted(opened[ref]) for ref in sorted(opened)}


def elements_read(
    instruction: Instruction, symbols: Symbols, operands: Sequence[np.ndarray], element: int
) -> list[np.ndarray]:
    """Flat positions in each operand, (reads,) i64."""
    shape = instruction.concrete_shape(symbols)
    coordinates = [int(c) for c in np.unravel_index(element, shape)] if shape else []
    match instruction.tail:
        case Rows(stride, count):
            index, table = instruction.operands
            at = _reads(index, symbols, coordinates, ())
            row = int(np.clip(int(operands[0].reshape(-1)[at[0]]), 0, count.at(symbols) - 1))
            return [at, _reads(table, symbols, coordinates, ()) + row * stride.at(symbols)]
        case Parts(axis, extents):
            reads, start = [], 0
            for operand, extent in zip(instruction.operands, extents, strict=True):
                local = coordinates[axis] - start
                inside = 0 <= local < extent.at(symbols)
                own = [*coordinates[:axis], local, *coordinates[axis + 1 :]]
                reads.append(_reads(operand, symbols, own, ()) if inside else np.zeros(0, np.int64))
                start += extent.at(symbols)
            return reads
        case _:
            reduced = instruction.concrete_reduce_shape(symbols)
            return [_reads(operand, symbols, coordinates, reduced) for operand in instruction.operands]


def _reads(
    operand: Operand, symbols: Symbols, coordinates: Sequence[int], reduced: tuple[int, ...]
) -> np.ndarray:
    """Positions that the view takes at one output coordinate and every reduce coordinate."""
    strides = [stride.at(symbols) for stride in operand.strides]
    base = operand.offset.at(symbols) + sum(c * s for c, s in zip(coordinates, strides, strict=False))
    inner = np.indices(reduced, np.int64).reshape(len(reduced), prod(reduced))
    return base + np.asarray(strides[len(coordinates) :], np.int64) @ inner
