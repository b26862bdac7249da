"""Loops over views, types and axes of every kind, beside numpy."""

from collections.abc import Sequence

import numpy as np
import pytest

from oracle_node.executors.loops.compiler import Function, address
from oracle_node.executors.loops.loop import Access, Loop
from oracle_node.executors.scalar import run_program
from oracle_node.tape.instruction import Reducer
from oracle_node.tape.interval import Interval
from oracle_node.tape.scalar import Op, Program, ScalarOp
from oracle_node.tape.types import Kind

_COPY = Program()
_SUM = Program((ScalarOp(Op.FADD, (0, 1)),))
_HUGE = Interval(-(1 << 62), 1 << 62)


def _access(array: np.ndarray, base: np.ndarray, number: int, kind: Kind | None = None) -> Access:
    """How numpy's view of a contiguous base reads it."""
    start = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    strides = tuple(
        s // base.itemsize if n > 1 else 0 for n, s in zip(array.shape, array.strides, strict=True)
    )
    kind = kind or ("float" if base.dtype.kind == "f" else "int")
    return Access(number, base.dtype, kind, start // base.itemsize, strides)


def _floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def _run(loops: Sequence[Loop], *buffers: np.ndarray) -> None:
    Function(loops)([address(buffer) for buffer in buffers])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 16, 17, 33])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_loop__strided_and_broadcast_views__equals_numpy(size: int, order: tuple[int, int, int]) -> None:
    base, row = _floats(9, 10, 2 * size + 1), _floats(size)
    view = base[1:8, ::-1, 1 : 2 * size : 2]
    found = np.full((7, 10, size), np.nan, np.float32)
    result = found.transpose(order)
    reads = [view.transpose(order), np.broadcast_to(row, view.shape).transpose(order)]
    intervals = (Interval(-9.0, 9.0),) * 3
    accesses = (_access(reads[0], base, 0), _access(reads[1], row, 1))
    _run([Loop(_SUM, intervals, result.shape, accesses, _access(result, found, 2))], base, row, found)
    assert np.array_equal(found, view + row)


@pytest.mark.parametrize("source", ["i1", "u1", "i2", "i4", "i8", "f4", "f8"])
@pytest.mark.parametrize("target", ["i1", "u1", "i2", "i4", "i8", "f4", "f8"])
def test_loop__integers_in_any_type__keep_their_values(source: str, target: str) -> None:
    numbers = np.array([*range(-100, 100)] * 3, np.int64)
    numbers = np.abs(numbers) if "u" in source + target else numbers
    before, after = numbers.astype(source), np.zeros(600, target)
    limits = (Interval(int(numbers.min()), int(numbers.max())),)
    loop = Loop(_COPY, limits, (600,), (_access(before, before, 0, "int"),), _access(after, after, 1, "int"))
    _run([loop], before, after)
    assert np.array_equal(after.astype(np.int64), numbers)


def test_loop__large_integers_in_doubles__become_floats_rounded_once() -> None:
    numbers = np.array([(1 << 53) - 1, (1 << 24) + 1, -(1 << 25) - 1, (1 << 54) + (1 << 30) + 1, 0], np.int64)
    numbers = np.concatenate([numbers, -numbers, np.arange(1 << 30, (1 << 30) + 300)])
    carried, found = numbers.astype(np.float64), np.zeros(numbers.size, np.float32)
    carried[numbers == 0] = -0.0  # as products of matrices may leave it
    program = Program((ScalarOp(Op.I2F, (0,)),))
    loop = Loop(
        program, (_HUGE, Interval(-1e19, 1e19)), numbers.shape, (_access(carried, carried, 0, "int"),),
        _access(found, found, 1),
    )  # fmt: skip
    _run([loop], carried, found)
    assert found.tobytes() == carried.astype(np.int64).astype(np.float32).tobytes()


@pytest.mark.parametrize("target", ["f4", "f8"])
def test_loop__minus_zero_for_an_integer__is_handed_on_as_zero(target: str) -> None:
    before, after = np.full(50, -0.0), np.ones(50, target)
    accesses = (_access(before, before, 0, "int"),), _access(after, after, 1, "int")
    _run([Loop(_COPY, (Interval(-5, 5),), (50,), *accesses)], before, after)
    assert after.tobytes() == np.zeros(50, target).tobytes()


