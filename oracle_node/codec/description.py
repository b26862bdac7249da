"""How a model's card describes its request and its answer: parts, one after another, each of a kind.

| kind | a request's part | made from |
|---|---|---|
| tensor | numbers of a shape, row-major | .npy |
| image | pixels as (pixel − mean)·scale, planes first or last | .npy, image files |
| table | one number a column | .npy, a .csv of one row |
| text | token ids, filled up with zeros where the length is fixed | .npy, text |
| filled | a value beside every token of another part (masks, segments) | that part |
| prompt | a language model's (`language.prompts`) | text |

| kind | an answer's part | reads as |
|---|---|---|
| tensor, embedding | numbers of a shape | themselves |
| classes | a score a class | the best classes and their labels |
| detections | a list of boxes with scores a class (two parts) | the boxes that stand out |
| text | UTF-8 | itself |

A card with one part is that part; with several it is {"kind": "parts", "parts": […]}.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from oracle_node.errors import ModelError

Dimension = Annotated[int, Field(ge=1, lt=1 << 32)] | str
"""A number of elements, or the name of a length that requests choose."""
P = TypeVar("P", bound=BaseModel)
_PLAIN = {"kind": "tensor"}
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = ""
    shape: tuple[Dimension, ...] | None = None

    @property
    def elements(self) -> int | None:
        """How many numbers the part holds; None where requests choose, or nobody has said."""
        if self.shape is None or not all(isinstance(size, int) for size in self.shape):
            return None
        return prod(size for size in self.shape if isinstance(size, int))


class TensorPart(_Part):
    """Numbers without a meaning that we know of."""

    kind: Literal["tensor"]


class ImagePart(_Part):
    """(1, C, H, W) or (1, H, W, C) numbers, (pixel − mean)·scale of pixels 0…255, by channel or for all.

    `resize` says how an image of another size is fitted: `box` (the mean over the area, halves up, in integers),
    `nearest`, or `none` (it is refused).
    """

    kind: Literal["image"]
    colors: Literal["grey", "rgb", "bgr"]
    mean: tuple[Finite, ...] = (0.0,)
    scale: tuple[Finite, ...] = (1.0,)
    resize: Literal["box", "nearest", "none"] = "box"


class Column(BaseModel):
    """A column of a table; text values of `categories` stand for their positions."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    categories: tuple[str, ...] = ()


class TablePart(_Part):
    """One row: a number a column."""

    kind: Literal["table"]
    columns: tuple[Column, ...]


class TextPart(_Part):
    """Token ids of a text, by the `tokenizer.json` in the model's directory."""

    kind: Literal["text"]


class FilledPart(_Part):
    """`value` for every element that the part `of` got from the input, zero where that was filled up."""

    kind: Literal["filled"]
    of: str
    value: Annotated[int, Field(ge=0, le=1)]


class PromptPart(BaseModel):
    """A language model's request."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["prompt"]
    context: int
    answer: int


class EmbeddingPart(_Part):
    """A vector that stands for the input."""

    kind: Literal["embedding"]


class ClassesPart(_Part):
    """A score a class: `probabilities`, `logits` (whose softmax they are) or plain `scores`."""

    kind: Literal["classes"]
    scores: Literal["probabilities", "logits", "scores"] = "scores"
    labels: tuple[str, ...] = ()


class DetectionsPart(_Part):
    """(…, n, classes) scores; the part after it has the n boxes, (…, n, 4).

    `corners`: left, top, right, bottom; `centers`: middle and size; both in shares of the image. A class named in
    `background` is none. Boxes under `least_score` are dropped, as are those that share more than `most_overlap` of
    their union with a better one of their class.
    """

    kind: Literal["detections"]
    labels: tuple[str, ...] = ()
    boxes: Literal["corners", "centers"] = "corners"
    background: int | None = None
    least_score: Finite = 0.5
    most_overlap: Finite = 0.5


class TextAnswer(BaseModel):
    """UTF-8."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["text"]


