"""Model files of other formats, by their ending, as models of ours with a card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oracle_node.codec.defaults import describe_answer, describe_input
from oracle_node.codec.text import install_tokenizer
from oracle_node.errors import ConfigError
from oracle_node.importers.imported import ImportedModel, Progress
from oracle_node.model.directory import TOKENIZER, ModelWriter, load_model
from oracle_node.model.model import Card, Model
from oracle_node.shipped import shipped

DIGITS_IMAGE_MAX = 16.0
"""White, in the shipped classifier's input."""
WEIGHT_BITS: dict[str, Literal[8, 15, 21]] = {"8": 8, "15": 15, "21": 21}
"""How `--weights` is spelt; language models know the first two."""


@dataclass(frozen=True)
class ImportOptions:
    """What `model import` may be told; each format has its own."""

    weights: Literal[8, 15, 21] = 15
    input_range: tuple[float, float] | None = None
    outputs: tuple[str, ...] | None = None
    image_max: float | None = None
    tokenizer: Path | None = None
    context: int | None = None
    answer: int | None = None


def import_into(
    directory: Path,
    source: Path,
    options: ImportOptions,
    progress: Progress | None = None,
    replace: bool = False,
) -> Model:
    """Import a file into a new model directory, or over a model that is to be replaced."""
    with ModelWriter(directory, replace) as writer:
        model = import_source(source, options, writer, progress)
        if source.suffix.lower() == ".gguf":
            from oracle_node.language.tokenizer import write_vocabulary

            write_vocabulary(source, directory / TOKENIZER)
        elif options.tokenizer is not None:
            install_tokenizer(options.tokenizer, directory)
        writer.finish(model)
    return model


def import_source(
    source: Path,
    options: ImportOptions = ImportOptions(),
    keep: ModelWriter | None = None,
    progress: Progress | None = None,
) -> Model:
    """Import by the file's ending; ConfigError where there is no importer for it, or not with these options."""
    match source.suffix.lower():
        case ".onnx":
            return _import_onnx(source, options, keep, progress)
        case ".gguf":
            return _import_gguf(source, options, keep, progress)
        case ending:
            raise ConfigError(
                f"{source}: no importer for {ending or 'a file without an ending'}; give an .onnx or a .gguf file"
            )


def _import_onnx(
    source: Path, options: ImportOptions, keep: ModelWriter | None, progress: Progress | None
) -> Model:
    from oracle_node.importers.onnx import import_onnx

    _require_unset(source, answer=options.answer)
    imported = import_onnx(
        source,
        weights=options.weights,
        input_range=options.input_range,
        outputs=options.outputs,
        longest=options.context,
        keep=keep,
        progress=progress,
    )
    return Model.of(imported.tape, _card(source, imported, options))


def _import_gguf(
    source: Path, options: ImportOptions, keep: ModelWriter | None, progress: Progress | None
) -> Model:
    from oracle_node.importers.gguf import import_gguf
    from oracle_node.language.prompts import card_input

    _require_unset(
        source,
        input_range=options.input_range,
        outputs=options.outputs,
        image_max=options.image_max,
        tokenizer=options.tokenizer,
    )
    if options.weights == 21:
        raise ConfigError(f"{source}: --weights 21 is for .onnx files, language models take 8 or 15")
    imported = import_gguf(
        source,
        weights=options.weights,
        context=options.context,
        answer=options.answer,
        keep=keep,
        progress=progress,
    )
    limits, h = imported.limits, imported.hyperparameters
    card = Card(
        name=source.stem,
        description=(
            f"{h.architecture} of {h.layers} layers, imported from {source.name} with weights {imported.weights}, "
            f"context {limits.context}, answer {limits.answer}"
        ),
        origin=f"sha256:{imported.source_sha256}",
        input=card_input(limits),
        answer={"kind": "text"},
    )
    return Model.of(imported.tape, card)


def _require_unset(source: Path, **options: object) -> None:
    name = next((name for name, value in options.items() if value is not None), None)
    if name is not None:
        raise ConfigError(f"--{name.replace('_', '-')} is not for {source.suffix} files")


def _card(source: Path, imported: ImportedModel, options: ImportOptions) -> Card:
    said = ", ".join(f"{key} {value}" for key, value in imported.options.items() if value is not None)
    return Card(
        name=source.stem,
        description=". ".join([f"imported from {source.name} with {said}", *imported.notes]),
        origin=f"sha256:{imported.source_sha256}",
        input=describe_input(imported.inputs, options.image_max, has_tokenizer=options.tokenizer is not None),
        answer=describe_answer(imported.answers, imported.labels),
    )


def import_digits(weights: Literal[8, 15] = 15) -> Model:
    """The shipped classifier, imported anew."""
    return import_source(shipped("digits").source, ImportOptions(weights, image_max=DIGITS_IMAGE_MAX))


def model_or_digits(directory: Path | None) -> Model:
    """The model of a directory, or the shipped classifier of digits."""
    return load_model(directory) if directory is not None else import_digits()
