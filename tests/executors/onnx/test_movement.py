"""GATHER, CONCAT and INPUT."""

import numpy as np
import pytest

from oracle_node.executors import reference
from oracle_node.executors.onnx.inputs import input_reader
from oracle_node.tape.affine import Affine
from oracle_node.tape.instruction import Clamp, Instruction, Opcode, Operand
from oracle_node.tape.types import DType, SourceKind
from tests.executors.onnx.checking import new_builder, require_exact

_RNG = np.random.default_rng(22)


def _indices(count: int) -> np.ndarray:
    """Some of them outside any table."""
    return _RNG.choice([-(1 << 31), -7, -1, 0, 1, 2, 5, 9, 10, 11, 1 << 30], count).astype(np.int32)


@pytest.mark.parametrize("dtype", list(DType))
def test_gather__rows_of_any_type__clamps_and_keeps_bits(dtype: DType) -> None:
    builder = new_builder(DType.I32, 12)
    index = builder.input(SourceKind.REQUEST, (3, 4), -(1 << 31), (1 << 31) - 1)
    table = builder.const(_RNG.integers(0, 100, (10, 6)).astype(dtype.numpy))
    require_exact(builder, builder.gather(index, table), _indices(12))


def test_gather__single_elements__takes_the_fast_operator() -> None:
    builder = new_builder(DType.I32, 12)
    index = builder.input(SourceKind.REQUEST, (12,), 0, 9)
    used = require_exact(
        builder, builder.gather(index, builder.const(np.arange(10, dtype=np.int16))), _indices(12)
    )
    assert (used["GatherElements"], used["Gather"], used["Clip"]) == (1, 0, 0)


def test_gather__transposed_table__is_exact() -> None:
    builder = new_builder(DType.I32, 5)
    index = builder.input(SourceKind.REQUEST, (5,), -9, 99)
    table = builder.const(_RNG.normal(size=(6, 10)).astype(np.float32))
    require_exact(builder, builder.gather(index, table.transpose(1, 0)), _indices(5))


def test_gather__computed_table_of_narrow_integers__is_exact() -> None:
    builder = new_builder(DType.I32, 12)
    x = builder.input(SourceKind.REQUEST, (12,), -7, 9)
    table = builder.map(lambda v: v * 3, x)
    require_exact(builder, builder.gather(x, table), _indices(12))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_concat__views_of_mixed_origin__is_exact(axis: int) -> None:
    builder = new_builder(DType.I16, 24)
    x = builder.input(SourceKind.REQUEST, (2, 3, 4), -1000, 1000)
    doubled = builder.map(lambda v: v * 2, x, dtype=DType.I16)
    flipped = doubled.slice(axis, doubled.dims[axis] - 1, doubled.dims[axis], -1)
    filler = builder.full(-3, DType.I16).broadcast_to(x.shape)
    result = builder.concat([x, flipped, filler, x], axis)
    require_exact(builder, result, _RNG.integers(-1000, 1000, 24).astype(np.int16))


@pytest.mark.parametrize("dtype", list(DType))
@pytest.mark.parametrize("shape", [(6,), (5000,), (3, 1700)], ids=str)
def test_input__any_bits__equals_the_reference(dtype: DType, shape: tuple[int, ...]) -> None:
    count = int(np.prod(shape)) + 3
    raw = _RNG.integers(0, 256, count * dtype.width, np.uint8).view(dtype.numpy)
    if dtype is DType.F32:
        raw = raw.copy()
        raw[:5] = [np.nan, -0.0, np.inf, -np.inf, 1e-45]
    clamps = (
        [Clamp(-1.5, 2.5), Clamp(-0.0, 1e-40)]
        if dtype is DType.F32
        else [Clamp(*dtype.bounds), Clamp(0, 3), Clamp(-5, 5)]
    )
    strides = (Affine(1),) if len(shape) == 1 else (Affine(1), Affine(3))
    operand = Operand(0, dtype, (Affine(count + 6000),), Affine(3 if len(shape) == 1 else 0), strides)
    source = np.concatenate([raw, np.zeros(6000, dtype.numpy)])
    for clamp in clamps:
        instruction = Instruction(Opcode.INPUT, dtype, tuple(map(Affine, shape)), (operand,), tail=clamp)
        symbols = (len(source), 0, 0, 0, 0, 0, 0, 0)
        expected = reference.evaluate_all(instruction, symbols, [source])
        found = input_reader(instruction, symbols)(source)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()


def test_padding__of_several_axes__is_one_kernel() -> None:
    builder = new_builder(elements=24)
    x = builder.input(SourceKind.REQUEST, (2, 3, 4), -1000, 1000)
    padded = builder.pad(builder.pad(builder.pad(x, 0, 1, 2), 1, 0, 3), 0, 2, 0)
    used = require_exact(builder, padded, _RNG.integers(-1000, 1000, 24).astype(np.int16))
    assert (used["Pad"], used["Concat"]) == (1, 0)


@pytest.mark.parametrize("value", [7.0, -0.0])
def test_padding__with_anything_but_zero_bits__is_joined(value: float) -> None:
    builder = new_builder(DType.F32, 6)
    x = builder.input(SourceKind.REQUEST, (2, 3), -1000, 1000)
    used = require_exact(builder, builder.pad(x, 0, 1, 1, value), _RNG.normal(size=6).astype(np.float32))
    assert (used["Pad"], used["Concat"]) == (0, 1)


def test_input__all_in_range__keeps_its_bits_but_for_minus_zero() -> None:
    source = np.array([-2.5, -0.0, 0.0, 1e-45, 2.5], np.float32)
    operand = Operand(0, DType.F32, (Affine(5),), Affine(0), (Affine(1),))
    instruction = Instruction(Opcode.INPUT, DType.F32, (Affine(5),), (operand,), tail=Clamp(-2.5, 2.5))
    found = input_reader(instruction, (5, 0, 0, 0, 0, 0, 0, 0))(source)
    assert found.tobytes() == np.array([-2.5, 0.0, 0.0, 1e-45, 2.5], np.float32).tobytes()
