"""Every instruction survives its bytes, and every byte string that decodes is canonical."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle_node.tape.affine import Affine
from oracle_node.tape.blocks import log_softmax, quantize
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.encoding import EncodingError, decode, encode
from oracle_node.tape.instruction import Instruction, Opcode, Operand, Reducer, Reduction, Source
from oracle_node.tape.scalar import Op, Program, ScalarOp
from oracle_node.tape.types import DType, SourceKind

_I64 = st.integers(-(1 << 63), (1 << 63) - 1)
_AFFINES = st.builds(
    lambda constant, terms: Affine(constant, tuple(sorted((s, c) for s, c in terms.items() if c))),
    _I64,
    st.dictionaries(st.integers(0, 7), _I64, max_size=3),
)


def _samples() -> list[Instruction]:
    """One of everything, from a tape that uses every opcode."""
    b = TapeBuilder(Source(DType.F32, 24, 24))
    x = b.input(SourceKind.REQUEST, (4, 6), -10, 10)
    q = quantize(b, x)
    table = b.const(np.arange(12, dtype=np.int8).reshape(3, 4))
    y = b.matmul(q.q.slice(1, 0, 4), table)
    b.gather(b.reduce(Reducer.ARGMAX, y), table)
    tape = b.finish(b.pad(log_softmax(b, x), 1, 1, 2, 7.5))
    assert {i.opcode for i in tape.instructions} == set(Opcode)
    return list(tape.instructions)


@st.composite
def _maps(draw: st.DrawFn) -> Instruction:
    """A copying MAP with arbitrary affine expressions everywhere."""
    shape = tuple(draw(st.lists(_AFFINES, max_size=4)))
    dtype = draw(st.sampled_from(DType))
    strides = tuple(draw(_AFFINES) for _ in shape)
    factors = tuple(draw(st.lists(_AFFINES, max_size=3)))
    operand = Operand(draw(st.integers(0, 2**32 - 1)), dtype, factors, draw(_AFFINES), strides)
    return Instruction(Opcode.MAP, dtype, shape, (operand,), tail=Program())


@given(_maps())
def test_encode__any_affine_expressions__decode_to_the_same_instruction(instruction: Instruction) -> None:
    assert decode(encode(instruction)) == instruction


@pytest.mark.parametrize("instruction", _samples(), ids=lambda i: i.opcode.name)
def test_encode__every_opcode__round_trips(instruction: Instruction) -> None:
    assert decode(encode(instruction)) == instruction


@pytest.mark.parametrize("instruction", _samples(), ids=lambda i: i.opcode.name)
def test_decode__any_single_byte_changed__is_refused_or_canonical(instruction: Instruction) -> None:
    data = encode(instruction)
    for position in range(len(data)):
        for value in {0, 1, 7, 8, 16, 31, 255, data[position] ^ 1, data[position] ^ 128}:
            changed = data[:position] + bytes([value]) + data[position + 1 :]
            try:
                decoded = decode(changed)
            except EncodingError:
                continue
            assert encode(decoded) == changed


@pytest.mark.parametrize("instruction", _samples(), ids=lambda i: i.opcode.name)
def test_decode__truncated_or_longer__is_refused(instruction: Instruction) -> None:
    data = encode(instruction)
    for stop in range(len(data)):
        with pytest.raises(EncodingError):
            decode(data[:stop])
    with pytest.raises(EncodingError, match="1 bytes follow"):
        decode(data + b"\0")


@given(st.binary(max_size=80))
def test_decode__random_bytes__are_refused_or_canonical(data: bytes) -> None:
    try:
        instruction = decode(data)
    except EncodingError:
        return
    assert encode(instruction) == data


def test_encode__too_many_axes__is_refused() -> None:
    nine = tuple(Affine(1) for _ in range(9))
    with pytest.raises(EncodingError, match="at most 8 axes"):
        encode(Instruction(Opcode.MAP, DType.U8, nine, (), tail=Program((ScalarOp(Op.ICONST),))))


@pytest.mark.parametrize(
    ("dtype", "tail"),
    [
        (DType.U8, Reduction(Reducer.SUM, Program())),
        (DType.I64, Reduction(Reducer.ARGMAX, Program())),
        (DType.F32, Reduction(Reducer.MAX, Program())),
        (DType.I32, Reduction(Reducer.MAX, Program((ScalarOp(Op.FABS, (0,)),)))),
    ],
)
def test_decode__reduction_of_the_wrong_type__is_refused(dtype: DType, tail: Reduction) -> None:
    operand = Operand(0, DType.I32, (Affine(4),), Affine(0), (Affine(1),))
    with pytest.raises(EncodingError):
        decode(encode(Instruction(Opcode.REDUCE, dtype, (), (operand,), (Affine(4),), tail)))


def test_decode__opcode_zero__is_refused() -> None:
    data = encode(_samples()[0])
    with pytest.raises(EncodingError, match="0 is not a valid Opcode"):
        decode(b"\0" + data[1:])
