"""The picture of a tree descent."""

from oracle_node.cli.picture import LABEL, Level, descent


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
