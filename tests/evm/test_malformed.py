"""Bytes that are no instruction: the contract accepts exactly what the Python decoder does, within its own limits."""

from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from oracle_node.executors.evm import ChunkNotOpenedError, EvmEvaluator, MalformedInstructionError, Opening
from oracle_node.tape import encoding
from oracle_node.tape.affine import Affine
from oracle_node.tape.encoding import EncodingError, decode, encode
from oracle_node.tape.instruction import (
    Clamp,
    Instruction,
    Opcode,
    Operand,
    Parts,
    Reducer,
    Reduction,
    Rows,
)
from oracle_node.tape.scalar import SIGNATURES, Op, Program, ScalarOp
from oracle_node.tape.types import DType
from tests.strategies import Case, cases

SYMBOLS = (5, 0, 0, 2, 0, 0, 0, 1)
EVALUATOR = EvmEvaluator()
N = Affine.symbol(0)
ONE = (Affine(1),)
TENSOR_BYTES, COORDINATES, WORK = 1 << 42, 1 << 14, 1 << 13


def operand(ref: int, dtype: DType, axes: int) -> Operand:
    return Operand(ref, dtype, (N, Affine(4)), Affine(1), (N - 4,) * axes)


def every_operation() -> Program:
    """Registers 0 (int) and 1 (float), then each operation once."""
    ops = []
    for op in Op:
        arguments = tuple({"int": 0, "float": 1}[kind] for kind in SIGNATURES[op].arguments)
        ops.append(ScalarOp(op, arguments, 77 if SIGNATURES[op].immediate_bytes else 0))
    return Program(tuple(ops))


def instructions() -> list[Instruction]:
    """One or two of every opcode."""
    shape = (N, Affine(3))
    mixed = (operand(0, DType.I16, 2), operand(7, DType.F32, 2))
    total = Reduction(Reducer.SUM, Program((ScalarOp(Op.IMUL, (0, 0)),)))
    best = Reduction(Reducer.ARGMAX, Program((ScalarOp(Op.FABS, (0,)),)))
    return [
        Instruction(Opcode.INPUT, DType.U8, (N,), (operand(1, DType.U8, 1),), tail=Clamp(-3, 200)),
        Instruction(Opcode.INPUT, DType.F32, (N,), (operand(2, DType.F32, 1),), tail=Clamp(-1.5, 3e38)),
        Instruction(Opcode.CONST, DType.I64, shape, (operand(3, DType.I64, 2),)),
        Instruction(Opcode.MAP, DType.I64, shape, mixed, tail=every_operation()),
        Instruction(Opcode.MAP, DType.F32, (), (), tail=Program((ScalarOp(Op.FCONST, (), 0x3F800000),))),
        Instruction(
            Opcode.MATMUL, DType.I32, (N,), (operand(0, DType.I16, 2), operand(0, DType.I16, 2)), (Affine(2),)
        ),
        Instruction(Opcode.REDUCE, DType.I64, (N,), (operand(4, DType.I8, 3),), (Affine(2), N), total),
        Instruction(Opcode.REDUCE, DType.I32, (), (operand(4, DType.F32, 1),), (Affine(2),), best),
        Instruction(
            Opcode.GATHER,
            DType.U8,
            (N,),
            (operand(5, DType.I32, 1), operand(6, DType.U8, 1)),
            tail=Rows(Affine(4), N),
        ),
        Instruction(
            Opcode.CONCAT, DType.F32, shape, (operand(7, DType.F32, 2),) * 2, tail=Parts(0, (N - 2, *ONE * 1))
        ),
    ]


def prefix_products(factors: tuple[Affine, ...]) -> Iterator[int]:
    total = 1
    for factor in factors:
        total *= factor.at(SYMBOLS)
        yield total


