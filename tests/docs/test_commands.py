"""What the documents tell people to type exists: commands, options, make targets, links."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from oracle_node.cli.app import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "models").rglob("README.md")])
COMMAND = re.compile(r"(?:^ {4}|`|^\$ )(oracle-node [^`#\n]*)", re.MULTILINE)
MAKE = re.compile(r"(?:^ {4}|`)make ([a-z][a-z -]*)", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def _found(pattern: re.Pattern[str]) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for match in pattern.finditer(page.read_text()):
            yield page, match.group(1).strip()


def _resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and what is left of them."""
    command: click.Command = cli
    rest = words
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        child = command.get_command(click.Context(command), rest[0])
        assert child is not None, f"there is no command {rest[0]!r} in {command.name}"
        command, rest = child, rest[1:]
    return command, rest


COMMANDS = sorted({text.rstrip(" .,;:…") for _, text in _found(COMMAND)})


@pytest.mark.parametrize("text", COMMANDS)
def test_documents__commands__exist_with_their_options(text: str) -> None:
    command, rest = _resolve(shlex.split(text.replace("…", ""))[1:])
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.split("=")[0] for word in rest if word.startswith("-")}
    assert (
        used <= known | {"--help", "--json"}
        if isinstance(command, click.Group)
        else used <= known | {"--help"}
    )


def test_documents__commands__are_found_at_all() -> None:
    assert len(COMMANDS) >= 8


def test_documents__make_targets__exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = {word for _, text in _found(MAKE) for word in text.split()}
    assert used
    assert used <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_documents__links__lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_readme__both_commands__are_there() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "\n    make demo\n" in readme
    assert "\n    make test\n" in readme


def test_changelog__form__is_keep_a_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in text
    kinds = set(re.findall(r"^### (\w+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
