"""Normalisation by run-time statistics, norms, products and running sums against ONNX Runtime float32."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracle_node.errors import ModelError
from oracle_node.importers.onnx import import_onnx

Compare = Callable[..., float]


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("shape", "axis"), [((7, 48), -1), ((2, 3, 40), 1), ((2, 5, 600), 2), ((1, 9), 0)])
def test_layer_normalization__axis__matches_float32(
    shape: tuple[int, ...], axis: int, compare: Compare, rng: np.random.Generator
) -> None:
    x = _normal(rng, *shape) * 10 ** rng.uniform(-2, 2, (shape[0], *[1] * (len(shape) - 1)))
    constants = {"s": _normal(rng, *shape[axis:]), "b": _normal(rng, *shape[axis:])}
    nodes = [("LayerNormalization", ["x", "s", "b"], ["y"], {"axis": axis, "epsilon": 1e-6})]
    assert compare(nodes, x.astype(np.float32), constants) < 1e-5
    assert (
        compare([("LayerNormalization", ["x", "s"], ["y"], {"axis": axis})], x.astype(np.float32), constants)
        < 1e-5
    )


def test_layer_normalization__equal_elements__is_the_bias(compare: Compare) -> None:
    constants = {"s": np.ones(6, np.float32), "b": np.arange(6, dtype=np.float32)}
    nodes = [("LayerNormalization", ["x", "s", "b"], ["y"], {})]
    assert compare(nodes, np.full((2, 6), 3, np.float32), constants) < 1e-3


@pytest.mark.parametrize("shape", [(2, 4, 30), (1, 4, 5, 6), (1, 4, 30, 30)])
def test_instance_normalization__ranks__matches_float32(
    shape: tuple[int, ...], compare: Compare, rng: np.random.Generator
) -> None:
    constants = {"s": _normal(rng, 4), "b": _normal(rng, 4)}
    nodes = [("Relu", ["x"], ["r"], {}), ("InstanceNormalization", ["r", "s", "b"], ["y"], {})]
    assert compare(nodes, _normal(rng, *shape), constants) < 1e-5


@pytest.mark.parametrize(("opset", "size"), [(18, 2), (21, 4)])
def test_group_normalization__opset__matches_float32(
    opset: int, size: int, compare: Compare, rng: np.random.Generator
) -> None:
    constants = {"s": _normal(rng, size), "b": _normal(rng, size)}
    nodes = [("GroupNormalization", ["x", "s", "b"], ["y"], {"num_groups": 2})]
    assert compare(nodes, _normal(rng, 2, 4, 5, 6), constants, opset) < 1e-5


def test_mean_variance_normalization__default_axes__matches_float32(
    compare: Compare, rng: np.random.Generator
) -> None:
    assert compare([("MeanVarianceNormalization", ["x"], ["y"], {})], _normal(rng, 3, 2, 4, 5)) < 1e-5


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [0, -1])
def test_lp_normalization__axis__matches_float32(
    p: int, axis: int, compare: Compare, rng: np.random.Generator
) -> None:
    assert compare([("LpNormalization", ["x"], ["y"], {"p": p, "axis": axis})], _normal(rng, 5, 30)) < 1e-5


@pytest.mark.parametrize(
    "operator", ["ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd", "ReduceLogSum", "ReduceLogSumExp"]
)
@pytest.mark.parametrize(
    ("shape", "axes"), [((3, 4, 5), [1]), ((3, 4, 5), [0, -1]), ((4, 5), None), ((2, 50), [1])]
)
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reduce__axes__matches_float32(
    operator: str,
    shape: tuple[int, ...],
    axes: list[int] | None,
    keepdims: int,
    compare: Compare,
    rng: np.random.Generator,
) -> None:
    x = _normal(rng, *shape)
    x = np.abs(x) + np.float32(0.5) if operator == "ReduceLogSum" else x
    attributes: dict[str, Any] = {"keepdims": keepdims} | ({} if axes is None else {"axes": axes})
    assert compare([(operator, ["x"], ["y"], attributes)], x, opset=13) < 3e-6


def test_reduce__prod_of_integers__is_exact(compare: Compare) -> None:
    x = np.asarray([[2, -3, 4], [5, 1, 7]], np.int64)
    nodes = [("ReduceProd", ["x"], ["y"], {"axes": [1]})]
    assert compare(nodes, x, output=np.int64, input_range=(-9, 9), opset=13) == 0


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize(("kind", "tolerance"), [(np.float32, 2e-6), (np.int32, 0), (np.int64, 0)])
@pytest.mark.parametrize(("shape", "axis"), [((6, 7), 0), ((2, 30, 3), 1), ((1, 300), -1)])
def test_cumsum__axis__matches_float32(
    shape: tuple[int, ...],
    axis: int,
    kind: type,
    tolerance: float,
    exclusive: int,
    reverse: int,
    compare: Compare,
    rng: np.random.Generator,
) -> None:
    nodes = [("CumSum", ["x", "a"], ["y"], {"exclusive": exclusive, "reverse": reverse})]
    x = (rng.normal(size=shape) * 50).astype(kind)
    options = {} if kind is np.float32 else {"input_range": (-1000, 1000)}
    assert compare(nodes, x, {"a": np.asarray(axis, np.int64)}, output=kind, **options) <= tolerance


def test_reduce__long_product__is_refused(network: Callable[..., Path]) -> None:
    x = np.ones((1, 65), np.float32)
    with pytest.raises(ModelError, match=r"ReduceProd node .* at most 64"):
        import_onnx(network([("ReduceProd", ["x"], ["y"], {"axes": [1]})], {"x": x}, {"y": np.float32}))
