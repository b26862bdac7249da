"""Model files of other formats, by their ending."""

from pathlib import Path

from oracle_node.errors import ConfigError
from oracle_node.model.model import Model


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
