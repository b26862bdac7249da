"""What strangers wrote, as it is printed."""

import pytest

from oracle_node.cli.text import MOST_CHARACTERS, one_line, readable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x07\x9b31m\x7f", "�[2J��31m�"),
        ("pay \u202e001\u2069", "pay �001�"),
        ("a\u2028b\u2029c", "a�b�c"),
        ("\ud800", "�"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("naïve 東京 \N{FAMILY}\u200d\N{WOMAN} − ≤", "naïve 東京 \N{FAMILY}\u200d\N{WOMAN} − ≤"),
    ],
    ids=["control", "reordering", "separators", "surrogate", "layout", "ordinary"],
)
def test_readable__of_any_text__steers_nothing(text: str, shown: str) -> None:
    assert readable(text) == shown
    readable(text).encode()


def test_one_line__of_any_text__is_one_line_of_bounded_length() -> None:
    assert one_line("a\r\n\tb \x1b[1m\u2028c") == "a b �[1m c"
    assert one_line(ValueError("no\nsuch")) == "no such"
    long = one_line("start" + "x" * 10**6 + "end")
    assert len(long) < MOST_CHARACTERS + 10
    assert (long[:5], long[-3:]) == ("start", "end")