InputPart = Annotated[
    TensorPart | ImagePart | TablePart | TextPart | FilledPart | PromptPart, Field(discriminator="kind")
]
AnswerPart = Annotated[
    TensorPart | EmbeddingPart | ClassesPart | DetectionsPart | TextAnswer, Field(discriminator="kind")
]
_INPUTS: TypeAdapter[tuple[InputPart, ...]] = TypeAdapter(tuple[InputPart, ...])
_ANSWERS: TypeAdapter[tuple[AnswerPart, ...]] = TypeAdapter(tuple[AnswerPart, ...])


def input_parts(description: Mapping[str, Any], elements: int) -> tuple[InputPart, ...]:
    """The parts of a request of at most `elements` numbers; ModelError where they are not its description."""
    parts = _parse(_INPUTS, description, "input")
    names = [part.name for part in parts if not isinstance(part, PromptPart)]
    for part in parts:
        match part:
            case FilledPart(of=of) if of not in names:
                raise ModelError(f"the card's input: {part.name} follows {of!r}, which is no part")
            case TablePart(columns=columns) if part.elements not in (None, len(columns)):
                raise ModelError(
                    f"the card's input: {part.name} has {part.elements} numbers and {len(columns)} columns"
                )
            case ImagePart():
                _require_image(part)
            case _:
                pass
    return _fitting(parts, elements, "input")


def answer_parts(description: Mapping[str, Any], elements: int) -> tuple[AnswerPart, ...]:
    """The parts of an answer of at most `elements` numbers; ModelError where they are not its description."""
    parts = _parse(_ANSWERS, description, "answer")
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        match part:
            case ClassesPart(labels=labels) if labels and part.elements not in (None, len(labels)):
                raise ModelError(
                    f"the card's answer: {part.name} has {part.elements} scores and {len(labels)} labels"
                )
            case DetectionsPart(shape=(*_, int(n), int())):
                if not isinstance(following, TensorPart) or following.elements != 4 * n:
                    raise ModelError(f"the card's answer: no part of {n} boxes follows {part.name}")
            case DetectionsPart():
                raise ModelError(f"the card's answer: {part.name} needs a shape of (…, boxes, classes)")
            case _:
                pass
    return _fitting(parts, elements, "answer")


def described(parts: Sequence[BaseModel]) -> dict[str, Any]:
    """Parts as a card has them: JSON values, without what is as by default."""
    entries = [part.model_dump(mode="json", exclude_defaults=True) for part in parts]
    return entries[0] if len(entries) == 1 else {"kind": "parts", "parts": entries}


def _parse(adapter: TypeAdapter[tuple[P, ...]], description: Mapping[str, Any], what: str) -> tuple[P, ...]:
    entries = (
        description.get("parts") if description.get("kind") == "parts" else [dict(description or _PLAIN)]
    )
    if not entries:
        raise ModelError(f"the card's {what} has no parts")
    try:
        return adapter.validate_python(entries)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "it"
        raise ModelError(f"the card's {what}: {where}: {fault['msg']}") from None


def _fitting(parts: tuple[P, ...], elements: int, what: str) -> tuple[P, ...]:
    counts = [part.elements for part in parts if isinstance(part, _Part)]
    known = [count for count in counts if count is not None]
    if len(known) == len(parts) and sum(known) != elements:
        raise ModelError(f"the card's {what} describes {sum(known):,} numbers, the model's has {elements:,}")
    return parts


def _require_image(part: ImagePart) -> None:
    channels = image_layout(part)[0]
    if channels != (1 if part.colors == "grey" else 3):
        raise ModelError(
            f"the card's input: {part.name} has {channels} channels, which are not {part.colors}"
        )
    if not {len(part.mean), len(part.scale)} <= {1, channels}:
        raise ModelError(f"the card's input: {part.name} needs one mean and scale, or one a channel")


def image_layout(part: ImagePart) -> tuple[int, int, int, bool]:
    """(channels, height, width, planes first) of (1, C, H, W) or (1, H, W, C)."""
    match part.shape:
        case (1, 1 | 3 as channels, int(height), int(width)):
            return channels, height, width, True
        case (1, int(height), int(width), 1 | 3 as channels):
            return channels, height, width, False
    raise ModelError(f"the card's input: {part.name} of shape {list(part.shape or ())} is no image")
