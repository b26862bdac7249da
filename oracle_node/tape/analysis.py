"""Admission: the proof that every instruction of a tape is total over all inputs its limits allow (DESIGN §3).

Proved here: references and types fit, views stay in bounds, reduced and gathered axes are not empty, no integer
overflows, no divisor contains zero, no float leaves the finite range, no step outgrows the bound, and the answer does
not depend on the claim.
Not here: scalar intervals (`interval`), proofs about symbols (`region`).
"""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from oracle_node.errors import AdmissionError
from oracle_node.tape import interval as iv
from oracle_node.tape.affine import Affine
from oracle_node.tape.causality import PRODUCT, Causality
from oracle_node.tape.encoding import EncodingError
from oracle_node.tape.fixpoint import require_one_answer
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
from oracle_node.tape.interval import Interval, RangeError
from oracle_node.tape.limits import require_decodable
from oracle_node.tape.mapped import release
from oracle_node.tape.region import Polynomial, Region, count
from oracle_node.tape.scalar import Program
from oracle_node.tape.step import STEP_GAS, step_bytes, step_gas
from oracle_node.tape.types import Array, DType, SourceKind


class Analysis:
    """Intervals of a growing tape; `results[i]` bounds every element of tensor i."""

    def __init__(self, region: Region, weights: Sequence[Array], step_bound: int) -> None:
        self.region = region
        self.weights = weights
        self.step_bound = step_bound
        self.instructions: list[Instruction] = []
        self.results: list[Interval] = []
        self.causality = Causality(region, weights)
        self._registers: dict[int, tuple[Interval, ...]] = {}
        self._weight_intervals: dict[int, Interval] = {}

    def registers(self, index: int) -> tuple[Interval, ...]:
        """One interval a register of the scalar program of MAP or REDUCE `index`, operands first."""
        return self._registers[index]

    def admit(self, instruction: Instruction, name: str = "") -> Interval:
        """Prove the next instruction total and return the interval of its result; AdmissionError names what fails."""
        index = len(self.instructions)
        try:
            require_decodable(instruction, self.region)
            for operand in instruction.operands:
                self._require_reference(instruction, operand)
            self._require_views(instruction)
            result = _RESULTS[instruction.opcode](self, instruction)
            iv.require_fits(result, instruction.dtype)
            self._require_small_step(instruction)
        except (RangeError, EncodingError) as error:
            label = f" of {name}" if name else ""
            raise AdmissionError(f"instruction {index} ({instruction.opcode.name}{label}): {error}") from None
        registers = self._registers.get(index, (*self._operands(instruction), result))
        self.causality.add(instruction, registers)
        self.instructions.append(instruction)
        self.results.append(result)
        return result

    def _require_small_step(self, instruction: Instruction) -> None:
        size = step_bytes(instruction, self.region, len(self.instructions) + 1)
        if size > self.step_bound:
            raise RangeError(f"proving one element takes {size} bytes, the bound is {self.step_bound}")
        gas = step_gas(instruction, self.region)
        if gas > STEP_GAS:
            raise RangeError(f"proving one element may take {gas} gas, the bound is {STEP_GAS}")

    def _require_reference(self, instruction: Instruction, operand: Operand) -> None:
        """The operand names an existing tensor and states its type and size."""
        shape: tuple[Affine, ...]
        if instruction.opcode is Opcode.INPUT:
            if operand.ref > SourceKind.WITNESS:
                raise RangeError(f"there is no source {operand.ref}")
            dtype, shape = self.region.sources[operand.ref].dtype, (Affine.symbol(operand.ref),)
        elif instruction.opcode is Opcode.CONST:
            if operand.ref >= len(self.weights):
                raise RangeError(f"there is no weight tensor {operand.ref}")
            weight = self.weights[operand.ref]
            dtype, shape = DType.of(weight), (Affine(weight.size),)
        else:
            if operand.ref >= len(self.instructions):
                raise RangeError(f"reads tensor {operand.ref}, which is not before it")
            dtype, shape = self.instructions[operand.ref].dtype, self.instructions[operand.ref].shape
        if operand.dtype is not dtype or count(operand.shape) != count(shape):
            raise RangeError(f"operand {operand.ref} is stated as another type or size than it has")

    def _require_views(self, instruction: Instruction) -> None:
        axes = (*instruction.shape, *instruction.reduce_shape)
        for position, operand in enumerate(instruction.operands):
            dimensions = axes
            extra: tuple[tuple[Affine, Affine], ...] = ()
            if isinstance(instruction.tail, Parts):
                parts = instruction.tail
                dimensions = (*axes[: parts.axis], parts.extents[position], *axes[parts.axis + 1 :])
            if isinstance(instruction.tail, Rows) and position == 1:
                extra = ((instruction.tail.count, instruction.tail.stride),)
            self._require_in_bounds(operand, [*zip(dimensions, operand.strides, strict=True), *extra])
        if isinstance(instruction.tail, Parts):
            total = sum(instruction.tail.extents, Affine(0))
            if total != instruction.shape[instruction.tail.axis]:
                raise RangeError(
                    f"the parts are {total} long together, the axis {instruction.shape[instruction.tail.axis]}"
                )

    def _require_in_bounds(self, operand: Operand, axes: Sequence[tuple[Affine, Affine]]) -> None:
        lowest = highest = Polynomial.of(operand.offset)
        for dimension, stride in axes:
            reach = Polynomial.of(dimension - 1) * stride
            low, high = self.region.bounds(stride)
            if low >= 0:
                highest = highest + reach
            elif high <= 0:
                lowest = lowest + reach
            else:
                raise RangeError(f"stride {stride} may have either sign")
        room = count(operand.shape) - highest - 1
        if self.region.bounds(lowest)[0] < 0 or self.region.bounds(room)[0] < 0:
            raise RangeError(f"a view of operand {operand.ref} may leave its tensor")

    def _operands(self, instruction: Instruction) -> list[Interval]:
        if instruction.opcode in (Opcode.INPUT, Opcode.CONST):
            return []
        return [self.results[operand.ref] for operand in instruction.operands]

    def _input(self, instruction: Instruction) -> Interval:
        clamp = instruction.tail
        assert isinstance(clamp, Clamp)
        if not (np.isfinite(clamp.lo) and np.isfinite(clamp.hi) and clamp.lo <= clamp.hi):
            raise RangeError(f"the declared range [{clamp.lo}, {clamp.hi}] is empty or not finite")
        if instruction.dtype is DType.F32:
            return Interval(float(np.float32(clamp.lo)), float(np.float32(clamp.hi)))
        return Interval(int(clamp.lo), int(clamp.hi))

    def _const(self, instruction: Instruction) -> Interval:
        ref = instruction.operands[0].ref
        if ref not in self._weight_intervals:
            self._weight_intervals[ref] = iv.of_array(self.weights[ref])
            release(self.weights[ref])
        return self._weight_intervals[ref]

    def _map(self, instruction: Instruction) -> Interval:
        assert isinstance(instruction.tail, Program)
        return self._run(instruction, instruction.tail)

    def _run(self, instruction: Instruction, program: Program) -> Interval:
        registers = iv.run_program(program, self._operands(instruction))
        self._registers[len(self.instructions)] = tuple(registers)
        return registers[-1]

    def _reduce_size(self, instruction: Instruction) -> int:
        return self.region.bounds(count(instruction.reduce_shape))[1]

    def _reduce(self, instruction: Instruction) -> Interval:
        reduction = instruction.tail
        assert isinstance(reduction, Reduction)
        value, size = self._run(instruction, reduction.program), self._reduce_size(instruction)
        if reduction.reducer is Reducer.SUM:
            return _sum(value, size)
        return Interval(0, size - 1) if reduction.reducer is Reducer.ARGMAX else value

    def _matmul(self, instruction: Instruction) -> Interval:
        a, b = self._operands(instruction)
        for constant, other in ((1, a), (0, b)):
            bound = self._constant_product(instruction, instruction.operands[constant], other)
            if bound is not None:
                return bound
        product = iv.run_program(PRODUCT, (a, b))[-1]
        return _sum(product, self._reduce_size(instruction))

    def _constant_product(
        self, instruction: Instruction, operand: Operand, other: Interval
    ) -> Interval | None:
        """Σ w·x for x anywhere in `other` and the constant's own data; None where the operand is no constant."""
        source = self.instructions[operand.ref]
        affines = (*instruction.shape, *instruction.reduce_shape, operand.offset, *operand.strides)
        if source.opcode is not Opcode.CONST or not all(a.is_constant for a in affines):
            return None
        if self.results[operand.ref].magnitude * self._reduce_size(instruction) > DType.I64.bounds[1]:
            return None  # its sums themselves may not fit 64 bits
        sums = _signed_sums(self.weights[source.operands[0].ref], instruction, operand)
        ends = [
            (pos * int(end) - neg * int(opposite))
            for end, opposite in ((other.lo, other.hi), (other.hi, other.lo))
            for pos, neg in sums
        ]
        largest = max(int(pos + neg) for pos, neg in sums) * int(other.magnitude)
        if largest > DType.I64.bounds[1]:
            raise RangeError(f"a partial sum may reach {largest}, beyond 64 bits")
        return Interval(min(ends), max(ends))

    def _gather(self, instruction: Instruction) -> Interval:
        return self._operands(instruction)[1]

    def _concat(self, instruction: Instruction) -> Interval:
        first, *rest = self._operands(instruction)
        for other in rest:
            first = first.union(other)
        return first


