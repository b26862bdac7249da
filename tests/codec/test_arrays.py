"""Files of numbers: what is read, what is converted, what is refused."""

from pathlib import Path

import numpy as np
import pytest

from oracle_node.codec.arrays import as_type, load_bytes, load_npy, load_npz, require_length
from oracle_node.errors import ConfigError
from oracle_node.tape.instruction import Source
from oracle_node.tape.types import DType


def _npy(folder: Path, array: np.ndarray) -> Path:
    np.save(folder / "input.npy", array)
    return folder / "input.npy"


def test_npy__of_another_shape_and_type__is_flattened_and_converted(tmp_path: Path) -> None:
    path = _npy(tmp_path, np.arange(64, dtype=np.uint8).reshape(1, 8, 8))
    values = as_type(load_npy(path), DType.F32, path)
    assert values.dtype == np.float32
    assert values.tolist() == list(range(64))


def test_type__float64__rounds_to_f32() -> None:
    assert as_type(np.full(64, 0.1), DType.F32, "x")[0] == np.float32(0.1)


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.full(64, 2**24 + 1, np.int64), DType.F32),
        (np.float32([1.5]), DType.I32),
        (np.int64([1 << 40]), DType.I32),
        (np.float32([np.nan]), DType.I32),
        (np.array(["text"]), DType.I32),
    ],
    ids=["beyond f32", "fraction", "beyond i32", "nan", "text"],
)
def test_type__values_that_would_change__are_refused(array: np.ndarray, dtype: DType) -> None:
    with pytest.raises(ConfigError, match=r"^the file:"):
        as_type(array, dtype, "the file")


@pytest.mark.parametrize(("count", "words"), [(63, "63 elements, the model takes 64"), (65, "65 elements")])
def test_length__another_one__names_both(count: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        require_length(np.zeros(count, np.float32), Source(DType.F32, 64, 64), "x")


def test_npy__truncated__is_refused_in_one_line(tmp_path: Path) -> None:
    path = _npy(tmp_path, np.zeros(64, np.float32))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ConfigError, match="not a numpy array"):
        load_npy(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"not numpy", "no numpy array file"), (b"", "no numpy array file"), (b"PK\x03\x04rest", "npz archive")],
    ids=["text", "empty", "archive"],
)
def test_npy__that_is_none__is_refused_in_our_words(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "input.npy").write_bytes(content)
    with pytest.raises(ConfigError, match=words) as refused:
        load_npy(tmp_path / "input.npy")
    assert "pickle" not in str(refused.value)


@pytest.mark.parametrize("load", [load_npy, load_npz])
def test_array__of_python_objects__is_refused_in_our_words(tmp_path: Path, load: object) -> None:
    path = tmp_path / ("input.npz" if load is load_npz else "input.npy")
    objects = np.array([{}], object)
    if load is load_npz:
        np.savez(path, x=objects)
    else:
        np.save(path, objects, allow_pickle=True)
    with pytest.raises(ConfigError, match="it holds Python objects") as refused:
        load(path)  # type: ignore[operator]
    assert "pickle" not in str(refused.value)


def test_raw_bytes__little_endian__are_the_elements(tmp_path: Path) -> None:
    (tmp_path / "input.bin").write_bytes(bytes([1, 0, 0, 0, 255, 255, 255, 255]))
    assert load_bytes(tmp_path / "input.bin", DType.I32).tolist() == [1, -1]


def test_raw_bytes__of_no_whole_number__are_refused(tmp_path: Path) -> None:
    (tmp_path / "input.bin").write_bytes(b"12345")
    with pytest.raises(ConfigError, match="5 bytes are no whole number of i32"):
        load_bytes(tmp_path / "input.bin", DType.I32)
