"""Admission refuses every tape that is not total, and its intervals hold on the extremes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from oracle_node.errors import AdmissionError
from oracle_node.executors import reference
from oracle_node.tape.affine import Affine
from oracle_node.tape.analysis import analyse
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Inequality, Instruction, Opcode, Operand, Reducer, Source, Tape
from oracle_node.tape.types import DType, SourceKind
from oracle_node.tape.view import View

A = Affine


def _builder(dtype: DType = DType.F32, size: int = 8) -> tuple[TapeBuilder, View]:
    b = TapeBuilder(Source(dtype, size, size))
    return b, b.input(SourceKind.REQUEST, (size,), *((-10, 10) if dtype is not DType.U8 else (0, 255)))


@pytest.mark.parametrize(
    ("dtype", "build", "reason"),
    [
        (DType.F32, lambda b, x: b.map(lambda v: 1.0 / v, x), "contains zero"),
        (DType.F32, lambda b, x: b.map(lambda v: v.sqrt(), x), "square root"),
        (DType.F32, lambda b, x: b.map(lambda v: sum((v * float(k) for k in range(99)), v), x), "297 scalar"),
        (DType.F32, lambda b, x: b.map(lambda v: v * 3e38 * 3e38, x), "finite"),
        (DType.F32, lambda b, x: b.map(lambda v: (v * 1e30).to_int(), x), "64 bits"),
        (DType.F32, lambda b, x: b.map(lambda v: (v * 20.0).to_int().pow2(), x), "to the power"),
        (DType.I64, lambda b, x: b.map(lambda v: v / v, x), "contains zero"),
        (DType.I32, lambda b, x: b.map(lambda v: v >> v, x), "shift"),
        (DType.I32, lambda b, x: b.map(lambda v: v * (1 << 62), x), "64 bits"),
        (DType.I32, lambda b, x: b.map(lambda v: v, x, dtype=DType.U8), "does not fit u8"),
        (DType.I32, lambda b, x: b.const(np.float32([np.inf])), "finite"),
        (DType.F32, lambda b, x: b.reduce(Reducer.MAX, x.broadcast_to((8,)).slice(0, 0, 0)), "empty"),
        (DType.U8, lambda b, x: b.map(lambda v: v, x.slice(0, 4, 5)), "leave its tensor"),
        (DType.U8, lambda b, x: b.map(lambda v: v, x.slice(0, 3, 5, -1)), "leave its tensor"),
        (DType.U8, lambda b, x: b.gather(x, b.const(np.zeros((0, 3), np.float32))), "no rows"),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)
def test_admit__instruction_that_is_not_total__is_refused_with_the_reason(
    dtype: DType, build: Callable[[TapeBuilder, View], View], reason: str
) -> None:
    b, x = _builder(dtype)
    with pytest.raises(AdmissionError, match=reason):
        build(b, x)


def test_admit__matmul_whose_sum_may_overflow__is_refused() -> None:
    b, x = _builder(DType.I64)
    big = b.map(lambda v: v * (1 << 58), x)
    with pytest.raises(AdmissionError, match="64 bits"):
        b.contract(big, big)


def test_admit__a_step_larger_than_the_bound__is_refused_with_both_sizes() -> None:
    b = TapeBuilder(Source(DType.F32, 8192, 8192))
    x = b.input(SourceKind.REQUEST, (8192,), -1, 1)
    with pytest.raises(AdmissionError, match=r"takes \d+ bytes, the bound is 12288"):
        b.reduce(Reducer.MAX, x)


def _toy() -> Tape:
    b, x = _builder()
    return b.finish(b.map(lambda v: v * 2.0, x))


def _with(tape: Tape, index: int, **changes: object) -> Tape:
    instructions = list(tape.instructions)
    instructions[index] = replace(instructions[index], **changes)  # type: ignore[arg-type]
    return replace(tape, instructions=tuple(instructions))


def _operand(tape: Tape, **changes: object) -> tuple[Operand, ...]:
    return (replace(tape.instructions[1].operands[0], **changes),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (lambda t: _with(t, 1, operands=_operand(t, ref=1)), "not before it"),
        (lambda t: _with(t, 1, operands=_operand(t, shape=(A(9),))), "another type or size"),
        (lambda t: _with(t, 1, operands=_operand(t, dtype=DType.I32)), "another type or size"),
        (lambda t: _with(t, 1, operands=_operand(t, offset=A(1))), "leave its tensor"),
        (lambda t: _with(t, 1, operands=_operand(t, offset=A(-1))), "leave its tensor"),
        (lambda t: _with(t, 1, shape=(A(-1),)), "may be negative"),
        (lambda t: _with(t, 0, operands=(replace(t.instructions[0].operands[0], ref=3),)), "no source 3"),
        (lambda t: replace(t, ok=1), "ok must be a single u8"),
        (lambda t: replace(t, output=99), "does not compute"),
    ],
)
def test_analyse__tampered_tape__is_refused(tamper: Callable[[Tape], Tape], reason: str) -> None:
    analyse(_toy())
    with pytest.raises(AdmissionError, match=reason):
        analyse(tamper(_toy()))


def test_analyse__answer_that_reads_the_claim__is_refused() -> None:
    b = TapeBuilder(Source(DType.U8, 1, 1), Source(DType.U8, 1, 1))
    claim = b.input(SourceKind.OUTPUT, (1,), 0, 255)
    with pytest.raises(AdmissionError, match="several fixpoints"):
        analyse(b.finish(b.map(lambda v: v, claim)))


def test_analyse__symbolic_lengths__proves_square_score_matrices_in_bounds() -> None:
    b = TapeBuilder(
        Source(DType.I32, 1, 60), Source(DType.I32, 1, 60), inequalities=(Inequality((1, 1, 0), 64),)
    )
    n = A.symbol(0)
    rows = b.input(SourceKind.REQUEST, (n,), -100, 100)
    scores = b.map(lambda u, v: u * v, rows.unsqueeze(1), rows.unsqueeze(0))
    totals = b.reduce(Reducer.SUM, scores.transpose(1, 0))
    tape = b.finish(totals)
    assert analyse(tape).region.high[:2] == [60, 60]
    x = np.arange(-3, 4, dtype=np.int32)
    results = dict(reference.run(tape, tape.symbols((7, 1, 0)), [x, x[:1], x[:0]]))
    assert np.array_equal(results[tape.output], np.outer(x, x).sum(0))


def test_symbols__lengths_beyond_the_limits__are_refused_with_both_values() -> None:
    tape = _toy()
    with pytest.raises(ValueError, match=r"request input has 9, the model takes 8…8 f32 elements"):
        tape.symbols((9, 0, 0))


def test_constant_product__interval__is_reached_by_an_input() -> None:
    b, x = _builder(DType.I32)
    weight = np.array([[3, -5, 7, 0, 1, -1, 2, 127]], np.int8)
    tape = b.finish(b.matmul(x.unsqueeze(0), b.const(weight)))
    proved = analyse(tape).results[tape.output]
    extreme = np.where(weight[0] > 0, 10, -10).astype(np.int32)
    empty = np.zeros(0, np.uint8)
    reached = dict(reference.run(tape, tape.symbols((8, 0, 0)), [extreme, empty, empty]))[tape.output]
    assert proved.hi == reached.item() and proved.lo == -reached.item()


def test_constant_product__of_a_reversed_kernel__bounds_what_it_reads() -> None:
    b, x = _builder(DType.I32)
    kernel = b.const(np.array([1, -2, 4, 8, 16, 32, 64, 127], np.int8)).slice(0, 7, 8, -1)
    tape = b.finish(b.contract(x.unsqueeze(0), kernel.unsqueeze(0)))
    assert analyse(tape).results[tape.output].hi == 10 * (1 + 2 + 4 + 8 + 16 + 32 + 64 + 127)


def test_input__hostile_floats__are_sanitised() -> None:
    b, x = _builder()
    tape = b.finish(b.map(lambda v: v, x))
    raw = np.float32([np.nan, np.inf, -np.inf, -0.0, 11, -11, 1e-45, 3])
    empty = np.zeros(0, np.uint8)
    got = dict(reference.run(tape, tape.symbols((8, 0, 0)), [raw, empty, empty]))[0]
    assert got.tobytes() == np.float32([0, 10, -10, 0, 10, -10, 1e-45, 3]).tobytes()


def test_opcode__zero__is_no_instruction() -> None:
    with pytest.raises(ValueError, match="0 is not a valid"):
        Opcode(0)
    assert Instruction(Opcode.MAP, DType.U8, (), ()).count((0,) * 8) == 1
