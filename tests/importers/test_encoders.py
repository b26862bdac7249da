"""Networks whose input has a free length: one tape for every length, beside ONNX Runtime's float32."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from oracle_node.errors import ModelError
from oracle_node.importers.onnx import import_onnx
from tests.importers.encoders import MASKED, Network, both, cosine, encoder, integers
from tests.importers.networks import answer

LENGTHS = (1, 2, 7, 33)
MINILM = "ORACLE_NODE_MINILM"


@pytest.mark.parametrize(("weights", "least"), [(8, 0.995), (15, 0.9999)])
def test_encoder__of_every_length__is_near_the_float_one(
    tmp_path: Path, rng: np.random.Generator, weights: Literal[8, 15], least: float
) -> None:
    path = encoder(tmp_path / "encoder.onnx", rng)
    model = import_onnx(path, weights=weights, longest=33)
    assert model.input.shape == (1, "sequence")
    assert model.answer.shape == (1, 32)
    for length in LENGTHS:
        assert cosine(*both(path, model, rng.integers(1, 50, length))) > least


@pytest.mark.parametrize("value", MASKED.values(), ids=MASKED)
def test_encoder__with_a_mask_of_its_ids__sees_nothing_of_what_is_masked(
    tmp_path: Path, rng: np.random.Generator, value: float
) -> None:
    path = encoder(tmp_path / "encoder.onnx", rng, value)
    model = import_onnx(path, longest=40)
    ids = rng.integers(1, 50, 7)
    short, expected = both(path, model, ids)
    long, padded = both(path, model, np.concatenate([ids, integers(0, 0, 0)]))
    assert cosine(short, expected) > 0.9999
    assert cosine(long, padded) > 0.9999
    assert cosine(short, long) > 0.99999


def test_encoder__with_masks_and_segments_as_inputs__reads_ids_alone(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    names = ("input_ids", "attention_mask", "token_type_ids")
    path = encoder(tmp_path / "encoder.onnx", rng, -np.inf, names)
    model = import_onnx(path, longest=33)
    assert [info.name for info in model.inputs] == ["input_ids"]
    assert any("attention_mask 1, token_type_ids 0" in note for note in model.notes)
    for length in LENGTHS:
        ids = rng.integers(1, 50, length)
        beside = {"attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        assert cosine(*both(path, model, ids, **beside)) > 0.9999


def test_encoder__imported_twice__has_one_tape(tmp_path: Path, rng: np.random.Generator) -> None:
    path = encoder(tmp_path / "encoder.onnx", rng, -np.inf)
    first, second = import_onnx(path, longest=64), import_onnx(path, longest=64)
    assert first.tape.instructions == second.tape.instructions


@pytest.mark.parametrize("value", MASKED.values(), ids=MASKED)
@pytest.mark.parametrize("added", [True, False], ids=["added", "chosen"])
def test_softmax__of_masked_scores__is_exactly_zero_there(tmp_path: Path, added: bool, value: float) -> None:
    n = Network()
    kept = n.add("Cast", "input_ids", to=9)
    scores = n.add("Mul", n.add("Cast", "input_ids", to=1), np.float32(0.25))
    if added:
        scores = n.add("Add", scores, n.add("Where", kept, np.float32(0), np.float32(value)))
    else:
        scores = n.add("Where", kept, scores, np.float32(value))
    path = n.write(tmp_path / "network.onnx", n.add("Softmax", scores, axis=-1))
    got, expected = both(path, import_onnx(path, input_range=(0, 50)), integers(3, 0, 5, 0, 0, 1))
    assert (got[0, [1, 3, 4]] == 0).all()
    np.testing.assert_allclose(got, expected, atol=3e-7)


def test_softmax__under_a_constant_mask__is_exactly_zero_above_the_diagonal(
    network: Callable[..., Path], rng: np.random.Generator
) -> None:
    mask = np.triu(np.full((5, 5), -np.inf, np.float32), 1)
    nodes = [
        ("Mul", ["x", "half"], ["s"], {}),
        ("Add", ["s", "mask"], ["m"], {}),
        ("Softmax", ["m"], ["y"], {}),
    ]
    x = rng.normal(size=(5, 5)).astype(np.float32)
    constants = {"half": np.float32(0.5), "mask": mask}
    got = answer(import_onnx(network(nodes, {"x": x}, {"y": np.float32}, constants)), x).reshape(5, 5)
    exact = np.exp(0.5 * x.astype(np.float64)) * (mask == 0)
    assert (got[mask < 0] == 0).all()
    np.testing.assert_allclose(got, exact / exact.sum(axis=1, keepdims=True), atol=3e-7)


def _heads(n: Network) -> str:
    """Scores of every token with every other, (1, 2, n, n)."""
    x = n.add("Unsqueeze", n.add("Cast", "input_ids", to=1), integers(2))
    x = n.add("Mul", x, np.asarray([[[0.5, -1, 2, 0.25]]], np.float32))
    x = n.add("Transpose", n.add("Reshape", x, integers(0, -1, 2, 2)), perm=[0, 2, 1, 3])
    return n.add("MatMul", x, n.add("Transpose", x, perm=[0, 1, 3, 2]))


def _length(n: Network) -> str:
    return n.add("Gather", n.add("Shape", "input_ids"), np.int64(1))


def _as_float(n: Network, x: str) -> str:
    return n.add("Cast", x, to=1)


def _halved(n: Network) -> str:
    """Its shape divided out of twice its shape."""
    shape = n.add("Shape", "input_ids")
    halved = n.add("Div", n.add("Mul", shape, integers(2, 2)), integers(2, 2))
    twice = n.add("Concat", _as_float(n, "input_ids"), _as_float(n, "input_ids"), axis=1)
    return n.add("Reshape", twice, n.add("Concat", integers(-1), halved, axis=0))


CASES: dict[str, Callable[[Network], str]] = {
    "a range": lambda n: _as_float(n, n.add("Range", np.int64(0), _length(n), np.int64(1))),
    "ones of its shape": lambda n: n.add(
        "Add",
        n.add("ConstantOfShape", n.add("Shape", "input_ids")),
        _as_float(n, "input_ids"),
    ),
    "an expanded constant": lambda n: n.add(
        "Add", n.add("Expand", np.float32([[2]]), n.add("Shape", "input_ids")), _as_float(n, "input_ids")
    ),
    "its length as a number": lambda n: n.add("Div", _as_float(n, "input_ids"), _as_float(n, _length(n))),
    "a shape chosen by comparing": lambda n: n.add(
        "Expand",
        _as_float(n, "input_ids"),
        n.add(
            "Where",
            n.add("Equal", n.add("Shape", "input_ids"), integers(-1, -1)),
            integers(1, 1),
            n.add("Shape", "input_ids"),
        ),
    ),
    "the first token": lambda n: n.add("Gather", _as_float(n, "input_ids"), integers(0), axis=1),
    "the last token": lambda n: n.add("Gather", _as_float(n, "input_ids"), np.int64(-1), axis=1),
    "all but the first": lambda n: n.add(
        "Concat",
        n.add("Slice", _as_float(n, "input_ids"), integers(1), integers(2**62), integers(1)),
        np.float32([[7]]),
        axis=1,
    ),
    "half the length twice": _halved,
    "heads": lambda n: n.add("ReduceMax", _heads(n), axes=[3]),
    "softmax over the other tokens": lambda n: n.add(
        "ReduceMax", n.add("Softmax", n.add("Mul", _heads(n), np.float32(0.01)), axis=-1), axes=[3]
    ),
    "a sum over tokens": lambda n: n.add("ReduceSum", n.add("ReduceMax", _heads(n), axes=[3]), integers(2)),
    "the mean over tokens": lambda n: n.add("ReduceMean", _as_float(n, "input_ids"), axes=[1]),
    "the largest token": lambda n: n.add("ReduceMax", _as_float(n, "input_ids"), axes=[1]),
    "positions by pairs": lambda n: n.add(
        "GatherND",
        _as_float(n, "input_ids"),
        n.add("Concat", n.add("Mul", n.add("Unsqueeze", "input_ids", integers(2)), np.int64(0)),
              n.add("Mul", n.add("Unsqueeze", "input_ids", integers(2)), np.int64(0)), axis=2),
    ),
    "nothing that is not a number": lambda n: n.add(
        "Where", n.add("IsNaN", _as_float(n, "input_ids")), np.float32(9), _as_float(n, "input_ids")
    ),
}  # fmt: skip


@pytest.mark.parametrize("build", CASES.values(), ids=CASES)
def test_operator__on_an_axis_of_free_length__is_that_of_the_runtime(
    tmp_path: Path, rng: np.random.Generator, build: Callable[[Network], str]
) -> None:
    n = Network()
    path = n.write(tmp_path / "network.onnx", build(n))
    model = import_onnx(path, longest=40, input_range=(0, 50))
    for length in (1, 2, 19, 40):
        got, expected = both(path, model, rng.integers(1, 50, length))
        np.testing.assert_allclose(got, expected, rtol=2e-3, atol=1e-5)


def _cut(n: Network) -> str:
    return n.add("Slice", "input_ids", integers(0), integers(5), integers(1))


def _compared(n: Network) -> str:
    return n.add("Where", n.add("Equal", _length(n), np.int64(5)), "input_ids", np.int64(0))


REFUSED: dict[str, tuple[Callable[[Network], str], str]] = {
    "cut at a fixed place": (_cut, r"cuts an axis of \(n\) at \(5\)"),
    "compared with a number": (_compared, "the outcome depends on the request's length"),
    "past its end": (lambda n: n.add("Gather", "input_ids", integers(3), axis=1), "outside for some requests"),
    "in two axes of one": (
        lambda n: n.add("Reshape", n.add("Cast", _heads(n), to=7), integers(2, -1)), "a free one squared",
    ),
    "in the windows of a pool": (
        lambda n: n.add("Cast", n.add("MaxPool", n.add("Cast", n.add("Unsqueeze", "input_ids", integers(1)), to=1),
                        kernel_shape=[2]), to=7),
        "its length is free",
    ),
    "of too few positions": (
        lambda n: n.add("Add", "input_ids", n.add("Slice", np.zeros((1, 39), np.int64), integers(0), n.add(
            "Gather", n.add("Shape", "input_ids"), integers(1)), integers(1))),
        "with a lower --context",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("build", "reason"), REFUSED.values(), ids=REFUSED)
def test_network__that_no_length_or_only_some_fit__is_refused(
    tmp_path: Path, build: Callable[[Network], str], reason: str
) -> None:
    n = Network()
    path = n.write(tmp_path / "network.onnx", build(n), np.int64)
    with pytest.raises(ModelError, match=reason):
        import_onnx(path, longest=40, input_range=(0, 50))


@pytest.mark.parametrize(
    ("inputs", "shape", "options", "reason"),
    [
        (("input_ids",), (1, "n", 2), {}, "dimension 1 of input input_ids is not fixed"),
        (("input_ids", "other_ids"), (1, "n"), {}, "dimension 1 of input other_ids is not fixed"),
        (("input_ids",), (1, 4), {"longest": 4}, "no input of free length"),
    ],
)
def test_input__of_more_than_one_free_length__is_refused(
    tmp_path: Path, inputs: tuple[str, ...], shape: tuple[Any, ...], options: Any, reason: str
) -> None:
    n = Network()
    path = n.write(tmp_path / "network.onnx", n.add("Add", inputs[0], inputs[-1]), np.int64, inputs, shape)
    with pytest.raises(ModelError, match=reason):
        import_onnx(path, **options)


def test_request__longer_than_the_import_allows__is_refused(tmp_path: Path) -> None:
    n = Network()
    model = import_onnx(n.write(tmp_path / "network.onnx", n.add("Abs", "input_ids"), np.int64), longest=9)
    assert model.tape.symbols((9, 9, 0))[:2] == (9, 9)
    with pytest.raises(ValueError, match="the model takes 1…9"):
        model.tape.symbols((10, 10, 0))


@pytest.mark.slow
@pytest.mark.parametrize(("weights", "least"), [(8, 0.995), (15, 0.9999)])
def test_minilm__on_a_hundred_requests__is_near_the_float_one(
    rng: np.random.Generator, weights: Literal[8, 15], least: float
) -> None:
    if MINILM not in os.environ:
        pytest.skip(f"needs {MINILM}, the network that scripts/export_minilm.py writes")
    path = Path(os.environ[MINILM])
    model = import_onnx(path, weights=weights)
    for length in rng.integers(3, 40, 100):
        ids = np.concatenate([integers(101), rng.integers(1000, 30000, length), integers(102)])
        assert cosine(*both(path, model, ids)) > least
