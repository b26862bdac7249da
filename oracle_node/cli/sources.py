"""Model files of other formats, by their ending."""

from pathlib import Path

from oracle_node.errors import ConfigError
from oracle_node.model.directory import load_model
from oracle_node.model.model import Model
from oracle_node.shipped import shipped


def import_source(source: Path, weight_bits: int) -> Model:
    """Import by the file's ending; ConfigError where there is no importer for it."""
    match source.suffix.lower():
        case ".onnx":
            from oracle_node.importers.onnx import import_onnx

            return import_onnx(source, weights=weight_bits)
        case ".gguf":
            raise ConfigError(f"{source}: GGUF models cannot be imported by this version; .onnx can")
        case _:
            raise ConfigError(
                f"{source}: no importer for {source.suffix or 'a file without an ending'}; give an .onnx file"
            )


def model_or_digits(directory: Path | None) -> Model:
    """The model of a directory, or the shipped classifier of digits, imported anew."""
    return load_model(directory) if directory is not None else import_source(shipped().source, 15)
