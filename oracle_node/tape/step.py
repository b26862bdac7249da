"""The size of one step: an upper bound on the calldata that proves one element (DESIGN §3, "Bounded step")."""

from math import ceil, log2

from oracle_node.tape.affine import Symbols
from oracle_node.tape.encoding import encode
from oracle_node.tape.instruction import Instruction, Operand

CHUNK_BYTES = 1024
_HASH_BYTES = 32
_CALL_BYTES = 1024
"""Selector, key, offsets and lengths of the call, rounded up."""


def depth(leaves: int) -> int:
    """Levels of a tree with that many leaves."""
    return ceil(log2(max(leaves, 1)))


def chunks_opened(instruction: Instruction, operand: Operand, symbols: Symbols) -> tuple[int, int]:
    """(separate runs, chunks in all) that one element reads of the operand at most, wherever it lies."""
    width = operand.dtype.width
    reduce_strides = operand.strides[len(instruction.shape) :]
    axes = sorted(
        (abs(stride.at(symbols)) * width, dimension.at(symbols))
        for stride, dimension in zip(reduce_strides, instruction.reduce_shape, strict=True)
    )
    runs, span = 1, width
    for stride, dimension in axes:
        if stride == 0 or dimension <= 1:
            continue
        if (
            stride <= span + CHUNK_BYTES
        ):  # the next run begins in the same chunk or the one after: one longer run
            span += stride * (dimension - 1)
        else:
            runs *= dimension
    straddled = 1 if span == width else (span - 1) // CHUNK_BYTES + 2
    total = max(-(-operand.count(symbols) * width // CHUNK_BYTES), 1)
    return runs, min(runs * straddled, total)


def step_bytes(instruction: Instruction, symbols: Symbols, instructions: int) -> int:
    """Calldata of the worst proof of one element, in bytes, for a tape of that many instructions so far."""
    path = depth(instructions) * _HASH_BYTES
    total = _CALL_BYTES + len(encode(instruction)) + path + CHUNK_BYTES
    for operand in instruction.operands:
        runs, chunks = chunks_opened(instruction, operand, symbols)
        levels = depth(-(-operand.count(symbols) * operand.dtype.width // CHUNK_BYTES))
        total += chunks * CHUNK_BYTES + min(2 * runs, chunks) * levels * _HASH_BYTES + path
    return total
