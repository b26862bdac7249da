"""Views become ONNX data movement that reads exactly the elements numpy's strides read."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle_node.executors.onnx.graph import Elem, Graph
from oracle_node.executors.onnx.session import Session
from oracle_node.executors.onnx.views import View, contiguous, read, read_array
from tests.executors.onnx.checking import operators


def _read(base: np.ndarray, view: View) -> tuple[np.ndarray, Counter[str]]:
    graph = Graph()
    value = read(graph, graph.input("base", Elem.of(base.dtype), base.shape), view)
    name = graph.output(value)
    result = Session(graph, 1).run({"base": base})[name]
    assert result.shape == value.shape == view.core
    return result, operators(graph)


def _require_read(shape: tuple[int, ...], view: View) -> Counter[str]:
    base = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    found, used = _read(base, view)
    np.testing.assert_array_equal(found, read_array(base, view))
    return used


@st.composite
def _views(draw: st.DrawFn) -> tuple[tuple[int, ...], View]:
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    count = int(np.prod(shape))
    steps = st.sampled_from([0, 1, 2, 3, *contiguous(shape), *(2 * s for s in contiguous(shape))])
    axes: list[tuple[int, int]] = []
    low = high = 0
    for _ in range(draw(st.integers(0, 5))):
        stride = draw(steps) * draw(st.sampled_from([1, 1, 1, -1]))
        room = count - 1 - (high - low)
        size = (
            draw(st.integers(1, 5)) if stride == 0 else 1 + draw(st.integers(0, min(5, room // abs(stride))))
        )
        low, high = min(low, low + stride * (size - 1)), max(high, high + stride * (size - 1))
        axes.append((size, stride if size > 1 else 0))
    offset = -low + draw(st.integers(0, count - 1 - (high - low)))
    return shape, View(offset, tuple(n for n, _ in axes), tuple(s for _, s in axes))


@given(_views())
@settings(max_examples=300, deadline=None)
def test_read__any_view__equals_numpy(case: tuple[tuple[int, ...], View]) -> None:
    _require_read(*case)


@pytest.mark.parametrize(
    ("shape", "view", "expected"),
    [
        ((6, 8), View(0, (6, 8), (8, 1)), {"Identity"}),
        ((6, 8), View(0, (48,), (1,)), {"Identity"}),
        ((6, 8), View(0, (8, 6), (1, 8)), {"Transpose"}),
        ((5, 6), View(7, (3, 4), (6, 1)), {"Slice"}),
        ((5, 7), View(0, (3, 3), (14, 2)), {"Slice"}),
        ((6, 8), View(47, (6, 8), (-8, -1)), {"Slice"}),
        ((6, 4, 8), View(0, (3, 2, 8, 2, 2), (64, 16, 1, 32, 8)), {"Reshape", "Transpose"}),
        ((5, 6), View(3, (2, 3, 1), (10, 3, 0)), {"Reshape", "Slice"}),
        ((6, 6, 16), View(0, (4, 4, 3, 3, 16), (96, 16, 96, 16, 1)), {"Reshape", "Gather"}),
        ((6, 6, 8), View(0, (4, 4, 3, 3, 8), (48, 8, 48, 8, 1)), {"Reshape", "GatherElements"}),
        ((9,), View(0, (7, 3), (1, 1)), {"Reshape", "GatherElements"}),
    ],
    ids=[
        "whole",
        "flat",
        "transposed",
        "slice",
        "steps",
        "flipped",
        "pool",
        "part",
        "windows",
        "windows of short rows",
        "scalar windows",
    ],
)
def test_read__kinds_of_view__take_their_operators(
    shape: tuple[int, ...], view: View, expected: set[str]
) -> None:
    assert set(_require_read(shape, view)) <= expected


def test_read__broadcast_axes__stay_of_size_one() -> None:
    found, used = _read(np.arange(4, dtype=np.int16), View(1, (5, 3, 7), (0, 1, 0)))
    assert found.shape == (1, 3, 1)
    assert "Expand" not in used
