"""Whatever a model directory holds, whatever bytes stand for a request or an answer: a named error, or it is taken."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracle_node.cli.output import key_values, to_json
from oracle_node.codec.answer import read_answer
from oracle_node.codec.request import Given, request_bytes
from oracle_node.errors import ConfigError, ModelError
from oracle_node.model.directory import load_model, save_model
from oracle_node.model.model import Card, Model, RequestRefusedError
from oracle_node.tape.affine import Affine
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Source
from oracle_node.tape.types import DType, SourceKind

_SETTINGS = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
_NUMBERS = st.sampled_from([0, -1, 1, 2, 3, 4, 6, 2**31, 2**32, 2**63, 2**70, 1.5])
_WORDS = st.sampled_from([
    "tensor", "image", "table", "text", "filled", "prompt", "parts", "embedding", "classes", "detections", "logits",
    "probabilities", "scores", "grey", "rgb", "box", "corners", "centers", "x", "", "\x1b[2J", "\ud800",
])  # fmt: skip
_KEYS = st.sampled_from([
    "kind", "parts", "name", "shape", "labels", "scores", "colors", "mean", "scale", "resize", "columns", "of", "value",
    "context", "answer", "boxes", "background", "least_score", "most_overlap", "categories",
])  # fmt: skip
_JSON = st.recursive(
    _SCALARS | _NUMBERS | _WORDS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_KEYS | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)
_SHAPES = st.lists(st.sampled_from([1, 2, 3, 4, 6, "n", 0, 2**33]), max_size=4)
_PART = st.fixed_dictionaries(
    {"kind": _WORDS},
    optional={"name": _WORDS, "shape": _SHAPES, "labels": st.lists(st.text(max_size=2), max_size=6)}
    | dict.fromkeys(["scores", "colors", "resize", "of", "boxes"], _WORDS)
    | dict.fromkeys(["mean", "scale"], st.lists(_NUMBERS | st.floats(), max_size=3))
    | dict.fromkeys(["background", "value", "context", "answer", "least_score", "most_overlap"], _NUMBERS)
    | {"columns": st.lists(st.fixed_dictionaries({"name": _WORDS}), max_size=6)},
)
_DESCRIPTIONS = (
    st.dictionaries(_KEYS, _JSON, max_size=5)
    | _PART
    | st.fixed_dictionaries({"kind": st.just("parts"), "parts": st.lists(_PART, max_size=3)})
)


def _model(dtype: DType = DType.F32) -> Model:
    """Six numbers in, six out."""
    builder = TapeBuilder(Source(dtype, 6, 6), Source(dtype, 6, 6))
    x = builder.input(SourceKind.REQUEST, (6,), -100, 100)
    weights = builder.const(np.arange(6, dtype=dtype.numpy))
    return Model.of(builder.finish(builder.map(lambda a, w: a + w, x, weights, dtype=dtype)), Card("six"))


def _growing() -> Model:
    builder = TapeBuilder(Source(DType.I32, 1, 9), Source(DType.I32, 1, 9))
    x = builder.input(SourceKind.REQUEST, (Affine.symbol(0),), -100, 100)
    return Model.of(builder.finish(builder.map(lambda a: a, x, dtype=DType.I32)), Card("growing"))


_NASTY = st.sampled_from([np.nan, np.inf, -np.inf, -0.0, 3e38, -3e38, 1e-45, 1.0]) | st.floats(width=32)
_OUTPUTS = (
    st.binary(max_size=40)
    | st.binary(min_size=24, max_size=24)
    | st.lists(_NASTY, min_size=6, max_size=6).map(lambda numbers: np.asarray(numbers, "<f4").tobytes())
)
_CARDS: list[dict[str, Any]] = [
    {},
    {"kind": "classes", "scores": "logits"},
    {"kind": "embedding"},
    {
        "kind": "parts",
        "parts": [{"kind": "detections", "shape": [1, 2]}, {"kind": "tensor", "shape": [1, 4]}],
    },
]
"""Answers of six numbers."""
MODELS = {"f32": _model(), "i32": _model(DType.I32), "growing": _growing()}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("six") / "model"
    save_model(MODELS["f32"], directory)
    return directory


def _places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield way
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*way, key))


def _changed(value: Any, way: tuple[Any, ...], new: Any) -> Any:
    if not way:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[way[0]] = _changed(copy[way[0]], way[1:], new)
    return copy


def _loads_or_is_refused(directory: Path) -> None:
    try:
        loaded = load_model(directory)
    except ModelError as error:
        assert "\n" not in str(error).strip()  # noqa: PT017
    else:
        assert loaded.model_id == MODELS["f32"].model_id
        json.dumps(to_json(loaded.describe()))


@given(st.data())
@_SETTINGS
def test_manifest__any_value_anywhere__loads_or_is_refused(saved: Path, data: st.DataObject) -> None:
    path = saved / "model.json"
    good = path.read_text()
    content = json.loads(good)
    way = data.draw(st.sampled_from(list(_places(content))))
    try:
        path.write_text(json.dumps(_changed(content, way, data.draw(_JSON | _DESCRIPTIONS))))
        _loads_or_is_refused(saved)
    finally:
        path.write_text(good)


@given(st.data())
@_SETTINGS
def test_files__any_bytes_in_them__load_or_are_refused(saved: Path, data: st.DataObject) -> None:
    path = saved / data.draw(st.sampled_from(["model.json", "tape.bin", "weights.bin"]))
    good = path.read_bytes()
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, min(len(good), start + 8)))
    try:
        path.write_bytes(good[:start] + data.draw(st.binary(max_size=8)) + good[stop:])
        _loads_or_is_refused(saved)
    finally:
        path.write_bytes(good)


@given(st.sampled_from([*MODELS]), _DESCRIPTIONS | st.sampled_from(_CARDS), _OUTPUTS)
@_SETTINGS
def test_answer__any_bytes_by_any_card__are_read_or_refused(
    name: str, card: dict[str, Any], output: bytes
) -> None:
    model = replace(MODELS[name], card=Card("any", answer=card))
    with suppress(ModelError):
        read = read_answer(model, output)
        json.dumps(to_json(read), allow_nan=False)
        key_values(read).plain.encode()


@given(
    st.sampled_from([*MODELS]),
    _DESCRIPTIONS,
    st.binary(max_size=40),
    st.sampled_from([".npy", ".bin", ".png", ".csv"]),
)
@_SETTINGS
def test_request__any_file_by_any_card__is_made_or_refused(
    tmp_path: Path, name: str, card: dict[str, Any], content: bytes, ending: str
) -> None:
    model = replace(MODELS[name], card=Card("any", input=card))
    path = tmp_path / f"given{ending}"
    path.write_bytes(content)
    for given_ in (Given({"": path}), Given(text="any text"), Given({"x": path}, "both"), Given()):
        with suppress(ConfigError):
            request_bytes(model, given_, tmp_path)


@given(st.sampled_from([*MODELS]), *[st.binary(max_size=48)] * 3)
@_SETTINGS
def test_sources__any_bytes__have_symbols_or_are_refused(
    name: str, request_: bytes, output: bytes, witness: bytes
) -> None:
    model = MODELS[name]
    with suppress(RequestRefusedError):
        model.symbols(model.sources(request_, output, witness))
