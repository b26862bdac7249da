"""Which instructions are worth compiling to loops: those in a row without a matrix product, which ONNX Runtime would
walk again and again, a kernel an operation and a copy a shifted view."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import prod

from oracle_node.tape.affine import Symbols
from oracle_node.tape.instruction import Instruction, Opcode, Reducer, Reduction, Tape
from oracle_node.tape.scalar import Program

_OPERATION_NS = 0.15
"""What ONNX Runtime takes for an operation on one element beyond what a loop does."""
_MOST = 64
"""Instructions compiled as one."""


def worth_compiling(
    tape: Tape, computed: Sequence[int], symbols: Symbols, least_ns: float
) -> Iterator[range]:
    """Ranges of indices into `computed`, in order, that save at least so much."""
    instructions = [tape.instructions[position] for position in computed]
    for is_loop, group in groupby(range(len(computed)), lambda i: _is_loop(tape, instructions[i])):
        indices = list(group) if is_loop else []
        for start in range(0, len(indices), _MOST):
            run = indices[start : start + _MOST]
            if sum(_operations(instructions[i], symbols) for i in run) * _OPERATION_NS >= least_ns:
                yield range(run[0], run[-1] + 1)


def _is_loop(tape: Tape, instruction: Instruction) -> bool:
    """Whether it can be a loop; sums of what a MATMUL left belong to the product."""
    tail = instruction.tail
    if isinstance(tail, Reduction):
        source = tape.instructions[instruction.operands[0].ref] if instruction.operands else None
        is_product = source is not None and source.opcode is Opcode.MATMUL and not tail.program.ops
        return tail.reducer is not Reducer.ARGMAX and not is_product
    return isinstance(tail, Program) or instruction.opcode is Opcode.CONCAT


def _operations(instruction: Instruction, symbols: Symbols) -> int:
    """Scalar operations and operands, over all elements."""
    tail, sizes = instruction.tail, (*instruction.shape, *instruction.reduce_shape)
    program = tail.program if isinstance(tail, Reduction) else tail
    own = len(program.ops) + len(instruction.operands) if isinstance(program, Program) else 1
    return own * prod(size.at(symbols) for size in sizes)
