"""Requests from files and texts: the very bytes, and what is said where something is missing."""

import json
from pathlib import Path

import numpy as np
import pytest

from oracle_node.codec.request import WHOLE, Given, request_bytes
from oracle_node.errors import ConfigError, ModelError
from oracle_node.tape.types import DType
from tests.codec.models import echo

PAIR = {
    "kind": "parts",
    "parts": [
        {"kind": "tensor", "name": "left", "shape": [1, 2]},
        {"kind": "tensor", "name": "right", "shape": [3]},
    ],
}
ROW = {
    "kind": "table",
    "name": "row",
    "shape": [1, 3],
    "columns": [{"name": "age"}, {"name": "sex", "categories": ["male", "female"]}, {"name": "debt"}],
}
ENCODER = {
    "kind": "parts",
    "parts": [
        {"kind": "text", "name": "input_ids", "shape": [1, 6]},
        {"kind": "filled", "name": "attention_mask", "shape": [1, 6], "of": "input_ids", "value": 1},
    ],
}


def _floats(data: bytes) -> list[float]:
    return np.frombuffer(data, "<f4").tolist()  # type: ignore[no-any-return]


def _save(path: Path, *values: float) -> Path:
    np.save(path, np.float32(values))
    return path


def test_request__of_two_inputs__has_them_in_the_cards_order(tmp_path: Path) -> None:
    model = echo(5, input=PAIR)
    files = {"right": _save(tmp_path / "r.npy", 3, 4, 5), "left": _save(tmp_path / "l.npy", 1, 2)}
    assert _floats(request_bytes(model, Given(files))) == [1, 2, 3, 4, 5]


def test_request__of_one_archive__takes_every_input_by_its_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "both.npz", right=np.float32([[3], [4], [5]]), left=[1, 2], more=[9])
    files = {WHOLE: tmp_path / "both.npz"}
    assert _floats(request_bytes(echo(5, input=PAIR), Given(files))) == [1, 2, 3, 4, 5]


def test_request__of_one_plain_file__is_the_file(tmp_path: Path) -> None:
    files = {WHOLE: _save(tmp_path / "all.npy", 1, 2, 3, 4, 5)}
    assert _floats(request_bytes(echo(5, input=PAIR), Given(files))) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["left"], "no input 'right' is given"),
        (["left", "up"], "no input 'up': the model takes left, right"),
        (["right"], "3 elements"),
        ([], "the model takes left, right"),
    ],
)
def test_request__with_an_input_missing__names_it(tmp_path: Path, names: list[str], words: str) -> None:
    given = Given({name: _save(tmp_path / "x.npy", *range(2 if name == "left" else 3)) for name in names})
    if names == ["right"]:
        given = Given({"right": tmp_path / "x.npy", "left": tmp_path / "x.npy"})
    with pytest.raises(ConfigError, match=words):
        request_bytes(echo(5, input=PAIR), given)


def test_request__of_a_table__goes_by_the_columns_names(tmp_path: Path) -> None:
    (tmp_path / "row.csv").write_text("label,debt,sex,age\nbad, 12.5,female,31\n")
    data = request_bytes(echo(3, input=ROW), Given({WHOLE: tmp_path / "row.csv"}))
    assert _floats(data) == [31, 1, 12.5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age,sex,debt\n1,male,2\n3,female,4\n", "2 rows"),
        ("age,sex,debt\n", "0 rows"),
        ("age,sex\n1,male\n", "no value in column 'debt'"),
        ("age,sex,debt\n1,other,2\n", "'other' is no number in column 'sex', which takes male, female"),
        ("age,sex,debt\nnan,male,2\n", "finite"),
    ],
)
def test_request__of_another_table__says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "row.csv").write_text(text)
    with pytest.raises(ConfigError, match=words):
        request_bytes(echo(3, input=ROW), Given({WHOLE: tmp_path / "row.csv"}))


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A model directory's tokenizer: BERT's word pieces."""
    from oracle_node.codec.text import install_tokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "wor", "##ld", "!"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    install_tokenizer(tmp_path / "vocab.txt", tmp_path)
    return tmp_path


def _ids(folder: Path, text: str) -> list[int]:
    data = request_bytes(echo(12, DType.I64, input=ENCODER), Given(text=text), folder)
    return np.frombuffer(data, "<i8").tolist()  # type: ignore[no-any-return]


def test_request__of_a_text__is_its_tokens_and_their_mask_filled_up(encoder: Path) -> None:
    assert _ids(encoder, "Hello WORLD") == [2, 5, 6, 7, 3, 0, 1, 1, 1, 1, 1, 0]
    assert _ids(encoder, "") == [2, 3, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0]


def test_request__of_a_long_text__is_cut_and_still_ends(encoder: Path) -> None:
    assert _ids(encoder, "hello hello hello hello hello hello") == [2, 5, 5, 5, 5, 3] + [1] * 6


def test_request__of_token_ids__needs_no_tokenizer(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", [2, 5, 3])
    data = request_bytes(echo(12, DType.I64, input=ENCODER), Given({WHOLE: tmp_path / "ids.npy"}))
    assert np.frombuffer(data, "<i8").tolist() == [2, 5, 3, 0, 0, 0, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("content", [None, b"{}", b"\xff"])
def test_request__without_a_tokenizer_that_is_one__is_one_clear_error(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"tokenizer\.json") as refused:
        _ids(tmp_path, "hello")
    assert "\n" not in str(refused.value)


def test_request__of_a_text_for_numbers__is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the model takes no text, but left, right"):
        request_bytes(echo(5, input=PAIR), Given(text="hello"))


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"kind": "parts", "parts": [{"kind": "filled", "name": "m", "of": "x", "value": 1}]}, "'x'"),
        ({"kind": "table", "shape": [1, 5], "columns": [{"name": "a"}]}, "5 numbers and 1 columns"),
        ({"kind": "sound"}, "'sound'"),
        ({"kind": "parts"}, "input"),
        (json.loads('{"kind": "tensor", "shape": [1, -5]}'), "shape"),
    ],
)
def test_request__of_a_model_described_wrongly__is_refused_in_one_line(
    tmp_path: Path, description: dict[str, object], words: str
) -> None:
    with pytest.raises(ModelError, match=words) as refused:
        request_bytes(echo(5, input=description), Given({WHOLE: _save(tmp_path / "x.npy", 1, 2, 3, 4, 5)}))
    assert "\n" not in str(refused.value)
