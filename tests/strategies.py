"""Hypothesis strategies for small random tapes that admission proves total: all opcodes and scalar operations.

A candidate instruction is drawn freely and kept if `Analysis.admit` accepts it, so whatever analysis admits can turn
up here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from hypothesis import strategies as st

from oracle_node.errors import AdmissionError
from oracle_node.tape import interval as iv
from oracle_node.tape.affine import Affine, Symbols
from oracle_node.tape.analysis import Analysis
from oracle_node.tape.instruction import (
    Clamp,
    Instruction,
    Opcode,
    Operand,
    Parts,
    Reducer,
    Reduction,
    Rows,
    Source,
    Tape,
)
from oracle_node.tape.interval import Interval, RangeError
from oracle_node.tape.region import Region
from oracle_node.tape.scalar import SIGNATURES, Op, Program, ScalarOp
from oracle_node.tape.types import DType

STEP_BOUND = 1 << 24
_INTEGERS = (
    0,
    1,
    -1,
    2,
    3,
    5,
    7,
    63,
    64,
    127,
    128,
    129,
    255,
    8191,
    -8192,
    1 << 24,
    (1 << 24) + 1,
    1 << 31,
    -(1 << 31),
    1 << 53,
    (1 << 62),
)
_FLOATS = (
    0.0,
    -0.0,
    0.5,
    -0.5,
    1.0,
    -1.0,
    1.5,
    2.5,
    1e-40,
    -1e-45,
    1e-3,
    3.0,
    127.0,
    8191.0,
    16777216.0,
    1e10,
    -1e20,
)
_N = Affine.symbol(0)


@dataclass(frozen=True)
class Case:
    """A tape, with symbols and sources it admits."""

    tape: Tape
    symbols: Symbols
    sources: tuple[np.ndarray, ...]


def values(rng: Random, dtype: DType, count: int) -> np.ndarray:
    """Adversarial data: extremes, zeros of both signs, subnormals, ties; for f32 also NaN and infinities."""
    if dtype is DType.F32:
        special = np.array(
            [0, -0.0, 0.5, -0.5, 1.5, 2.5, 1e-45, -1e-40, 3e38, -3e38, np.nan, np.inf, -np.inf], np.float32
        )
        drawn = [
            special[rng.randrange(len(special))] if rng.random() < 0.4 else rng.uniform(-300, 300)
            for _ in range(count)
        ]
        return np.array(drawn, np.float32)
    low, high = dtype.bounds
    edges = [low, low + 1, high, high - 1, 0, 1, 127, 64]
    return np.array(
        [rng.choice(edges) if rng.random() < 0.4 else rng.randint(low, high) for _ in range(count)],
        dtype.numpy,
    )


def constants(rng: Random) -> np.ndarray:
    """A weight tensor of 1–3 axes; magnitudes vary, so that every kind of product turns up."""
    dtype = rng.choice([DType.I8, DType.I8, DType.I16, DType.U8, DType.I32, DType.I64, DType.F32])
    shape = tuple(rng.choice([1, 2, 3, 4, 6, 8, 12]) for _ in range(rng.randint(1, 3)))
    count = int(np.prod(shape))
    if dtype is DType.F32:
        drawn = [rng.choice(_FLOATS) if rng.random() < 0.5 else rng.uniform(-4, 4) for _ in range(count)]
        return np.array(drawn, np.float32).reshape(shape)
    limit = rng.choice([1, 10, 127, 8191, 32512, 1 << 23, 1 << 40])
    low, high = max(dtype.bounds[0], -limit), min(dtype.bounds[1], limit)
    drawn = [rng.choice([low, high]) if rng.random() < 0.2 else rng.randint(low, high) for _ in range(count)]
    return np.array(drawn, dtype.numpy).reshape(shape)


class Grower:
    """A tape that grows by one admitted instruction after another."""

    def __init__(self, rng: Random, ops: Sequence[Op] = tuple(Op)) -> None:
        self.rng, self.ops = rng, tuple(ops)
        self.source = Source(rng.choice(list(DType)), rng.choice([1, 2]), rng.choice([4, 7]))
        self.length = rng.randint(self.source.min_elements, self.source.max_elements)
        self.symbols: Symbols = (self.length, 0, 0, 0, 0, 0, 0, 0)
        self.weights = tuple(constants(rng) for _ in range(rng.randint(1, 4)))
        self.analysis = Analysis(Region((self.source, Source(), Source())), self.weights, STEP_BOUND)
        self.names: list[str] = []

    @property
    def instructions(self) -> list[Instruction]:
        return self.analysis.instructions

    def offer(self, make: Callable[[], Instruction | None]) -> bool:
        """Whether the candidate was admitted."""
        candidate = make()
        if candidate is None or candidate.count(self.symbols) > 4096:
            return False
        try:
            self.analysis.admit(candidate)
        except AdmissionError:
            return False
        return True

    def grow(self, instructions: int) -> None:
        """Sources first, then random instructions."""
        self.offer(self.input)
        for ref in range(len(self.weights)):
            self.offer(lambda ref=ref: self.constant(ref))  # type: ignore[misc]
        kinds = [
            self.map,
            self.map,
            self.map,
            self.matmul,
            self.matmul,
            self.reduce,
            self.reduce,
            self.gather,
            self.concat,
        ]
        for _ in range(instructions * 4):
            if len(self.instructions) >= instructions + 1 + len(self.weights):
                break
            self.offer(self.rng.choice(kinds))

    def input(self) -> Instruction:
        dtype = self.source.dtype
        if dtype is DType.F32:
            clamp = Clamp(-self.rng.choice([1.0, 100.0, 3e5]), self.rng.choice([0.5, 100.0, 3e5]))
        else:
            limit = self.rng.choice([1, 100, 8191, 1 << 20, 1 << 40])
            clamp = Clamp(max(dtype.bounds[0], -limit), min(dtype.bounds[1], limit))
        operand = Operand(0, dtype, (_N,), Affine(0), (Affine(1),))
        return Instruction(Opcode.INPUT, dtype, (_N,), (operand,), tail=clamp)

    def constant(self, ref: int) -> Instruction:
        array = self.weights[ref]
        shape = tuple(map(Affine, array.shape))
        strides = tuple(map(Affine, _contiguous(array.shape)))
        dtype = DType.of(array)
        return Instruction(Opcode.CONST, dtype, shape, (Operand(ref, dtype, shape, Affine(0), strides),))

    # Views.

    def shape(self, axes: int) -> tuple[Affine, ...]:
        return tuple(
            self.rng.choice([Affine(1), Affine(2), Affine(3), Affine(4), Affine(6), _N]) for _ in range(axes)
        )

    def pick(self, accept: Callable[[Instruction], bool] = lambda _: True) -> int | None:
        refs = [ref for ref, instruction in enumerate(self.instructions) if accept(instruction)]
        return self.rng.choice(refs[-4:] if self.rng.random() < 0.5 else refs) if refs else None

    def view(self, ref: int, shape: Sequence[Affine]) -> Operand:
        """A view of tensor `ref` over axes of `shape`; in bounds for these symbols, though perhaps not for all."""
        source = self.instructions[ref]
        sizes = [d.at(self.symbols) for d in shape]
        count = source.count(self.symbols)
        strides = self._strides(source, shape)

        def reach(sign: int) -> int:
            steps = (sign * s.at(self.symbols) * (n - 1) for s, n in zip(strides, sizes, strict=True))
            return sum(step for step in steps if step > 0)

        for axis in self.rng.sample(range(len(strides)), len(strides)):
            if reach(1) + reach(-1) >= count:
                strides[axis] = Affine(0)
        spare = max(0, count - 1 - reach(1) - reach(-1))
        offset = reach(-1) + (self.rng.randint(0, spare) if self.rng.random() < 0.4 else 0)
        return Operand(ref, source.dtype, source.shape, Affine(offset), tuple(strides))

    def _strides(self, source: Instruction, shape: Sequence[Affine]) -> list[Affine]:
        own = _contiguous([d.at(self.symbols) for d in source.shape]) or [0]
        if tuple(shape) == source.shape and self.rng.random() < 0.6:
            return _symbolic(source.shape)
        if self.rng.random() < 0.4:  # row-major over some of the axes, in some order
            order = self.rng.sample(range(len(shape)), len(shape))
            if self.rng.random() < 0.5:
                order.sort()
            strides, step = [Affine(0)] * len(shape), 1
            for axis in reversed(order):
                if self.rng.random() < 0.8:
                    strides[axis], step = Affine(step), step * shape[axis].at(self.symbols)
            return strides
        choices = [0, 1, 1, 2, 3, *own, *own, *(-s for s in own), *(2 * s for s in own)]
        return [Affine(self.rng.choice(choices)) for _ in shape]

    # Instructions.

    def map(self) -> Instruction | None:
        shape = self.shape(self.rng.randint(0, 4))
        refs = [ref for ref in (self.pick() for _ in range(self.rng.randint(0, 3))) if ref is not None]
        if refs and self.rng.random() < 0.5:
            shape = self.instructions[refs[0]].shape
        program, dtype = self.program(refs)
        operands = tuple(self.view(ref, shape) for ref in refs)
        return Instruction(Opcode.MAP, dtype, shape, operands, tail=program) if program.ops or refs else None

    def matmul(self) -> Instruction | None:
        integer = lambda i: i.dtype is not DType.F32  # noqa: E731
        a, b = self.pick(integer), self.pick(integer)
        if a is None or b is None:
            return None
        shape, reduce_shape = self.shape(self.rng.randint(0, 3)), self.shape(self.rng.randint(1, 2))
        operands = [self.view(ref, (*shape, *reduce_shape)) for ref in (a, b)]
        if len(shape) >= 2 and self.rng.random() < 0.7:  # rows and columns: one operand each
            left, right = operands
            operands = [_silenced(left, len(shape) - 1), _silenced(right, len(shape) - 2)]
        dtype = self.rng.choice([DType.I32, DType.I64, DType.I64])
        return Instruction(Opcode.MATMUL, dtype, shape, tuple(operands), reduce_shape)

    def reduce(self) -> Instruction | None:
        refs = [ref for ref in (self.pick() for _ in range(self.rng.randint(1, 2))) if ref is not None]
        shape, reduce_shape = self.shape(self.rng.randint(0, 3)), self.shape(self.rng.randint(1, 2))
        reducer = self.rng.choice(list(Reducer))
        kind = None if reducer is not Reducer.SUM else "int"
        program, dtype = self.program(refs, kind)
        if reducer is Reducer.SUM and program.ops and self.rng.random() < 0.3:
            ints = [ref for ref in refs if self.instructions[ref].dtype is not DType.F32]
            refs, program = (ints[:1], Program()) if ints else (refs, program)
        if reducer is Reducer.SUM:
            dtype = self.rng.choice([DType.I32, DType.I64])
        elif reducer is Reducer.ARGMAX:
            dtype = DType.I32
        operands = tuple(self.view(ref, (*shape, *reduce_shape)) for ref in refs)
        return Instruction(Opcode.REDUCE, dtype, shape, operands, reduce_shape, Reduction(reducer, program))

    def gather(self) -> Instruction | None:
        index, table = self.pick(lambda i: i.dtype is not DType.F32), self.pick()
        if index is None or table is None:
            return None
        shape = self.shape(self.rng.randint(1, 3))
        position, row = self.view(index, shape), self.view(table, shape)
        if self.rng.random() < 0.6:
            row = _silenced(row, 0)
        count = self.instructions[table].count(self.symbols)
        stride = self.rng.choice(
            [0, 1, 2, *_contiguous([d.at(self.symbols) for d in self.instructions[table].shape])]
        )
        rows = Rows(Affine(stride), Affine(self.rng.randint(1, max(1, count // max(stride, 1)))))
        return Instruction(Opcode.GATHER, self.instructions[table].dtype, shape, (position, row), tail=rows)

    def concat(self) -> Instruction | None:
        first = self.pick()
        if first is None:
            return None
        dtype = self.instructions[first].dtype
        refs = [first] + [
            self.pick(lambda i: i.dtype is dtype) or first for _ in range(self.rng.randint(0, 2))
        ]
        shape = list(self.shape(self.rng.randint(1, 3)))
        axis = self.rng.randrange(len(shape))
        extents = tuple(self.rng.choice([Affine(0), Affine(1), Affine(2), _N]) for _ in refs)
        shape[axis] = sum(extents, Affine(0))
        operands = tuple(
            self.view(ref, (*shape[:axis], extent, *shape[axis + 1 :]))
            for ref, extent in zip(refs, extents, strict=True)
        )
        return Instruction(Opcode.CONCAT, dtype, tuple(shape), operands, tail=Parts(axis, extents))

    def program(self, refs: Sequence[int], kind: iv.Kind | None = None) -> tuple[Program, DType]:
        """A program on the tensors' elements that analysis accepts, and a type that its result fits."""
        operands = [self.analysis.results[ref] for ref in refs]
        builder = _ProgramBuilder(self.rng, operands, self.ops)
        for _ in range(self.rng.randint(0 if refs else 1, 7)):
            builder.extend()
        return builder.finish(kind)


