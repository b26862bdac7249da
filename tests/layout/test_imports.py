"""The pure core stays pure: what it imports, directly or through our own modules (DESIGN §6, STYLE "Layout")."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PURE = ["tape", "commitments", "game", "executors/reference.py", "executors/scalar.py", "executors/base.py"]
FORBIDDEN = {
    "web3", "eth_account", "eth_tester", "aiohttp", "requests", "sqlite3", "sqlite_utils", "socket", "asyncio", "time",
    "datetime", "random", "secrets", "uuid", "subprocess", "onnxruntime", "structlog", "click", "rich",
}  # fmt: skip
FORBIDDEN_ATTRIBUTES = {"np.random", "numpy.random"}


def _module_files(repository: Path) -> list[Path]:
    files: list[Path] = []
    for entry in PURE:
        path = repository / "oracle_node" / entry
        assert path.exists(), f"oracle_node/{entry} is gone: the rule about it has to follow"
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return files


def _imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names of everything imported, at any depth of the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _source_of(repository: Path, module: str) -> Path | None:
    """The file of one of the package's own modules."""
    path = repository.joinpath(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _reachable(repository: Path, start: Path) -> dict[str, str]:
    """Every foreign module that importing `start` pulls in → the own module that imports it."""
    found: dict[str, str] = {}
    todo, seen = [start], set[Path]()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in _imports(ast.parse(path.read_text())):
            if name.split(".")[0] != "oracle_node":
                found.setdefault(name, str(path.relative_to(repository)))
            elif source := _source_of(repository, name):
                todo.append(source)
    return found


def test_pure_core__imports__reach_no_effects(repository: Path) -> None:
    offences = [
        f"{path.relative_to(repository)} reaches {name} through {via}"
        for path in _module_files(repository)
        for name, via in _reachable(repository, path).items()
        if name.split(".")[0] in FORBIDDEN
    ]
    assert offences == []


def test_pure_core__numpy_random__is_not_used(repository: Path) -> None:
    offences = [
        f"{path.relative_to(repository)}:{node.lineno}"
        for path in _module_files(repository)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in FORBIDDEN_ATTRIBUTES
    ]
    assert offences == []


@pytest.mark.parametrize("line", ["import time", "from web3 import Web3", "def f():\n    import random"])
def test_imports__forbidden_at_any_depth__are_seen(line: str) -> None:
    assert {name.split(".")[0] for name in _imports(ast.parse(line))} & FORBIDDEN


def test_package__paths_of_a_machine__do_not_appear(repository: Path) -> None:
    suffixes = {".py", ".sol", ".md", ".toml", ".json", ".txt", ""}
    folders = (
        "oracle_node",
        "contracts/src",
        "contracts/test",
        "contracts/script",
        "docs",
        "models",
        "scripts",
        "tests",
        ".ci",
    )
    offences = [
        str(path.relative_to(repository))
        for folder in folders
        for path in (repository / folder).rglob("*")
        if path.is_file()
        and path.suffix in suffixes
        and path != Path(__file__)
        and "node_modules" not in path.parts
        if any(
            mark in path.read_text(errors="ignore")
            for mark in ("/work" + "/main", "/work" + "/shared", "/tmp" + "/dev")
        )
    ]
    assert offences == []
