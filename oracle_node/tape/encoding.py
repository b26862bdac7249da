"""Instructions to bytes and back, as docs/protocol.md §1.1 lays them out (big-endian, canonical).

Decoding is strict: every byte string that decodes at all is the encoding of what it decodes to.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from oracle_node.errors import ModelError
from oracle_node.tape.affine import SYMBOLS, Affine
from oracle_node.tape.instruction import (
    MAX_AXES,
    MAX_OPERANDS,
    Clamp,
    Instruction,
    Opcode,
    Operand,
    Parts,
    Reducer,
    Reduction,
    Rows,
    Tail,
)
from oracle_node.tape.scalar import MAX_OPERATIONS, SIGNATURES, Op, Program, ScalarOp
from oracle_node.tape.types import DType

MAX_BYTES = 1024
_T = TypeVar("_T")


class EncodingError(ModelError):
    """Bytes that are no instruction, or an instruction that has no encoding."""


def _integer(value: int) -> bytes:
    """Two's complement of minimal length, no bytes for zero."""
    length = 0 if value == 0 else (value if value >= 0 else ~value).bit_length() // 8 + 1
    if length > 8:
        raise EncodingError(f"{value} does not fit 64 bits")
    return value.to_bytes(length, "big", signed=True)


def _affine(value: Affine) -> bytes:
    constant = _integer(value.constant)
    out = bytearray([len(value.terms) << 4 | len(constant)]) + constant
    for symbol, coefficient in value.terms:
        encoded = _integer(coefficient)
        out += bytes([symbol, len(encoded)]) + encoded
    return bytes(out)


def _program(program: Program) -> bytes:
    if len(program.ops) > MAX_OPERATIONS:
        raise EncodingError(f"{len(program.ops)} scalar operations, at most {MAX_OPERATIONS} are allowed")
    out = bytearray([len(program.ops)])
    for operation in program.ops:
        out += bytes([operation.op, *operation.arguments])
        width = SIGNATURES[operation.op].immediate_bytes
        out += operation.immediate.to_bytes(width, "big", signed=operation.op is Op.ICONST) if width else b""
    return bytes(out)


def _clamp(clamp: Clamp, dtype: DType) -> bytes:
    if dtype is DType.F32:
        return b"".join(bytes(4) + struct.pack(">f", bound) for bound in (clamp.lo, clamp.hi))
    return struct.pack(">qq", int(clamp.lo), int(clamp.hi))


def _tail(instruction: Instruction) -> bytes:
    match instruction.tail:
        case None:
            return b""
        case Clamp() as clamp:
            return _clamp(clamp, instruction.dtype)
        case Program() as program:
            return _program(program)
        case Reduction(reducer, program):
            return bytes([reducer]) + _program(program)
        case Rows(stride, count):
            return _affine(stride) + _affine(count)
        case Parts(axis, extents):
            return bytes([axis]) + b"".join(map(_affine, extents))


def encode(instruction: Instruction) -> bytes:
    """The instruction's bytes; EncodingError where it breaks a limit of the format."""
    i = instruction
    if len(i.shape) + len(i.reduce_shape) > MAX_AXES or len(i.operands) > MAX_OPERANDS:
        raise EncodingError(f"{i.opcode.name}: at most {MAX_AXES} axes and {MAX_OPERANDS} operands")
    out = bytearray([i.opcode, i.dtype, len(i.shape) << 4 | len(i.reduce_shape)])
    for dimension in (*i.shape, *i.reduce_shape):
        out += _affine(dimension)
    out.append(len(i.operands))
    for operand in i.operands:
        out += operand.ref.to_bytes(4, "big") + bytes([operand.dtype, len(operand.shape)])
        for value in (*operand.shape, operand.offset, *operand.strides):
            out += _affine(value)
    out += _tail(i)
    if len(out) > MAX_BYTES:
        raise EncodingError(f"{i.opcode.name}: {len(out)} bytes, the limit is {MAX_BYTES}")
    return bytes(out)


