"""Images: sizes by integer rules of our own, colours and scales by single float32 operations."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from oracle_node.codec.description import ImagePart, input_parts
from oracle_node.codec.images import image_numbers, resized
from oracle_node.errors import ConfigError, ModelError


def part(*shape: int, **more: Any) -> ImagePart:
    colors = "grey" if 1 in (shape[1], shape[3]) else "rgb"
    found = input_parts({"kind": "image", "shape": shape, "colors": colors, **more}, int(np.prod(shape)))[0]
    assert isinstance(found, ImagePart)
    return found


def box(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mean over every new pixel's area, one by one, in fractions; halves up."""
    old_height, old_width = pixels.shape[:2]
    made = np.zeros((height, width, pixels.shape[2]), np.int64)

    def shares(place: int, old: int, new: int) -> list[tuple[int, Fraction]]:
        low, high = Fraction(place * old, new), Fraction((place + 1) * old, new)
        pairs = ((n, min(high, n + 1) - max(low, n)) for n in range(old))
        return [(n, share / (high - low)) for n, share in pairs if share > 0]

    for y in range(height):
        for x in range(width):
            for c in range(pixels.shape[2]):
                mean = sum(
                    a * b * int(pixels[row, column, c])
                    for row, a in shares(y, old_height, height)
                    for column, b in shares(x, old_width, width)
                )
                made[y, x, c] = int(mean + Fraction(1, 2))
    return made


@pytest.mark.parametrize("size", [(3, 4), (7, 5), (1, 1), (9, 12), (10, 6)])
def test_resize__by_box__is_the_mean_over_the_area(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (7, 5, 3), np.uint8)
    assert resized(pixels, *size, "box").tolist() == box(pixels, *size).tolist()


def test_resize__to_the_nearest__takes_the_pixel_under_the_middle() -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 6, 1)
    assert resized(pixels, 1, 3, "nearest").reshape(-1).tolist() == [1, 3, 5]
    assert resized(pixels, 1, 4, "nearest").reshape(-1).tolist() == [0, 2, 3, 5]
    assert resized(pixels, 2, 12, "nearest")[1, :, 0].tolist() == [n // 2 for n in range(12)]


def test_image__larger_than_the_model__is_scaled_in_size_and_range(tmp_path: Path) -> None:
    picture = np.zeros((16, 16), np.uint8)
    picture[:, 8:] = 255
    Image.fromarray(picture).save(tmp_path / "half.png")
    values = image_numbers(tmp_path / "half.png", part(1, 1, 8, 8, scale=[16 / 255])).reshape(8, 8)
    assert values[:, 0].tolist() == [0.0] * 8
    assert values[:, 7].tolist() == [16.0] * 8


@pytest.mark.parametrize(
    ("shape", "colors", "first"),
    [((1, 3, 4, 4), "rgb", [255, 0, 16]), ((1, 4, 4, 3), "bgr", [16, 0, 255]), ((1, 1, 4, 4), "grey", [78])],
)
def test_image__of_one_colour__has_its_channels_in_order(
    tmp_path: Path, shape: tuple[int, ...], colors: str, first: list[int]
) -> None:
    Image.new("RGB", (4, 4), (255, 0, 16)).save(tmp_path / "red.png")
    numbers = image_numbers(tmp_path / "red.png", part(*shape, colors=colors))
    assert numbers.shape == shape[1:]
    pixel = numbers[:, 1, 2] if shape[1] in (1, 3) else numbers[1, 2]
    assert pixel.tolist() == first


def test_image__with_a_mean_and_a_scale_a_channel__has_two_float32_operations(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2), (10, 20, 30)).save(tmp_path / "x.png")
    mean, scale = (123.675, 116.28, 103.53), (0.01712475, 0.017507, 0.01742919)
    numbers = image_numbers(tmp_path / "x.png", part(1, 3, 2, 2, mean=mean, scale=scale))
    wanted = [
        (np.float32(p) - np.float32(m)) * np.float32(s)
        for p, m, s in zip((10, 20, 30), mean, scale, strict=True)
    ]
    assert numbers[:, 0, 0].tolist() == [float(w) for w in wanted]


def test_image__turned_by_its_camera__is_upright(tmp_path: Path) -> None:
    picture = Image.new("L", (2, 1))
    picture.putpixel((1, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter, clockwise
    picture.save(tmp_path / "turned.png", exif=exif)
    assert image_numbers(tmp_path / "turned.png", part(1, 1, 2, 1)).reshape(-1).tolist() == [0, 255]


def test_image__that_is_none__is_refused(tmp_path: Path) -> None:
    (tmp_path / "fake.png").write_bytes(b"not a picture")
    with pytest.raises(ConfigError, match="not an image"):
        image_numbers(tmp_path / "fake.png", part(1, 1, 4, 4))


def test_image__of_another_size__is_refused_where_nothing_is_resized(tmp_path: Path) -> None:
    Image.new("L", (5, 4)).save(tmp_path / "wide.png")
    with pytest.raises(ConfigError, match="5 × 4 pixels, the model takes 4 × 4"):
        image_numbers(tmp_path / "wide.png", part(1, 1, 4, 4, resize="none"))


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"shape": [1, 5], "colors": "grey"}, "no image"),
        ({"shape": [1, 1, 5, 1], "colors": "rgb"}, "1 channels, which are not rgb"),
        ({"shape": [1, 1, 5, 1], "colors": "grey", "mean": [1, 2]}, "one a channel"),
        ({"shape": [1, 1, 5, 1], "colors": "grey", "scale": [float("nan")]}, "finite"),
        ({"shape": [1, 1, 5, 1], "colors": "grey", "resize": "bicubic"}, "'box', 'nearest' or 'none'"),
        ({"shape": [1, 1, 5, 1], "colors": "grey", "gamma": 2}, "[Ee]xtra"),
        ({"shape": [1, 1, 5, 2], "colors": "grey"}, "10 numbers, the model's has 5"),
    ],
)
def test_description__that_makes_no_sense__is_one_clear_error(
    description: dict[str, Any], words: str
) -> None:
    with pytest.raises(ModelError, match=words) as refused:
        input_parts({"kind": "image", **description}, 5)
    assert "\n" not in str(refused.value)
