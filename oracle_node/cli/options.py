"""Options and arguments that several commands share."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from oracle_node.errors import ConfigError

existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)
model_directory = click.Path(exists=True, file_okay=False, path_type=Path)


class _Ether(click.ParamType[int]):
    """An amount of ether as people write it, exactly, in wei."""

    name = "ether"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            wei = Decimal(value) * 10**18
            if wei < 0 or wei != wei.to_integral_value():
                raise ValueError
            return int(wei)
        except (ArithmeticError, ValueError):
            self.fail(f"{value!r} is no amount of ether", param, ctx)


ether = _Ether()

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

engine_option = click.option(
    "--engine",
    type=click.Choice(["auto", "anvil", "pyevm"]),
    default="auto",
    show_default=True,
    help="auto: anvil where it is installed, py-evm in this process otherwise.",
)
models_option = click.option(
    "--model", "directories", type=model_directory, multiple=True, help="A model directory; may be repeated."
)
from_block_option = click.option(
    "--from-block",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Read events from this block on.",
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
