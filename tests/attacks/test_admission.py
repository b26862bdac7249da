"""Tapes that look harmless and are not total on chain, or cannot be convicted there. Admission refuses each."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oracle_node.errors import AdmissionError
from oracle_node.executors import reference
from oracle_node.tape import limits
from oracle_node.tape.affine import Affine
from oracle_node.tape.analysis import analyse
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import DerivedSymbol, Reducer, Source, Tape
from oracle_node.tape.types import DType, SourceKind
from oracle_node.tape.view import View

A = Affine
N, M = A.symbol(0), A.symbol(1)
LENGTHS = Source(DType.U8, 1, 1000)


def _of_length(low: int, high: int, dtype: DType = DType.U8) -> tuple[TapeBuilder, View]:
    b = TapeBuilder(Source(dtype, low, high))
    return b, b.input(SourceKind.REQUEST, (N if low != high else A(high),), 0, 100)


def _negative_extent() -> Tape:
    b, x = _of_length(1, 9)
    return b.finish(b.concat([x, x.slice(0, 0, N - 3), x.slice(0, 0, A(3))], 0))


def _too_much_work() -> Tape:
    b, x = _of_length(4000, 4000)
    return b.finish(b.reduce(Reducer.MAX, x, function=lambda v: (v * 3 + 1) & 7))


def _too_many_coordinates() -> Tape:
    b, x = _of_length(8, 8)
    wide = x.unsqueeze(0).broadcast_to((4000, 8)).unsqueeze(0)
    return b.finish(b.contract(wide, wide, reduce_axes=2))


def _too_many_bytes() -> Tape:
    b, x = _of_length(1, 1)
    return b.finish(b.reduce(Reducer.MAX, b.copy(x.broadcast_to((1 << 40,))).slice(0, 0, 4)))


def _too_many_bytes_before_an_empty_axis() -> Tape:
    b, x = _of_length(0, 9)
    return b.finish(b.map(lambda v: v + 1, x.unsqueeze(0).broadcast_to((1 << 40, N))))


def _stride_that_shrinks_with_the_length() -> Tape:
    b, x = _of_length(1, 1000)
    table = b.copy(x.slice(0, 0, 1).broadcast_to((4_000_000,)))
    far_apart = replace(table, shape=(A(1000),), strides=(A(4000) - N * 4,))
    return b.finish(b.reduce(Reducer.MAX, far_apart))


def _chunk_after_every_read() -> Tape:
    b, x = _of_length(8192, 8192)
    jumping = x.reshape(8, 1024).transpose(1, 0).unsqueeze(0)
    twice = jumping.broadcast_to((2, 1024, 8)).slice(1, 0, 512)
    return b.finish(b.reduce(Reducer.MAX, twice, axes=3))


def _answer_as_long_as_claimed() -> Tape:
    b = TapeBuilder(LENGTHS, LENGTHS)
    x = b.input(SourceKind.REQUEST, (N,), 0, 100)
    return b.finish(b.copy(x.slice(0, 0, 1).broadcast_to((M,))))


def _answer_picked_by_a_derived_length() -> Tape:
    b = TapeBuilder(LENGTHS, LENGTHS, derived=(DerivedSymbol(1, 100),))
    x = b.input(SourceKind.REQUEST, (N,), 0, 100)
    table = b.copy(x.slice(0, 0, 1).broadcast_to((11,)))
    return b.finish(b.copy(table.slice(0, A.symbol(3), 1)))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (_negative_extent, "extent .* may be negative"),
        (_too_much_work, "reads and operations"),
        (_too_many_coordinates, "coordinates"),
        (_too_many_bytes, "bytes, a tensor has at most"),
        (_too_many_bytes_before_an_empty_axis, "bytes, a tensor has at most"),
        (_stride_that_shrinks_with_the_length, "takes .* bytes"),
        (_chunk_after_every_read, "gas"),
        (_answer_as_long_as_claimed, "may have any length and ok does not look at it"),
        (_answer_picked_by_a_derived_length, "depends on the claim itself"),
    ],
)
def test_admission__tape_that_the_chain_cannot_judge__is_refused(
    build: Callable[[], Tape], reason: str
) -> None:
    with pytest.raises(AdmissionError, match=reason):
        analyse(build())


def test_admission__operand_sized_by_negative_factors__is_refused() -> None:
    b, x = _of_length(1, 9)
    square = b.copy(x.unsqueeze(0).broadcast_to((N, N)))
    tape = b.finish(b.reduce(Reducer.MAX, square.slice(1, 0, 1)))
    before, (last, *after) = tape.instructions[: tape.output], tape.instructions[tape.output :]
    negative = replace(last, operands=(replace(last.operands[0], shape=(-N, -N)),))
    with pytest.raises(AdmissionError, match=r"factor of operand .* may be negative"):
        analyse(replace(tape, instructions=(*before, negative, *after)))


@pytest.mark.parametrize(
    "weight",
    [
        np.array([127] * 7 + [1], np.int8)[::-1],
        np.full(8, -128, np.int8)[::-1],
        np.full(8, 1 << 53, np.int64),
        np.full(8, -(1 << 53), np.int64)[::-1],
    ],
    ids=["reversed", "reversed least", "wide", "wide reversed"],
)
def test_admission__sum_with_extreme_weights__is_bounded_by_what_is_reached(weight: np.ndarray) -> None:
    b, x = _of_length(8, 8, DType.I32)
    reversed_ = weight.strides[0] < 0
    constant = b.const(np.ascontiguousarray(weight[::-1] if reversed_ else weight))
    view = constant.slice(0, 7, 8, -1) if reversed_ else constant
    tape = b.finish(b.contract(x.unsqueeze(0), view.unsqueeze(0)))
    empty = np.zeros(0, np.uint8)
    result = dict(reference.run(tape, tape.symbols((8, 0, 0)), [np.full(8, 100, np.int32), empty, empty]))
    exact = sum(int(w) * 100 for w in weight)
    proved = analyse(tape).results[tape.output]
    assert proved.lo <= exact <= proved.hi
    assert result[tape.output].item() == exact


def test_admission__weights_whose_sum_leaves_64_bits__are_refused() -> None:
    b, x = _of_length(8, 8, DType.I32)
    with pytest.raises(AdmissionError, match="64 bits"):
        b.contract(x.unsqueeze(0), b.const(np.full(8, 1 << 62, np.int64)).unsqueeze(0))


def test_limits__of_the_contract__are_what_admission_proves(repository: Path) -> None:
    decoder = (repository / "contracts/src/evaluator/TapeDecoder.sol").read_text()
    game = (repository / "contracts/src/oracle/Game.sol").read_text()
    for name, value in (("MAX_WORK", limits.MAX_WORK), ("MAX_COORDINATES", limits.MAX_COORDINATES)):
        assert f"{name} = 1 << {value.bit_length() - 1};" in decoder
    assert f"MAX_BYTE_LENGTH = type(uint{limits.MAX_TENSOR_BYTES.bit_length()}).max;" in game
