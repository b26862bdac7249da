"""Fixpoints that admission let through, and requests that the solver or a draft tripped over."""

import pytest

from oracle_node.errors import AdmissionError
from oracle_node.tape.affine import Affine
from oracle_node.tape.analysis import analyse
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Source
from oracle_node.tape.types import DType, SourceKind

P, M, W = (Affine.symbol(kind) for kind in SourceKind)
BYTES = Source(DType.U8, 1, 4)


def test_one_answer__output_as_long_as_the_witness_and_the_other_way_round__is_refused() -> None:
    b = TapeBuilder(BYTES, BYTES, BYTES)
    seven = b.full(7, DType.U8)
    tape = b.finish(
        b.copy(seven.broadcast_to((W,))), witness=b.map(lambda v: v + 2, seven.broadcast_to((M,)))
    )
    with pytest.raises(AdmissionError, match="may have any length and ok does not look at it"):
        analyse(tape)


def test_one_answer__witness_of_narrower_elements_than_the_claims__is_refused() -> None:
    """Byte 1 says what byte 1 of element 0 says: row 1 depends on element 0, "before" it, and so on itself."""
    b = TapeBuilder(BYTES, None, Source(DType.I32, 2, 2))
    claimed = b.input(SourceKind.WITNESS, (W,), 0, 65535)
    zero = b.full(0, DType.U8)
    second = b.map(lambda v: (v >> 8) & 255, claimed, dtype=DType.U8)
    witness = b.concat(
        [zero.broadcast_to((1,)), second, zero.broadcast_to((5,))], 0
    )  # 8 bytes, as two i32 have
    tape = b.finish(b.copy(zero.broadcast_to((0,))), witness=witness)
    with pytest.raises(AdmissionError, match=r"the witness .* is u8, claims have i32"):
        analyse(tape)


def test_one_answer__witness_that_nothing_answers__is_refused() -> None:
    b = TapeBuilder(BYTES, BYTES, BYTES)
    with pytest.raises(AdmissionError, match="nothing answers the witness"):
        analyse(b.finish(b.copy(b.full(7, DType.U8).broadcast_to((W,)))))
