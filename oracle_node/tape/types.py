"""Element types of a tape and the sources its inputs come from."""

from enum import IntEnum
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
"""Any numpy array; shapes and element types are stated in docstrings."""

Kind = Literal["int", "float"]
"""What a scalar register holds: a mathematical integer, or an IEEE-754 binary32 number."""


class DType(IntEnum):
    """Element types; the values are the codes of the encoding (docs/protocol.md §1)."""

    U8 = 1
    I8 = 2
    I16 = 3
    I32 = 4
    I64 = 5
    F32 = 6

    @property
    def numpy(self) -> np.dtype[Any]:
        """The little-endian numpy type."""
        return _NUMPY[self]

    @property
    def width(self) -> int:
        """Bytes per element."""
        return int(self.numpy.itemsize)

    @property
    def kind(self) -> Kind:
        """The kind of register an element loads into."""
        return "float" if self is DType.F32 else "int"

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest value of an integer type."""
        if self is DType.F32:
            raise ValueError("f32 has no integer bounds")
        bits = 8 * self.width
        return (0, (1 << bits) - 1) if self is DType.U8 else (-(1 << bits - 1), (1 << bits - 1) - 1)

    @classmethod
    def of(cls, array: Array) -> "DType":
        """The element type of a numpy array; ValueError where a tape has none for it."""
        for dtype, numpy_dtype in _NUMPY.items():
            if numpy_dtype == array.dtype:
                return dtype
        raise ValueError(f"a tape has no element type for numpy {array.dtype}")


_NUMPY: dict[DType, np.dtype[Any]] = {
    DType.U8: np.dtype("<u1"),
    DType.I8: np.dtype("<i1"),
    DType.I16: np.dtype("<i2"),
    DType.I32: np.dtype("<i4"),
    DType.I64: np.dtype("<i8"),
    DType.F32: np.dtype("<f4"),
}


class SourceKind(IntEnum):
    """Where an INPUT reads from."""

    REQUEST = 0
    OUTPUT = 1
    WITNESS = 2
