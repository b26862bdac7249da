"""Answers as people read them: the output's bytes by the model's card. What is computed here binds nobody."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from oracle_node.codec.description import (
    AnswerPart,
    ClassesPart,
    DetectionsPart,
    EmbeddingPart,
    TensorPart,
    TextAnswer,
    answer_parts,
)
from oracle_node.model.model import Model, RequestRefusedError
from oracle_node.tape.types import SourceKind

MANY = 4096
"""Values beyond this are left to the output bytes."""
BEST = 5
"""Classes that are named."""


def read_answer(model: Model, output: bytes) -> dict[str, Any]:
    """What an answer says, by its card; several parts by their names."""
    values = model.source(SourceKind.OUTPUT, output)
    parts = answer_parts(model.card.answer, model.tape.sources[SourceKind.OUTPUT].max_elements)
    with np.errstate(all="ignore"):  # whoever claims may claim infinities
        read = dict(_read(parts, values, output))
    return next(iter(read.values())) if len(read) == 1 else read


def _read(
    parts: Sequence[AnswerPart], values: np.ndarray, output: bytes
) -> Iterator[tuple[str, dict[str, Any]]]:
    start, skip = 0, False
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        if isinstance(part, TextAnswer):
            yield "text", {"text": output.decode("utf-8", "replace")}
            continue
        stop = values.size if part.elements is None else start + part.elements
        if stop > values.size:
            raise RequestRefusedError(
                f"the answer has {values.size} numbers, its card describes {stop} or more"
            )
        mine, start = values[start:stop], stop
        if skip:
            skip = False
            continue
        if isinstance(part, DetectionsPart):
            assert isinstance(following, TensorPart), "the description was checked"
            skip, count = True, following.elements or 0
            if stop + count > values.size:
                raise RequestRefusedError(
                    f"the answer has {values.size} numbers, no {count} of boxes among them"
                )
            yield part.name, {"detections": _detections(part, mine, values[stop : stop + count])}
        else:
            yield part.name, _numbers(part, mine)


def _numbers(part: TensorPart | EmbeddingPart | ClassesPart, values: np.ndarray) -> dict[str, Any]:
    shown: dict[str, Any] = {"values": values} if values.size <= MANY else {}
    match part:
        case ClassesPart():
            return shown | _classes(part, values)
        case EmbeddingPart():
            return shown | {"norm": float(np.sqrt((values.astype(np.float64) ** 2).sum()))}
        case TensorPart():
            return shown


def _classes(part: ClassesPart, values: np.ndarray) -> dict[str, Any]:
    """The first of the largest scores, as contracts take it, and the best few: of logits, their softmax."""
    if not values.size:
        return {}
    if part.labels and len(part.labels) != values.size:
        raise RequestRefusedError(
            f"the answer has {values.size} scores, its card has {len(part.labels)} labels"
        )
    scores = values.astype(np.float64)
    if part.scores == "logits":
        scores = np.exp(scores - scores.max())
        scores /= scores.sum()
    best = int(np.argmax(values))
    ranks = np.argsort(-scores, kind="stable")[:BEST]
    shown: dict[str, Any] = {"argmax": best}
    if part.labels:
        shown["label"] = part.labels[best]
    names = part.labels or tuple(map(str, range(values.size)))
    return shown | {"best": {names[i]: round(float(scores[i]), 6) for i in ranks}}


def _detections(part: DetectionsPart, scores: np.ndarray, boxes: np.ndarray) -> list[dict[str, Any]]:
    """Boxes from best to worst, without those that a better one of their class covers."""
    assert part.shape is not None and isinstance(part.shape[-1], int)
    by_class = scores.astype(np.float64).reshape(-1, part.shape[-1])
    corners = _corners(part, boxes.astype(np.float64).reshape(-1, 4))
    found: list[dict[str, Any]] = []
    for number in range(by_class.shape[1]):
        if number == part.background:
            continue
        for index in _best(by_class[:, number], corners, part):
            found.append(
                {
                    "class": part.labels[number] if number < len(part.labels) else number,
                    "score": round(float(by_class[index, number]), 6),
                    "box": [round(float(edge), 6) for edge in corners[index]],
                }
            )
    return sorted(found, key=lambda entry: -entry["score"])


def _corners(part: DetectionsPart, boxes: np.ndarray) -> np.ndarray:
    if part.boxes == "corners":
        return boxes
    middle, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def _best(scores: np.ndarray, corners: np.ndarray, part: DetectionsPart) -> Iterator[int]:
    """Non-maximum suppression: the best box, then the best that overlaps none before it too much, and so on."""
    left = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] >= part.least_score]
    while left:
        best, *rest = left
        yield best
        left = [i for i in rest if _overlap(corners[best], corners[i]) <= part.most_overlap]


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = float(np.prod(np.clip(high - low, 0, None)))
    union = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared
    return shared / union if union > 0 else 0.0
