"""Pools against ONNX Runtime float32: maxima exactly, averages to 22 bits of the largest value."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

SUM = 1e-6

CASES: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((1, 3, 6, 8), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "overlapping": ((1, 3, 7, 8), {"kernel_shape": [3, 2]}),
    "leftover": ((1, 2, 8, 7), {"kernel_shape": [3, 3], "strides": [3, 3]}),
    "padded": ((1, 3, 6, 6), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 2]}),
    "same_upper": ((1, 2, 7, 6), {"kernel_shape": [4, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same_lower": ((1, 2, 7, 6), {"kernel_shape": [4, 4], "auto_pad": "SAME_LOWER"}),
    "ceil": ((1, 2, 7, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "ceil_padded": (
        (1, 2, 8, 8),
        {"kernel_shape": [3, 3], "strides": [3, 2], "pads": [0, 1, 0, 1], "ceil_mode": 1},
    ),
    "one_dimension": ((2, 3, 11), {"kernel_shape": [4], "strides": [3]}),
    "three_dimensions": ((1, 2, 4, 5, 6), {"kernel_shape": [2, 3, 2], "pads": [0, 1, 0, 0, 1, 1]}),
    "wide": ((1, 300, 20, 20), {"kernel_shape": [13, 13], "strides": [7, 7]}),
}


@pytest.mark.parametrize("case", CASES)
def test_max_pool__geometry__equals_float32(
    case: str, compare: Callable[..., float], rng: np.random.Generator
) -> None:
    shape, attributes = CASES[case]
    x = rng.normal(size=shape).astype(np.float32) - np.float32(3)
    assert compare([("MaxPool", ["x"], ["y"], attributes)], x) == 0


def test_max_pool__dilated__equals_float32(compare: Callable[..., float], rng: np.random.Generator) -> None:
    x = rng.normal(size=(1, 2, 9, 9)).astype(np.float32)
    attributes = {"kernel_shape": [3, 2], "dilations": [2, 3], "pads": [1, 1, 1, 1]}
    assert compare([("MaxPool", ["x"], ["y"], attributes)], x) == 0


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_average_pool__geometry__matches_float32(
    case: str, include: int, compare: Callable[..., float], rng: np.random.Generator
) -> None:
    shape, attributes = CASES[case]
    x = rng.normal(size=shape).astype(np.float32)
    nodes = [("AveragePool", ["x"], ["y"], {**attributes, "count_include_pad": include})]
    assert compare(nodes, x, opset=19) < 4 * SUM


@pytest.mark.parametrize("shape", [(1, 3, 5, 7), (2, 300, 8, 8), (1, 4, 1, 1), (1, 2, 40, 40)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_global_pools__shapes__match_float32(
    shape: tuple[int, ...], channels_last: bool, compare: Callable[..., float], rng: np.random.Generator
) -> None:
    x = rng.normal(size=shape).astype(np.float32)
    nodes: list[Any] = []
    if channels_last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        nodes = [("Transpose", ["x"], ["t"], {"perm": [0, 3, 1, 2]})]
    read = "t" if channels_last else "x"
    assert compare([*nodes, ("GlobalMaxPool", [read], ["y"], {})], x) == 0
    # a mean of many nearly cancels: the tolerance is relative to the summands
    scale = float(np.abs(x).max())
    mean = np.abs(x.mean(axis=(1, 2) if channels_last else (2, 3))).max()
    assert compare([*nodes, ("GlobalAveragePool", [read], ["y"], {})], x) < SUM * scale / mean
