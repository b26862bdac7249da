"""Reductions, argmax, softmax and normalisation against ONNX Runtime float32."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((3, 4, 5), [1]),
        ((3, 4, 5), [0, -1]),
        ((2, 3, 40), [2]),
        ((6, 50), None),
        ((2, 700), [1]),
        ((1009,), [0]),
    ],
)
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reduce__axes__matches_float32(
    operator: str,
    shape: tuple[int, ...],
    axes: list[int] | None,
    keepdims: int,
    compare: Callable[..., float],
    rng: np.random.Generator,
) -> None:
    by_input = operator == "ReduceSum" and axes is not None
    constants = {"a": np.asarray(axes, np.int64)} if by_input else {}
    attributes: dict[str, Any] = {"keepdims": keepdims}
    if axes is not None and not by_input:
        attributes["axes"] = axes
    x = np.abs(_normal(rng, *shape)) + np.float32(0.1)
    tolerance = 0 if operator in ("ReduceMax", "ReduceMin") else 2e-6
    assert compare([(operator, ["x", *constants], ["y"], attributes)], x, constants, 13) <= tolerance


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceMax"])
def test_reduce__axes_as_input__matches_float32(
    operator: str, compare: Callable[..., float], rng: np.random.Generator
) -> None:
    x = np.abs(_normal(rng, 3, 4, 20))
    assert compare([(operator, ["x", "a"], ["y"], {})], x, {"a": np.asarray([-1], np.int64)}, 18) < 2e-6


def test_reduce__sum_of_integers__is_exact(compare: Callable[..., float]) -> None:
    x = np.arange(24, dtype=np.int64).reshape(2, 12) - 7
    assert compare([("ReduceSum", ["x"], ["y"], {})], x, output=np.int64) == 0


@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceMean", "ReduceMax"])
def test_reduce__of_a_constant__matches_float32(
    operator: str, compare: Callable[..., float], rng: np.random.Generator
) -> None:
    attributes: dict[str, Any] = {} if operator == "ReduceSum" else {"axes": [1]}
    constants = {"c": _normal(rng, 3, 5)} | ({"a": np.asarray([1])} if operator == "ReduceSum" else {})
    nodes = [(operator, list(constants), ["r"], attributes), ("Add", ["x", "r"], ["y"], {})]
    assert compare(nodes, _normal(rng, 3, 5), constants, 13) < 1e-6


@pytest.mark.parametrize("operator", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("last", [0, 1])
def test_argmax__ties__takes_the_first_or_the_last(
    operator: str, axis: int, last: int, compare: Callable[..., float], rng: np.random.Generator
) -> None:
    x = rng.integers(0, 3, (4, 5, 6)).astype(np.float32)
    attributes = {"axis": axis, "select_last_index": last, "keepdims": 0}
    assert compare([(operator, ["x"], ["y"], attributes)], x, opset=13, output=np.int64) == 0


@pytest.mark.parametrize("shape", [(1, 1009), (3, 5000), (2, 2, 300)])
def test_argmax__long_axis__equals_float32(
    shape: tuple[int, ...], compare: Callable[..., float], rng: np.random.Generator
) -> None:
    x = rng.integers(0, 40, shape).astype(np.float32)
    assert compare([("ArgMax", ["x"], ["y"], {"axis": -1})], x, output=np.int64) == 0


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(
    ("shape", "attributes", "opset"),
    [
        ((2, 10), {}, 13),
        ((2, 3, 4), {"axis": 1}, 13),
        ((2, 3, 4), {}, 11),
        ((2, 3, 4), {"axis": 2}, 11),
        ((1, 700), {}, 13),
    ],
)
def test_softmax__axis_and_opset__matches_float32(
    operator: str,
    shape: tuple[int, ...],
    attributes: dict[str, Any],
    opset: int,
    compare: Callable[..., float],
    rng: np.random.Generator,
) -> None:
    x = _normal(rng, *shape) * np.float32(4)
    assert compare([(operator, ["x"], ["y"], attributes)], x, opset=opset) < 3e-6


@pytest.mark.parametrize("shape", [(2, 4), (1, 4, 5), (2, 4, 3, 3)])
def test_batch_normalization__ranks__matches_float32(
    shape: tuple[int, ...], compare: Callable[..., float], rng: np.random.Generator
) -> None:
    constants = {name: rng.uniform(0.2, 2, 4).astype(np.float32) for name in "sbmv"}
    nodes = [("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], {"epsilon": 1e-3})]
    assert compare(nodes, _normal(rng, *shape), constants) < 1e-6


def test_layer_norm__written_out__matches_float32(
    compare: Callable[..., float], rng: np.random.Generator
) -> None:
    nodes = [
        ("ReduceMean", ["x"], ["m"], {"axes": [-1]}),
        ("Sub", ["x", "m"], ["d"], {}),
        ("Pow", ["d", "two"], ["q"], {}),
        ("ReduceMean", ["q"], ["v"], {"axes": [-1]}),
        ("Add", ["v", "e"], ["w"], {}),
        ("Sqrt", ["w"], ["s"], {}),
        ("Div", ["d", "s"], ["n"], {}),
        ("Mul", ["n", "g"], ["h"], {}),
        ("Add", ["h", "b"], ["y"], {}),
    ]
    constants = {
        "two": np.float32(2), "e": np.float32(1e-5), "g": _normal(rng, 48), "b": _normal(rng, 48),
    }  # fmt: skip
    assert compare(nodes, _normal(rng, 7, 48), constants) < 1e-5
