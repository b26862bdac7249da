"""Activations and sums of several tensors against ONNX Runtime float32."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

EXACT = 0.0
X = np.asarray(
    [[-3.5, -1.5, -0.25, 0.0, 1e-3, 0.7, 0.5], [1.0, 2.5, 4.0, 6.5, 100.0, -80.0, -0.5]], np.float32
)

UNARY: dict[str, tuple[dict[str, Any], float, int]] = {
    "Floor": ({}, EXACT, 17),
    "Ceil": ({}, EXACT, 17),
    "Round": ({}, EXACT, 17),
    "Sign": ({}, EXACT, 17),
    "ThresholdedRelu": ({"alpha": 0.6}, EXACT, 17),
    "Shrink": ({"lambd": 0.6, "bias": 0.3}, EXACT, 17),
    "Erf": ({}, 3e-7, 17),
    "Elu": ({"alpha": 1.5}, 3e-7, 17),
    "Celu": ({"alpha": 1.5}, 3e-7, 17),
    "Selu": ({}, 3e-7, 17),
    "Softplus": ({}, 3e-7, 17),
    "Softsign": ({}, 3e-7, 17),
    "Mish": ({}, 3e-7, 18),
    "Gelu": ({}, 3e-7, 20),
}


@pytest.mark.parametrize("operator", UNARY)
@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_unary__values_of_both_signs__matches_float32(
    operator: str, scale: float, compare: Callable[..., float]
) -> None:
    attributes, tolerance, opset = UNARY[operator]
    assert compare([(operator, ["x"], ["y"], attributes)], X * np.float32(scale), opset=opset) <= tolerance


def test_gelu__tanh__matches_float32(compare: Callable[..., float]) -> None:
    assert compare([("Gelu", ["x"], ["y"], {"approximate": "tanh"})], X, opset=20) < 1e-6


def test_exp_and_log__random_values__match_float32(
    compare: Callable[..., float], rng: np.random.Generator
) -> None:
    x = rng.normal(size=(20, 30)).astype(np.float32) * 3
    assert compare([("Exp", ["x"], ["y"], {})], x) < 1e-6
    assert compare([("Log", ["x"], ["y"], {})], np.exp(x)) < 1e-6
    assert compare([("Log", ["x"], ["y"], {})], 1 + x / 1000) < 1e-4  # relative to 0.01


def test_sign__integers__is_exact(compare: Callable[..., float]) -> None:
    x = np.asarray([[-5, 0, 3]], np.int64)
    assert compare([("Sign", ["x"], ["y"], {})], x, output=np.int64) == EXACT


def test_reciprocal__range_without_zero__equals_float32(compare: Callable[..., float]) -> None:
    x = np.abs(X) + np.float32(0.5)
    assert compare([("Reciprocal", ["x"], ["y"], {})], x, input_range=(0.1, 200.0)) == EXACT


@pytest.mark.parametrize("slope", [np.float32(0.2), np.linspace(-1, 1, 7, dtype=np.float32), X[:, :1]])
def test_prelu__slope_that_broadcasts__equals_float32(
    slope: np.ndarray, compare: Callable[..., float]
) -> None:
    assert compare([("PRelu", ["x", "s"], ["y"], {})], X, {"s": slope}) == EXACT


@pytest.mark.parametrize("operator", ["Sum", "Mean"])
@pytest.mark.parametrize("names", [["x"], ["x", "r"], ["c", "x", "r", "c"]])
def test_sum__any_number_of_tensors__matches_float32(
    operator: str, names: list[str], compare: Callable[..., float]
) -> None:
    nodes = [("Relu", ["x"], ["r"], {}), (operator, names, ["y"], {})]
    assert compare(nodes, X, {"c": X[1]}) <= 2e-7


def test_cast_like__float_to_integer__truncates(compare: Callable[..., float]) -> None:
    nodes = [("CastLike", ["x", "c"], ["y"], {})]
    assert compare(nodes, X, {"c": np.int32(0)}, output=np.int32) == EXACT
