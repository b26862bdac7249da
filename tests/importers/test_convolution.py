"""Conv against ONNX Runtime float32: the error is that of the activations' and weights' bits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oracle_node.importers.onnx import import_onnx

TOLERANCE = 4e-4

CASES = {
    "plain": ((1, 3, 9, 7), (5, 3, 3, 3), {}),
    "one_by_one": ((1, 6, 4, 5), (3, 6, 1, 1), {}),
    "one_by_one_strided": ((1, 6, 7, 5), (3, 6, 1, 1), {"strides": [2, 3]}),
    "asymmetric_padding": ((1, 2, 5, 6), (4, 2, 3, 2), {"pads": [0, 2, 1, 0]}),
    "stride_and_dilation": ((1, 3, 13, 11), (2, 3, 3, 2), {"strides": [2, 1], "dilations": [2, 3], "pads": [1] * 4}),
    "same_upper": ((1, 2, 7, 8), (3, 2, 4, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same_lower": ((1, 2, 7, 8), (3, 2, 4, 4), {"auto_pad": "SAME_LOWER"}),
    "valid": ((1, 2, 7, 8), (3, 2, 2, 2), {"auto_pad": "VALID"}),
    "groups": ((1, 6, 6, 5), (9, 2, 3, 3), {"group": 3, "pads": [1, 1, 1, 1]}),
    "depthwise": ((1, 5, 6, 6), (5, 1, 3, 3), {"group": 5, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "depthwise_multiplier": ((1, 3, 6, 6), (6, 1, 3, 3), {"group": 3}),
    "depthwise_one_by_one": ((1, 4, 3, 3), (4, 1, 1, 1), {"group": 4}),
    "wide_depthwise": ((1, 700, 4, 4), (700, 1, 3, 3), {"group": 700, "pads": [1, 1, 1, 1]}),
    "batch": ((3, 2, 5, 5), (4, 2, 3, 3), {"pads": [1, 1, 1, 1]}),
    "batch_groups": ((2, 4, 5, 5), (4, 2, 2, 2), {"group": 2}),
    "one_dimension": ((1, 4, 17), (3, 4, 5), {"strides": [2], "pads": [2, 1]}),
    "three_dimensions": ((1, 2, 4, 5, 6), (3, 2, 2, 3, 2), {"pads": [0, 1, 0, 1, 0, 1]}),
    "single_pixel": ((1, 8, 1, 1), (2, 8, 1, 1), {}),
    "many_channels": ((1, 600, 3, 3), (2, 600, 3, 3), {"pads": [1, 1, 1, 1]}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_conv__geometry__matches_float32(
    case: str, compare: Callable[..., float], rng: np.random.Generator
) -> None:
    shape, kernel, attributes = CASES[case]
    x = rng.normal(size=shape).astype(np.float32)
    constants = {
        "w": rng.normal(size=kernel).astype(np.float32),
        "b": rng.normal(size=kernel[:1]).astype(np.float32),
    }
    assert compare([("Conv", ["x", "w", "b"], ["y"], attributes)], x, constants) < TOLERANCE


@pytest.mark.parametrize("case", CASES)
def test_conv__twenty_one_bits__are_as_good_as_float32(
    case: str, compare: Callable[..., float], rng: np.random.Generator
) -> None:
    shape, kernel, attributes = CASES[case]
    x = rng.normal(size=shape).astype(np.float32)
    constants = {
        "w": rng.normal(size=kernel).astype(np.float32),
        "b": rng.normal(size=kernel[:1]).astype(np.float32),
    }
    assert compare([("Conv", ["x", "w", "b"], ["y"], attributes)], x, constants, weights=21) < 4e-6


@pytest.mark.parametrize("case", ["depthwise", "depthwise_one_by_one", "wide_depthwise"])
def test_conv__depthwise__loses_nothing_to_quantisation(
    case: str, compare: Callable[..., float], rng: np.random.Generator
) -> None:
    shape, kernel, attributes = CASES[case]
    constants = {"w": rng.normal(size=kernel).astype(np.float32)}
    x = rng.normal(size=shape).astype(np.float32)
    assert compare([("Conv", ["x", "w"], ["y"], attributes)], x, constants, weights=8) < 5e-7


def test_conv__depthwise_window_of_many_positions__is_quantised(
    compare: Callable[..., float], rng: np.random.Generator
) -> None:
    constants = {"w": rng.normal(size=(3, 1, 31)).astype(np.float32)}
    x = rng.normal(size=(1, 3, 40)).astype(np.float32)
    error = compare([("Conv", ["x", "w"], ["y"], {"group": 3})], x, constants)
    assert 1e-6 < error < TOLERANCE


def test_conv__eight_bit_weights__are_coarser_but_close(
    compare: Callable[..., float], rng: np.random.Generator
) -> None:
    x = rng.normal(size=(1, 8, 6, 6)).astype(np.float32)
    constants = {"w": rng.normal(size=(4, 8, 3, 3)).astype(np.float32)}
    assert 1e-4 < compare([("Conv", ["x", "w"], ["y"], {})], x, constants, weights=8) < 2e-2


def test_conv__normalised_shifted_activated_pooled__folds_into_few_instructions(
    compare: Callable[..., float], network: Callable[..., Path], rng: np.random.Generator
) -> None:
    nodes = [
        ("Conv", ["x", "w"], ["c"], {"pads": [1, 1, 1, 1]}),
        ("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], {}),
        ("Add", ["n", "a"], ["p"], {}),
        ("Relu", ["p"], ["r"], {}),
        ("MaxPool", ["r"], ["y"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ]
    constants = {
        "w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "a": rng.normal(size=(4, 1, 1)).astype(np.float32),
        **{name: rng.uniform(0.5, 2, 4).astype(np.float32) for name in "sbmv"},
    }
    x = rng.normal(size=(1, 3, 6, 6)).astype(np.float32)
    assert compare(nodes, x, constants) < TOLERANCE
    tape = import_onnx(network(nodes, {"x": x}, {"y": np.float32}, constants)).tape
    # the scale, the normalisation and the sum are one constant and one expression, which the pool's reader evaluates
    assert len(tape.weights) == 3
    assert len(tape.instructions) <= 15


def test_conv__tiny_and_huge_activations__keep_their_relative_precision(
    compare: Callable[..., float], rng: np.random.Generator
) -> None:
    constants = {"w": rng.normal(size=(2, 3, 3, 3)).astype(np.float32)}
    for scale in (1e-6, 1e5):
        x = (rng.normal(size=(1, 3, 5, 5)) * scale).astype(np.float32)
        assert compare([("Conv", ["x", "w"], ["y"], {})], x, constants) < TOLERANCE


def test_conv__forty_in_a_row_with_growing_gain__stay_provable(
    compare: Callable[..., float], rng: np.random.Generator
) -> None:
    names = ["x", *(f"h{i}" for i in range(39)), "y"]
    nodes = [("Conv", [names[i], "w"], [names[i + 1]], {"pads": [1, 1, 1, 1]}) for i in range(40)]
    w = np.zeros((2, 2, 3, 3), np.float32)
    w[[0, 1], [1, 0], 1, 1] = 1
    w += rng.normal(size=w.shape).astype(np.float32) * np.float32(0.02)
    assert compare(nodes, rng.normal(size=(1, 2, 4, 4)).astype(np.float32), {"w": w}) < 5e-3
