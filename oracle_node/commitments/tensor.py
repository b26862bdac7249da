"""Tensor commitments: the Merkle tree over a tensor's 1 KiB chunks, its byte length bound into the root."""

import numpy as np

from oracle_node.commitments.cores import SEGMENT_BYTES, SEGMENT_HEIGHT, segment_roots
from oracle_node.commitments.hashing import CHUNK_BYTES, Buffer, leaves, pad_chunk, tensor_hash
from oracle_node.commitments.merkle import MerkleTree, depth, root_over

LARGE_BYTES = 8 * SEGMENT_BYTES
"""From here on worker processes are worth their start."""


def chunk_count(byte_length: int) -> int:
    """Chunks of a tensor; an empty one has one zero chunk."""
    return max(1, -(-byte_length // CHUNK_BYTES))


def tensor_bytes(tensor: "np.ndarray | Buffer") -> memoryview:
    """The bytes of a tensor: row-major, little-endian; no copy where it lies so already."""
    if not isinstance(tensor, np.ndarray):
        return memoryview(tensor)
    little = tensor.dtype.newbyteorder("<")
    return np.ascontiguousarray(tensor, little).reshape(-1).view(np.uint8).data


def tensor_root(tensor: "np.ndarray | Buffer") -> bytes:
    """Root of one tensor; nothing of the tree is kept. Large tensors are hashed on all cores."""
    data = tensor_bytes(tensor)
    if len(data) < LARGE_BYTES:
        return TensorTree(data).root
    whole = len(data) - len(data) % SEGMENT_BYTES
    segments = segment_roots(data[:whole])
    if whole < len(data):
        segments += root_over(leaves(data[whole:]), 0, SEGMENT_HEIGHT)
    return tensor_hash(len(data), root_over(segments, SEGMENT_HEIGHT, depth(chunk_count(len(data)))))


class TensorTree:
    """A tensor with all hashes of its tree (1/16 of its size); the tensor's bytes are viewed, not copied."""

    def __init__(self, tensor: "np.ndarray | Buffer") -> None:
        self.data = tensor_bytes(tensor)
        self.tree = MerkleTree(leaves(self.data))
        self.root = tensor_hash(self.byte_length, self.tree.root)

    @property
    def byte_length(self) -> int:
        return len(self.data)

    @property
    def depth(self) -> int:
        return self.tree.depth

    def node(self, level: int, position: int) -> bytes:
        """The hash at a place of the chunk tree; the tree's own root is not yet the tensor root."""
        return self.tree.node(level, position)

    def chunk(self, position: int) -> bytes:
        """1,024 bytes, zeros past the tensor's end."""
        return pad_chunk(self.data[position * CHUNK_BYTES : (position + 1) * CHUNK_BYTES])
