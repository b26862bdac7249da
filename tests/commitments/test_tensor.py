"""Tensor roots: chunking, padding and lengths."""

import os
from hashlib import sha256
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle_node.commitments import cores
from oracle_node.commitments.cores import SEGMENT_BYTES
from oracle_node.commitments.hashing import leaf, leaves
from oracle_node.commitments.merkle import MerkleTree, fold_path
from oracle_node.commitments.tensor import LARGE_BYTES, TensorTree, chunk_count, tensor_root


def plain_root(data: bytes) -> bytes:
    chunks = [data[i : i + 1024].ljust(1024, b"\x00") for i in range(0, max(len(data), 1), 1024)]
    merkle = MerkleTree.of(sha256(b"\x00" + chunk).digest() for chunk in chunks).root
    return sha256(b"\x02" + len(data).to_bytes(8, "big") + merkle).digest()


@given(st.integers(0, 5000))
def test_tensor_root__of_any_length__equals_the_plain_definition(length: int) -> None:
    data = bytes(i % 251 for i in range(length))
    assert tensor_root(data) == tensor_root(np.frombuffer(data, np.uint8)) == plain_root(data)


@pytest.mark.parametrize("dtype", ["<u1", "<i1", "<i2", "<i4", "<i8", "<f4"])
def test_tensor_root__of_an_array__covers_its_row_major_little_endian_bytes(dtype: str) -> None:
    array = (np.arange(600) - 300).astype(dtype).reshape(20, 30)
    assert tensor_root(array) == plain_root(array.tobytes())
    assert tensor_root(array.T) == plain_root(array.T.tobytes())
    assert tensor_root(array.astype(array.dtype.newbyteorder(">"))) == plain_root(array.tobytes())


def test_tensor_root__of_a_scalar_and_of_nothing__has_one_chunk() -> None:
    assert tensor_root(np.asarray(7, "<i4")) == plain_root(b"\x07\x00\x00\x00")
    assert tensor_root(np.zeros((0, 4), "<f4")) == plain_root(b"")
    assert chunk_count(0) == chunk_count(1024) == 1


def test_tensor_root__of_trailing_zeros__differs_by_length() -> None:
    assert len({tensor_root(bytes(n)) for n in (0, 1, 1023, 1024, 1025, 2048)}) == 6


def test_tensor_tree__of_several_chunks__opens_each_and_its_padding() -> None:
    data = bytes(i % 253 for i in range(5 * 1024 + 10))
    tree = TensorTree(data)
    for position in range(1 << tree.depth):
        chunk = data[position * 1024 : (position + 1) * 1024].ljust(1024, b"\x00")
        assert tree.chunk(position) == chunk
        assert fold_path(leaf(chunk), position, tree.tree.path(position)) == tree.tree.root


@pytest.mark.slow
def test_leaf_trees__on_one_core__hash_at_six_tenths_of_bare_hashlib() -> None:
    data = np.random.default_rng(1).bytes(32 << 20)
    view = memoryview(data)

    def bare() -> None:
        for start in range(0, len(view), 1024):
            sha256(view[start : start + 1024]).digest()

    def seconds(action: object) -> float:
        start = perf_counter()
        action()  # type: ignore[operator]
        return perf_counter() - start

    rounds = [(seconds(bare), seconds(lambda: MerkleTree(leaves(data)))) for _ in range(5)]
    assert min(b for b, _ in rounds) / min(t for _, t in rounds) >= 0.6


@pytest.mark.parametrize(
    "length", [LARGE_BYTES, LARGE_BYTES + 1, LARGE_BYTES + SEGMENT_BYTES // 2, 70 * SEGMENT_BYTES]
)
def test_tensor_root__of_a_large_tensor__equals_the_tree_on_any_number_of_cores(length: int) -> None:
    data = np.resize(np.arange(251, dtype=np.uint8), length)
    expected = TensorTree(data).root
    assert tensor_root(data) == expected
    for pool in cores._pools.values():
        for requests, _ in pool._workers:
            os.close(requests)
    assert tensor_root(data) == expected, "after its workers have gone"
    cores._pools.clear()
