"""Text from files and strangers, made fit for a terminal: nothing in it steers the terminal or hides what is there."""

from unicodedata import category

MOST_CHARACTERS = 4000
"""Of one line of diagnostics."""
_STEERING = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Control characters, lone surrogates (which no terminal takes), separators of lines and paragraphs."""
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def readable(text: str) -> str:
    """Anything that could steer a terminal or reorder its line becomes �; line breaks and tabs stay."""
    return "".join(
        "�" if c in _REORDERING or (category(c) in _STEERING and c not in "\n\t") else c for c in text
    )


def one_line(text: object) -> str:
    """The text in one line, not too long to read."""
    line = " ".join(str(text).split())
    if len(line) > MOST_CHARACTERS:
        line = f"{line[: MOST_CHARACTERS // 2]} … {line[-MOST_CHARACTERS // 2 :]}"
    return readable(line)
