"""Matrix products: each kernel is chosen where it is exact, and exact at the largest values it is chosen for."""

import numpy as np
import pytest

from oracle_node.executors.onnx.constants import Constants
from oracle_node.executors.onnx.digits import activation_digits, weight_digits
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Reducer, Source
from oracle_node.tape.interval import Interval, of_array
from oracle_node.tape.types import DType, SourceKind
from oracle_node.tape.view import View
from tests.executors.onnx.checking import new_builder, require_exact

_RNG = np.random.default_rng(20)


def _request(count: int, low: int, high: int, dtype: DType = DType.I32) -> np.ndarray:
    """Half extremes, half anything."""
    anything = _RNG.integers(low, high, count, endpoint=True)
    extremes = _RNG.choice([low, high], count)
    return np.where(_RNG.random(count) < 0.5, extremes, anything).astype(dtype.numpy)


def _input(shape: tuple[int, ...], low: int, high: int) -> tuple[TapeBuilder, View, np.ndarray]:
    count = int(np.prod(shape))
    builder = new_builder(DType.I32, count)
    return builder, builder.input(SourceKind.REQUEST, shape, low, high), _request(count, low, high)


def _weights(shape: tuple[int, ...], limit: int) -> np.ndarray:
    drawn = _request(int(np.prod(shape)), -limit, limit).reshape(shape)
    drawn[0] = limit
    drawn[-1] = -limit
    return drawn.astype(np.int8 if limit <= 127 else np.int16 if limit <= 32767 else np.int32)


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 127), (0, 128), (-64, 64), (-128, 0), (-1, 127), (1000, 1100), (-1100, -1000), (-8191, 8191), (-8256, 8256),
     (0, 16383), (5, 16517), (-9000, 7500), (-16383, 16383), (-1056832, 1056832), (1 << 22, (1 << 22) + 2000)],
)  # fmt: skip
@pytest.mark.parametrize("limit", [127, 128, 16383, 32512])
def test_digits__every_activation_and_weight_range__is_exact(low: int, high: int, limit: int) -> None:
    builder, x, request = _input((30, 67), low, high)
    w = builder.const(_weights((70, 67), limit))
    result = builder.matmul(x, w)
    used = require_exact(builder, result, request)
    assert "MatMulInteger" in used or "MatMul" in used


def test_digits__14_bit_activations_and_8_bit_weights__are_one_product_of_stacked_rows() -> None:
    builder, x, request = _input((64, 256), -8191, 8191)
    used = require_exact(builder, builder.matmul(x, builder.const(_weights((96, 256), 127))), request)
    assert used["MatMulInteger"] == 1
    assert used["QuantizeLinear"] == 2
    assert used["MatMul"] == 0


