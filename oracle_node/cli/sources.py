"""Model files of other formats, by their ending, as models of ours with a card."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from oracle_node.errors import ConfigError
from oracle_node.importers.imported import ImportedModel, TensorInfo
from oracle_node.model.directory import load_model
from oracle_node.model.model import Card, Model
from oracle_node.shipped import shipped

DIGITS_IMAGE_MAX = 16.0
"""White, in the shipped classifier's input."""


def import_source(
    source: Path,
    weights: Literal[8, 15] = 15,
    *,
    input_range: tuple[float, float] | None = None,
    outputs: tuple[str, ...] | None = None,
    image_max: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Model:
    """Import by the file's ending; ConfigError where there is no importer for it."""
    match source.suffix.lower():
        case ".onnx":
            from oracle_node.importers.onnx import import_onnx

            imported = import_onnx(
                source, weights=weights, input_range=input_range, outputs=outputs, progress=progress
            )
        case ".gguf":
            raise ConfigError(f"{source}: GGUF models cannot be imported by this version; .onnx can")
        case ending:
            raise ConfigError(
                f"{source}: no importer for {ending or 'a file without an ending'}; give an .onnx file"
            )
    return Model.of(imported.tape, _card(source, imported, image_max))


def _card(source: Path, imported: ImportedModel, image_max: float | None) -> Card:
    options = ", ".join(f"{key} {value}" for key, value in imported.options.items() if value is not None)
    shown = _describe(imported.input)
    if image_max is not None:
        shown["image_max"] = image_max
    return Card(
        name=source.stem,
        description=f"imported from {source.name} with {options}",
        origin=f"sha256:{imported.source_sha256}",
        input=shown,
        answer=_describe(imported.answer),
    )


def _describe(tensor: TensorInfo) -> dict[str, Any]:
    shape = list(tensor.shape)
    image = len(shape) == 4 and shape[0] == 1 and (shape[1] in (1, 3) or shape[3] in (1, 3))
    return {"kind": "image" if image else "tensor", "name": tensor.name, "shape": shape}


def import_digits(weights: Literal[8, 15] = 15) -> Model:
    """The shipped classifier, imported anew."""
    return import_source(shipped("digits").source, weights, image_max=DIGITS_IMAGE_MAX)


def model_or_digits(directory: Path | None) -> Model:
    """The model of a directory, or the shipped classifier of digits."""
    return load_model(directory) if directory is not None else import_digits()
