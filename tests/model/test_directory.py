"""Model directories: what is saved loads again, and nothing else loads."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oracle_node.errors import ModelError
from oracle_node.model.directory import load_model, save_model
from oracle_node.model.model import Card, Model
from oracle_node.tape.affine import Affine
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import DerivedSymbol, Inequality, Source
from oracle_node.tape.types import DType, SourceKind

CARD = Card("toy", "doubles", "CC0", "by hand", {"kind": "tensor"}, {"kind": "tensor", "labels": ["α", "b"]})


@pytest.fixture
def model() -> Model:
    request, output = Source(DType.I8, 1, 64), Source(DType.I32, 1, 64)
    rules = [Inequality((1, -1, 0), 3)]
    t = TapeBuilder(request, output, inequalities=rules, derived=[DerivedSymbol(0, 4)])
    n = Affine.symbol(0)
    x = t.input(SourceKind.REQUEST, (n,), -128, 127)
    with t.scope("double"):
        y = t.map(lambda a, w: a * w, x, t.const(np.asarray([2], "<i2")), dtype=DType.I32)
    biased = t.map(lambda a, w: a + w, y, t.full(7, DType.I8), dtype=DType.I32)
    return Model.of(t.finish(biased), CARD)


@pytest.fixture
def saved(model: Model, tmp_path: Path) -> Path:
    save_model(model, tmp_path / "toy")
    return tmp_path / "toy"


@pytest.mark.parametrize("verify", [True, False])
def test_load_model__of_a_saved_one__equals_it(model: Model, saved: Path, verify: bool) -> None:
    loaded = load_model(saved, verify)
    assert loaded.model_id == model.model_id
    assert loaded.commitment == model.commitment
    assert loaded.card == model.card
    assert loaded.tape.names == model.tape.names
    assert loaded.tape.instructions == model.tape.instructions
    for mine, theirs in zip(model.tape.weights, loaded.tape.weights, strict=True):
        assert mine.dtype == theirs.dtype and mine.shape == theirs.shape and np.array_equal(mine, theirs)


def test_save_model__twice__writes_the_same_bytes(model: Model, saved: Path) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(ModelError, match="holds a model already"):
        save_model(model, saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    save_model(model, saved, replace=True)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert set(before) == {"model.json", "tape.bin", "weights.bin"}


def test_save_model__over_what_an_import_left_unfinished__writes_it(model: Model, saved: Path) -> None:
    (saved / "model.json").unlink()
    save_model(model, saved)
    assert load_model(saved).model_id == model.model_id


def test_save_model__beside_other_files__is_refused(model: Model, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ModelError, match=r"not empty \(thesis.tex\)"):
        save_model(model, tmp_path)


def test_load_model__with_any_bit_of_tape_or_weights_flipped__is_one_line_of_error(saved: Path) -> None:
    for name in ("tape.bin", "weights.bin"):
        path = saved / name
        good = path.read_bytes()
        for position in range(len(good)):
            path.write_bytes(
                good[:position] + bytes([good[position] ^ 1 << position % 8]) + good[position + 1 :]
            )
            with pytest.raises(ModelError) as caught:
                load_model(saved)
            assert "\n" not in str(caught.value)
        path.write_bytes(good)


@pytest.mark.parametrize("name", ["model.json", "tape.bin", "weights.bin"])
@pytest.mark.parametrize(
    "change", [lambda b: b[:-1], lambda b: b[:2], lambda b: b"", lambda b: b + b"\x01", None]
)
def test_load_model__with_a_file_cut_grown_or_gone__is_refused(
    saved: Path, name: str, change: Callable[[bytes], bytes] | None
) -> None:
    path = saved / name
    if change is None:
        path.unlink()
    elif name == "model.json" and change(b"{}\n") == b"{}":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ModelError) as caught:
        load_model(saved)
    assert "\n" not in str(caught.value) and str(saved) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 2, "format"),
        ("instructions", 5, "instructions, the manifest has 5"),
        ("model_id", "0x" + "00" * 32, "make up model"),
        ("output", 1, "make up model"),
        ("output", "1", "output"),
        ("witness", 0, "make up model"),
        ("step_bound", 5000, "make up model"),
        ("inequalities", [], "make up model"),
        ("derived", [{"source": 0, "divisor": 0}], "divisor"),
        ("sources", [], "sources"),
        ("extra", 1, "extra"),
    ],
)
def test_load_model__with_a_field_changed__names_it(
    saved: Path, key: str, value: object, message: str
) -> None:
    manifest = json.loads((saved / "model.json").read_text())
    manifest[key] = value
    (saved / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=message):
        load_model(saved)


def test_load_model__of_a_model_without_weights__works(tmp_path: Path) -> None:
    t = TapeBuilder(Source(DType.U8, 1, 8), Source(DType.U8, 1, 8))
    model = Model.of(t.finish(t.input(SourceKind.REQUEST, (Affine.symbol(0),), 0, 9)), Card("none"))
    save_model(model, tmp_path / "m")
    assert load_model(tmp_path / "m").model_id == model.model_id


def test_describe__of_a_model__has_the_keys_of_model_inspect(model: Model) -> None:
    facts = model.describe()
    keys = {
        "model_id",
        "tape_root",
        "weights_root",
        "instructions",
        "ops",
        "max_step_bytes",
        "inputs",
        "answer",
    }
    assert keys <= set(facts)
    assert sum(facts["ops"].values()) == facts["instructions"] == len(model.tape.instructions)
    assert facts["answer"]["labels"] == ["α", "b"] and facts["answer"]["dtype"] == "i32"
    assert 1024 < facts["max_step_bytes"] <= model.tape.step_bound
    assert json.loads(json.dumps(facts)) == facts
