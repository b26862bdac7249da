"""How a freshly imported network's inputs and outputs are described, judged by their names and shapes: a first guess
that its author may correct (`model card`).
"""

from collections.abc import Sequence
from typing import Any, Literal

from oracle_node.codec.description import (
    ClassesPart,
    EmbeddingPart,
    FilledPart,
    ImagePart,
    TensorPart,
    TextPart,
    described,
)
from oracle_node.errors import ConfigError
from oracle_node.importers.imported import FILLED, TensorInfo

WHITE = 255.0
_TOKENS = "input_ids"
"""What Hugging Face's exporters call an encoder's tokens."""
_SCORES: dict[str, Literal["probabilities", "logits", "scores"]] = {
    "logits": "logits",
    "probabilities": "probabilities",
    "probability": "probabilities",
    "softmax": "probabilities",
    "scores": "scores",
}


def describe_input(
    tensors: Sequence[TensorInfo], image_max: float | None = None, *, has_tokenizer: bool = False
) -> dict[str, Any]:
    """Images by their shape, an encoder's text by its names where there is a tokenizer; anything else is a tensor.

    `image_max` is what a white pixel becomes; ConfigError where it, or a tokenizer, has no input to be for.
    """
    parts = [_input(tensor, image_max, has_tokenizer, len(tensors)) for tensor in tensors]
    if image_max is not None and not any(isinstance(part, ImagePart) for part in parts):
        raise ConfigError("--image-max: the network takes no image, (1, C, H, W) or (1, H, W, C)")
    if has_tokenizer and not any(isinstance(part, TextPart) for part in parts):
        names = ", ".join(tensor.name for tensor in tensors)
        raise ConfigError(f"--tokenizer: the network has no input {_TOKENS!r}, but {names}")
    return described(parts)


def describe_answer(tensors: Sequence[TensorInfo], labels: Sequence[str] = ()) -> dict[str, Any]:
    """Classes where they are named, or by the output's name; embeddings by theirs; anything else is a tensor."""
    return described([_answer(tensor, labels) for tensor in tensors])


def _input(
    tensor: TensorInfo, image_max: float | None, has_tokenizer: bool, count: int
) -> ImagePart | TextPart | FilledPart | TensorPart:
    name, shape = tensor.name, tensor.shape
    if has_tokenizer and (name == _TOKENS or count == 1):
        return TextPart(kind="text", name=name, shape=shape)
    if has_tokenizer and name in FILLED:
        return FilledPart(kind="filled", name=name, shape=shape, of=_TOKENS, value=FILLED[name])
    match shape:
        case (1, 1 | 3 as channels, _, _) | (1, _, _, 1 | 3 as channels):
            scale = (WHITE if image_max is None else image_max) / WHITE
            return ImagePart(
                kind="image",
                name=name,
                shape=shape,
                colors="grey" if channels == 1 else "rgb",
                scale=(scale,),
            )
    return TensorPart(kind="tensor", name=name, shape=shape)


def _answer(tensor: TensorInfo, labels: Sequence[str]) -> ClassesPart | EmbeddingPart | TensorPart:
    name, shape = tensor.name, tensor.shape
    is_vector = not tensor.is_free and tensor.elements > 1 and tensor.elements == max(tensor.dims)
    if is_vector and (labels or name.lower() in _SCORES):
        scores = _SCORES.get(name.lower(), "scores")
        return ClassesPart(kind="classes", name=name, shape=shape, scores=scores, labels=tuple(labels))
    if is_vector and "embedding" in name.lower():
        return EmbeddingPart(kind="embedding", name=name, shape=shape)
    return TensorPart(kind="tensor", name=name, shape=shape)
