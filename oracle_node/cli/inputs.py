"""Request inputs from files: numpy arrays, raw bytes, images."""

from collections.abc import Sequence
from math import isqrt
from pathlib import Path

import numpy as np

from oracle_node.errors import ConfigError
from oracle_node.model.model import Model
from oracle_node.tape.instruction import Source
from oracle_node.tape.types import DType, SourceKind

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
)

_NPY, _ZIP = b"\x93NUMPY", b"PK"
"""What files of numpy begin with: an array, an archive of them."""


def read_request(path: Path, model: Model, image_max: float | None = None) -> bytes:
    """A request's bytes; an image is shaped and scaled as the model's card says, `image_max` overrides the scale."""
    card = model.card.input
    white = card.get("image_max", 255.0) if image_max is None else image_max
    source = model.tape.sources[SourceKind.REQUEST]
    return read_input(path, source, card.get("shape"), float(white)).tobytes()


def read_input(
    path: Path, source: Source, shape: Sequence[int] | None = None, image_max: float = 255.0
) -> np.ndarray:
    """The flat input (n,) in the source's type, from a .npy file, an image, or raw little-endian bytes.

    Values are converted only where nothing is lost; ConfigError names the file and what does not fit.
    """
    if path.suffix == ".npy":
        values = _as_type(_load_npy(path), source.dtype, path)
    elif path.suffix.lower() in IMAGE_SUFFIXES:
        pixels = _load_image(path, shape or (), source.max_elements) * np.float32(image_max / 255.0)
        values = _as_type(pixels if source.dtype is DType.F32 else pixels.round(), source.dtype, path)
    else:
        values = _from_bytes(path, source.dtype)
    return require_length(values, source, path)


def require_length(values: np.ndarray, source: Source, path: Path) -> np.ndarray:
    """The values, if their number is within the source's limits."""
    low, high = source.min_elements, source.max_elements
    if not low <= values.size <= high:
        wanted = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        raise ConfigError(
            f"{path}: {values.size:,} elements, the model takes {wanted} of {source.dtype.name.lower()}"
        )
    return values


def _load_npy(path: Path) -> np.ndarray:
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
    except (ValueError, EOFError, MemoryError) as error:
        reason = "it holds Python objects" if "pickle" in str(error) else error
        raise ConfigError(f"{path}: not a numpy array file ({reason})") from None


def _as_type(values: np.ndarray, dtype: DType, path: Path) -> np.ndarray:
    """(…) of any numeric type → (n,) of `dtype`: floats round to f32, anything else must convert without a change."""
    if values.dtype.kind not in "biuf":
        raise ConfigError(f"{path}: numpy type {values.dtype} is not numeric")
    flat = np.ascontiguousarray(values).reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        converted = flat.astype(dtype.numpy)
    rounds = dtype is DType.F32 and flat.dtype.kind == "f"
    if not rounds and not np.array_equal(converted, flat):
        raise ConfigError(
            f"{path}: its {values.dtype} values do not all fit the model's type, {dtype.name.lower()}"
        )
    return converted


def _from_bytes(path: Path, dtype: DType) -> np.ndarray:
    data = path.read_bytes()
    if len(data) % dtype.width:
        raise ConfigError(
            f"{path}: {len(data):,} bytes are no whole number of {dtype.name.lower()} elements (a .npy? an image?)"
        )
    return np.frombuffer(data, dtype.numpy).copy()


def _load_image(path: Path, shape: Sequence[int], elements: int) -> np.ndarray:
    """An image of the model's shape, grey or RGB, planes first or last; values 0…255."""
    from PIL import Image, UnidentifiedImageError

    channels, height, width, planes_first = _image_shape(path, shape, elements)
    try:
        with Image.open(path) as image:
            picture = image.convert("L" if channels == 1 else "RGB").resize((width, height))
            pixels = np.asarray(picture, np.float32).reshape(height, width, channels)
    except (UnidentifiedImageError, SyntaxError) as error:
        raise ConfigError(f"{path}: not an image that can be read ({error})") from None
    return pixels.transpose(2, 0, 1) if planes_first else pixels


def _image_shape(path: Path, shape: Sequence[int], elements: int) -> tuple[int, int, int, bool]:
    """(channels, height, width, planes first) from (1, C, H, W) or (1, H, W, C), else of a square image."""
    match [int(size) for size in shape]:
        case [1, 1 | 3 as channels, height, width]:
            return channels, height, width, True
        case [1, height, width, 1 | 3 as channels]:
            return channels, height, width, False
    for channels in (1, 3):
        side = isqrt(elements // channels)
        if side * side * channels == elements:
            return channels, side, side, True
    raise ConfigError(f"{path}: the model's input of {elements:,} elements is no image; give a .npy file")