class _ProgramBuilder:
    """A scalar program that grows by operations whose ranges are proved."""

    def __init__(self, rng: Random, operands: Sequence[Interval], allowed: Sequence[Op]) -> None:
        self.rng, self.operands, self.allowed = rng, list(operands), allowed
        self.intervals = list(operands)
        self.ops: list[ScalarOp] = []

    def append(self, operation: ScalarOp) -> bool:
        try:
            registers = iv.run_program(Program((*self.ops, operation)), self.operands)
        except RangeError:
            return False
        self.ops.append(operation)
        self.intervals = registers
        return True

    def constant(self, op: Op) -> bool:
        if op is Op.ICONST:
            return self.append(ScalarOp(op, (), self.rng.choice(_INTEGERS)))
        bits = int(np.asarray(self.rng.choice(_FLOATS), np.float32).view(np.uint32))
        return self.append(ScalarOp(op, (), bits))

    def register(self, kind: iv.Kind) -> int:
        """A register of that kind, preferably a late one; a new constant where there is none."""
        found = [r for r, interval in enumerate(self.intervals) if interval.kind == kind]
        if not found or self.rng.random() < 0.15:
            self.constant(Op.ICONST if kind == "int" else Op.FCONST)
            return len(self.intervals) - 1
        return self.rng.choice(found[-3:])

    def extend(self) -> None:
        op = self.rng.choice(self.allowed)
        if op in (Op.ICONST, Op.FCONST):
            self.constant(op)
            return
        arguments = tuple(self.register(kind) for kind in SIGNATURES[op].arguments)
        if not self.append(ScalarOp(op, arguments)) and op in (Op.IDIV, Op.FDIV, Op.ISHR, Op.FPOW2, Op.FSQRT):
            limited = self.clamp(arguments[-1], *_SAFE[op])
            self.append(ScalarOp(op, (*arguments[:-1], limited)))

    def clamp(self, register: int, low: float, high: float) -> int:
        """The register clamped to a range."""
        is_float = self.intervals[register].kind == "float"
        for op, bound in ((Op.FMAX if is_float else Op.IMAX, low), (Op.FMIN if is_float else Op.IMIN, high)):
            immediate = int(np.asarray(bound, np.float32).view(np.uint32)) if is_float else int(bound)
            self.append(ScalarOp(Op.FCONST if is_float else Op.ICONST, (), immediate))
            self.append(ScalarOp(op, (register, len(self.intervals) - 1)))
            register = len(self.intervals) - 1
        return register

    def finish(self, kind: iv.Kind | None) -> tuple[Program, DType]:
        if not self.intervals or (kind == "int" and self.intervals[-1].kind == "float"):
            self.append(ScalarOp(Op.ICONST, (), 5))
        if self.intervals[-1].kind == "float":
            return Program(tuple(self.ops)), DType.F32
        dtype = self.rng.choice([d for d in DType if d is not DType.F32])
        last = self.intervals[-1]
        if last.lo < dtype.bounds[0] or last.hi > dtype.bounds[1]:
            self.clamp(len(self.intervals) - 1, *dtype.bounds)
        return Program(tuple(self.ops)), dtype


