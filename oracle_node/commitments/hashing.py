"""The domain-separated SHA-256 that every tree uses (docs/protocol.md §2), also for whole levels."""

import struct
from functools import cache
from hashlib import sha256
from typing import TypeAlias

CHUNK_BYTES = 1024
HASH_BYTES = 32
Buffer: TypeAlias = bytes | bytearray | memoryview

_LEAF, _NODE, _TENSOR = b"\x00", b"\x01", b"\x02"


def leaf(data: Buffer) -> bytes:
    """Hash of a chunk (1,024 bytes, padded by the caller) or of an instruction's bytes."""
    return sha256(_LEAF + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Hash of two sibling nodes."""
    return sha256(_NODE + left + right).digest()


def tensor_hash(byte_length: int, merkle_root: bytes) -> bytes:
    """A tensor's root: its length bound to the Merkle root of its chunks."""
    return sha256(_TENSOR + byte_length.to_bytes(8, "big") + merkle_root).digest()


def pad_chunk(data: Buffer) -> bytes:
    """At most 1,024 bytes, filled up with zeros."""
    return bytes(data).ljust(CHUNK_BYTES, b"\x00")


@cache
def zero_hash(height: int) -> bytes:
    """Root of a tree of that height whose leaves are all missing; height 0 is the zero chunk's leaf."""
    return node(zero_hash(height - 1), zero_hash(height - 1)) if height else leaf(bytes(CHUNK_BYTES))


def leaves(data: Buffer) -> bytes:
    """Concatenated leaf hashes of the data's chunks, the last one padded; none for no data."""
    view = memoryview(data)
    whole = len(view) - len(view) % CHUNK_BYTES
    hashes = _each(_LEAF, view[:whole], CHUNK_BYTES)
    return hashes + leaf(pad_chunk(view[whole:])) if whole < len(view) else hashes


def parents(level: Buffer) -> bytes:
    """Concatenated hashes of the node pairs of a level (an even number of concatenated hashes)."""
    return _each(_NODE, memoryview(level), 2 * HASH_BYTES)


def _each(prefix: bytes, data: memoryview, width: int) -> bytes:
    """Concatenated H(prefix ‖ block) of all blocks; copying a primed context is faster than starting one."""
    prime = sha256(prefix).copy
    digests = []
    for (block,) in struct.iter_unpack(f"{width}s", data):
        context = prime()
        context.update(block)
        digests.append(context.digest())
    return b"".join(digests)
