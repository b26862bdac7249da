"""What commands print: one JSON object for machines; lines, tables and progress for people; diagnostics on stderr."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import update_wrapper
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from oracle_node.cli.text import one_line, readable

T = TypeVar("T")
Command = Callable[..., Any]


class Output:
    """A command's voice. In JSON mode stdout carries the result and nothing else."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.people = Console(quiet=as_json, highlight=False, soft_wrap=True)
        self.errors = Console(stderr=True, highlight=False)

    def result(self, values: Mapping[str, Any], view: RenderableType | None = None) -> None:
        """The outcome: `values` as JSON; for people `view`, or the values one a line."""
        if self.as_json:
            click.echo(json.dumps(to_json(values), allow_nan=False))
        else:
            self.people.print(view if view is not None else key_values(values))

    def say(self, text: RenderableType = "") -> None:
        """Something on the way, for people only."""
        self.people.print(text)

    def note(self, label: str, text: str) -> None:
        """Something on the way, for people only, on stderr: stdout is left to the outcome."""
        if not self.as_json:
            self.errors.print(Text.assemble((f"{label:<11}", "dim"), "  ", readable(text)), soft_wrap=True)

    def warn(self, text: str) -> None:
        """One line on stderr, in either mode."""
        self.errors.print(Text.assemble(("warning: ", "yellow"), one_line(text)), soft_wrap=True)

    @contextmanager
    def progress(self, label: str, total: float | None) -> Iterator[Callable[[float], None]]:
        """A bar on stderr where that is a terminal; yields `advance(steps)`."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(
            *columns, console=self.errors, transient=True, disable=not self.errors.is_terminal
        ) as bar:
            task = bar.add_task(label, total=total)
            yield lambda steps: bar.advance(task, steps)

    def track(self, items: Iterable[T], label: str, total: float) -> Iterator[T]:
        """The items, with a bar."""
        with self.progress(label, total) as advance:
            for item in items:
                yield item
                advance(1)


def json_option(command: Command) -> Command:
    """Adds --json to a command and hands it an `Output` as `out`."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text for people.")
    def wrapped(*args: Any, as_json: bool, **kwargs: Any) -> Any:
        return command(*args, out=Output(as_json), **kwargs)

    return update_wrapper(wrapped, command)


def to_json(value: object) -> object:
    """JSON values: numpy's as numbers and lists, bytes as 0x-hex, paths as text, numbers not finite as null."""
    match value:
        case Mapping():
            return {str(key): to_json(item) for key, item in value.items()}
        case list() | tuple():
            return [to_json(item) for item in value]
        case np.ndarray() | np.generic():
            return to_json(value.tolist())
        case float():
            return value if isfinite(value) else None
        case None | bool() | int() | str():
            return value
        case bytes():
            return "0x" + value.hex()
        case Path():
            return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def key_values(values: Mapping[str, Any]) -> Text:
    """A line a value, aligned; nested mappings are indented below their key. Nothing is cut, so ids can be copied."""
    rows = list(_rows(values, ""))
    width = max((len(label) for label, _ in rows), default=0)
    return Text("\n").join(Text.assemble((f"{label:<{width}}", "dim"), "  ", value) for label, value in rows)


def _rows(values: Mapping[str, Any], indent: str) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        label = indent + str(key).replace("_", " ")
        if isinstance(value, Mapping):
            yield label, ""
            yield from _rows(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for position, item in enumerate(value):
                yield f"{label} {position}", ""
                yield from _rows(item, indent + "  ")
        else:
            yield label, for_people(value)


def for_people(value: Any) -> str:
    """Digits grouped, floats to four places, bytes as hex, long arrays shortened."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, np.ndarray | list | tuple):
        flat = [for_people(item) for item in (value.reshape(-1) if isinstance(value, np.ndarray) else value)]
        return " ".join(flat) if len(flat) <= 16 else f"{' '.join(flat[:15])} … ({len(flat):,} values)"
    return readable(str(value))
