"""Minima and maxima where old versions of ONNX Runtime compare only the signed lower halves of two i64."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from oracle_node.executors.onnx.extremes import clamp, largest, maximum, minimum, smallest
from oracle_node.executors.onnx.graph import Elem, Graph, Value
from oracle_node.executors.onnx.session import Session

_HALVES = [0, 1, -1, (1 << 31) - 1, -(1 << 31), 5]
_EDGES = sorted(
    {(high << 32) + (low % (1 << 32)) for high in _HALVES for low in _HALVES}
    | {sign * ((1 << bits) + d) for sign in (1, -1) for bits in (24, 53, 62) for d in (-1, 0, 1)}
)
_KINDS = (Elem.I64, Elem.I32, Elem.F64, Elem.F32)


def _run(make: Callable[[Graph, Sequence[Value]], Value], *arrays: np.ndarray) -> np.ndarray:
    graph = Graph()
    inputs = [graph.input(f"input{n}", Elem.of(a.dtype), a.shape) for n, a in enumerate(arrays)]
    name = graph.output(make(graph, inputs))
    return Session(graph, 1).run({f"input{n}": a for n, a in enumerate(arrays)})[name]


def _pairs(elem: Elem) -> tuple[np.ndarray, np.ndarray]:
    edges = np.array(_EDGES, np.int64).astype(elem.numpy)
    first, second = np.meshgrid(edges, edges)
    return first.reshape(-1).copy(), second.reshape(-1).copy()


@pytest.mark.parametrize("elem", _KINDS, ids=lambda elem: elem.name)
def test_extremes__every_pair_of_edges__equals_numpy(elem: Elem) -> None:
    a, b = _pairs(elem)
    np.testing.assert_array_equal(_run(minimum, a, b), np.minimum(a, b))
    np.testing.assert_array_equal(_run(maximum, a, b), np.maximum(a, b))
    np.testing.assert_array_equal(_run(maximum, a, b, a[::-1].copy()), np.maximum(np.maximum(a, b), a[::-1]))


@pytest.mark.parametrize("elem", _KINDS, ids=lambda elem: elem.name)
@pytest.mark.parametrize("bounds", [(0, 1 << 23), (-(1 << 23), -5), (7, 7)])
def test_clamp__every_edge__equals_numpy(elem: Elem, bounds: tuple[int, int]) -> None:
    value, _ = _pairs(elem)
    found = _run(lambda graph, inputs: clamp(graph, inputs[0], *bounds), value)
    np.testing.assert_array_equal(found, np.clip(value, *bounds))


@pytest.mark.parametrize("elem", _KINDS, ids=lambda elem: elem.name)
@pytest.mark.parametrize("axes", [(0,), (2,), (0, 2), (0, 1, 2)])
def test_reduced_extremes__any_axes__equal_numpy(elem: Elem, axes: tuple[int, ...]) -> None:
    value = np.resize(np.concatenate([*_pairs(elem)])[::7], (3, 5, 31))
    np.testing.assert_array_equal(_run(lambda g, v: largest(g, v[0], axes), value), value.max(axes))
    np.testing.assert_array_equal(_run(lambda g, v: smallest(g, v[0], axes), value), value.min(axes))


@pytest.mark.parametrize("kind", ["Min", "Max", "Clip", "ReduceMin", "ReduceMax", "Sign", "Relu"])
def test_graph__a_kernel_that_errs_for_i64__is_not_built(kind: str) -> None:
    graph = Graph()
    with pytest.raises(AssertionError, match="i64"):
        graph.op(kind, [graph.scalar(1, Elem.I64)])
    graph.op(kind, [graph.scalar(1, Elem.I32)])