@dataclass
class _Reader:
    data: bytes
    at: int = 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise EncodingError(
                f"the instruction ends at byte {len(self.data)}, {self.at + count} are needed"
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def u8(self) -> int:
        return self.take(1)[0]

    def integer(self, length: int) -> int:
        if length > 8:
            raise EncodingError(f"a {length}-byte integer, at most 8 are allowed")
        raw = self.take(length)
        value = int.from_bytes(raw, "big", signed=True)
        if _integer(value) != raw:
            raise EncodingError(f"integer {value} is not in its shortest form")
        return value

    def affine(self) -> Affine:
        tag = self.u8()
        constant = self.integer(tag & 15)
        terms: list[tuple[int, int]] = []
        for _ in range(tag >> 4):
            symbol, coefficient = self.u8(), self.integer(self.u8())
            if symbol >= SYMBOLS or coefficient == 0 or (terms and symbol <= terms[-1][0]):
                raise EncodingError(
                    f"symbol {symbol} with coefficient {coefficient} is out of order or range"
                )
            terms.append((symbol, coefficient))
        return Affine(constant, tuple(terms))

    def affines(self, count: int) -> tuple[Affine, ...]:
        return tuple(self.affine() for _ in range(count))

    def member(self, kind: Callable[[int], _T]) -> _T:
        code = self.u8()
        try:
            return kind(code)
        except ValueError as error:
            raise EncodingError(str(error)) from None

    def operand(self, axes: int) -> Operand:
        ref = int.from_bytes(self.take(4), "big")
        dtype = self.member(DType)
        factors = self.u8()
        if factors > MAX_AXES:
            raise EncodingError(f"an operand of {factors} factors, at most {MAX_AXES} are allowed")
        shape = self.affines(factors)
        return Operand(ref, dtype, shape, self.affine(), self.affines(axes))

    def program(self, operands: tuple[Operand, ...], dtype: DType | None) -> Program:
        """A program whose result fits `dtype`, or any program for None."""
        count = self.u8()
        if count > MAX_OPERATIONS:
            raise EncodingError(f"{count} scalar operations, at most {MAX_OPERATIONS} are allowed")
        program = Program(tuple(self.scalar() for _ in range(count)))
        try:
            kinds = program.kinds([operand.dtype.kind for operand in operands])
        except ValueError as error:
            raise EncodingError(str(error)) from None
        if dtype is not None and kinds[-1] != dtype.kind:
            raise EncodingError(f"the program yields {kinds[-1]}, the result is {dtype.name}")
        return program

    def scalar(self) -> ScalarOp:
        op = self.member(Op)
        signature = SIGNATURES[op]
        arguments = tuple(self.take(len(signature.arguments)))
        immediate = int.from_bytes(self.take(signature.immediate_bytes), "big", signed=op is Op.ICONST)
        return ScalarOp(op, arguments, immediate)

    def clamp(self, dtype: DType) -> Clamp:
        if dtype is not DType.F32:
            return Clamp(*struct.unpack(">qq", self.take(16)))
        raw = self.take(16)
        if raw[:4] != bytes(4) or raw[8:12] != bytes(4):
            raise EncodingError("the high bytes of a float bound are not zero")
        return Clamp(*(struct.unpack(">f", raw[k : k + 4])[0] for k in (4, 12)))


def _decode_tail(
    reader: _Reader, opcode: Opcode, dtype: DType, shape: tuple[Affine, ...], operands: tuple[Operand, ...]
) -> Tail:
    match opcode:
        case Opcode.INPUT:
            return reader.clamp(dtype)
        case Opcode.MAP:
            return reader.program(operands, dtype)
        case Opcode.REDUCE:
            reducer = reader.member(Reducer)
            # argmax yields a position, whatever its program compares
            return Reduction(reducer, reader.program(operands, None if reducer is Reducer.ARGMAX else dtype))
        case Opcode.GATHER:
            return Rows(reader.affine(), reader.affine())
        case Opcode.CONCAT:
            axis = reader.u8()
            if axis >= len(shape):
                raise EncodingError(f"concat along axis {axis} of {len(shape)}")
            return Parts(axis, reader.affines(len(operands)))
        case _:
            return None


_OPERAND_COUNTS = {Opcode.INPUT: (1, 1), Opcode.CONST: (1, 1), Opcode.MATMUL: (2, 2), Opcode.GATHER: (2, 2)}


def _require_form(opcode: Opcode, dtype: DType, reduce_rank: int, operands: tuple[Operand, ...]) -> None:
    """Operand count, reduce axes and element types as the table of docs/protocol.md asks."""
    low, high = _OPERAND_COUNTS.get(opcode, (0 if opcode is Opcode.MAP else 1, MAX_OPERANDS))
    if not low <= len(operands) <= high:
        raise EncodingError(f"{opcode.name} with {len(operands)} operands")
    if (reduce_rank > 0) != (opcode in (Opcode.MATMUL, Opcode.REDUCE)):
        raise EncodingError(f"{opcode.name} with {reduce_rank} reduce axes")
    moved = {
        Opcode.INPUT: operands,
        Opcode.CONST: operands,
        Opcode.CONCAT: operands,
        Opcode.GATHER: operands[1:],
    }
    if any(operand.dtype is not dtype for operand in moved.get(opcode, ())):
        raise EncodingError(f"{opcode.name} of {dtype.name} moves elements of another type")
    integers = operands if opcode is Opcode.MATMUL else operands[:1] if opcode is Opcode.GATHER else ()
    if any(operand.dtype is DType.F32 for operand in integers):
        raise EncodingError(f"{opcode.name} needs integer operands")
    if opcode is Opcode.MATMUL and dtype not in (DType.I32, DType.I64):
        raise EncodingError(f"MATMUL yields i32 or i64, not {dtype.name}")


def _require_reduction(reducer: Reducer, dtype: DType) -> None:
    if reducer is Reducer.SUM and dtype not in (DType.I32, DType.I64):
        raise EncodingError(f"a sum yields i32 or i64, not {dtype.name}")
    if reducer is Reducer.ARGMAX and dtype is not DType.I32:
        raise EncodingError(f"argmax yields i32, not {dtype.name}")


def decode(data: bytes) -> Instruction:
    """The instruction that the bytes encode; EncodingError for anything else."""
    if len(data) > MAX_BYTES:
        raise EncodingError(f"{len(data)} bytes, an instruction has at most {MAX_BYTES}")
    reader = _Reader(data)
    opcode, dtype, ranks = reader.member(Opcode), reader.member(DType), reader.u8()
    rank, reduce_rank = ranks >> 4, ranks & 15
    if rank + reduce_rank > MAX_AXES:
        raise EncodingError(f"{rank + reduce_rank} axes, at most {MAX_AXES} are allowed")
    shape, reduce_shape = reader.affines(rank), reader.affines(reduce_rank)
    operand_count = reader.u8()
    if operand_count > MAX_OPERANDS:
        raise EncodingError(f"{operand_count} operands, at most {MAX_OPERANDS} are allowed")
    operands = tuple(reader.operand(rank + reduce_rank) for _ in range(operand_count))
    _require_form(opcode, dtype, reduce_rank, operands)
    tail = _decode_tail(reader, opcode, dtype, shape, operands)
    if isinstance(tail, Reduction):
        _require_reduction(tail.reducer, dtype)
    if reader.at != len(data):
        raise EncodingError(f"{len(data) - reader.at} bytes follow the instruction")
    return Instruction(opcode, dtype, shape, operands, reduce_shape, tail)
