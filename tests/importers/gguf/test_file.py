"""Reading GGUF files: what a good one holds, and that a bad one is refused at once and in one line."""

import hashlib
import struct
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gguf", reason="needs the extra llm")

from oracle_node.errors import ConfigError, ModelError
from oracle_node.importers.gguf.file import SUPPORTED_TYPES, GgufFile
from tests.importers.gguf.files import F32, IQ4_NL, f32, gguf_bytes, string, value, written

METADATA = {
    "general.architecture": "llama",
    "size": 7,
    "ratio": 0.5,
    "flag": True,
    "words": ["a", b"\xff"],
    "numbers": [3, -4],
    "not text": b"\xff",
}
MATRIX = np.arange(24, dtype=np.float32).reshape(4, 6) / 8
TENSORS = {"matrix": f32(MATRIX), "vector": f32([1, 2, 3])}
WHOLE = gguf_bytes(METADATA, TENSORS)
Change = Callable[[bytes], bytes]


@pytest.fixture
def file(tmp_path: Path) -> GgufFile:
    return GgufFile.open(written(tmp_path / "good.gguf", METADATA, TENSORS))


def test_metadata__of_each_kind__is_read(file: GgufFile) -> None:
    assert file.metadata("general.architecture", str) == "llama"
    assert file.metadata("size", int) == 7
    assert file.metadata("ratio", float) == 0.5
    assert file.metadata("flag", bool) is True
    assert file.strings("words") == (b"a", b"\xff")
    assert file.array("numbers").tolist() == [3, -4]
    assert [file.number(key) for key in ("size", "ratio", "flag")] == [7, 0.5, 1]
    assert file.keys == tuple(METADATA)
    assert file.pair("size") == string("size") + value(7)


def test_metadata__absent__is_the_default_or_an_error(file: GgufFile) -> None:
    assert file.metadata("absent", int, None) is None
    assert file.array("absent", None) is None
    with pytest.raises(ModelError, match=r"good\.gguf: has no metadata absent"):
        file.metadata("absent", int)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("size", float),
        ("size", str),
        ("flag", int),
        ("ratio", int),
        ("words", str),
        ("not text", str),
        ("numbers", int),
    ],
)
def test_metadata__of_another_kind__is_refused(file: GgufFile, key: str, kind: type) -> None:
    with pytest.raises(ModelError, match=rf"good\.gguf: {key} is .*, expected "):
        file.metadata(key, kind)


def test_metadata__arrays_of_another_kind__are_refused(file: GgufFile) -> None:
    with pytest.raises(ModelError, match="words is an array of 2, expected an array of numbers"):
        file.array("words")
    with pytest.raises(ModelError, match="numbers is an array of 2, expected an array of strings"):
        file.strings("numbers")


def test_rows__of_a_matrix__are_its_rows(file: GgufFile) -> None:
    assert file.names == ("matrix", "vector")
    assert file.shape("matrix") == (4, 6)
    np.testing.assert_array_equal(file.rows("matrix", 1, 3), MATRIX[1:3])
    np.testing.assert_array_equal(file.rows("matrix", 4, 4), MATRIX[4:4])
    np.testing.assert_array_equal(file.vector("vector"), np.float32([1, 2, 3]))
    with pytest.raises(ValueError, match="no rows 3 to 5"):
        file.rows("matrix", 3, 5)


def test_require__another_shape_or_none__is_refused(file: GgufFile) -> None:
    file.require("matrix", (4, 6))
    with pytest.raises(ModelError, match=r"tensor matrix has shape \(4, 6\), expected \(6, 4\)"):
        file.require("matrix", (6, 4))
    with pytest.raises(ModelError, match="has no tensor absent"):
        file.require("absent", (1,))


def test_sha256__is_of_the_whole_file(file: GgufFile) -> None:
    assert file.sha256() == hashlib.sha256(WHOLE).hexdigest()


