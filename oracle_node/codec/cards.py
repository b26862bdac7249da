"""Checking a card's descriptions against the model that they are of."""

from collections.abc import Mapping
from typing import Any

from oracle_node.codec.description import answer_parts, input_parts
from oracle_node.errors import ConfigError, ModelError
from oracle_node.model.model import Model

_FIELDS = frozenset({"name", "description", "license", "origin", "input", "answer"})


def require_card(model: Model, changed: Any, where: str) -> dict[str, Any]:
    """The fields of a card that are to change; ConfigError where they are none, or do not describe the model."""
    if not isinstance(changed, Mapping) or not changed.keys() <= _FIELDS:
        raise ConfigError(f"{where}: a JSON object is needed with some of {', '.join(sorted(_FIELDS))}")
    request, output, _ = model.tape.sources
    try:
        if "input" in changed:
            input_parts(_mapping(changed["input"]), request.max_elements)
        if "answer" in changed:
            answer_parts(_mapping(changed["answer"]), output.max_elements)
    except ModelError as error:
        raise ConfigError(f"{where}: {error}") from None
    return dict(changed)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ModelError("the descriptions of input and answer are JSON objects")
    return value
