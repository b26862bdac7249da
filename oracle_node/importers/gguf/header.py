"""The header of a GGUF file: its metadata and where each tensor lies, with every doubt about the layout settled here.

| bytes | what |
|---|---|
| 4 | `GGUF` |
| u32 | version, 2 or 3 (their layout is the same) |
| u64, u64 | how many tensors, how many pairs of metadata |
| pairs | key (string), u32 type, value |
| tensors | name (string), u32 dimensions, u64 each (innermost first), u32 type, u64 offset in the data |
| padding | up to a multiple of `general.alignment` (32 if absent) |
| data | the tensors' data, in order, each padded likewise |

Little-endian. A string is a u64 length and its bytes; an array is a u32 type, a u64 count and the values. Not here:
what the metadata mean, or the values of tensors.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from oracle_node.errors import ModelError
from oracle_node.tape.types import Array

HEADER_BYTES = 2**26
"""More than any header takes: the largest vocabularies come to about 20 MB."""
MAX_STRINGS = 2**22
"""More than all arrays of a file hold together; the largest vocabularies have under a million tokens and merges."""
MAX_ENTRIES = 2**16
"""Most tensors, or pairs of metadata, that a file may have; known models have less than two thousand."""
MAX_DIMENSIONS = 4

_STRING, _ARRAY, _BOOL = 8, 9, 7
_NUMBERS = {
    0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", _BOOL: "<u1", 10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip

Value = int | float | bool | bytes | tuple[bytes, ...] | Array
TypeSizes = Mapping[int, tuple[int, int]]
"""Number of a tensor type → (elements of a block, bytes of a block)."""


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies: `shape` in numpy order (innermost last), `start` in bytes from the start of the file."""

    name: str
    shape: tuple[int, ...]
    type: int
    start: int
    bytes: int


@dataclass(frozen=True)
class Header:
    """`metadata`: strings are bytes as in the file; `spans`: key → (start, stop) of the whole pair in the file."""

    metadata: Mapping[str, Value]
    spans: Mapping[str, tuple[int, int]]
    tensors: Mapping[str, TensorEntry]


def read_header(path: Path, file: BinaryIO, size: int, type_sizes: Callable[[], TypeSizes]) -> Header:
    """The header of a file of `size` bytes, open at its start; ModelError in one line if the file is malformed."""
    cursor = _Cursor(path, file, size)
    if cursor.take(min(4, size), "the magic number") != b"GGUF":
        raise ModelError(f"{path}: is not a GGUF file")
    version = cursor.number("<I", "the version")
    if version & 0xFFFF == 0:
        raise ModelError(f"{path}: is big-endian; only little-endian GGUF files are supported")
    if version not in (2, 3):
        raise ModelError(
            f"{path}: is version {version} of GGUF, only 2 and 3 are supported: convert the model anew"
        )
    tensor_count = cursor.count("<Q", MAX_ENTRIES, "tensors")
    pair_count = cursor.count("<Q", MAX_ENTRIES, "pairs of metadata")
    metadata: dict[str, Value] = {}
    spans: dict[str, tuple[int, int]] = {}
    for _ in range(pair_count):
        start = cursor.position
        key = cursor.text("a metadata key")
        if not key or key in metadata:
            raise ModelError(f"{path}: metadata key {key[:80]!r} is empty or occurs twice")
        metadata[key] = cursor.value(cursor.number("<I", key), key)
        spans[key] = (start, cursor.position)
    sizes = type_sizes() if tensor_count else {}
    return Header(metadata, spans, _tensors(cursor, tensor_count, _alignment(path, metadata), sizes))


def _alignment(path: Path, metadata: Mapping[str, Value]) -> int:
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise ModelError(f"{path}: general.alignment is not a power of two")
    return alignment