def test_digits__one_tensor_read_by_three_products__is_split_once() -> None:
    builder, x, request = _input((64, 256), -8191, 8191)
    products = [builder.matmul(x, builder.const(_weights((96, 256), 127) // (1 + i))) for i in range(3)]
    used = require_exact(builder, builder.concat(products, 0), request)
    assert (used["MatMulInteger"], used["QuantizeLinear"]) == (3, 2)


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize(("limit", "factor"), [(1 << 10, 2), (1 << 25, 1)], ids=["24 bits", "53 bits"])
def test_float_product__sums_around_its_last_integer__stay_exact(limit: int, factor: int, extra: int) -> None:
    limit += extra  # 8·limit·(factor·limit) is 2^24 or 2^53 for extra 0
    builder = TapeBuilder(Source(DType.I64, 40, 40), step_bound=1 << 24)
    x = builder.input(SourceKind.REQUEST, (5, 8), -limit, limit)
    y = builder.map(lambda v: v * factor, x, dtype=DType.I64)
    used = require_exact(builder, builder.matmul(x, y), _request(40, -limit, limit, DType.I64))
    assert used["MatMul"] == 1


def test_product__of_two_inputs_beyond_53_bits__is_exact() -> None:
    builder = TapeBuilder(Source(DType.I64, 12, 12), step_bound=1 << 24)
    x = builder.input(SourceKind.REQUEST, (3, 4), -(1 << 30), 1 << 30)
    y = builder.map(lambda v: v + 1, x, dtype=DType.I64)
    require_exact(builder, builder.matmul(x, y), _request(12, -(1 << 30), 1 << 30, DType.I64))


def _convolution(
    shape: tuple[int, int, int],
    filters: int,
    kernel: int,
    stride: int,
    limit: int,
    weight: int,
    pad: int = 0,
    dilation: int = 1,
) -> tuple[TapeBuilder, View, np.ndarray]:
    builder, x, request = _input(shape, -limit, limit)
    if pad:
        x = builder.pad(builder.pad(x, 0, pad, pad), 1, pad, pad)
    windows = x.windows(0, kernel, stride, dilation).windows(1, kernel, stride, dilation)
    w = builder.const(_weights((filters, kernel, kernel, shape[2]), weight))
    return builder, builder.contract(windows.transpose(0, 1, 3, 4, 2).unsqueeze(2), w, 3), request


def test_convolution__many_channels__gathers_padded_digits_by_rows() -> None:
    used = require_exact(*_convolution((9, 8, 64), 96, 3, 1, 8191, 127, pad=1))
    assert (used["MatMulInteger"], used["Gather"], used["Conv"]) == (1, 1, 0)


@pytest.mark.parametrize(("limit", "planes"), [(255, 1), (8191, 2), (8256, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution__few_channels__is_one_conv(limit: int, planes: int, stride: int) -> None:
    used = require_exact(*_convolution((31, 29, 3), 8, 3, stride, limit, 127, pad=1))
    assert used["Conv"] == 1
    assert used["Round"] == planes - 1


@pytest.mark.parametrize("dilation", [1, 2])
def test_convolution__dilated_or_not_square__is_exact(dilation: int) -> None:
    require_exact(*_convolution((12, 17, 2), 5, 3, 1, 8191, 127, dilation=dilation))


@pytest.mark.parametrize("weight", [127, 16383])
def test_depthwise_convolution__any_activation_bits__is_one_conv(weight: int) -> None:
    builder, x, request = _input((11, 10, 24), -8191, 8191)
    windows = x.windows(0, 3).windows(1, 3)
    used = require_exact(
        builder, builder.contract(windows, builder.const(_weights((24, 3, 3), weight)), 2), request
    )
    assert used["Conv"] == 1


def test_grouped_convolution__four_groups__is_one_conv() -> None:
    builder, x, request = _input((7, 6, 12), -100, 100)
    groups = x.split_axis(2, 3)  # (7, 6, 4, 3)
    windows = groups.windows(0, 3).windows(1, 3).transpose(0, 1, 2, 4, 5, 3).unsqueeze(3)
    w = builder.const(_weights((4, 5, 3, 3, 3), 127))
    assert require_exact(builder, builder.contract(windows, w, 3), request)["Conv"] == 1


def test_convolution__window_not_over_the_whole_image__is_exact() -> None:
    builder, x, request = _input((8, 8, 2), -100, 100)
    windows = x.slice(0, 1, 5).windows(0, 3).windows(1, 3)
    w = builder.const(_weights((4, 3, 3, 2), 127))
    require_exact(builder, builder.contract(windows.transpose(0, 1, 3, 4, 2).unsqueeze(2), w, 3), request)


def test_partial_sums__only_added_up__are_one_product() -> None:
    builder, x, request = _input((32, 512), -8191, 8191)
    w = builder.const(_weights((64, 512), 127))
    parts = builder.contract(x.split_axis(1, 64).unsqueeze(1), w.split_axis(1, 64), 1)
    halves = builder.reduce(Reducer.SUM, parts.split_axis(2, 4))
    used = require_exact(builder, builder.reduce(Reducer.SUM, halves), request)
    assert used["MatMulInteger"] == 1
    assert used["ReduceSum"] == 0


def test_partial_sums__read_by_another__are_kept() -> None:
    builder, x, request = _input((8, 64), -8191, 8191)
    w = builder.const(_weights((16, 64), 127))
    parts = builder.contract(x.split_axis(1, 16).unsqueeze(1), w.split_axis(1, 16), 1)
    total = builder.reduce(Reducer.SUM, parts)
    largest = builder.reduce(Reducer.MAX, parts)
    used = require_exact(builder, builder.map(lambda a, b: a - b, total, largest), request)
    assert used["ReduceMax"] == 1


def test_batched_product__attention_shaped__is_exact() -> None:
    builder, x, request = _input((10, 4, 16), -16383, 16383)
    heads = x.transpose(1, 0, 2)
    scores = builder.matmul(heads, heads)
    used = require_exact(builder, scores, request)
    assert used["MatMul"] == 1


def test_constant_on_the_left__is_swapped_to_the_right() -> None:
    builder, x, request = _input((40, 512), -8191, 8191)
    used = require_exact(builder, builder.matmul(builder.const(_weights((72, 512), 127)), x), request)
    assert used["MatMulInteger"] == 1


@pytest.mark.parametrize("limit", [1, 127, 128, 254, 255, 16383, 32512])
def test_weight_digits__every_integer__adds_up(limit: int) -> None:
    weights = np.arange(-limit, limit + 1, dtype=np.int32).reshape(-1, 1)
    parts = weight_digits(Constants([weights]).weights([0], weights.shape), of_array(weights))
    assert parts is not None
    digits = [(scale, part.array().astype(np.int64)) for scale, part in parts]
    assert all(np.abs(digit).max() <= 127 for _, digit in digits)
    np.testing.assert_array_equal(sum(scale * digit for scale, digit in digits), weights)


def test_weight_digits__beyond_two__are_refused() -> None:
    weights = np.array([[32513]], np.int32)
    assert weight_digits(Constants([weights]).weights([0], weights.shape), of_array(weights)) is None


def test_activation_digits__beyond_three_or_24_bits__are_refused() -> None:
    assert activation_digits(Interval(-1056833, 1056833)) is None
    assert activation_digits(Interval((1 << 24) + 1, (1 << 24) + 5)) is None


def test_convolution__zeros_around_a_reshaped_image__become_padding_of_conv() -> None:
    builder, x, request = _input((30, 4), -100, 100)
    image = builder.map(lambda v: v + 1, x).reshape(6, 5, 4)
    padded = builder.pad(builder.pad(image, 0, 1, 2), 1, 2, 0)
    windows = padded.windows(0, 3).windows(1, 3)
    used = require_exact(
        builder, builder.contract(windows, builder.const(_weights((4, 3, 3), 127)), 2), request
    )
    assert (used["Conv"], used["Concat"]) == (1, 0)


def test_convolution__padding_that_is_not_zero__is_kept() -> None:
    builder, x, request = _input((6, 5, 4), -100, 100)
    padded = builder.pad(builder.pad(x, 0, 1, 1, value=7), 1, 1, 1)
    windows = padded.windows(0, 3).windows(1, 3)
    used = require_exact(
        builder, builder.contract(windows, builder.const(_weights((4, 3, 3), 127)), 2), request
    )
    assert (used["Conv"], used["Concat"]) == (1, 1)


@pytest.mark.parametrize("width", [1, 3, 70])
def test_dot_product__only_the_ends_of_the_intervals_would_overflow__is_exact(width: int) -> None:
    builder = new_builder()
    table = np.full(200, -(1 << 40), np.int64)
    table[:100] = np.arange(100)
    row = builder.const(table).slice(0, 0, width)
    require_exact(builder, builder.contract(row, row))
