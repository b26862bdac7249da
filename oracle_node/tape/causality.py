"""The proof that a model has one answer: element i of the witness depends only on witness elements before i, the output
only on the witness (DESIGN §4). A claim that is its own answer is then settled from its first element on.

Every tensor gets a `Dependence`, from its operands' through their views. An upper triangle of constants, which a causal
mask leaves in attention scores, is a `Blank`: what reduces over it sees no later token and no length of the claim.
Not here: that lengths are right, which is for the tape's `ok` to say; it must look at every length that is free.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from oracle_node.tape.affine import Affine
from oracle_node.tape.instruction import Instruction, Opcode, Operand, Parts, Reducer, Reduction, Rows
from oracle_node.tape.interval import Interval
from oracle_node.tape.masks import Blank, Position, added, guard_of, kept_zero, masked
from oracle_node.tape.region import Region
from oracle_node.tape.scalar import Op, Program, ScalarOp
from oracle_node.tape.types import Array, SourceKind
from oracle_node.tape.walk import Walk, walk

PRODUCT = Program((ScalarOp(Op.IMUL, (0, 1)),))


@dataclass(frozen=True, slots=True)
class Dependence:
    """What the element at some coordinates may depend on, of everything a claimant chooses.

    `rows`: witness elements before (coordinate + bound), for every (axis, bound); None for any of them. `output`: the
    output's content. `lengths`: the sources whose free length matters. `blank`: a part that depends on nothing.
    """

    rows: tuple[tuple[int, Affine], ...] | None = ()
    output: bool = False
    lengths: frozenset[SourceKind] = frozenset()
    blank: Blank | None = None

    @property
    def is_free(self) -> bool:
        """Whether it depends on nothing that a claimant chooses."""
        return self.rows == () and not self.output and not self.lengths

    @property
    def axes(self) -> set[int]:
        """Axes whose coordinates matter to the dependence."""
        blank = () if self.blank is None else (self.blank.row, self.blank.later)
        return {*(axis for axis, _ in self.rows or ()), *blank}


FREE = Dependence()
WHOLE_WITNESS = Dependence(None)
_EACH_ITSELF = Dependence(((0, Affine(1)),))


@dataclass(frozen=True, slots=True)
class _Register:
    """What is known of a scalar register at every coordinate. `guard`: it is 1 just where later ≤ row + margin."""

    dependence: Dependence
    position: Position | None = None
    guard: Blank | None = None


class Causality:
    """Dependences of a growing tape: `add` in order; `results[i]` is about tensor i."""

    def __init__(self, region: Region, weights: Sequence[Array]) -> None:
        self.region, self._weights = region, weights
        self._instructions: list[Instruction] = []
        self.results: list[Dependence] = []
        sources = [0, 1, 2, *(derived.source for derived in region.derived)]
        free = {s: source for s, source in enumerate(sources) if source and region.low[s] != region.high[s]}
        self._of_output = {s for s, source in free.items() if source == SourceKind.OUTPUT}
        self._of_witness = {s for s, source in free.items() if source == SourceKind.WITNESS}

    def add(self, instruction: Instruction, registers: Sequence[Interval]) -> Dependence:
        """The dependence of the next instruction; `registers` are the intervals of its scalar program, if any."""
        match instruction.opcode:
            case Opcode.INPUT:
                result = self._input(instruction)
            case Opcode.CONST:
                result = FREE
            case Opcode.GATHER:
                result = self._gather(instruction)
            case Opcode.CONCAT:
                result = self._concat(instruction)
            case _:
                result = self._compute(instruction, registers)
        self._instructions.append(instruction)
        self.results.append(result)
        return result

    def _lengths(self, values: Iterable[Affine]) -> Dependence:
        """The dependence on the claim's lengths of something that these expressions decide."""
        symbols = {symbol for value in values for symbol, _ in value.terms}
        free = {SourceKind.OUTPUT: self._of_output, SourceKind.WITNESS: self._of_witness}
        return Dependence(lengths=frozenset(source for source, mine in free.items() if symbols & mine))

    def is_own_length(self, source: SourceKind, shape: Iterable[Affine]) -> bool:
        """Whether a shape hangs on the length of that part of the claim."""
        free = self._of_output if source is SourceKind.OUTPUT else self._of_witness
        return any(symbol in free for value in shape for symbol, _ in value.terms)

    def _is_fixed(self, value: Affine) -> bool:
        return self._lengths([value]).is_free

    def _input(self, instruction: Instruction) -> Dependence:
        (operand,) = instruction.operands
        if operand.ref == SourceKind.OUTPUT:
            return Dependence((), output=True)
        if operand.ref == SourceKind.REQUEST:
            return self._lengths([operand.offset, *operand.strides])
        return self._through(operand, instruction.shape, (Affine.symbol(operand.ref),), _EACH_ITSELF)

    def _read(self, operand: Operand, axes: tuple[Affine, ...]) -> Dependence:
        """The dependence of an operand, as its reader's coordinates see it."""
        return self._through(operand, axes, self._instructions[operand.ref].shape, self.results[operand.ref])

    def _through(
        self, operand: Operand, axes: tuple[Affine, ...], shape: tuple[Affine, ...], source: Dependence
    ) -> Dependence:
        # where a length of the claim decides which element is read, every axis has to be followed
        measured = self._lengths([operand.offset, *operand.strides, *shape[1:]])
        wanted = source.axes if measured.is_free else range(len(shape))
        reading = walk(operand, axes, shape, wanted, self.region)
        if reading is None or not all(self._is_fixed(start) for _, start in reading.axes.values()):
            return self._join(measured, replace(source, rows=None if source.rows != () else (), blank=None))
        rows = replace(source, rows=source.rows and (), blank=None)
        for axis, bound in source.rows or ():
            target, start = reading.axes[axis]
            # one row for all coordinates has no bound in coordinates
            rows = self._join(
                rows, WHOLE_WITNESS if target is None else Dependence(((target, bound + start),))
            )
        return replace(rows, blank=self._blank_through(reading, source.blank))

    @staticmethod
    def _blank_through(reading: Walk, blank: Blank | None) -> Blank | None:
        if blank is None:
            return None
        (row, row_start), (later, later_start) = reading.axes[blank.row], reading.axes[blank.later]
        if row is None or later is None or row == later:
            return None
        return Blank(row, later, blank.margin + row_start - later_start, blank.value)

    def _join(self, a: Dependence, b: Dependence) -> Dependence:
        """What depends on both; a blank is not kept."""
        anything = Dependence(None, a.output or b.output, a.lengths | b.lengths)
        if a.rows is None or b.rows is None:
            return anything
        rows = dict(a.rows)
        for axis, bound in b.rows:
            larger = self._larger(rows.get(axis, bound), bound)
            if larger is None:
                return anything
            rows[axis] = larger
        return replace(anything, rows=tuple(sorted(rows.items(), key=lambda item: item[0])))

    def _larger(self, a: Affine, b: Affine) -> Affine | None:
        low, high = self.region.bounds(a - b)
        return a if low >= 0 else b if high <= 0 else None

    def _gather(self, instruction: Instruction) -> Dependence:
        index, table = instruction.operands
        found = self._read(index, instruction.shape)
        tail = instruction.tail
        assert isinstance(tail, Rows)
        # the row is one more axis of the table's view: any of them may be read
        whole = replace(table, strides=(*table.strides, tail.stride))
        rows = replace(self._read(whole, (*instruction.shape, tail.count)), blank=None)
        if rows.rows and any(axis == len(instruction.shape) for axis, _ in rows.rows):
            rows = replace(rows, rows=None)
        return self._join(self._join(found, rows), self._lengths([tail.count]))

    def _concat(self, instruction: Instruction) -> Dependence:
        parts = instruction.tail
        assert isinstance(parts, Parts)
        total, start = FREE, Affine(0)
        for operand, extent in zip(instruction.operands, parts.extents, strict=True):
            axes = (*instruction.shape[: parts.axis], extent, *instruction.shape[parts.axis + 1 :])
            part = replace(self._read(operand, axes), blank=None)
            if part.rows:
                moved = ((a, bound - start if a == parts.axis else bound) for a, bound in part.rows)
                part = replace(part, rows=tuple(moved))
            total, start = self._join(self._join(total, part), self._lengths([start])), start + extent
        return total

    def _compute(self, instruction: Instruction, intervals: Sequence[Interval]) -> Dependence:
        """MAP, MATMUL and REDUCE: the scalar program over all axes, then what the reduction makes of the last ones."""
        tail = instruction.tail
        program = tail.program if isinstance(tail, Reduction) else tail
        program = program if isinstance(program, Program) else PRODUCT
        axes = (*instruction.shape, *instruction.reduce_shape)
        registers = [self._load(operand, axes) for operand in instruction.operands]
        for operation in program.ops:
            registers.append(self._apply(operation, registers, intervals))
        value = registers[-1].dependence if registers else FREE
        if not instruction.reduce_shape:
            return value
        reducer = tail.reducer if isinstance(tail, Reduction) else Reducer.SUM
        lowest = intervals[-1] if intervals else Interval(0, 0)
        return self._reduced(instruction, value, reducer, lowest)

    def _load(self, operand: Operand, axes: tuple[Affine, ...]) -> _Register:
        position = self._position_of(operand, axes)
        return _Register(self._read(operand, axes) if position is None else FREE, position)

    def _position_of(self, operand: Operand, axes: tuple[Affine, ...]) -> Position | None:
        """The coordinate that a view of a counting constant (c, c+1, c+2, …) reads."""
        source = self._instructions[operand.ref]
        if source.opcode is not Opcode.CONST or len(source.shape) != 1 or not self._is_fixed(operand.offset):
            return None
        strides = [
            (axis, s) for axis, (s, n) in enumerate(zip(operand.strides, axes, strict=True)) if s != Affine(0)
        ]
        if len(strides) > 1 or (strides and strides[0][1] != Affine(1)):
            return None
        numbers = self._weights[source.operands[0].ref]
        if numbers.dtype.kind not in "iu" or not numbers.size:
            return None
        first = int(numbers[0])
        if not np.array_equal(numbers, np.arange(first, first + numbers.size)):
            return None
        return Position(strides[0][0] if strides else None, operand.offset + first)

    def _apply(
        self, operation: ScalarOp, registers: Sequence[_Register], intervals: Sequence[Interval]
    ) -> _Register:
        arguments = [registers[r] for r in operation.arguments]
        positions = [argument.position for argument in arguments]
        if operation.op is Op.ICONST:
            return _Register(FREE, Position(None, Affine(operation.immediate)))
        joined = FREE
        for argument in arguments:
            joined = self._join(joined, argument.dependence)
        if operation.op in (Op.IADD, Op.ISUB):
            return _Register(joined, added(operation.op, *positions))
        if operation.op in (Op.ILE, Op.ILT):
            return _Register(joined, guard=guard_of(operation.op, *positions))
        if operation.op in (Op.IWHERE, Op.FWHERE):
            otherwise = arguments[2].dependence
            blank = (
                masked(arguments[0].guard, intervals[operation.arguments[2]]) if otherwise.is_free else None
            )
        else:
            blank = kept_zero(operation, [a.dependence.blank for a in arguments], intervals)
        return _Register(self._narrowed(replace(joined, blank=blank)))

    def _narrowed(self, value: Dependence) -> Dependence:
        """Where a blank's `later` coordinate matters it is at most `row` + margin."""
        if value.blank is None or not value.rows:
            return value
        bounds = dict(value.rows)
        later = bounds.pop(value.blank.later, None)
        if later is None:
            return value
        rest = replace(value, rows=tuple(bounds.items()))
        narrowed = self._join(rest, Dependence(((value.blank.row, later + value.blank.margin),)))
        return replace(narrowed, blank=value.blank)

    def _reduced(
        self, instruction: Instruction, value: Dependence, reducer: Reducer, interval: Interval
    ) -> Dependence:
        kept = len(instruction.shape)
        shape, total = (*instruction.shape, *instruction.reduce_shape), replace(value, blank=None)
        for axis in range(kept, len(shape)):
            hides = (
                value.blank is not None
                and value.blank.later == axis
                and self._is_neutral(value.blank, reducer, interval, shape)
            )
            if not hides:
                total = self._join(total, self._lengths([shape[axis]]))
        if total.rows and any(axis >= kept for axis, _ in total.rows):
            total = replace(total, rows=None)
        blank = value.blank
        is_kept = blank is not None and max(blank.row, blank.later) < kept and reducer is not Reducer.ARGMAX
        if is_kept and blank is not None and (reducer is not Reducer.SUM or blank.value == 0):
            total = replace(total, blank=blank)
        return total

    def _is_neutral(
        self, blank: Blank, reducer: Reducer, interval: Interval, shape: Sequence[Affine]
    ) -> bool:
        """Whether the reduction ignores the blank, and what it sees beside it is the same for every length."""
        if self.region.bounds(shape[blank.later] - shape[blank.row] - blank.margin)[0] < 0:
            return False
        match reducer:
            case Reducer.SUM:
                return blank.value == 0
            case Reducer.MAX:
                return blank.value <= interval.lo
            case Reducer.MIN:
                return blank.value >= interval.hi
            case _:
                return False
