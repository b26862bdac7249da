"""What people ask with, on the command line: `--input` and `--text`, as a request's bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from oracle_node.codec.request import WHOLE, Given, request_bytes
from oracle_node.model.model import Model

NamedPath = tuple[str, Path]


class _InputFile(click.ParamType[NamedPath]):
    """FILE, or NAME=FILE for one of several inputs."""

    name = "[NAME=]FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> NamedPath:
        if isinstance(value, tuple):
            return value
        name, path = WHOLE, Path(value)
        if not path.is_file() and "=" in value:
            name, _, rest = value.partition("=")
            path = Path(rest)
        if not path.is_file():
            self.fail(f"file {str(path)!r} does not exist", param, ctx)
        return name, path


input_option = click.option(
    "--input",
    "inputs",
    type=_InputFile(),
    multiple=True,
    help="What is asked: .npy, .npz, an image, a .csv of one row or raw bytes, as the model's card has it; "
    "NAME=FILE for each of several inputs.",
)
text_option = click.option("--text", help="A text, for models that take one; for prompts, it may be empty.")


def given(
    inputs: Sequence[NamedPath],
    text: str | None = None,
    *,
    chat: bool = False,
    max_tokens: int | None = None,
) -> Given:
    """What the options say; UsageError where they say nothing, or one input twice."""
    if not inputs and text is None:
        raise click.UsageError("give --input or --text")
    if text is None and (chat or max_tokens is not None):
        raise click.UsageError("--chat and --max-tokens go with --text")
    files = dict(inputs)
    if len(files) < len(inputs):
        raise click.UsageError("--input is given twice for one input; NAME=FILE says which is which")
    return Given(files, text, chat, max_tokens)


def read_request(path: Path, model: Model) -> bytes:
    """The request of one file."""
    return request_bytes(model, Given({WHOLE: path}))
