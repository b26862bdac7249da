"""Steps built to cost the most gas: the bound that admission uses holds for each, and leaves room in a transaction."""

import numpy as np
import pytest

from oracle_node.executors.evm import GAS_LIMIT, EvmEvaluator, Opening
from oracle_node.tape.affine import Affine
from oracle_node.tape.encoding import encode
from oracle_node.tape.instruction import Instruction, Opcode, Operand, Reducer, Reduction
from oracle_node.tape.scalar import SIGNATURES, Op, Program, ScalarOp
from oracle_node.tape.step import STEP_GAS, step_gas
from oracle_node.tape.types import DType

A = Affine
SYMBOLS = (0,) * 8
CHUNKS = 11
BYTES = np.random.default_rng(7).bytes(CHUNKS * 1024)
NOTHING = Program()
EVALUATOR = EvmEvaluator(gas_limit=1 << 26)


def operand(dtype: DType, size: int, *strides: int) -> Operand:
    return Operand(0, dtype, (A(size),), A(0), tuple(map(A, strides)))


def reduction(views: list[Operand], dimensions: list[int], program: Program = NOTHING) -> Instruction:
    tail = Reduction(Reducer.ARGMAX, program)
    return Instruction(Opcode.REDUCE, DType.I32, (), tuple(views), tuple(map(A, dimensions)), tail)


def product(a: Operand, b: Operand, dimensions: list[int]) -> Instruction:
    return Instruction(Opcode.MATMUL, DType.I64, (), (a, b), tuple(map(A, dimensions)))


def require_bounded(instruction: Instruction, data: bytes = BYTES) -> None:
    EVALUATOR.evaluate(encode(instruction), SYMBOLS, [0], [Opening.whole(0, data)])
    assert EVALUATOR.gas_used <= step_gas(instruction, SYMBOLS)


@pytest.mark.parametrize("views", [1, 2, 8])
@pytest.mark.parametrize(
    ("dimensions", "strides"),
    [
        ([1000], [1]),
        ([10, 11], [1, 1024]),
        ([18, 5, 11], [0, 1, 1024]),
        ([30, 30, 1, 1, 1, 1, 1, 1], [1, 2, 1, 2, 3, 1, 2, 3]),
        ([2, 2, 2, 2, 2, 4, 4, 2], [13, 512, 3, 7, 11, 1, 5, 1024]),
        ([500, 1], [3, 1]),
        ([2, 250], [4096, 3]),
    ],
    ids=str,
)
def test_step_gas__of_a_walk__is_an_upper_bound(
    dimensions: list[int], strides: list[int], views: int
) -> None:
    require_bounded(reduction([operand(DType.U8, len(BYTES), *strides)] * views, dimensions))
    a = operand(DType.U8, len(BYTES), *strides)
    require_bounded(product(a, a, dimensions))


@pytest.mark.parametrize("dtype", [dtype for dtype in DType if dtype is not DType.F32], ids=lambda d: d.name)
@pytest.mark.parametrize("step", [0, 1, 3, -1])
def test_step_gas__of_a_dot_product__is_an_upper_bound(dtype: DType, step: int) -> None:
    size = len(BYTES) // dtype.width
    length = 1 + (size - 1) // max(abs(step), 1)
    view = Operand(0, dtype, (A(size),), A(size - 1 if step < 0 else 0), (A(step),))
    require_bounded(
        product(view, operand(DType.U8, len(BYTES), 1), [length])
        if dtype is DType.U8
        else product(view, view, [length])
    )


@pytest.mark.parametrize("op", [op for op in Op if SIGNATURES[op].arguments], ids=lambda op: op.name)
@pytest.mark.parametrize("value", [1e-45, 1.1754942e-38, 1.7, 3e38], ids=str)
def test_step_gas__of_an_operation__is_an_upper_bound(op: Op, value: float) -> None:
    kinds = SIGNATURES[op].arguments
    is_float, mixed = kinds[-1] == "float", len(set(kinds)) > 1
    data = np.full(256, value, np.float32) if is_float else np.full(256, -(1 << 31), np.int32)
    first = [ScalarOp(Op.ICONST, (), 1)] if mixed else []
    arguments = tuple(1 if mixed and kind == "int" else 0 for kind in kinds)
    program = Program((*first, *[ScalarOp(op, arguments)] * 60))
    view = operand(DType.F32 if is_float else DType.I32, 256, 1)
    require_bounded(reduction([view], [100], program), data.tobytes())


def test_step_gas__largest_that_is_admitted__fits_a_transaction() -> None:
    assert GAS_LIMIT >= STEP_GAS + 2_000_000
