#!/usr/bin/env python3
"""Write contracts/test/vectors/evaluator.json: instructions, openings, and the elements by the reference executor.

forge checks the Solidity evaluator against them (contracts/test/evaluator), pytest that the file is up to date.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from eth_abi.abi import encode as abi_encode  # noqa: E402

from oracle_node.executors import reference  # noqa: E402
from oracle_node.executors.evm import Opening  # noqa: E402
from oracle_node.tape.affine import Affine  # noqa: E402
from oracle_node.tape.encoding import encode  # noqa: E402
from oracle_node.tape.instruction import (  # noqa: E402
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
from oracle_node.tape.scalar import Op, Program, ScalarOp  # noqa: E402
from oracle_node.tape.types import DType  # noqa: E402

VECTORS = ROOT / "contracts" / "test" / "vectors" / "evaluator.json"
N = Affine.symbol(0)
LENGTH = 6
SYMBOLS = (LENGTH, 0, 0, 2, 0, 0, 0, 0)

Dim = Affine | int
Case = tuple[str, Instruction, list[np.ndarray]]


def numbers(seed: int, dtype: DType, *shape: int) -> np.ndarray:
    """Seeded values of a type; floats of all magnitudes, with special ones."""
    rng, count = Random(seed), int(np.prod(shape))
    if dtype is DType.F32:
        special = [0.0, -0.0, 0.5, -0.5, 1.5, -2.5, 1e-45, -1e-39, 8388609.0, -3e4]
        drawn = [rng.choice(special) if rng.random() < 0.4 else rng.uniform(-9, 9) for _ in range(count)]
        return np.array(drawn, np.float32).reshape(shape)
    low, high = dtype.bounds
    drawn = [
        rng.choice([low, high, 0, 1]) if rng.random() < 0.2 else rng.randint(low, high) for _ in range(count)
    ]
    return np.array(drawn, dtype.numpy).reshape(shape)


def dims(*values: Dim) -> tuple[Affine, ...]:
    return tuple(map(Affine.of, values))


def view(ref: int, dtype: DType, shape: Sequence[Dim], strides: Sequence[Dim], offset: Dim = 0) -> Operand:
    return Operand(ref, dtype, dims(*shape), Affine.of(offset), dims(*strides))


def program(*ops: tuple[Op, tuple[int, ...]] | tuple[Op, tuple[int, ...], int]) -> Program:
    return Program(tuple(ScalarOp(*op) for op in ops))


def moving() -> list[Case]:
    """INPUT, CONST, GATHER, CONCAT."""
    f32, u8, i16, i32 = DType.F32, DType.U8, DType.I16, DType.I32
    raw = np.array([np.nan, np.inf, -np.inf, -0.0, -7.5, 2.25], np.float32)
    row = view(0, f32, [N], [1])
    cases: list[Case] = [
        (
            "input of floats is sanitised",
            Instruction(Opcode.INPUT, f32, dims(N), (row,), (), Clamp(-5.0, 3.5)),
            [raw],
        ),
        (
            "input of integers is clamped",
            Instruction(Opcode.INPUT, i16, dims(N), (view(1, i16, [N], [-1], N - 1),), (), Clamp(-100, 9000)),
            [numbers(1, i16, LENGTH)],
        ),
        (
            "constant",
            Instruction(Opcode.CONST, i32, dims(3, 5), (view(7, i32, [3, 5], [5, 1]),)),
            [numbers(2, i32, 3, 5)],
        ),
        (
            "gather clamps its rows",
            Instruction(
                Opcode.GATHER,
                u8,
                dims(N, 300),
                (view(4, i32, [N], [1, 0]), view(2, u8, [9, 300], [0, 1])),
                tail=Rows(Affine(300), Affine(9)),
            ),
            [np.array([-3, 0, 8, 9, 1 << 30, 4], np.int32), numbers(3, u8, 9, 300)],
        ),
    ]
    parts = (view(1, f32, [N], [0, 1]), view(3, f32, [2, 4], [4, -1], 3))
    tail: Tail = Parts(1, dims(N, 4))
    joined = Instruction(Opcode.CONCAT, f32, dims(2, N + 4), parts, (), tail)
    cases.append(("concat along the last axis", joined, [numbers(4, f32, LENGTH), numbers(5, f32, 2, 4)]))
    return cases


def computing() -> list[Case]:
    """MAP, MATMUL, REDUCE."""
    f32, i8, i16, i64 = DType.F32, DType.I8, DType.I16, DType.I64
    two = (view(5, f32, [40], [1]), view(6, f32, [40], [1]))
    floats = [
        numbers(6, f32, 40),
        np.where(np.abs(numbers(7, f32, 40)) < 0.1, np.float32(3), numbers(7, f32, 40)),
    ]
    cases: list[Case] = [
        (op.name.lower(), Instruction(Opcode.MAP, f32, dims(40), two, (), program((op, (0, 1)))), floats)
        for op in (Op.FADD, Op.FSUB, Op.FMUL, Op.FDIV, Op.FMIN, Op.FMAX)
    ]
    rounding = program(
        (Op.FABS, (0,)),
        (Op.FSQRT, (2,)),
        (Op.FROUND, (1,)),
        (Op.FFLOOR, (0,)),
        (Op.FADD, (4, 5)),
        (Op.FMUL, (3, 6)),
        (Op.F2I, (7,)),
        (Op.ICONST, (), 3),
        (Op.ISHR, (8, 9)),
    )
    cases.append(
        (
            "a program of floats and integers",
            Instruction(Opcode.MAP, i64, dims(40), two, (), rounding),
            floats,
        )
    )
    image, weights = numbers(8, i16, 7, 8, 20), numbers(9, i8, 3, 2, 2, 20)
    window = (
        view(8, i16, [7, 8, 20], [160, 20, 0, 160, 20, 1]),
        view(9, i8, [3, 2, 2, 20], [0, 0, 80, 40, 20, 1]),
    )
    convolution = Instruction(Opcode.MATMUL, i64, dims(6, 7, 3), window, dims(2, 2, 20))
    cases.append(("convolution", convolution, [image, weights]))
    scores = (view(8, i16, [7, 8, 20], [20, 1]),) * 2
    square = Reduction(Reducer.SUM, program((Op.IMUL, (0, 1))))
    cases.append(
        ("sum of squares", Instruction(Opcode.REDUCE, i64, dims(N), scores, dims(20), square), [image] * 2)
    )
    for reducer, dtype in ((Reducer.MAX, f32), (Reducer.MIN, f32), (Reducer.ARGMAX, DType.I32)):
        tail = Reduction(reducer, program((Op.FNEG, (0,))))
        pool = Instruction(
            Opcode.REDUCE, dtype, dims(5), (view(5, f32, [40], [8, 1, 4], 0),), dims(4, 2), tail
        )
        cases.append((f"{reducer.name.lower()} of negated floats", pool, floats[:1]))
    return cases


def vectors() -> str:
    """The JSON text."""
    out = []
    for name, instruction, tensors in moving() + computing():
        count = instruction.count(SYMBOLS)
        chosen = np.arange(0, count, max(1, count // 20))
        values = np.ascontiguousarray(reference.evaluate(instruction, SYMBOLS, tensors, chosen))
        bits = [int(b) for b in values.view(f"<u{values.dtype.itemsize}")]
        data = {o.ref: t.tobytes() for o, t in zip(instruction.operands, tensors, strict=True)}
        opened = [Opening.whole(ref, data[ref]) for ref in sorted(data)]
        openings = [(o.ref, o.positions, o.chunks) for o in opened]
        types = ["bytes", "uint64[8]", "uint64[]", "(uint32,uint32[],bytes)[]", "uint64[]"]
        fields = abi_encode(types, [encode(instruction), SYMBOLS, chosen.tolist(), openings, bits])
        out.append({"name": name, "abi": "0x" + fields.hex()})
    return json.dumps({"types": types, "count": len(out), "cases": out}, indent=1) + "\n"


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    VECTORS.write_text(vectors())


if __name__ == "__main__":
    main()
