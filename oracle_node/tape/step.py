"""The size of one step: upper bounds on the calldata and the gas that prove one element (DESIGN §3, "Bounded step")."""

from collections.abc import Callable
from math import prod

from oracle_node.tape.affine import Affine, Symbols
from oracle_node.tape.encoding import encode
from oracle_node.tape.instruction import Instruction, Opcode, Operand, Reduction
from oracle_node.tape.region import Region
from oracle_node.tape.scalar import SIGNATURES, Op, Program

CHUNK_BYTES = 1024
STEP_GAS = 14_000_000
"""For recomputing one element: a transaction's 2^24 (EIP-7825), less calldata, hashing, and the rest of the move."""

_HASH_BYTES = 32
_CALL_BYTES = 1024
"""Selector, key, offsets and lengths of the call, rounded up."""

_DECODE_GAS = 400_000
_COORDINATE_GAS, _LOAD_GAS = 600, 650
"""Of a REDUCE: one coordinate, and one operand read there."""
_PRODUCT_GAS, _WIDE_PRODUCT_GAS, _RUN_GAS = 220, 850, 1_300
"""Of a MATMUL: one product of operands of at most 2 bytes, of wider ones, and starting a run of them."""
_LOCATE_GAS, _SEARCH_GAS = 500, 170
"""Going to another opened chunk, and each halving of the search for it."""
_AXIS_GAS, _MOVE_GAS = 550, 220
"""Stepping along an outer reduce axis, and moving one operand with it."""
_OP_GAS = {Op.FADD: 1_450, Op.FSUB: 1_450, Op.FDIV: 1_370, Op.FSQRT: 1_260, Op.FMUL: 1_160, Op.I2F: 800}
"""With denormals, which take the long way; all measured on ElementEvaluator.sol and rounded up."""
_FLOAT_OP_GAS, _INT_OP_GAS = 680, 580

Largest = Callable[[Affine], int]
"""The largest magnitude of an affine."""


def _largest(within: "Symbols | Region") -> Largest:
    if isinstance(within, Region):
        region = within
        return lambda affine: max(map(abs, region.bounds(affine)))
    symbols = within
    return lambda affine: abs(affine.at(symbols))


def depth(leaves: int) -> int:
    """Levels of a tree with that many leaves."""
    return (max(leaves, 1) - 1).bit_length()


def _total_chunks(operand: Operand, largest: Largest) -> int:
    return max(-(-prod(map(largest, operand.shape)) * operand.dtype.width // CHUNK_BYTES), 1)


def chunks_opened(instruction: Instruction, operand: Operand, within: "Symbols | Region") -> tuple[int, int]:
    """(separate runs, chunks in all) that one element reads of the operand at most, wherever it lies.

    `within`: symbols, or a region, all over which the bound then holds.
    """
    largest, width = _largest(within), operand.dtype.width
    reduce_strides = operand.strides[len(instruction.shape) :]
    axes = sorted(
        (largest(stride) * width, largest(dimension))
        for stride, dimension in zip(reduce_strides, instruction.reduce_shape, strict=True)
    )
    runs, span = 1, width
    for stride, dimension in axes:
        if stride == 0 or dimension <= 1:
            continue
        # The next run begins in the same chunk or the one after: one longer run. Else, or where a stride may also be
        # shorter, counting each run by itself is never too little.
        if stride <= span + CHUNK_BYTES:
            span += stride * (dimension - 1)
        else:
            runs *= dimension
    straddled = 1 if span == width else (span - 1) // CHUNK_BYTES + 2
    return runs, min(runs * straddled, _total_chunks(operand, largest))


def step_bytes(instruction: Instruction, within: "Symbols | Region", instructions: int) -> int:
    """Calldata of the worst proof of one element, in bytes, for a tape of that many instructions so far."""
    path = depth(instructions) * _HASH_BYTES
    total = _CALL_BYTES + len(encode(instruction)) + path + CHUNK_BYTES
    for operand in instruction.operands:
        runs, chunks = chunks_opened(instruction, operand, within)
        levels = depth(_total_chunks(operand, _largest(within)))
        total += chunks * CHUNK_BYTES + min(2 * runs, chunks) * levels * _HASH_BYTES + path
    return total


def step_gas(instruction: Instruction, within: "Symbols | Region") -> int:
    """Gas that the contract's evaluator takes for one element at most, whatever bytes the operands hold."""
    if instruction.opcode not in (Opcode.MATMUL, Opcode.REDUCE):
        return _DECODE_GAS + len(instruction.operands) * 4_000 + _program_gas(instruction)
    largest = _largest(within)
    dimensions = [largest(dimension) for dimension in instruction.reduce_shape]
    inner, outer, views = dimensions[-1], prod(dimensions[:-1]), len(instruction.operands)
    entered = [_chunks_entered(operand, largest, inner) for operand in instruction.operands]
    searches = [
        _LOCATE_GAS + _SEARCH_GAS * chunks_opened(instruction, operand, within)[1].bit_length()
        for operand in instruction.operands
    ]
    gas = outer * sum(times * search for times, search in zip(entered, searches, strict=True))
    gas += outer * len(dimensions) * (_AXIS_GAS + _MOVE_GAS * views)
    if instruction.opcode is Opcode.MATMUL:
        narrow = all(operand.dtype.width <= 2 for operand in instruction.operands)
        gas += outer * inner * (_PRODUCT_GAS if narrow else _WIDE_PRODUCT_GAS)
        gas += outer * min(inner, sum(entered)) * _RUN_GAS
    else:
        gas += outer * inner * (_COORDINATE_GAS + views * _LOAD_GAS + _program_gas(instruction))
    return _DECODE_GAS + gas


def _chunks_entered(operand: Operand, largest: Largest, inner: int) -> int:
    """How often the reads along the innermost axis go to another chunk, the first read included."""
    return min(inner, (inner - 1) * largest(operand.strides[-1]) * operand.dtype.width // CHUNK_BYTES + 2)


def _program_gas(instruction: Instruction) -> int:
    """Gas of the scalar program, once."""
    tail = instruction.tail
    program = tail.program if isinstance(tail, Reduction) else tail
    return sum(map(_op_gas, (op.op for op in program.ops))) if isinstance(program, Program) else 0


def _op_gas(op: Op) -> int:
    signature = SIGNATURES[op]
    is_float = "float" in (signature.result, *signature.arguments)
    return _OP_GAS.get(op, _FLOAT_OP_GAS if is_float else _INT_OP_GAS)
