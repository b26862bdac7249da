"""Small pieces: modules and functions stay within what a reader can hold (STYLE "Layout")."""

import ast
from pathlib import Path

MODULE_LINES = 420
FUNCTION_LINES = 60


def _modules(repository: Path) -> list[Path]:
    return sorted((repository / "oracle_node").rglob("*.py"))


def test_modules__all__are_short_and_say_what_they_are(repository: Path) -> None:
    long = {
        str(p.relative_to(repository)): n
        for p in _modules(repository)
        if (n := len(p.read_text().splitlines())) > MODULE_LINES
    }
    mute = [
        str(p.relative_to(repository))
        for p in _modules(repository)
        if p.read_text().strip() and not ast.get_docstring(ast.parse(p.read_text()))
    ]
    assert (long, mute) == ({}, [])


def test_functions__all__are_short(repository: Path) -> None:
    long = {
        f"{path.relative_to(repository)}:{node.name}": lines
        for path in _modules(repository)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    }
    assert long == {}
