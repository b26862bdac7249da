"""The shipped trees: what their card says of them, and that the tape says the same."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from oracle_node.bench.selftest import selftest
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.importers.onnx import import_onnx
from oracle_node.model.model import Card, Model
from tests.importers.tabular import Array, answers, expected


@pytest.fixture
def folder(repository: Path) -> Path:
    return repository / "models" / "credit"


@pytest.fixture
def held_out(folder: Path) -> Iterator[tuple[Array, Array]]:
    with np.load(folder / "test.npz", allow_pickle=False) as archive:
        yield archive["row"], archive["label"]


def test_credit__held_out_rows__get_the_runtime_s_answers_and_the_card_s_accuracy(
    folder: Path, held_out: tuple[Array, Array]
) -> None:
    rows, labels = held_out
    got = answers(import_onnx(folder / "credit.onnx"), rows)
    wanted = expected(folder / "credit.onnx", rows, "probabilities")
    assert np.abs(got - wanted).max() < 1e-6 and (got.argmax(1) == wanted.argmax(1)).all()
    right = int((got.argmax(1) == labels).sum())
    assert f"{right} of the {len(labels)} held-out rows" in (folder / "README.md").read_text()


def test_credit__import__names_its_classes_and_passes_the_self_test(folder: Path) -> None:
    imported = import_onnx(folder / "credit.onnx")
    assert (imported.answer.shape, imported.labels, imported.notes) == ((1, 2), ("benign", "malignant"), ())
    model = Model.of(imported.tape, Card("credit"))
    requests = [np.load(folder / "samples" / f"{number}.npy").tobytes() for number in (0, 1)]
    found = selftest(model, OnnxExecutor(model.tape), requests, 600, 1, lambda done: None)
    assert found.mismatches == [] and found.elements_checked >= 600


def test_credit__samples__are_held_out_rows_of_their_class(
    folder: Path, held_out: tuple[Array, Array]
) -> None:
    rows, labels = held_out
    for number in (0, 1):
        sample = np.load(folder / "samples" / f"{number}.npy")
        assert any(np.array_equal(sample, row) for row in rows[labels == number])
