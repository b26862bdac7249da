"""Pictures for the terminal."""

import numpy as np

from oracle_node.cli.picture import LABEL, Level, descent, grey_image


def _rows(*levels: Level, foot: str = "") -> list[str]:
    return [line[LABEL + 1 :] for line in descent(levels, foot).plain.splitlines()]


def test_descent__a_picked_child__opens_into_the_next_row() -> None:
    rows = _rows(Level("trace", 16, 2), Level("tensor 2", 2, 1), foot="element 7")
    assert rows == [
        "▄ ▄ █ · · · · · · · · · · · · · ",
        "╭───┴─────────────────────────╮",
        "▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄ ███████████████ ",
        "╭──────────────────────┴──────╮",
        "element 7",
    ]


def test_descent__first_and_last_child__meet_the_corners() -> None:
    assert _rows(Level("", 16, 0))[1].startswith("├─")
    assert _rows(Level("", 16, 15))[1].endswith("─┤")


def test_descent__nobody_has_picked__shows_unknown_children_only() -> None:
    assert _rows(Level("trace", 4, None)) == [("······· " * 4).rstrip()]


def test_grey_image__from_black_to_white__uses_every_shade() -> None:
    assert grey_image(np.float32([[0, 4, 8], [12, 16, 99]]), 16.0).plain == "  ░░▒▒\n▓▓████"


def test_descent__of_thirty_two_children__keeps_the_width() -> None:
    rows = _rows(Level("", 32, 31))
    assert rows == ["▄" * 31 + "█", "╭" + "─" * 29 + "┤"]