_RESULTS: dict[Opcode, Callable[[Analysis, Instruction], Interval]] = {
    Opcode.INPUT: Analysis._input,
    Opcode.CONST: Analysis._const,
    Opcode.MAP: Analysis._map,
    Opcode.MATMUL: Analysis._matmul,
    Opcode.REDUCE: Analysis._reduce,
    Opcode.GATHER: Analysis._gather,
    Opcode.CONCAT: Analysis._concat,
}


def _sum(value: Interval, size: int) -> Interval:
    """Up to `size` values added in any order."""
    low, high = min(value.lo * size, value.lo), max(value.hi * size, value.hi)
    if low < DType.I64.bounds[0] or high > DType.I64.bounds[1]:
        raise RangeError(f"a sum of {size} values in {value} may exceed 64 bits")
    return Interval(low, high)


def _signed_sums(weight: Array, instruction: Instruction, operand: Operand) -> list[tuple[int, int]]:
    """(Σ positive, Σ |negative|) over the reduce axes, for every position that the constant's view distinguishes."""
    zero = (0,) * 8
    strides = [s.at(zero) for s in operand.strides]
    outer = [(d, s) for d, s in zip(instruction.concrete_shape(zero), strides, strict=False) if s]
    inner = list(zip(instruction.concrete_reduce_shape(zero), strides[len(instruction.shape) :], strict=True))
    flat = np.ascontiguousarray(weight).reshape(-1)[operand.offset.at(zero) :]
    shape, steps = zip(*(outer + inner), strict=True)
    if 0 in shape:
        return [(0, 0)]
    view = np.lib.stride_tricks.as_strided(flat, shape, [s * flat.itemsize for s in steps], writeable=False)
    rows = view.reshape(prod(shape[: len(outer)]), -1) if outer else view.reshape(1, -1)
    wider = np.dtype(f"i{min(2 * rows.itemsize, 8)}")  # holds the absolute value of the least number
    sums: set[tuple[int, int]] = set()
    for start in range(0, len(rows), 1024):
        block = rows[start : start + 1024]
        total = block.sum(axis=1, dtype=np.int64)
        size = np.abs(block, dtype=wider).sum(axis=1, dtype=np.int64)
        sums.update(zip(((size + total) // 2).tolist(), ((size - total) // 2).tolist(), strict=True))
    release(weight)
    return list(sums)


def analyse(tape: Tape) -> Analysis:
    """Admit a whole tape; AdmissionError where anything cannot be proved."""
    region = Region(tape.sources, tape.inequalities, tape.derived)
    analysis = Analysis(region, tape.weights, tape.step_bound)
    for index, instruction in enumerate(tape.instructions):
        analysis.admit(instruction, tape.names[index] if index < len(tape.names) else "")
    _require_answer(tape)
    require_one_answer(tape, analysis.causality)
    return analysis


def _require_answer(tape: Tape) -> None:
    """Output, witness and ok exist, and ok is one u8."""
    answers = [tape.output] + ([tape.witness] if tape.witness is not None else [])
    if max(*answers, tape.ok) >= len(tape.instructions):
        raise AdmissionError("the tape names an output, witness or ok that it does not compute")
    ok = tape.instructions[tape.ok]
    if ok.dtype is not DType.U8 or count(ok.shape) != Polynomial.of(1):
        raise AdmissionError("ok must be a single u8")
