"""What answers say to people."""

from typing import Any

import numpy as np
import pytest

from oracle_node.codec.answer import read_answer
from oracle_node.errors import ModelError
from oracle_node.model.model import Model
from tests.codec.models import echo


def _read(model: Model, values: list[float]) -> dict[str, Any]:
    return read_answer(model, np.float32(values).tobytes())


def test_answer__of_probabilities__names_the_best_classes() -> None:
    answer = {
        "kind": "classes",
        "shape": [1, 3],
        "scores": "probabilities",
        "labels": ["cat", "dog", "cow"],
    }
    read = _read(echo(3, answer=answer), [0.25, 0.5, 0.25])
    assert (read["argmax"], read["label"]) == (1, "dog")
    assert list(read["best"].items()) == [("dog", 0.5), ("cat", 0.25), ("cow", 0.25)]


def test_answer__of_logits__shows_their_softmax_and_the_first_of_equals() -> None:
    read = _read(echo(2, answer={"kind": "classes", "scores": "logits"}), [1000, 1000])
    assert read["argmax"] == 0 and read["best"] == {"0": 0.5, "1": 0.5}
    assert "label" not in read


def test_answer__of_an_embedding__has_its_norm() -> None:
    read = _read(echo(2, answer={"kind": "embedding"}), [3, 4])
    assert read["norm"] == 5 and read["values"].tolist() == [3, 4]


def test_answer__that_nobody_described__is_its_numbers() -> None:
    assert list(_read(echo(2), [3, 4])) == ["values"]


def test_answer__of_two_parts__is_read_part_by_part() -> None:
    parts = [{"kind": "tensor", "name": "a", "shape": [1]}, {"kind": "embedding", "name": "b", "shape": [2]}]
    read = _read(echo(3, answer={"kind": "parts", "parts": parts}), [7, 3, 4])
    assert read["a"]["values"].tolist() == [7] and read["b"]["norm"] == 5


SCORES = [[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.9, 0.1]]
BOXES = [[0.0, 0.0, 0.4, 0.4], [0.05, 0.0, 0.45, 0.4], [0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]


def _faces(**more: Any) -> Model:
    found = {"kind": "detections", "name": "scores", "shape": [1, 4, 2], "background": 0, **more}
    boxes = {"kind": "tensor", "name": "boxes", "shape": [1, 4, 4]}
    return echo(24, answer={"kind": "parts", "parts": [found, boxes]})


def _numbers(boxes: list[list[float]]) -> list[float]:
    return [number for row in [*SCORES, *boxes] for number in row]


def test_answer__of_boxes__keeps_the_best_of_those_that_overlap() -> None:
    read = _read(_faces(labels=["none", "face"]), _numbers(BOXES))
    assert [(d["class"], d["score"]) for d in read["detections"]] == [("face", 0.9), ("face", 0.7)]
    assert read["detections"][1]["box"] == [0.5, 0.5, 1.0, 1.0]


def test_answer__of_boxes_with_other_limits__keeps_others() -> None:
    loose = _read(_faces(most_overlap=0.9), _numbers(BOXES))["detections"]
    assert [d["score"] for d in loose] == [0.9, 0.8, 0.7]
    strict = _read(_faces(least_score=0.75), _numbers(BOXES))["detections"]
    assert [d["score"] for d in strict] == [0.9]


def test_answer__of_boxes_by_their_middles__has_their_corners() -> None:
    middles = [[(a + c) / 2, (b + d) / 2, c - a, d - b] for a, b, c, d in BOXES]
    read = _read(_faces(boxes="centers"), _numbers(middles))
    assert np.allclose([d["box"] for d in read["detections"]], [BOXES[0], BOXES[2]], atol=1e-6)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"kind": "detections", "shape": [1, 4, 2]}, "no part of 4 boxes"),
        ({"kind": "classes", "shape": [3], "labels": ["a"]}, "3 scores and 1 labels"),
        ({"kind": "tensor", "shape": [4]}, "4 numbers, the model's has 3"),
        ({"kind": "boxes"}, "'boxes'"),
    ],
)
def test_answer__described_wrongly__is_refused_in_one_line(answer: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words) as refused:
        _read(echo(3, answer=answer), [1, 2, 3])
    assert "\n" not in str(refused.value)