def within_limits(instruction: Instruction) -> bool:
    """What the contract asks beyond the grammar, restated: sizes, work, and one length and type a tensor."""
    i = instruction
    extents = i.tail.extents if isinstance(i.tail, Parts) else ()
    rows = (i.tail.count,) if isinstance(i.tail, Rows) else ()
    factors = [factor for o in i.operands for factor in o.shape]
    if not all(0 <= d.at(SYMBOLS) < 1 << 64 for d in (*i.shape, *i.reduce_shape, *extents, *rows, *factors)):
        return False
    if not all(1 <= n <= COORDINATES for n in prefix_products(i.reduce_shape)) or any(
        r.at(SYMBOLS) == 0 for r in rows
    ):
        return False
    sizes = [*prefix_products(i.shape), i.count(SYMBOLS) * i.dtype.width]
    sizes += [n * o.dtype.width for o in i.operands for n in prefix_products(o.shape)]
    if any(size > TENSOR_BYTES for size in sizes):
        return False
    program = i.tail.program if isinstance(i.tail, Reduction) else i.tail
    operations = len(program.ops) if isinstance(program, Program) else 0
    reads = [*prefix_products(i.reduce_shape), 1][-2 if i.reduce_shape else -1]
    tensors = {(o.ref, o.dtype, o.count(SYMBOLS)) for o in i.operands}
    light = i.opcode is Opcode.MATMUL or reads * (len(i.operands) + operations) <= WORK
    return light and len(tensors) == len({o.ref for o in i.operands})


def accepted_by_contract(data: bytes) -> bool:
    try:
        EVALUATOR.inspect(data, SYMBOLS)
    except MalformedInstructionError:
        return False
    return True


def accepted_by_python(data: bytes) -> bool:
    try:
        return within_limits(decode(data))
    except EncodingError:
        return False


def mutations(rng: Random, data: bytes, count: int) -> Iterator[bytes]:
    """A byte or two changed, removed, added or repeated; or the end cut off."""
    interesting = [0, 1, 2, 7, 8, 9, 15, 16, 31, 32, 64, 65, 127, 128, 255]
    for _ in range(count):
        out = bytearray(data)
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            at = rng.randrange(len(out))
            match rng.randrange(6):
                case 0:
                    out[at] = rng.choice(interesting)
                case 1:
                    out[at] = out[at] + rng.choice([-1, 1]) & 255
                case 2:
                    out[at] ^= 1 << rng.randrange(8)
                case 3:
                    out.insert(at, rng.choice(interesting))
                case 4 if len(out) > 1:
                    del out[at]
                case _:
                    out[at:] = out[at : at + rng.randrange(1, 40)] + out[at + 1 :] * rng.randrange(2)
            if not out:
                break
        yield bytes(out)


@pytest.mark.parametrize("instruction", instructions(), ids=lambda i: f"{i.opcode.name}-{i.dtype.name}")
def test_decoding__mutated_bytes__accepts_what_python_accepts(instruction: Instruction) -> None:
    data = encode(instruction)
    assert accepted_by_contract(data)
    for mutant in mutations(Random(data), data, 400):
        assert accepted_by_contract(mutant) == accepted_by_python(mutant), mutant.hex()


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_decoding__mutated_random_tapes__accepts_what_python_accepts(case: Case) -> None:
    for instruction in case.tape.instructions:
        data = encode(instruction)
        for mutant in mutations(Random(data), data, 40):
            assert accepted_by_contract(mutant) == accepted_by_python(mutant), mutant.hex()


@pytest.mark.parametrize("instruction", instructions(), ids=lambda i: f"{i.opcode.name}-{i.dtype.name}")
def test_evaluation__mutated_bytes__yields_a_value_or_one_of_two_errors(instruction: Instruction) -> None:
    data = encode(instruction)
    rng = Random(data)
    opened = [Opening.of(ref, rng.randbytes(2048), [0, 1]) for ref in range(7)]
    for mutant in mutations(rng, data, 250):
        with suppress(
            MalformedInstructionError, ChunkNotOpenedError
        ):  # a panic or the end of the gas is another one
            EVALUATOR.evaluate(mutant, SYMBOLS, [rng.choice([0, 1, 4, 14])], opened)


