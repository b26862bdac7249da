"""What the contract's decoder asks of an instruction, proved over all admitted lengths (contracts/src/evaluator).

An instruction that breaks one of these for some lengths would void every claim of those lengths.
Not here: that views stay in their tensors and values in their types (`analysis`).
"""

from collections.abc import Iterable, Iterator
from math import prod

from oracle_node.tape.affine import Affine
from oracle_node.tape.instruction import Instruction, Opcode, Parts, Reduction, Rows
from oracle_node.tape.interval import RangeError
from oracle_node.tape.region import Region
from oracle_node.tape.scalar import Program

MAX_TENSOR_BYTES = (1 << 40) - 1
"""A challenge keeps a tensor's bytes in 40 bits; the decoder alone allows 2^42."""
MAX_COORDINATES = 1 << 14
"""Reduce coordinates an element."""
MAX_WORK = 1 << 13
"""Reduce coordinates × (operands + operations)."""


def require_decodable(instruction: Instruction, region: Region) -> None:
    """RangeError unless the contract decodes the instruction wherever in the region the symbols lie."""
    _require_lengths("dimension", instruction.shape, region, 0)
    _require_lengths("reduced dimension", instruction.reduce_shape, region, 1)
    _require_bytes("the result", instruction.shape, instruction.dtype.width, region)
    for operand in instruction.operands:
        _require_lengths(f"factor of operand {operand.ref}", operand.shape, region, 0)
        _require_bytes(f"operand {operand.ref}", operand.shape, operand.dtype.width, region)
    if isinstance(instruction.tail, Parts):
        _require_lengths("extent", instruction.tail.extents, region, 0)
    if isinstance(instruction.tail, Rows):
        _require_lengths("row count", [instruction.tail.count], region, 0)
        if region.bounds(instruction.tail.count)[0] < 1:
            raise RangeError("the gathered table may have no rows")
    _require_work(instruction, region)


def affines(instruction: Instruction) -> Iterator[Affine]:
    """Every expression of the symbols in an instruction."""
    yield from (*instruction.shape, *instruction.reduce_shape)
    for operand in instruction.operands:
        yield from (*operand.shape, operand.offset, *operand.strides)
    if isinstance(instruction.tail, Parts):
        yield from instruction.tail.extents
    if isinstance(instruction.tail, Rows):
        yield from (instruction.tail.stride, instruction.tail.count)


def _require_lengths(what: str, values: Iterable[Affine], region: Region, least: int) -> None:
    for value in values:
        low, high = region.bounds(value)
        if low < least:
            raise RangeError(f"{what} {value} may be {'empty' if least else 'negative'}")
        if high >= 1 << 64:
            raise RangeError(f"{what} {value} may exceed 64 bits")


def _require_bytes(what: str, shape: Iterable[Affine], width: int, region: Region) -> None:
    # the decoder multiplies one by one: an empty dimension does not excuse the ones before it
    size = width * prod(max(region.bounds(dimension)[1], 1) for dimension in shape)
    if size > MAX_TENSOR_BYTES:
        raise RangeError(f"{what} may have {size} bytes, a tensor has at most {MAX_TENSOR_BYTES}")


def _require_work(instruction: Instruction, region: Region) -> None:
    coordinates = prod(region.bounds(dimension)[1] for dimension in instruction.reduce_shape)
    if coordinates > MAX_COORDINATES:
        raise RangeError(
            f"one element reduces {coordinates} coordinates, at most {MAX_COORDINATES} are allowed"
        )
    if instruction.opcode is Opcode.MATMUL:
        return
    tail = instruction.tail
    program = tail.program if isinstance(tail, Reduction) else tail
    operations = len(program.ops) if isinstance(program, Program) else 0
    work = coordinates * (len(instruction.operands) + operations)
    if work > MAX_WORK:
        raise RangeError(f"one element takes {work} reads and operations, at most {MAX_WORK} are allowed")
