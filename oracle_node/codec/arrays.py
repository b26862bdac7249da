"""Numbers from files into a model's type: numpy arrays, archives of them, raw bytes."""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np

from oracle_node.errors import ConfigError
from oracle_node.tape.instruction import Source
from oracle_node.tape.types import DType

_NPY, _ZIP = b"\x93NUMPY", b"PK"
"""What files of numpy begin with: an array, an archive of them."""
_UNREADABLE = (ValueError, OSError, EOFError, MemoryError, BadZipFile, AttributeError, TypeError)


def load_npy(path: Path) -> np.ndarray:
    """The array of a .npy file; ConfigError where it is none."""
    with path.open("rb") as file:
        start = file.read(len(_NPY))
    # numpy takes anything else for a pickle, and would advise to load it unsafely
    if start != _NPY:
        archive = start.startswith(_ZIP)
        found = (
            "an .npz archive of several arrays" if archive else "no numpy array file (.npy) by its content"
        )
        raise ConfigError(f"{path}: {found}; one array is needed")
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except _UNREADABLE as error:
        raise ConfigError(f"{path}: not a numpy array file ({_reason(error)})") from None


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name; ConfigError where it is none."""
    if not is_zipfile(path):
        raise ConfigError(f"{path}: not a numpy .npz archive; `numpy.savez(FILE, NAME=array)` writes one")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    except _UNREADABLE as error:
        raise ConfigError(f"{path}: not a numpy .npz archive ({_reason(error)})") from None


def load_bytes(path: Path, dtype: DType) -> np.ndarray:
    """A file's bytes as little-endian numbers, (n,); ConfigError where they split one."""
    data = path.read_bytes()
    if len(data) % dtype.width:
        raise ConfigError(
            f"{path}: {len(data):,} bytes are no whole number of {dtype.name.lower()} elements (a .npy? an image?)"
        )
    return np.frombuffer(data, dtype.numpy).copy()


def as_type(values: np.ndarray, dtype: DType, where: Any) -> np.ndarray:
    """(…) of any numeric type → (n,) of `dtype`: floats round to f32, anything else must convert without a change."""
    if values.dtype.kind not in "biuf":
        raise ConfigError(f"{where}: numpy type {values.dtype} is not numeric")
    flat = np.ascontiguousarray(values).reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        converted = flat.astype(dtype.numpy)
    rounds = dtype is DType.F32 and flat.dtype.kind == "f"
    if not rounds and not np.array_equal(converted, flat):
        raise ConfigError(
            f"{where}: its {values.dtype} values do not all fit the model's type, {dtype.name.lower()}"
        )
    return converted


def require_length(values: np.ndarray, source: Source, where: Any) -> np.ndarray:
    """The values, if their number is within the source's limits; else ConfigError."""
    low, high = source.min_elements, source.max_elements
    if not low <= values.size <= high:
        wanted = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        raise ConfigError(
            f"{where}: {values.size:,} elements, the model takes {wanted} of {source.dtype.name.lower()}"
        )
    return values


def _reason(error: BaseException) -> str:
    return "it holds Python objects" if "pickle" in str(error) else str(error)
