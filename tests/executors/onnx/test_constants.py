"""Arrays derived from weights: right however they are ordered, kept within a bound, and no file pages held."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle_node.executors.onnx.arrays import column_sums, largest_column_sum, rearranged
from oracle_node.executors.onnx.constants import Constant, Constants
from oracle_node.executors.onnx.memory import default_cache_bytes
from oracle_node.executors.onnx.views import View
from oracle_node.tape.mapped import release

_SIZES = [1, 2, 3, 7, 8, 16, 24, 65]


@given(st.randoms(use_true_random=False))
@settings(deadline=None)
def test_rearranged__any_axes_offset_and_type__equals_numpy(rng: Random) -> None:
    shape = [rng.choice(_SIZES) for _ in range(rng.randint(1, 4))]
    dtype = rng.choice([np.int8, np.uint8, np.int16, np.float32])
    data = np.random.default_rng(rng.randint(0, 1 << 30)).integers(-100, 100, shape).astype(dtype)
    order = rng.sample(range(len(shape)), len(shape))
    cut = data[rng.randrange(shape[0]) :].transpose(order)
    offset = (cut.ctypes.data - data.ctypes.data) // data.itemsize
    steps = tuple(step // data.itemsize for step in cut.strides)
    target = np.dtype(rng.choice([np.int8, np.float32]))
    found = rearranged(data, View(offset, cut.shape, steps), cut.shape, [lambda x: x // 2], target)
    assert found.dtype == target
    np.testing.assert_array_equal(found, (cut // 2).astype(target))
    assert found.flags.c_contiguous


def test_rearranged__a_large_transposed_matrix_of_bytes__equals_numpy() -> None:
    data = np.random.default_rng(0).integers(-127, 128, (648, 4100)).astype(np.int8)
    found = rearranged(data, View(0, (4100, 648), (1, 4100)), (4100, 648), [], data.dtype)
    np.testing.assert_array_equal(found, data.T)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.int64])
def test_column_sums__extremes__do_not_wrap(dtype: type) -> None:
    low = int(np.iinfo(dtype).min) if dtype is not np.int64 else -(1 << 40)
    matrix = np.full((2, 1000, 3), low, dtype)
    matrix[1, :, 1] = np.iinfo(dtype).max if dtype is not np.int64 else 1 << 40
    exact = matrix.astype(object)
    assert largest_column_sum(matrix) == abs(exact).sum(axis=1).max()
    np.testing.assert_array_equal(column_sums(matrix), exact.sum(axis=1, keepdims=True))


def _doubled(constants: Constants, ref: int) -> Constant:
    constant = constants.weights([ref], (100,))
    return constant.mapped("twice", lambda data: data * 2, np.dtype(np.int64))


def test_cache__more_than_fits__keeps_the_first_and_stays_within_bounds() -> None:
    weights = [np.full(100, n, np.int32) for n in range(5)]
    constants = Constants(weights, cache_bytes=2000)
    for _ in range(3):
        constants.start_round()
        arrays = [_doubled(constants, ref).array() for ref in range(5)]
        assert all((array == 2 * n).all() for n, array in enumerate(arrays))
        assert constants.cached_bytes == 1600
    assert np.shares_memory(_doubled(constants, 0).array(), arrays[0])
    assert not np.shares_memory(_doubled(constants, 4).array(), arrays[4])


def test_cache__what_the_last_run_did_not_use__makes_room() -> None:
    constants = Constants([np.full(100, n, np.int32) for n in range(4)], cache_bytes=1600)
    for refs in ((0, 1), (2, 3), (2, 3), (2, 3)):
        constants.start_round()
        kept = [_doubled(constants, ref).array() for ref in refs]
    for ref, array in zip((2, 3), kept, strict=True):
        assert (array == 2 * ref).all()
        assert np.shares_memory(_doubled(constants, ref).array(), array)
    assert constants.cached_bytes == 1600


def test_fact__several_members__is_the_largest() -> None:
    constants = Constants([np.array([[1, 2], [3, -9]], np.int8), np.array([[5, 5], [5, 5]], np.int8)])
    constant = constants.weights([0, 1], (2, 2))
    assert constant.varies
    assert constant.fact("sum", largest_column_sum) == 11
    assert constant.array(1).sum() == 20
    assert not constants.weights([1, 1], (2, 2)).varies


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's map of the process")
def test_derived__from_a_mapped_file__leaves_none_of_its_pages_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    np.arange(1 << 22, dtype=np.uint8).tofile(path)
    mapped = np.memmap(path, np.uint8, "r")
    weight = mapped[4096 + 64 :].view(np.int8).reshape(-1, 64)
    assert weight.any()
    assert _resident_bytes(path) > weight.nbytes // 2
    constant = Constants([weight]).weights([0], weight.shape)
    shape = weight.shape[::-1]
    transposed = constant.moved(View(0, shape, (1, 64)), shape, shape).array()
    assert _resident_bytes(path) <= 8192
    np.testing.assert_array_equal(transposed, weight.T)


def test_release__anything_but_a_mapped_file__is_left_alone(tmp_path: Path) -> None:
    writable = np.memmap(tmp_path / "data.bin", np.uint8, "w+", shape=(8192,))
    writable[:] = 7
    for array in (np.ones(3), writable, writable[5000:], np.empty(0)):
        release(array)
    assert (writable == 7).all()


def _resident_bytes(path: Path) -> int:
    """How much of a mapped file is in this process's memory."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    total = 0
    for line in lines:
        if line.endswith(str(path)):
            total += next(int(entry.split()[1]) << 10 for entry in lines if entry.startswith("Rss:"))
    return total


def test_default_cache__leaves_memory_for_the_rest() -> None:
    assert 256 << 20 <= default_cache_bytes() < 1 << 50
