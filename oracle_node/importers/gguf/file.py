"""A GGUF file: typed metadata, and tensors as float32 rows, a block at a time.

The header is read and checked by `header`; tensor types and their values are the `gguf` package's. Tensors are read
with `preadv`, so that no more of a file is ever in memory than was asked for. Not here: what a model is made of.
"""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeVar, overload

import numpy as np

from oracle_node.errors import ConfigError, ModelError
from oracle_node.files import open_regular
from oracle_node.importers.gguf.header import Header, TensorEntry, Value, read_header
from oracle_node.tape.types import Array

SUPPORTED_TYPES = (
    "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
)  # fmt: skip

Scalar = TypeVar("Scalar", int, float, bool, str)
Default = TypeVar("Default")
_ABSENT = object()
_BLOCK_BYTES = 1 << 20
_KINDS: dict[type[Any], tuple[type[Any], str]] = {
    int: (int, "an integer"),
    float: (float, "a float"),
    bool: (bool, "a boolean"),
    str: (bytes, "a string"),
}


def gguf_package() -> Any:
    """The `gguf` package; ConfigError where it is not installed."""
    try:
        import gguf
        import gguf.quants
    except ImportError:
        raise ConfigError(
            "GGUF files need the gguf package, which is not installed: pip install 'oracle-node[llm]'"
        ) from None
    return gguf


def _type_sizes() -> dict[int, tuple[int, int]]:
    """Tensor type → elements and bytes of a block."""
    return {int(kind): size for kind, size in gguf_package().GGML_QUANT_SIZES.items()}


def _type_of(entry: TensorEntry) -> Any:
    """The tensor's type, as the gguf package has it."""
    return gguf_package().GGMLQuantizationType(entry.type)


