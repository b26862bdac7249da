"""Options and arguments that several commands share."""

import os
import sys
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


def has_terminal() -> bool:
    """Whether somebody can be asked: on standard input, or on the terminal that the process belongs to."""
    if sys.stdin.isatty():
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True


def ask_password(of: str, instead: str, *, confirm: bool = False) -> str:
    """A password typed on the terminal; ConfigError, which names what to give instead, where there is none."""
    if not has_terminal():
        raise ConfigError(f"the password of {of} is needed and there is no terminal to ask on: {instead}")
    return str(click.prompt(f"Password of {of}", hide_input=True, confirmation_prompt=confirm, err=True))


executor_option = click.option(
    "--executor",
    type=click.Choice(["onnx", "reference"]),
    default="onnx",
    show_default=True,
    help="onnx: fast; reference: numpy, the specification. Both give the same bits.",
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
