"""Options and arguments that several commands share."""

from pathlib import Path

import click

from oracle_node.errors import ConfigError

existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)
model_directory = click.Path(exists=True, file_okay=False, path_type=Path)

executor_option = click.option(
    "--executor",
    type=click.Choice(["onnx", "reference"]),
    default="onnx",
    show_default=True,
    help="onnx: fast; reference: numpy, the specification. Both give the same bits.",
)
image_max_option = click.option(
    "--image-max",
    type=float,
    default=None,
    help="Value of a white pixel of an image input [default: what the model says, or 255].",
)


def parse_hash(text: str, what: str) -> bytes:
    """32 bytes from 0x-hex; ConfigError otherwise."""
    digits = text.removeprefix("0x")
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise ConfigError(f"{what} {text!r} is not 32 bytes of 0x-hex")
    return value
