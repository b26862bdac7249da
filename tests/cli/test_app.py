"""The command tree: help, exit codes, and one line an error."""

import click
import pytest

from oracle_node.cli import app
from oracle_node.errors import ModelError
from tests.cli.running import Cli


def _leaves(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found += (
            _leaves(command, (*path, name))
            if isinstance(command, click.Group)
            else [((*path, name), command)]
        )
    return found


LEAVES = _leaves(app.cli)
ACTING = {
    ("model", "register"), ("chain", "deploy"), ("request",), ("ask",), ("run",), ("dispute", "open"),
    ("dispute", "play"), ("dispute", "watch"),
}  # fmt: skip
FIXED = {
    ("demo",), ("run",), ("request",), ("ask",),
    *(("model", name) for name in ("import", "inspect", "run", "compare", "selftest", "register", "verify")),
    ("chain", "dev"), ("chain", "deploy"),
    *(("dispute", name) for name in ("list", "show", "audit", "open", "play", "cost", "watch")),
    *(("bench", name) for name in ("exact", "commit", "dispute")),
}  # fmt: skip


def _options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


def test_tree__all_commands_of_the_design__exist() -> None:
    assert {path for path, _ in LEAVES} >= FIXED


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_command__every_one__has_help_and_json(path: tuple[str, ...], command: click.Command) -> None:
    assert command.help
    assert "--json" in _options(command)


@pytest.mark.parametrize("path", sorted(ACTING), ids=" ".join)
def test_command__that_acts__takes_dry_run(path: tuple[str, ...]) -> None:
    assert "--dry-run" in _options(dict(LEAVES)[path])


def test_command__that_has_a_key__takes_dry_run_or_only_reads() -> None:
    keyed = {path: _options(command) for path, command in LEAVES if "--keystore" in _options(command)}
    reading = {("dispute", name) for name in ("audit", "cost", "list", "show")} | {("example", "digit")}
    assert {path for path, options in keyed.items() if "--dry-run" not in options} == reading


@pytest.mark.parametrize("name", app.COMMANDS)
def test_command__help_line_known_before_import__is_its_own(name: str) -> None:
    command = app.cli.get_command(click.Context(app.cli), name)
    assert command is not None
    assert command.get_short_help_str(200) == app.COMMANDS[name].help


def test_help__top_level__lists_every_command(oracle: Cli) -> None:
    ran = oracle("--help")
    assert ran.code == 0
    assert all(f"  {name}" in ran.out for name in app.COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("model", "nonsense"),
        ("demo", "--nonsense"),
        ("model", "inspect"),
        ("bench", "commit", "--mebibytes", "x"),
    ],
)
def test_usage__wrong__exits_2_with_a_hint(oracle: Cli, arguments: tuple[str, ...]) -> None:
    ran = oracle(*arguments)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert "Try 'oracle-node" in ran.err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ModelError("no such\nmodel"), "error: no such model"),
        (
            FileNotFoundError(2, "No such file or directory", "x.onnx"),
            "error: x.onnx: No such file or directory",
        ),
        (ZeroDivisionError("bug"), "error: unexpected ZeroDivisionError: bug"),
    ],
)
def test_failure__of_any_kind__is_one_line_and_exit_1(
    oracle: Cli, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(app.LazyGroup, "get_command", lambda *_: failing)
    ran = oracle("demo")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(line)
    assert ran.err.count("\n") == 1


def test_failure__with_debug__shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def failing() -> None:
        raise ModelError("here")

    monkeypatch.setattr(app.LazyGroup, "get_command", lambda *_: failing)
    with pytest.raises(ModelError):
        app.main(["--debug", "demo"])