def _tensors(cursor: "_Cursor", count: int, alignment: int, sizes: TypeSizes) -> dict[str, TensorEntry]:
    """The tensors in the order of the file: they have to follow one another, as llama.cpp asks too."""
    entries: dict[str, TensorEntry] = {}
    end = 0
    for _ in range(count):
        entry = _tensor(cursor, sizes)
        if entry.name in entries:
            raise ModelError(f"{cursor.path}: tensor {entry.name!r} occurs twice")
        if entry.start != end:
            raise ModelError(
                f"{cursor.path}: the data of tensor {entry.name!r} start at {entry.start}, expected {end}: "
                "the file is damaged"
            )
        entries[entry.name] = entry
        end = -(-(entry.start + entry.bytes) // alignment) * alignment
    first = -(-cursor.position // alignment) * alignment
    for entry in entries.values():
        if first + entry.start + entry.bytes > cursor.size:
            raise ModelError(
                f"{cursor.path}: is cut short: tensor {entry.name!r} ends at byte {first + entry.start + entry.bytes}, "
                f"the file has {cursor.size}"
            )
    return {e.name: TensorEntry(e.name, e.shape, e.type, first + e.start, e.bytes) for e in entries.values()}


def _tensor(cursor: "_Cursor", sizes: TypeSizes) -> TensorEntry:
    """The next tensor, its start counted from the start of the data."""
    name = cursor.text("a tensor's name")
    where = f"tensor {name[:80]!r}"
    dimensions = cursor.number("<I", where)
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise ModelError(
            f"{cursor.path}: {where} has {dimensions} dimensions, expected 1 to {MAX_DIMENSIONS}"
        )
    shape = tuple(cursor.number("<Q", where) for _ in range(dimensions))[::-1]
    number, start = cursor.number("<I", where), cursor.number("<Q", where)
    if number not in sizes:
        raise ModelError(f"{cursor.path}: {where} has type number {number}, which is unknown")
    block, block_bytes = sizes[number]
    if min(shape) < 1 or shape[-1] % block:
        raise ModelError(
            f"{cursor.path}: {where} has shape {shape}, expected rows of whole blocks of {block}"
        )
    elements = 1
    for dimension in shape:
        elements *= dimension
    return TensorEntry(name, shape, number, start, elements // block * block_bytes)


class _Cursor:
    """Reads forward, and never past the end of the file or of what a header may take."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path, self.size, self.position = path, size, 0
        self._file = file
        self._strings = 0

    def take(self, count: int, what: str) -> bytes:
        if count > self.size - self.position:
            raise self._cut(what)
        if self.position + count > HEADER_BYTES:
            raise ModelError(f"{self.path}: its header is larger than {HEADER_BYTES} bytes")
        self.position += count
        return self._file.read(count)

    def _cut(self, what: str) -> ModelError:
        return ModelError(f"{self.path}: is cut short, or damaged, at {what}")

    def number(self, layout: str, what: str) -> int:
        (value,) = struct.unpack(layout, self.take(struct.calcsize(layout), what))
        return int(value)

    def count(self, layout: str, most: int, what: str) -> int:
        value = self.number(layout, f"the number of {what}")
        if value > most:
            raise ModelError(
                f"{self.path}: says that it holds {value} {what}, more than {most}: it is damaged"
            )
        return value

    def string(self, what: str) -> bytes:
        return self.take(self.number("<Q", what), what)

    def text(self, what: str) -> str:
        try:
            return self.string(what).decode()
        except UnicodeDecodeError:
            raise ModelError(f"{self.path}: {what} is not UTF-8: the file is damaged") from None

    def value(self, kind: int, key: str) -> Value:
        """One value of the type of this number."""
        if kind == _STRING:
            return self.string(key)
        if kind == _ARRAY:
            return self._array(key)
        element = self._numbers(kind, 1, key)[0]
        number: int | float = element.item()
        return bool(number) if kind == _BOOL else number

    def _array(self, key: str) -> Value:
        kind = self.number("<I", key)
        count = self.number("<Q", key)
        if kind != _STRING:
            return self._numbers(kind, count, key)
        self._strings += count
        if self._strings > MAX_STRINGS:
            raise ModelError(f"{self.path}: {key} says that it holds {count} strings: the file is damaged")
        if 8 * count > self.size - self.position:
            raise self._cut(key)
        return tuple(self.string(key) for _ in range(count))

    def _numbers(self, kind: int, count: int, key: str) -> Array:
        if kind not in _NUMBERS:
            raise ModelError(f"{self.path}: {key} has type number {kind}, which is unknown or a nested array")
        dtype: np.dtype[Any] = np.dtype(_NUMBERS[kind])
        values = np.frombuffer(self.take(count * dtype.itemsize, key), dtype)
        return values != 0 if kind == _BOOL else values
