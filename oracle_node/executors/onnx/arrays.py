"""Weights in another order and type, made block by block, so that no temporary is as large as the matrix."""

from collections.abc import Callable, Sequence

import numpy as np

from oracle_node.executors.onnx.views import View

Elementwise = Callable[[np.ndarray], np.ndarray]

_BLOCK_ELEMENTS = 1 << 17
_COLUMNS = 2048
_WORD = 8
"""Bytes are transposed eight rows at a time, as 64-bit words: several times faster than one by one."""


def rearranged(
    source: np.ndarray, view: View, sizes: Sequence[int], functions: Sequence[Elementwise], dtype: np.dtype
) -> np.ndarray:
    """The view of an array's flat data, repeated to `sizes`, with elementwise functions applied; contiguous.

    An array that is already what is asked for is not copied.
    """
    flat = np.asarray(source).reshape(-1)
    if view.is_identity_of(flat.size) and not functions and view.shape == tuple(sizes):
        return flat.reshape(view.shape)
    steps = [stride * flat.itemsize for stride in view.strides]
    window = np.lib.stride_tricks.as_strided(flat[view.offset :], view.core, steps, writeable=False)
    result = np.empty(view.core, dtype)
    if result.size:
        _fill(result, window, functions)
    return np.ascontiguousarray(np.broadcast_to(result, sizes))


def _fill(result: np.ndarray, window: np.ndarray, functions: Sequence[Elementwise]) -> None:
    """The window's elements into the result of the same shape, walked in the order in which they lie in memory."""
    order = sorted(range(window.ndim), key=lambda axis: (-abs(window.strides[axis]), axis))
    window, result = _merged(window.transpose(order), result.transpose(order))
    rows = max(_WORD, _BLOCK_ELEMENTS * len(window) // window.size // _WORD * _WORD)
    by_words = (
        result.ndim == 2
        and result.itemsize == 1
        and result.strides == (1, len(result))
        and len(result) % _WORD == 0
    )
    words = result.T.view(np.uint64).T if by_words else result
    for start in range(0, len(window), rows):
        block = window[start : start + rows]
        for function in functions:
            block = function(block)
        if by_words:
            block = block.astype(result.dtype, copy=False)
            _store_words(words[start // _WORD : (start + rows) // _WORD], block.view(np.uint8))
        else:
            result[start : start + rows] = block


def _store_words(words: np.ndarray, block: np.ndarray) -> None:
    """Bytes (8·n, columns) into words (n, columns), each of which holds the bytes of eight rows."""
    for start in range(0, block.shape[1], _COLUMNS):
        groups = block[:, start : start + _COLUMNS].reshape(len(words), _WORD, -1)
        packed = np.empty((len(words), groups.shape[2], _WORD), np.uint8)
        for row in range(_WORD):
            packed[:, :, row] = groups[:, row]
        words[:, start : start + _COLUMNS] = packed.view(np.uint64)[:, :, 0]


def _merged(window: np.ndarray, result: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays with neighbouring axes joined where they can be in both; at least one axis."""
    axes: list[tuple[int, int, int]] = []
    for size, first, second in zip(window.shape, window.strides, result.strides, strict=True):
        if size == 1:
            continue
        if axes and axes[-1][1:] == (first * size, second * size):
            size *= axes.pop()[0]
        axes.append((size, first, second))
    shape, first_steps, second_steps = zip(*(axes or [(1, 0, 0)]), strict=True)
    strided = np.lib.stride_tricks.as_strided
    return strided(window, shape, first_steps, writeable=False), strided(result, shape, second_steps)


def largest_column_sum(weights: np.ndarray) -> int:
    """The largest Σ|w| over the axis before the last of an integer array."""
    if not weights.size:
        return 0
    rows, total = weights.shape[-2], np.zeros((), np.int64)
    narrow = {1: np.uint16, 2: np.uint32}.get(weights.itemsize)
    for start in range(0, rows, 256):  # 256·255 < 2^16
        block = weights[..., start : start + 256, :]
        if narrow is None:
            part = np.abs(block.astype(np.int64)).sum(axis=-2)
        else:
            part = np.abs(block).view(f"u{weights.itemsize}").sum(axis=-2, dtype=narrow)
        total = total + part
    return int(total.max())


def column_sums(weights: np.ndarray) -> np.ndarray:
    """Σw over the axis before the last of an integer array, which stays with size 1; i64."""
    total = np.zeros((*weights.shape[:-2], 1, weights.shape[-1]), np.int64)
    for start in range(0, weights.shape[-2], 256):
        total += weights[..., start : start + 256, :].sum(axis=-2, keepdims=True, dtype=np.int64)
    return total
