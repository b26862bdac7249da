"""Answers as people read them: the output bytes by the model's card."""

from typing import Any

import numpy as np

from oracle_node.model.model import Model
from oracle_node.tape.types import SourceKind

MANY = 4096
"""Values beyond this are left to the output bytes."""


def present_answer(model: Model, output: bytes) -> dict[str, Any]:
    """`values` in the output's type, shaped as the card says, and for scores the position of the largest; or `text`."""
    values = model.source(SourceKind.OUTPUT, output)
    card = model.card.answer
    if card.get("kind") == "text":
        return {"text": output.decode("utf-8", "replace")}
    if values.size > MANY:
        return {}
    shown: dict[str, Any] = {"values": values}
    if values.size > 1 and values.dtype.kind == "f":
        best = int(np.argmax(values))
        labels = card.get("labels")
        shown["argmax"] = best
        if isinstance(labels, list) and best < len(labels):
            shown["label"] = labels[best]
    return shown
