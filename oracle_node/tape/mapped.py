"""Weights that lie in a mapped file: letting go of their pages once read, so that a pass over them all stays small."""

import mmap
from math import prod

import numpy as np

from oracle_node.tape.types import Array


def release(array: Array) -> None:
    """Let go of the pages of a read-only mapped file that an array lies in; they are read again when needed."""
    root: object = array
    while isinstance(root, np.ndarray) and not isinstance(root.base, mmap.mmap):
        root = root.base
    if not isinstance(root, np.memmap) or root.mode != "r" or not hasattr(mmap, "MADV_DONTNEED"):
        return
    mapping = root.base
    assert isinstance(mapping, mmap.mmap)
    first = root.ctypes.data - int(root.offset) % mmap.ALLOCATIONGRANULARITY
    start = (array.ctypes.data - first) // mmap.PAGESIZE * mmap.PAGESIZE
    end = array.ctypes.data - first + array.nbytes
    if prod(array.shape):
        mapping.madvise(mmap.MADV_DONTNEED, start, end - start)