_SAFE = {
    Op.IDIV: (1, 1000),
    Op.FDIV: (0.25, 1000.0),
    Op.ISHR: (0, 63),
    Op.FPOW2: (-126, 127),
    Op.FSQRT: (0.0, 1e30),
}


def _contiguous(shape: Sequence[int]) -> list[int]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return strides[::-1]


def _symbolic(shape: Sequence[Affine]) -> list[Affine]:
    """Row-major strides over all symbols, or zeros where they would not be affine."""
    strides, step = [], Affine(1)
    for n in reversed(shape):
        strides.append(step)
        try:
            step = step * n
        except ValueError:
            step = Affine(0)
    return strides[::-1]


def _silenced(operand: Operand, axis: int) -> Operand:
    """The view broadcast along one axis."""
    strides = tuple(Affine(0) if a == axis else s for a, s in enumerate(operand.strides))
    return Operand(operand.ref, operand.dtype, operand.shape, operand.offset, strides)


@st.composite
def cases(draw: st.DrawFn, instructions: int = 8, ops: Sequence[Op] = tuple(Op)) -> Case:
    """A random tape with data to run it on."""
    rng = draw(st.randoms(use_true_random=False))
    grower = Grower(rng, ops)
    grower.grow(instructions)
    sources = (grower.source, Source(), Source())
    tape = Tape(tuple(grower.instructions), grower.weights, sources, output=0, ok=0, step_bound=STEP_BOUND)
    data = values(rng, grower.source.dtype, grower.length)
    return Case(tape, grower.symbols, (data, np.empty(0, np.uint8), np.empty(0, np.uint8)))
