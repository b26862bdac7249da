"""Input files: what is read, what is converted, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oracle_node.cli.inputs import read_input
from oracle_node.errors import ConfigError
from oracle_node.tape.instruction import Source
from oracle_node.tape.types import DType

PIXELS = Source(DType.F32, 64, 64)
TOKENS = Source(DType.I32, 1, 8)


def _npy(folder: Path, array: np.ndarray) -> Path:
    np.save(folder / "input.npy", array)
    return folder / "input.npy"


def test_npy__of_another_shape_and_type__is_flattened_and_converted(tmp_path: Path) -> None:
    values = read_input(_npy(tmp_path, np.arange(64, dtype=np.uint8).reshape(1, 8, 8)), PIXELS)
    assert values.dtype == np.float32
    assert values.tolist() == list(range(64))


def test_npy__float64__rounds_to_f32(tmp_path: Path) -> None:
    assert read_input(_npy(tmp_path, np.full(64, 0.1)), PIXELS)[0] == np.float32(0.1)


@pytest.mark.parametrize(
    ("array", "source"),
    [
        (np.full(64, 2**24 + 1, np.int64), PIXELS),
        (np.float32([1.5]), TOKENS),
        (np.int64([1 << 40]), TOKENS),
        (np.float32([np.nan]), TOKENS),
        (np.array(["text"]), TOKENS),
    ],
    ids=["beyond f32", "fraction", "beyond i32", "nan", "text"],
)
def test_npy__values_that_would_change__are_refused(
    tmp_path: Path, array: np.ndarray, source: Source
) -> None:
    with pytest.raises(ConfigError, match=r"input\.npy"):
        read_input(_npy(tmp_path, array), source)


@pytest.mark.parametrize(("count", "words"), [(63, "63 elements, the model takes 64"), (65, "65 elements")])
def test_input__of_the_wrong_length__names_both_lengths(tmp_path: Path, count: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_input(_npy(tmp_path, np.zeros(count, np.float32)), PIXELS)


def test_npy__truncated__is_refused_in_one_line(tmp_path: Path) -> None:
    path = _npy(tmp_path, np.zeros(64, np.float32))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ConfigError, match="not a numpy array"):
        read_input(path, PIXELS)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"not numpy", "no numpy array file"), (b"", "no numpy array file"), (b"PK\x03\x04rest", "npz archive")],
    ids=["text", "empty", "archive"],
)
def test_npy__that_is_none__is_refused_in_our_words(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "input.npy").write_bytes(content)
    with pytest.raises(ConfigError, match=words) as refused:
        read_input(tmp_path / "input.npy", PIXELS)
    assert "pickle" not in str(refused.value)


def test_npy__of_python_objects__is_refused_in_our_words(tmp_path: Path) -> None:
    np.save(tmp_path / "input.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ConfigError, match="it holds Python objects") as refused:
        read_input(tmp_path / "input.npy", PIXELS)
    assert "pickle" not in str(refused.value)


def test_raw_bytes__little_endian__are_the_elements(tmp_path: Path) -> None:
    (tmp_path / "input.bin").write_bytes(bytes([1, 0, 0, 0, 255, 255, 255, 255]))
    assert read_input(tmp_path / "input.bin", TOKENS).tolist() == [1, -1]


def test_raw_bytes__of_no_whole_number__are_refused(tmp_path: Path) -> None:
    (tmp_path / "input.bin").write_bytes(b"12345")
    with pytest.raises(ConfigError, match="5 bytes are no whole number of i32"):
        read_input(tmp_path / "input.bin", TOKENS)


def test_image__larger_than_the_model__is_scaled_in_size_and_range(tmp_path: Path) -> None:
    picture = np.zeros((16, 16), np.uint8)
    picture[:, 8:] = 255
    Image.fromarray(picture).save(tmp_path / "half.png")
    values = read_input(tmp_path / "half.png", PIXELS, (1, 1, 8, 8), 16.0).reshape(8, 8)
    assert values[:, 0].tolist() == [0.0] * 8
    assert values[:, 7].tolist() == [16.0] * 8


def test_image__for_three_channels__is_planar_rgb(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (255, 0, 16)).save(tmp_path / "red.png")
    planes = read_input(tmp_path / "red.png", Source(DType.U8, 48, 48)).reshape(3, 4, 4)
    assert planes[:, 0, 0].tolist() == [255, 0, 16]


def test_image__that_is_none__is_refused(tmp_path: Path) -> None:
    (tmp_path / "fake.png").write_bytes(b"not a picture")
    with pytest.raises(ConfigError, match="not an image"):
        read_input(tmp_path / "fake.png", PIXELS)


def test_image__for_a_model_with_planes_last__is_interleaved(tmp_path: Path) -> None:
    Image.new("RGB", (8, 2), (1, 2, 3)).save(tmp_path / "wide.png")
    values = read_input(tmp_path / "wide.png", Source(DType.U8, 48, 48), (1, 2, 8, 3))
    assert values.reshape(2, 8, 3)[1, 7].tolist() == [1, 2, 3]


def test_image__for_a_model_that_takes_none__is_refused(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "grey.png")
    with pytest.raises(ConfigError, match="5 elements is no image"):
        read_input(tmp_path / "grey.png", Source(DType.F32, 5, 5), (1, 5))
