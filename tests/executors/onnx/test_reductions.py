"""Reductions: sums exact at every size, extremes with +0, the first of equal maxima, however the data lies."""

import numpy as np
import pytest

from oracle_node.tape.instruction import Reducer
from oracle_node.tape.types import DType
from tests.executors.onnx.checking import new_builder, require_exact

_RNG = np.random.default_rng(21)
_ZEROS = np.array(
    [0.0, -0.0, -0.0, 0.0, -0.0, -0.0, -1.0, -0.0, -1e-45, -0.0, 1e-45, -0.0], np.float32
).reshape(6, 2)


@pytest.mark.parametrize(
    "limit", [1, 1 << 12, (1 << 18) - 1, 1 << 18, 1 << 30, (1 << 47) - 1, 1 << 47, 1 << 56]
)
@pytest.mark.parametrize("width", [64, 100])
def test_sum__at_a_carriers_limit__is_exact(limit: int, width: int) -> None:
    builder = new_builder()
    data = _RNG.choice([limit, -limit, limit - 1], (9, width)).astype(np.int64)
    data[0], data[1] = limit, -limit
    require_exact(builder, builder.reduce(Reducer.SUM, builder.const(data), dtype=DType.I64))


@pytest.mark.parametrize("reducer", [Reducer.MAX, Reducer.MIN, Reducer.ARGMAX])
@pytest.mark.parametrize("limit", [100, 1 << 24, (1 << 31) - 1, 1 << 53, (1 << 62) + 1])
def test_extreme__at_a_carriers_limit__is_exact(reducer: Reducer, limit: int) -> None:
    builder = new_builder()
    data = _RNG.choice([limit, limit - 1, limit - 2, -limit], (20, 7)).astype(np.int64)
    require_exact(builder, builder.reduce(reducer, builder.const(data)))


@pytest.mark.parametrize("reducer", [Reducer.MAX, Reducer.MIN, Reducer.ARGMAX])
def test_extreme__zeros_of_both_signs__are_one_zero(reducer: Reducer) -> None:
    builder = new_builder()
    require_exact(builder, builder.reduce(reducer, builder.const(_ZEROS)))
    builder = new_builder()
    require_exact(
        builder, builder.reduce(reducer, builder.const(np.tile(_ZEROS, (1, 50))), function=lambda v: -v)
    )


def test_sum_of_squares__of_a_row__is_one_kernel_of_f64() -> None:
    builder = new_builder()
    data = _RNG.integers(-16383, 16383, (30, 200), np.int16, endpoint=True)
    used = require_exact(builder, builder.reduce(Reducer.SUM, builder.const(data), function=lambda v: v * v))
    assert used["ReduceSum"] == 1


def test_max_pool__windows_apart_or_overlapping__is_elementwise() -> None:
    for stride in (1, 2, 3):
        builder = new_builder()
        image = builder.const(_RNG.normal(size=(10, 9, 4)).astype(np.float32))
        windows = image.windows(0, 2, stride).windows(1, 3, stride)
        used = require_exact(builder, builder.reduce(Reducer.MAX, windows, axes=2))
        assert (used["Max"], used["ReduceMax"]) == (1, 0)


def test_global_pool__reduced_axes_in_front__transposes_nothing() -> None:
    builder = new_builder()
    image = builder.const(_RNG.integers(-1000, 1000, (12, 11, 8), np.int16))
    used = require_exact(builder, builder.reduce(Reducer.SUM, image.transpose(2, 0, 1), axes=2))
    assert used["ReduceSum"] == 1
    assert used["Transpose"] == 0


def test_reduce__two_operands_broadcast_against_each_other__is_exact() -> None:
    builder = new_builder()
    a = builder.const(_RNG.integers(-90, 90, (5, 1, 130), np.int16))
    b = builder.const(_RNG.integers(-90, 90, (4, 1), np.int16))
    require_exact(builder, builder.reduce(Reducer.SUM, a, b, function=lambda x, y: x * y + y))
    require_exact(builder, builder.reduce(Reducer.ARGMAX, a, b, function=lambda x, y: (x - y).abs()))


def test_reduce__value_that_does_not_vary_along_the_axis__counts_each_time() -> None:
    builder = new_builder()
    row = builder.const(np.array([3, -4], np.int16))
    wide = row.unsqueeze(1).broadcast_to((2, 70))
    require_exact(builder, builder.reduce(Reducer.SUM, wide))
    require_exact(builder, builder.reduce(Reducer.SUM, wide.slice(1, 0, 9)))