def test_decoding__random_bytes__is_malformed() -> None:
    rng = Random(4)
    for _ in range(300):
        data = bytes([rng.randrange(1, 8), rng.randrange(1, 7)]) + rng.randbytes(rng.randrange(60))
        assert accepted_by_contract(data) == accepted_by_python(data), data.hex()
    assert not accepted_by_contract(b"")


def test_decoding__an_instruction_of_1024_bytes__is_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    widest = Affine(-(1 << 63), tuple((s, -(1 << 63)) for s in range(8)))
    wide = Operand(1, DType.I64, (), widest, (widest,) * 8)
    add, where, constant = (
        ScalarOp(Op.IADD, (0, 0)),
        ScalarOp(Op.IWHERE, (0, 0, 0)),
        ScalarOp(Op.ICONST, (), 1),
    )

    def instruction(ops: tuple[ScalarOp, ...]) -> Instruction:
        return Instruction(Opcode.MAP, DType.I64, ONE * 8, (wide,), tail=Program(ops))

    constants, rest = divmod(1024 - len(encode(instruction(()))) - 17, 9)
    wheres = rest % 3 + 2  # 4 bytes each, an addition 3
    adds = (rest + 17 - 4 * wheres) // 3
    data = encode(instruction((constant,) * constants + (where,) * wheres + (add,) * adds))
    assert len(data) == 1024
    assert accepted_by_contract(data)
    assert not accepted_by_contract(data + b"\0")
    # one more byte, and nothing else wrong: a choice in place of an addition
    longer = (constant,) * constants + (where,) * (wheres + 1) + (add,) * (adds - 1)
    with pytest.raises(EncodingError, match="1025 bytes"):
        encode(instruction(longer))
    with monkeypatch.context() as lifted:
        lifted.setattr(encoding, "MAX_BYTES", 1025)
        data = encode(instruction(longer))
        assert len(data) == 1025 and accepted_by_python(data)
    assert not accepted_by_python(data)
    assert not accepted_by_contract(data)


def reduction(coordinates: int, program: Program) -> Instruction:
    view = Operand(0, DType.F32, (Affine(WORK),), Affine(0), (Affine(1),))
    return Instruction(
        Opcode.REDUCE, DType.F32, (), (view,), (Affine(coordinates),), Reduction(Reducer.MAX, program)
    )


@pytest.mark.parametrize("op", [None, Op.FADD, Op.FMUL, Op.FDIV, Op.FSQRT], ids=str)
def test_evaluation__work_at_the_limit_on_denormals__stays_within_a_transaction(op: Op | None) -> None:
    ops = (ScalarOp(op, (0,) * len(SIGNATURES[op].arguments)),) * 63 if op else ()
    coordinates = WORK // (1 + len(ops))
    opened = [Opening.whole(0, b"\x05\0\0\0" * WORK)]
    EVALUATOR.evaluate(encode(reduction(coordinates, Program(ops))), SYMBOLS, [0], opened)
    assert EVALUATOR.gas_used < (1 << 24) - 1_000_000  # the rest for calldata and the proof
    assert not accepted_by_contract(encode(reduction(coordinates + 1, Program(ops))))


def test_evaluation__longest_product__stays_within_a_transaction() -> None:
    view = Operand(0, DType.I64, (Affine(COORDINATES),), Affine(0), (Affine(1),))

    def product(coordinates: int) -> bytes:
        return encode(Instruction(Opcode.MATMUL, DType.I64, (), (view, view), (Affine(coordinates),)))

    ones = [Opening.whole(0, (1).to_bytes(8, "little") * COORDINATES)]
    assert EVALUATOR.evaluate(product(COORDINATES), SYMBOLS, [0], ones) == [COORDINATES]
    assert EVALUATOR.gas_used < (1 << 24) - 1_000_000
    assert not accepted_by_contract(product(COORDINATES + 1))