class GgufFile:
    """An open GGUF file whose header is well-formed and whose tensors all lie within it.

    Every method that names a key or a tensor raises ModelError, with the file's path, where the file does not hold it
    as asked. Methods may be called from several threads. Files without tensors, as model directories keep for their
    vocabulary, need no gguf package.
    """

    def __init__(self, path: Path, file: BinaryIO, size: int, header: Header) -> None:
        self.path = path
        self._file = file
        self._bytes = size
        self._header = header

    @classmethod
    def open(cls, path: Path | str) -> "GgufFile":
        """The file at `path`; ModelError in one line if it cannot be read, is no GGUF file, or is damaged."""
        path = Path(path)
        try:
            file, size = open_regular(path)
        except OSError as error:
            raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
        try:
            return cls(path, file, size, read_header(path, file, size, _type_sizes))
        except OSError as error:
            file.close()
            raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "GgufFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def keys(self) -> tuple[str, ...]:
        """Metadata keys in the order of the file."""
        return tuple(self._header.metadata)

    @overload
    def metadata(self, key: str, kind: type[Scalar]) -> Scalar: ...
    @overload
    def metadata(self, key: str, kind: type[Scalar], default: Default) -> Scalar | Default: ...
    def metadata(self, key: str, kind: type[Any], default: Any = _ABSENT) -> Any:
        """The value of `key`: an int, a float, a bool or a str, of any width; or `default`, where it is absent."""
        if (value := self._value(key, default)) is default:
            return default
        stored, name = _KINDS[kind]
        if type(value) is not stored:  # a boolean is no integer here
            raise self._wrong(key, name)
        try:
            return value.decode() if isinstance(value, bytes) else value
        except UnicodeDecodeError:
            raise self._wrong(key, "a string of UTF-8") from None

    def number(self, key: str) -> float:
        """The value of `key`, be it an integer, a float or a boolean."""
        value = self._value(key, _ABSENT)
        if not isinstance(value, int | float):
            raise self._wrong(key, "a number")
        return value

    def array(self, key: str, default: Any = _ABSENT) -> Any:
        """The numbers of an array, one-dimensional, in the file's type; or `default`, where it is absent."""
        if (value := self._value(key, default)) is default:
            return default
        if not isinstance(value, np.ndarray):
            raise self._wrong(key, "an array of numbers")
        return value

    def strings(self, key: str) -> tuple[bytes, ...]:
        """The strings of an array, as bytes."""
        value = self._value(key, _ABSENT)
        if not isinstance(value, tuple):
            raise self._wrong(key, "an array of strings")
        return value

    def is_array(self, key: str) -> bool:
        """Whether the file has this key, with an array."""
        return isinstance(self._header.metadata.get(key), tuple | np.ndarray)

    def pair(self, key: str) -> bytes:
        """Key, type and value as they stand in the file."""
        self._value(key, _ABSENT)
        start, stop = self._header.spans[key]
        return bytes(self._read(start, stop - start, key))

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors in the order of the file."""
        return tuple(self._header.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """(rows, columns), or (n,), in numpy's order."""
        return self._entry(name).shape

    def type_name(self, name: str) -> str:
        """The tensor's type as llama.cpp calls it, such as Q8_0."""
        return str(_type_of(self._entry(name)).name)

    def require(self, name: str, shape: tuple[int, ...]) -> None:
        """ModelError unless the file has this tensor, in this shape and in a type that can be read."""
        if self.shape(name) != shape:
            raise ModelError(f"{self.path}: tensor {name} has shape {self.shape(name)}, expected {shape}")
        if self.type_name(name) not in SUPPORTED_TYPES:
            raise ModelError(
                f"{self.path}: tensor {name} is of type {self.type_name(name)}, which is not supported; supported are "
                f"{', '.join(SUPPORTED_TYPES)}"
            )

    def rows(self, name: str, start: int, stop: int) -> Array:
        """Rows start … stop − 1 of a matrix: (stop − start, columns) f32, finite.

        The same on every machine: a value of a quantized type is an integer times a float16 scale (times a small
        integer), less at most a second such product; each product and difference is an operation of its own in
        binary32, and a multiple of 2**-24, so never subnormal. Other types are only widened.
        """
        shape = self.shape(name)
        if len(shape) != 2 or not 0 <= start <= stop <= shape[0]:
            raise ValueError(f"{name} of shape {shape} has no rows {start} to {stop}")
        return self._values(name, start, stop).reshape(stop - start, shape[1])

    def vector(self, name: str) -> Array:
        """A one-dimensional tensor: (n,) f32, finite."""
        if len(self.shape(name)) != 1:
            raise ValueError(f"{name} of shape {self.shape(name)} is no vector")
        return self._values(name, 0, 1).reshape(-1)

    def sha256(self) -> str:
        """Of the whole file, in hexadecimal."""
        digest = hashlib.sha256()
        for start in range(0, self._bytes, _BLOCK_BYTES):
            digest.update(self._read(start, min(_BLOCK_BYTES, self._bytes - start), "its content"))
        return digest.hexdigest()

    def _values(self, name: str, start: int, stop: int) -> Array:
        entry = self._entry(name)
        self.require(name, entry.shape)
        row_bytes = entry.bytes // (entry.shape[0] if len(entry.shape) > 1 else 1)
        raw = self._read(entry.start + start * row_bytes, (stop - start) * row_bytes, name)
        if not raw:
            return np.empty(0, np.float32)
        with np.errstate(all="ignore"):  # what is not finite is refused below
            values = gguf_package().quants.dequantize(
                np.frombuffer(raw, np.uint8).reshape(stop - start, row_bytes), _type_of(entry)
            )
        if not np.isfinite(values).all():
            raise ModelError(f"{self.path}: tensor {name} holds values that are not finite")
        return np.asarray(values, np.float32)

    def _read(self, start: int, count: int, what: str) -> bytearray:
        data = bytearray(count)
        done = 0
        while done < count:  # the system may hand over less than asked for, such as 2 GiB at a time
            try:
                got = os.preadv(self._file.fileno(), [memoryview(data)[done:]], start + done)
            except OSError as error:
                raise ModelError(f"{self.path}: {what} cannot be read ({error.strerror})") from None
            if got == 0:
                raise ModelError(f"{self.path}: was cut short, at {what}, while it was open")
            done += got
        return data

    def _entry(self, name: str) -> TensorEntry:
        if name not in self._header.tensors:
            raise ModelError(f"{self.path}: has no tensor {name}")
        return self._header.tensors[name]

    def _value(self, key: str, default: Any) -> Any:
        if key not in self._header.metadata and default is _ABSENT:
            raise ModelError(f"{self.path}: has no metadata {key}")
        return self._header.metadata.get(key, default)

    def _wrong(self, key: str, expected: str) -> ModelError:
        value: Value = self._header.metadata[key]
        if isinstance(value, tuple | np.ndarray):
            shown = f"an array of {len(value)}"
        else:
            shown = repr(value[:40]) if isinstance(value, bytes) else repr(value)
        return ModelError(f"{self.path}: {key} is {shown}, expected {expected}")
