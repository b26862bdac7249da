"""Image files as an input's numbers. Decoding is Pillow's; colours, sizes and scaling are here, in integers and single
float32 operations, so that they do not change with its version.
"""

from pathlib import Path

import numpy as np

from oracle_node.codec.description import ImagePart, image_layout
from oracle_node.errors import ConfigError

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
)
_LUMA = np.array([19595, 38470, 7471])
"""ITU-R 601 weights of red, green and blue, in 65536ths."""
_MOST_PIXELS = 1 << 26


def image_numbers(path: Path, part: ImagePart) -> np.ndarray:
    """An image file as (C, H, W) or (H, W, C) f32, as the part has them; ConfigError where it is no image that fits."""
    return pixel_numbers(_fitted(load_pixels(path), part, path), part)


def pixel_numbers(pixels: np.ndarray, part: ImagePart) -> np.ndarray:
    """(H, W, 3) pixels 0…255 → the part's numbers, (C, H, W) or (H, W, C) f32; two float32 operations each."""
    channels, _, _, planes_first = image_layout(part)
    if part.colors == "grey":
        pixels = ((pixels.astype(np.int64) * _LUMA).sum(axis=2, keepdims=True) + 32768) >> 16
    elif part.colors == "bgr":
        pixels = pixels[:, :, ::-1]
    mean, scale = (np.broadcast_to(np.asarray(v, np.float32), (channels,)) for v in (part.mean, part.scale))
    numbers = (pixels.astype(np.float32) - mean) * scale
    return np.ascontiguousarray(numbers.transpose(2, 0, 1) if planes_first else numbers)


def load_pixels(path: Path) -> np.ndarray:
    """(height, width, 3) u8: red, green, blue, upright as its camera says, without transparency."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise ConfigError(f"{path}: {image.width} × {image.height} pixels are too many")
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (UnidentifiedImageError, SyntaxError, OSError, ValueError) as error:
        raise ConfigError(f"{path}: not an image that can be read ({error})") from None


def _fitted(pixels: np.ndarray, part: ImagePart, path: Path) -> np.ndarray:
    _, height, width, _ = image_layout(part)
    if pixels.shape[:2] == (height, width):
        return pixels
    if part.resize == "none":
        size = f"{pixels.shape[1]} × {pixels.shape[0]}"
        raise ConfigError(f"{path}: {size} pixels, the model takes {width} × {height} and resizes nothing")
    return resized(pixels, height, width, part.resize)


def resized(pixels: np.ndarray, height: int, width: int, rule: str) -> np.ndarray:
    """(h, w, c) → (height, width, c), integers.

    `nearest`: the pixel under the middle of the new one, the lower right one where it falls between two. `box`: the
    mean over the area that the new pixel covers, halves up.
    """
    if rule == "nearest":
        rows, columns = (
            ((2 * np.arange(new) + 1) * old) // (2 * new)
            for new, old in ((height, pixels.shape[0]), (width, pixels.shape[1]))
        )
        return np.asarray(pixels[rows][:, columns])
    area = pixels.shape[0] * pixels.shape[1]
    sums = np.einsum("yh,hwc->ywc", _overlaps(pixels.shape[0], height), pixels.astype(np.int64))
    sums = np.einsum("xw,ywc->yxc", _overlaps(pixels.shape[1], width), sums)
    return np.asarray((2 * sums + area) // (2 * area))


def _overlaps(old: int, new: int) -> np.ndarray:
    """(new, old) i64: how much of each old cell a new one covers, both of one length, in (old·new)ths of it."""
    starts, cells = np.arange(new)[:, None] * old, np.arange(old)[None] * new
    return np.asarray(np.clip(np.minimum(starts + old, cells + new) - np.maximum(starts, cells), 0, None))