# what ggml's own dequantize_row_* of llama-cpp-python 0.3.36 made of the same blocks
VALUES_SHA256 = {
    "F32": "714fe5a9224d6ff1",
    "F16": "5b9f661baac9e267",
    "BF16": "2a58873a5b878a5d",
    "Q8_0": "03528ba6e0f46213",
    "Q4_0": "1cedfa6b5be2660a",
    "Q4_1": "90477a55d6552580",
    "Q5_0": "dd2e146efec483c9",
    "Q5_1": "f0267000977c52d1",
    "Q2_K": "10c366e02b835e57",
    "Q3_K": "17e7f78147b1ef27",
    "Q4_K": "bc130200d31f06a8",
    "Q5_K": "4fbaf5a1ac362617",
    "Q6_K": "a4dc059392d3b807",
}


def blocks(name: str, rows: int, blocks_per_row: int) -> bytes:
    """Random blocks of a type; the float16 in them are finite."""
    import gguf

    kind = gguf.GGMLQuantizationType[name]
    size = gguf.GGML_QUANT_SIZES[kind][1]
    halves = {
        "F16": [0], "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q2_K": [80, 82],
        "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "F32": [2], "BF16": [0],
    }[name]  # fmt: skip
    stream = hashlib.shake_256(name.encode()).digest(rows * blocks_per_row * size)
    data = np.frombuffer(stream, np.uint8).reshape(-1, size).copy()
    for at in halves:
        data[:, at + 1] &= 0xBB  # no exponent is all ones
    return data.tobytes()


@pytest.mark.parametrize("name", SUPPORTED_TYPES)
def test_rows__of_every_type__are_the_same_on_every_machine(tmp_path: Path, name: str) -> None:
    import gguf

    kind = gguf.GGMLQuantizationType[name]
    elements = gguf.GGML_QUANT_SIZES[kind][0]
    shape = (40, 8 * elements)
    path = written(tmp_path / "x.gguf", {}, {"w": (shape, int(kind), blocks(name, 40, 8))})
    with GgufFile.open(path) as opened:
        values = opened.rows("w", 0, 40)
        parts = [opened.rows("w", start, min(start + 7, 40)) for start in range(0, 40, 7)]
    assert (values.shape, values.dtype) == (shape, np.float32)
    np.testing.assert_array_equal(np.concatenate(parts), values)
    assert hashlib.sha256(values.tobytes()).hexdigest()[:16] == VALUES_SHA256[name]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows__not_finite__are_refused(tmp_path: Path, bad: float) -> None:
    matrix = MATRIX.copy()
    matrix[2, 3] = bad
    opened = GgufFile.open(written(tmp_path / "x.gguf", {}, {"matrix": f32(matrix)}))
    opened.rows("matrix", 0, 2)
    with pytest.raises(ModelError, match=r"x\.gguf: tensor matrix holds values that are not finite"):
        opened.rows("matrix", 2, 3)


def test_rows__of_an_infinite_scale__are_refused(tmp_path: Path) -> None:
    block = np.float16(np.inf).tobytes() + bytes(32)
    opened = GgufFile.open(written(tmp_path / "x.gguf", {}, {"w": ((1, 32), 8, block)}))
    with pytest.raises(ModelError, match="not finite"):
        opened.rows("w", 0, 1)


def test_require__an_unsupported_type__names_tensor_and_type(tmp_path: Path) -> None:
    opened = GgufFile.open(written(tmp_path / "x.gguf", {}, {"w": ((1, 32), IQ4_NL, bytes(18))}))
    for read in (lambda: opened.require("w", (1, 32)), lambda: opened.rows("w", 0, 1)):
        with pytest.raises(
            ModelError, match="tensor w is of type IQ4_NL, which is not supported; supported are F32, "
        ):
            read()


def replaced(old: bytes, new: bytes) -> Change:
    assert WHOLE.count(old) == 1, old
    return lambda data: data.replace(old, new)


