"""Pictures for the terminal: the tree descent of a dispute, from the trace root to one element; a small grey image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.text import Text

WIDTH = 32
"""Columns of a row of children: thirty-two cells of one, sixteen of two, …"""
LABEL = 18
SHADES = " ░▒▓█"


@dataclass(frozen=True, slots=True)
class Level:
    """One reveal: the children of a node, and the first that differs (None while nobody has picked)."""

    label: str
    children: int
    picked: int | None


def descent(levels: Sequence[Level], foot: str = "") -> Text:
    """Rows of children, each the opened cell of the row above; below them `foot`, under the last picked cell."""
    picture = Text()
    for level in levels:
        picture.append(f"{level.label[:LABEL]:<{LABEL}} ")
        picture.append_text(_row(level))
        picture.append("\n")
        if level.picked is not None:
            picture.append(f"{'':<{LABEL}} {_opening(level)}\n", style="dim")
    if foot:
        picture.append(f"{'':<{LABEL}} {foot}\n", style="bold")
    picture.rstrip()
    return picture


def _row(level: Level) -> Text:
    """Agreed children before the picked one, unknown ones after it."""
    cell = WIDTH // level.children
    row = Text()
    for child in range(level.children):
        if level.picked is None or child > level.picked:
            glyph, style = "·", "dim"
        elif child == level.picked:
            glyph, style = "█", "bold red"
        else:
            glyph, style = "▄", "green"
        row.append(glyph * (cell - 1) + " " if cell > 1 else glyph, style=style)
    return row


def _opening(level: Level) -> str:
    """The picked cell widening to the whole of the next row."""
    assert level.picked is not None
    cell = WIDTH // level.children
    column = min(level.picked * cell + max(0, cell - 2) // 2, WIDTH - 2)
    line = list("╭" + "─" * (WIDTH - 3) + "╮")
    line[column] = "├" if column == 0 else "┤" if column == WIDTH - 2 else "┴"
    return "".join(line)


def grey_image(pixels: np.ndarray, white: float) -> Text:
    """(height, width) values 0…`white`, two columns a pixel."""
    levels = np.clip(pixels / white * len(SHADES), 0, len(SHADES) - 1).astype(int)
    return Text("\n".join("".join(SHADES[level] * 2 for level in row) for row in levels))
