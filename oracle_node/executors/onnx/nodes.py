"""Instructions in concrete terms: what a plan lowers. Symbols have values, operands are views of numbered tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from oracle_node.executors.onnx.tensors import Reading
from oracle_node.executors.onnx.views import View
from oracle_node.tape.affine import Affine, Symbols
from oracle_node.tape.instruction import Instruction, Opcode, Parts, Reduction, Rows
from oracle_node.tape.interval import Interval
from oracle_node.tape.scalar import Program
from oracle_node.tape.types import DType

SOURCES = (Opcode.INPUT, Opcode.CONST)
"""Instructions that read no tensors."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """GATHER: distance between two rows of the table, and their number."""

    stride: int
    rows: int


@dataclass(frozen=True, slots=True)
class Join:
    """CONCAT's axis; the readings' shapes tell each part's length."""

    axis: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the analysis proves of a tensor, and of the registers of its program, for every member of a group.

    `balanced`: for every member the interval is some −b…b.
    """

    interval: Interval
    registers: tuple[Interval, ...]
    balanced: bool


@dataclass(frozen=True)
class Node:
    """One instruction; `weights` are a CONST's weight indices, one a member."""

    opcode: Opcode
    dtype: DType
    shape: tuple[int, ...]
    reduce_shape: tuple[int, ...]
    readings: tuple[Reading, ...]
    tail: Program | Reduction | Lookup | Join | None
    bounds: Bounds
    weights: tuple[int, ...] = ()

    @cached_property
    def refs(self) -> tuple[int, ...]:
        """The tensors it reads."""
        return tuple(reading.ref for reading in self.readings)

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.width


def concrete(
    instruction: Instruction,
    dtype: DType,
    symbols: Symbols,
    refs: Sequence[int],
    weights: Sequence[int],
    bounds: Bounds,
) -> Node:
    """An instruction for concrete symbols; `refs` are its operands' numbers, none where only its result matters."""
    shape = _at(instruction.shape, symbols)
    reduce_shape = _at(instruction.reduce_shape, symbols)
    readings: list[Reading] = []
    tail: Program | Reduction | Lookup | Join | None
    match instruction.tail:
        case Rows(stride, count):
            tail = Lookup(stride.at(symbols), count.at(symbols))
        case Parts(axis, _):
            tail = Join(axis)
        case Program() | Reduction() as tail:
            pass
        case _:
            tail = None
    if refs:
        for place, (operand, ref) in enumerate(zip(instruction.operands, refs, strict=True)):
            axes = (*shape, *reduce_shape)
            if isinstance(instruction.tail, Parts):
                axis, length = instruction.tail.axis, instruction.tail.extents[place].at(symbols)
                axes = (*shape[:axis], length, *shape[axis + 1 :])
            strides = tuple(
                0 if n == 1 else s.at(symbols) for n, s in zip(axes, operand.strides, strict=True)
            )
            readings.append(Reading(ref, View(operand.offset.at(symbols), axes, strides)))
    return Node(instruction.opcode, dtype, shape, reduce_shape, tuple(readings), tail, bounds, tuple(weights))


def _at(shape: Sequence[Affine], symbols: Symbols) -> tuple[int, ...]:
    return tuple(dimension.at(symbols) for dimension in shape)
