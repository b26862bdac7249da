"""MatMul and Gemm against ONNX Runtime float32."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oracle_node.importers.onnx import import_onnx
from tests.importers.networks import answer

TOLERANCE = 4e-4


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("x", "w"),
    [
        ((1, 25), (25, 7)),
        ((6, 33), (33, 5)),
        ((2, 3, 17), (17, 4)),
        ((2, 3, 5, 8), (8, 6)),
        ((2, 3, 8), (2, 8, 6)),
        ((1, 1), (1, 1)),
        ((9,), (9, 4)),
        ((3, 9), (9,)),
        ((9,), (9,)),
        ((1, 5003), (5003, 3)),
        ((1, 6000), (6000, 2)),
    ],
)
def test_matmul__constant_weights__matches_float32(
    x: tuple[int, ...], w: tuple[int, ...], compare: Callable[..., float], rng: np.random.Generator
) -> None:
    error = compare([("MatMul", ["x", "w"], ["y"], {})], _normal(rng, *x), {"w": _normal(rng, *w)})
    assert error < (TOLERANCE if w != (9,) or x != (9,) else 5e-3)


def test_matmul__constant_on_the_left__matches_float32(
    compare: Callable[..., float], rng: np.random.Generator
) -> None:
    assert (
        compare([("MatMul", ["w", "x"], ["y"], {})], _normal(rng, 2, 11, 4), {"w": _normal(rng, 5, 11)})
        < TOLERANCE
    )


def test_matmul__two_activations__matches_float32(
    compare: Callable[..., float], rng: np.random.Generator
) -> None:
    nodes = [
        ("MatMul", ["x", "w"], ["q"], {}),
        ("Transpose", ["x"], ["k"], {"perm": [0, 2, 1]}),
        ("MatMul", ["q", "k"], ["y"], {}),
    ]
    assert compare(nodes, _normal(rng, 3, 5, 8), {"w": _normal(rng, 8, 8)}) < TOLERANCE


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("c", [(4,), (3, 4), (1, 4), (3, 1), ()])
def test_gemm__transposes_and_summands__matches_float32(
    transposed: int, c: tuple[int, ...], compare: Callable[..., float], rng: np.random.Generator
) -> None:
    x = _normal(rng, 7, 3) if transposed else _normal(rng, 3, 7)
    w = _normal(rng, 4, 7) if transposed else _normal(rng, 7, 4)
    attributes = {"transA": transposed, "transB": transposed, "alpha": 0.5, "beta": -1.5}
    constants = {"w": w, "c": np.asarray(rng.normal(size=c), np.float32)}
    assert compare([("Gemm", ["x", "w", "c"], ["y"], attributes)], x, constants) < TOLERANCE


def test_gemm__computed_summand__matches_float32(
    compare: Callable[..., float], rng: np.random.Generator
) -> None:
    nodes = [("Relu", ["x"], ["c"], {}), ("Gemm", ["x", "w", "c"], ["y"], {"beta": 2.0})]
    assert compare(nodes, _normal(rng, 4, 4), {"w": _normal(rng, 4, 4)}) < TOLERANCE


def test_matmul__rows_of_different_magnitude__have_their_own_scales(
    compare: Callable[..., float], rng: np.random.Generator
) -> None:
    rows = np.asarray([[1e-4], [1.0], [1e4]], np.float32)
    x = _normal(rng, 3, 32) * rows
    nodes = [("MatMul", ["x", "w"], ["p"], {}), ("Div", ["p", "rows"], ["y"], {})]
    assert compare(nodes, x, {"w": _normal(rng, 32, 5), "rows": rows}) < TOLERANCE


def test_matmul__input_of_zeros__answers_zeros(
    network: Callable[..., Path], rng: np.random.Generator
) -> None:
    x = np.zeros((1, 6), np.float32)
    path = network(
        [("MatMul", ["x", "w"], ["y"], {})], {"x": x}, {"y": np.float32}, {"w": _normal(rng, 6, 3)}
    )
    assert answer(import_onnx(path), x).tolist() == [0, 0, 0]