def pair_of(key: str, kind: int, content: bytes) -> Change:
    """The file with one pair in place of all."""
    header = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    return lambda data: header + string(key) + struct.pack("<I", kind) + content


def tensor_of(name: str, shape: tuple[int, ...], kind: int, offset: int) -> Change:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + string(name)
    return lambda data: header + dimensions + struct.pack("<IQ", kind, offset) + bytes(4096)


ONE_OF_THREE = struct.pack("<II", 1, 3)
"""One dimension, of three elements."""
MALFORMED: dict[str, tuple[Change, str]] = {
    "empty": (lambda d: b"", "is not a GGUF file"),
    "another format": (lambda d: b"ggjt" + d[4:], "is not a GGUF file"),
    "big-endian": (lambda d: b"GGUF" + struct.pack(">I", 3) + d[8:], "is big-endian"),
    "version 1": (lambda d: b"GGUF" + struct.pack("<I", 1) + d[8:], "is version 1 of GGUF, only 2 and 3"),
    "version 4": (lambda d: b"GGUF" + struct.pack("<I", 4) + d[8:], "is version 4 of GGUF, only 2 and 3"),
    "many tensors": (lambda d: d[:8] + b"\xff" * 8 + d[16:], "says that it holds 18446744073709551615 tensors"),
    "many pairs": (lambda d: d[:16] + b"\xff" * 7 + b"\x7f" + d[24:], "pairs of metadata, more than"),
    "more tensors than there are": (lambda d: d[:8] + struct.pack("<Q", 3) + d[16:], "has 0 dimensions, expected"),
    "long key": (lambda d: d[:24] + b"\xff" * 8 + d[32:], "is cut short, or damaged, at a metadata key"),
    "key twice": (replaced(b"ratio", b"words"), "metadata key 'words' is empty or occurs twice"),
    "key of no text": (replaced(b"ratio", b"\xff\xff\xff\xff\xff"), "a metadata key is not UTF-8"),
    "key empty": (pair_of("", 4, bytes(4)), "metadata key '' is empty"),
    "type unknown": (pair_of("k", 13, bytes(64)), "k has type number 13"),
    "array nested": (pair_of("k", 9, struct.pack("<IQ", 9, 1) + bytes(64)), "k has type number 9, which is unknown"),
    "array huge": (pair_of("k", 9, struct.pack("<IQ", 0, 2**63)), "is cut short, or damaged, at k"),
    "strings many": (pair_of("k", 9, struct.pack("<IQ", 8, 2**40)), "k says that it holds 1099511627776 strings"),
    "string huge": (pair_of("k", 8, struct.pack("<Q", 2**62)), "is cut short, or damaged, at k"),
    "alignment odd": (pair_of("general.alignment", 4, struct.pack("<I", 12)), "alignment is not a power of two"),
    "alignment zero": (pair_of("general.alignment", 4, bytes(4)), "alignment is not a power of two"),
    "tensor twice": (replaced(b"vector", b"matrix"), "tensor 'matrix' occurs twice"),
    "tensor of no name in text": (replaced(b"vector", b"vect\xff\xff"), "a tensor's name is not UTF-8"),
    "tensor of no dimension": (tensor_of("w", (), F32, 0), "tensor 'w' has 0 dimensions"),
    "tensor of five dimensions": (tensor_of("w", (1, 1, 1, 1, 1), F32, 0), "tensor 'w' has 5 dimensions"),
    "tensor of many dimensions": (replaced(ONE_OF_THREE, b"\xff\xff\xff\xff" + ONE_OF_THREE[4:]), "4294967295 dim"),
    "tensor empty": (tensor_of("w", (0, 4), F32, 0), "has shape (0, 4), expected rows"),
    "tensor of half a block": (tensor_of("w", (2, 48), 8, 0), "expected rows of whole blocks of 32"),
    "tensor of an unknown type": (tensor_of("w", (2, 32), 999, 0), "tensor 'w' has type number 999"),
    "tensor huge": (tensor_of("w", (2**62, 2**62), F32, 0), "is cut short: tensor 'w' ends at byte"),
    "tensor past the end": (tensor_of("w", (1025,), F32, 0), "is cut short: tensor 'w' ends at byte"),
    "tensor elsewhere": (tensor_of("w", (4,), F32, 32), "the data of tensor 'w' start at 32, expected 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_open__malformed__is_one_line_at_once_in_little_memory(tmp_path: Path, case: str) -> None:
    change, message = MALFORMED[case]
    path = tmp_path / "bad.gguf"
    path.write_bytes(change(WHOLE))
    tracemalloc.start()
    began = time.perf_counter()
    try:
        with pytest.raises(ModelError) as refusal:
            GgufFile.open(path)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(refusal.value).startswith(f"{path}: ")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert time.perf_counter() - began < 1
    assert peak_bytes < 2**20


def test_open__every_prefix__is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    end_of_data = len(WHOLE) - 20  # the last tensor's 12 bytes are padded to 32
    for length in range(end_of_data):
        path.write_bytes(WHOLE[:length])
        with pytest.raises(ModelError, match=r"cut\.gguf: is (not a GGUF file|cut short)"):
            GgufFile.open(path)
    path.write_bytes(WHOLE[:end_of_data])
    assert GgufFile.open(path).vector("vector").tolist() == [1, 2, 3]


def test_open__any_byte_changed__opens_or_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "changed.gguf"
    rng = np.random.default_rng(7)
    refusals = []
    for at in range(len(WHOLE)):
        changed = bytearray(WHOLE)
        changed[at] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            with GgufFile.open(path) as opened:
                for name in opened.names:
                    opened.rows(name, 0, 1) if len(opened.shape(name)) == 2 else opened.vector(name)
        except ModelError as refusal:
            refusals.append(str(refusal))
    assert 0 < len(refusals) < len(WHOLE)
    assert not any("\n" in refusal for refusal in refusals)


def test_open__version_2__is_read(tmp_path: Path) -> None:
    path = tmp_path / "two.gguf"
    path.write_bytes(gguf_bytes(METADATA, TENSORS, version=2))
    assert GgufFile.open(path).rows("matrix", 0, 1).tolist() == MATRIX[:1].tolist()


def test_open__no_file_or_a_folder__is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.gguf", tmp_path):
        with pytest.raises(ModelError, match="cannot be read"):
            GgufFile.open(path)


def test_rows__of_a_file_cut_while_open__are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "x.gguf", METADATA, TENSORS)
    with GgufFile.open(path) as opened:
        with path.open("r+b") as handle:
            handle.truncate(len(WHOLE) - 100)
        with pytest.raises(ModelError, match=r"x\.gguf: was cut short, at matrix, while it was open"):
            opened.rows("matrix", 0, 4)


def test_open__without_the_package__says_what_to_install_unless_there_are_no_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(WHOLE)
    vocabulary = written(tmp_path / "vocabulary.gguf", {"general.architecture": "llama"})
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ConfigError, match=r"pip install 'oracle-node\[llm\]'"):
        GgufFile.open(whole)
    with GgufFile.open(vocabulary) as file:
        assert file.metadata("general.architecture", str) == "llama"


def test_open__a_published_model__has_its_tensors(shared_data: Callable[[str], Path]) -> None:
    with GgufFile.open(shared_data("gguf/stories260K-f32.v3.gguf")) as opened:
        assert len(opened.names) == 48
        exact = opened.rows("token_embd.weight", 0, 512)
    with GgufFile.open(shared_data("gguf/stories260K-q8_0.v3.gguf")) as opened:
        assert opened.type_name("token_embd.weight") == "Q8_0"
        rounded = opened.rows("token_embd.weight", 0, 512)
    assert 0 < np.abs(exact - rounded).max() <= np.abs(exact).max() / 200