@pytest.mark.parametrize("reducer", [Reducer.SUM, Reducer.MAX, Reducer.MIN])
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 33, 3), (5, 6, 70)])
def test_reduction__of_integers__equals_numpy(
    reducer: Reducer, axes: tuple[int, ...], shape: tuple[int, int, int]
) -> None:
    numbers = np.random.default_rng(5).integers(-(1 << 40), 1 << 40, shape)
    function = {Reducer.SUM: np.sum, Reducer.MAX: np.max, Reducer.MIN: np.min}[reducer]
    expected = np.asarray(function(numbers, axis=axes))
    found = np.zeros(expected.shape, np.int64)
    _reduce(reducer, numbers, axes, found, (Interval(-(1 << 40), 1 << 40),))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("reducer", [Reducer.MAX, Reducer.MIN])
@pytest.mark.parametrize("width", [1, 2, 31, 33, 1000])
def test_reduction__of_floats_of_both_signs__is_exact_and_its_zero_positive(
    reducer: Reducer, width: int
) -> None:
    rows = [_floats(width), -np.abs(_floats(width)), np.abs(_floats(width)), np.zeros(width, np.float32)]
    rows += [
        np.full(width, -0.0, np.float32),
        np.where(np.arange(width) % 2, np.float32(-0.0), np.float32(0)),
    ]
    numbers = np.stack([np.random.default_rng(1).permutation(row) for row in rows])
    function = np.max if reducer is Reducer.MAX else np.min
    found = np.full(len(rows), np.nan, np.float32)
    _reduce(reducer, numbers, (1,), found, (Interval(-9.0, 9.0),))
    assert found.tobytes() == (function(numbers, axis=1) + np.float32(0)).tobytes()


def _reduce(
    reducer: Reducer,
    numbers: np.ndarray,
    axes: tuple[int, ...],
    found: np.ndarray,
    limits: tuple[Interval, ...],
) -> None:
    kept = [a for a in range(numbers.ndim) if a not in axes]
    moved = numbers.transpose([*kept, *axes])
    loop = Loop(
        _COPY, limits, found.shape, (_access(moved, numbers, 0),), _access(found, found, 1), reducer,
        moved.shape[len(kept) :],
    )  # fmt: skip
    _run([loop], numbers, found)


def test_loops__one_after_another__see_what_was_written() -> None:
    x, between, found = _floats(50), np.zeros(50, np.float32), np.zeros(50, np.float32)
    limits = (Interval(-9.0, 9.0),) * 3
    first = Loop(_SUM, limits, (50,), (_access(x, x, 0),) * 2, _access(between, between, 1))
    then = Loop(
        _SUM, limits, (50,), (_access(between, between, 1), _access(x, x, 0)), _access(found, found, 2)
    )
    _run([first, then], x, between, found)
    assert np.array_equal(found, (x + x) + x)


def test_loop__product_and_sum__are_rounded_one_by_one() -> None:
    """A fused multiply-add would keep the small term."""
    a = b = np.full(64, 1 + 2**-12, np.float32)
    c, found = np.full(64, -1 - 2**-11, np.float32), np.zeros(64, np.float32)
    program = Program((ScalarOp(Op.FMUL, (0, 1)), ScalarOp(Op.FADD, (3, 2))))
    limits = (Interval(-9.0, 9.0),) * 5
    accesses = tuple(_access(array, array, i) for i, array in enumerate((a, b, c)))
    _run([Loop(program, limits, (64,), accesses, _access(found, found, 3))], a, b, c, found)
    assert np.array_equal(found, run_program(program, [a, b, c]))
    assert not found.any()


def test_merged__contiguous_axes__are_one() -> None:
    array = _floats(4, 5, 6)
    loop = Loop(_COPY, (_HUGE,), array.shape, (_access(array, array, 0),), _access(array, array, 1))
    assert loop.merged().shape == (120,)
    turned = array.transpose(2, 0, 1)
    loop = Loop(_COPY, (_HUGE,), turned.shape, (_access(turned, array, 0),), _access(turned, array, 1))
    assert loop.merged().shape == (6, 20)
