"""What a plan computes as one though the tape has it in steps: maxima of maxima, chains of elementwise instructions."""

from itertools import product

import numpy as np
import pytest

from oracle_node.executors.onnx.joining import covered
from oracle_node.executors.onnx.views import View
from oracle_node.tape.instruction import Reducer
from tests.executors.onnx.checking import new_builder, require_exact

_RNG = np.random.default_rng(22)


@pytest.mark.parametrize("reducer", [Reducer.MAX, Reducer.MIN])
@pytest.mark.parametrize("stride", [5, 7])
def test_extremes_of_blocks__down_to_one_value__are_one_kernel(reducer: Reducer, stride: int) -> None:
    builder = new_builder()
    data = _RNG.normal(size=(6, 5 * stride + 7)).astype(np.float32)
    blocks = builder.const(data).windows(1, 7, stride)  # side by side, or overlapping
    parts = builder.reduce(reducer, blocks, function=lambda v: v * v + v)
    rows = builder.reduce(reducer, parts.reshape(12, 3))
    used = require_exact(builder, builder.reduce(reducer, rows))
    assert used == {"Mul": 1, "Add": 1, f"Reduce{reducer.name.title()}": 1}


def test_extremes_of_blocks__read_by_another__are_kept() -> None:
    builder = new_builder()
    parts = builder.reduce(Reducer.MAX, builder.const(_RNG.normal(size=(9, 70)).astype(np.float32)))
    largest = builder.reduce(Reducer.MAX, parts)
    used = require_exact(builder, builder.map(lambda a, b: a - b, parts, largest.broadcast_to((9,))))
    assert used["ReduceMax"] == 2


@pytest.mark.parametrize("first", [Reducer.MIN, Reducer.MAX])
def test_extremes__of_another_kind_or_of_some_blocks_only__are_two_kernels(first: Reducer) -> None:
    builder = new_builder()
    parts = builder.reduce(first, builder.const(_RNG.normal(size=(70, 70)).astype(np.float32)))
    some = parts if first is Reducer.MIN else parts.slice(0, 1, 69)
    used = require_exact(builder, builder.reduce(Reducer.MAX, some))
    assert used["ReduceMax"] + used["ReduceMin"] == 2


def test_covered__random_windows__are_the_same_places_on_fewer_axes() -> None:
    for _ in range(200):
        rank = int(_RNG.integers(1, 4))
        shape = tuple(int(n) for n in _RNG.integers(1, 5, rank))
        strides = [tuple(int(s) for s in _RNG.choice([0, 1, 2, 4, 8], rank)) for _ in range(2)]
        views = [View(3, shape, s) for s in strides]
        found = covered(views)
        assert _places(views) == _places(found)
        assert len(found[0].shape) <= len(shape)


def test_covered__tiles_of_an_image__are_one_axis() -> None:
    (found,) = covered([View(0, (3, 240, 6, 55), (76800, 320, 53, 1))])
    assert found == View(0, (230400,), (1,))


def _places(views: list[View]) -> set[tuple[int, ...]]:
    """The elements that the views read together."""
    return {
        tuple(view.offset + sum(s * c for s, c in zip(view.strides, at, strict=True)) for view in views)
        for at in product(*map(range, views[0].shape))
    }


def test_elementwise_chain__each_result_read_once_and_as_it_lies__is_one_program() -> None:
    builder = new_builder()
    x, row = (builder.const(_RNG.normal(size=s).astype(np.float32)) for s in ((4, 6), (6,)))
    low = builder.map(lambda v, r: (v * r).maximum(-0.25), x, row)
    used = require_exact(builder, builder.map(lambda v, r: v.minimum(0.25) - r, low, row))
    assert used["Clip"] == 1  # the two bounds have met


@pytest.mark.parametrize("view", ["transposed", "twice"])
def test_elementwise_chain__read_otherwise_or_twice__is_kept_apart(view: str) -> None:
    builder = new_builder()
    x = builder.const(_RNG.normal(size=(5, 5)).astype(np.float32))
    low = builder.map(lambda v: v.maximum(-0.25), x)
    other = low.transpose(1, 0) if view == "transposed" else builder.map(lambda v: v * 3.0, low)
    used = require_exact(builder, builder.map(lambda a, b: a.minimum(0.25) - b, low, other))
    assert used["Clip"] == 2


def test_elementwise_chain__three_hundred_long__is_exact() -> None:
    builder = new_builder()
    x = total = builder.const(_RNG.normal(size=7).astype(np.float32))
    for _ in range(300):
        total = builder.map(lambda t, v: t * 0.5 + v, total, x)
    require_exact(builder, total)


@pytest.mark.parametrize("place", [0, 1])
def test_elementwise_chain__program_without_operations__is_its_last_operand(place: int) -> None:
    builder = new_builder()
    x = builder.const(_RNG.integers(-9, 9, (3, 4), np.int16))
    operands = [builder.map(lambda v: v + 1, x), x]
    require_exact(builder, builder.map(lambda a, b: b, *(operands if place else operands[::-1])))


def test_elementwise_chain__operands_shared_and_copied__is_exact() -> None:
    builder = new_builder()
    a, b = (builder.const(_RNG.integers(-9, 9, (3, 70), np.int16)) for _ in range(2))
    total = builder.map(lambda x, y: x * 3 - y, a, b)
    again = builder.map(lambda y, t, x: t * t + x - y, b, total, a)
    copied = builder.map(lambda v: v, again.slice(0, 1, 2))
    require_exact(builder, builder.map(lambda c, x: c.to_float() * x.to_float(), copied, a.slice(0, 0, 2)))
