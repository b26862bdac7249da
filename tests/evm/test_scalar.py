"""Every scalar operation of the Solidity evaluator against numpy, bit by bit, over adversarial registers."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from eth_abi.abi import decode, encode
from eth_utils.abi import function_signature_to_4byte_selector as selector

from oracle_node.executors.evm import new_machine
from oracle_node.executors.scalar import run_program
from oracle_node.tape.scalar import SIGNATURES, Op, Program, ScalarOp
from tests.evm.bits import INTEGERS, SPECIAL, floats, near, random_floats, random_integers, sparse_floats

pytest.importorskip("pyrevm", reason="these millions of operations need the fast EVM of the dev extra")

Array = np.ndarray
Run = Callable[[Op, list[Array]], Array]
COMPUTED = [op for op in Op if op not in (Op.ICONST, Op.FCONST)]
LANES_A_CALL = 20_000


@pytest.fixture(scope="module")
def run() -> Run:
    """Applies an operation to registers on chain; floats as their bits."""
    artifact = json.loads((Path(__file__).parent / "artifacts" / "ScalarBatch.json").read_text())
    machine = new_machine(bytes.fromhex(artifact["deployedBytecode"]))
    types = ["bytes", "uint256", "bytes"]

    def apply(op: Op, registers: list[Array]) -> Array:
        program = bytes([op, *range(len(registers))])
        words = np.stack([r.view(np.uint32) if r.dtype == np.float32 else r for r in registers], axis=1)
        parts = []
        for start in range(0, len(words), LANES_A_CALL):
            lanes = words[start : start + LANES_A_CALL].astype(">i8").tobytes()
            data = selector(f"run({','.join(types)})") + encode(types, [program, len(registers), lanes])
            success, output, _ = machine.call(data, 1 << 40)
            assert success, output.hex()
            parts.append(np.frombuffer(decode(["bytes"], output)[0], ">i8"))
        return np.concatenate(parts).astype(np.int64)

    return apply


def expected(op: Op, registers: list[Array]) -> Array:
    """numpy's results as 64-bit registers."""
    program = Program((ScalarOp(op, tuple(range(len(registers)))),))
    value = run_program(program, registers)
    return (
        value.view(np.uint32).astype(np.int64) if SIGNATURES[op].result == "float" else value.astype(np.int64)
    )


def pairs(rng: np.random.Generator, kind: str, count: int) -> list[Array]:
    """Two registers: every pair of special values, then random ones, alike in parts."""
    if kind == "int":
        a, b = (grid.ravel() for grid in np.meshgrid(INTEGERS, INTEGERS))
        x, y, z = (random_integers(rng, count) for _ in range(3))
        return [np.concatenate([a, x, y]), np.concatenate([b, z, y >> rng.integers(0, 3, count)])]
    a, b = (floats(grid.ravel()) for grid in np.meshgrid(SPECIAL, SPECIAL))
    x, y, s, t = (
        random_floats(rng, count),
        random_floats(rng, count),
        sparse_floats(rng, count),
        sparse_floats(rng, count),
    )
    u, v = random_floats(rng, count), sparse_floats(rng, count)
    return [np.concatenate([a, x, s, u, v]), np.concatenate([b, y, t, near(rng, u, 0), near(rng, v, 30)])]


def arguments(op: Op, rng: np.random.Generator, count: int) -> list[Array]:
    """Registers of the operation's kinds that an admitted tape could hold."""
    kinds = SIGNATURES[op].arguments
    registers = pairs(rng, kinds[-1], count)[: len(kinds)]
    if len(kinds) == 3:
        registers.insert(0, np.resize(INTEGERS[np.abs(INTEGERS) < 2], registers[0].size))
    if op is Op.FSQRT:
        registers[0] = np.where(registers[0] < 0, -registers[0], registers[0])
    elif op is Op.FDIV:
        keep = registers[1] != 0
        quotient = floats(SPECIAL)[
            np.arange(count) % SPECIAL.size
        ]  # dividends next to a product: quotients near ties
        product = near(rng, registers[1][-count:] * quotient, 0)
        product = np.where(np.isfinite(product), product, np.float32(1))
        registers = [
            np.concatenate([registers[0][keep], product]),
            np.concatenate([registers[1][keep], registers[1][-count:]]),
        ]
        keep = registers[1] != 0
        registers = [register[keep] for register in registers]
    elif op in (Op.IADD, Op.ISUB, Op.IMUL):  # operands whose result numpy holds as well
        registers = [register >> (32 if op is Op.IMUL else 1) for register in registers]
    elif op is Op.FMUL:  # products around the smallest normal number
        x = sparse_floats(rng, count)
        field = np.clip(
            127 - (x.view(np.uint32) >> 23 & 0xFF).astype(np.int64) + rng.integers(-26, 3, count), 0, 254
        )
        y = (sparse_floats(rng, count).view(np.uint32) & np.uint32(0x807FFFFF)) | (field << 23).astype(
            np.uint32
        )
        registers = [np.concatenate([registers[0], x]), np.concatenate([registers[1], y.view(np.float32)])]
    return registers


def differences(op: Op, registers: list[Array], run: Run) -> list[str]:
    got, want = run(op, registers), expected(op, registers)
    return [
        f"{op.name}{tuple(r[i].item() for r in registers)} = {got[i]:#x}, numpy has {want[i]:#x}"
        for i in np.flatnonzero(got != want)[:3]
    ]


@pytest.mark.parametrize("op", COMPUTED, ids=lambda op: op.name)
def test_scalar_operation__adversarial_registers__equals_numpy_bit_by_bit(op: Op, run: Run) -> None:
    with np.errstate(all="ignore"):
        registers = arguments(op, np.random.default_rng(op), 10_000)
        assert differences(op, registers, run) == []


@pytest.mark.slow
@pytest.mark.parametrize("op", COMPUTED, ids=lambda op: op.name)
def test_scalar_operation__millions_of_registers__equals_numpy_bit_by_bit(op: Op, run: Run) -> None:
    with np.errstate(all="ignore"):
        for seed in range(5):
            registers = arguments(op, np.random.default_rng([op, seed]), 100_000)
            assert differences(op, registers, run) == []


def test_square_root__every_significand_of_two_binades__is_correctly_rounded(run: Run) -> None:
    significands = np.arange(0x3F800000, 0x40800000, 61, dtype=np.uint32)
    assert differences(Op.FSQRT, [significands.view(np.float32)], run) == []
