"""Files made to break an importer: one clear line and exit 1 each, within a second and 500 MB, nothing left behind.

Every command runs in a process of its own, forked from one that has imported everything, under the kernel's limits.
"""

import os
import shutil
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from oracle_node.cli.sources import ImportOptions, import_into
from oracle_node.cli.text import MOST_CHARACTERS
from tests.importers import hostile_directories, hostile_gguf, hostile_onnx, hostile_operators, hostile_run
from tests.importers.hostile_run import Outcome

ONNX = hostile_onnx.FILES | hostile_operators.FILES


@pytest.fixture(scope="module")
def server() -> ForkServerContext:
    return hostile_run.context()


@pytest.fixture(scope="module")
def whole(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole") / "model"
    import_into(directory, repository / "models" / "digits" / "digits.onnx", ImportOptions(8))
    return directory


@pytest.fixture
def command(server: ForkServerContext, tmp_path: Path) -> Callable[..., Outcome]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return lambda *arguments: hostile_run.run(server, [str(argument) for argument in arguments], scratch)


def _require_refused(outcome: Outcome) -> str:
    """Exit 1 and one printable line; a signal would mean that a limit was passed."""
    assert (outcome.code, outcome.out) == (1, ""), outcome
    assert outcome.err.startswith("error: ") and outcome.err.endswith("\n"), outcome
    line = outcome.err.removesuffix("\n")
    assert line.isprintable() and len(line) < MOST_CHARACTERS + 20, outcome
    assert "unexpected" not in line and "Traceback" not in line, outcome
    return line


def _require_import_refused(command: Callable[..., Outcome], path: Path, model: Path) -> str:
    line = _require_refused(command("model", "import", path, "--out", model))
    assert not model.exists() or not list(model.iterdir())
    return line


def test_limits__what_outgrows_them__is_stopped(server: ForkServerContext, tmp_path: Path) -> None:
    assert hostile_run.run(server, ["--version"], tmp_path).code == 0
    assert hostile_run.run(server, [], tmp_path, hostile_run.too_large).code == 1
    assert hostile_run.run(server, [], tmp_path, hostile_run.too_long).code < 0


@pytest.mark.parametrize("name", ONNX)
def test_onnx__hostile__is_one_line_at_once_in_little_memory(
    name: str, command: Callable[..., Outcome], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    hostile_onnx.prepare(home)
    (home / "network.onnx").write_bytes(ONNX[name]())
    _require_import_refused(command, home / "network.onnx", tmp_path / "model")


@pytest.mark.parametrize("name", hostile_gguf.FILES)
def test_gguf__hostile__is_one_line_at_once_in_little_memory(
    name: str, command: Callable[..., Outcome], tmp_path: Path
) -> None:
    pytest.importorskip("gguf", reason="needs the extra llm")
    (tmp_path / "model.gguf").write_bytes(hostile_gguf.FILES[name]())
    _require_import_refused(command, tmp_path / "model.gguf", tmp_path / "model")


def test_gguf__the_one_that_the_hostile_are_made_of__is_imported(
    command: Callable[..., Outcome], tmp_path: Path
) -> None:
    pytest.importorskip("gguf", reason="needs the extra llm")
    (tmp_path / "model.gguf").write_bytes(hostile_gguf.language_model())
    assert command("model", "import", tmp_path / "model.gguf", "--out", tmp_path / "model").code == 0


@pytest.mark.parametrize("name", hostile_directories.SPOILT)
def test_directory__tampered_with__is_one_line_at_once_in_little_memory(
    name: str, command: Callable[..., Outcome], whole: Path, tmp_path: Path
) -> None:
    spoilt = tmp_path / "spoilt"
    shutil.copytree(whole, spoilt)
    hostile_directories.SPOILT[name](spoilt)
    _require_refused(command("model", "inspect", spoilt))


@pytest.mark.parametrize("ending", ["onnx", "gguf"])
def test_import__of_a_pipe_that_nobody_writes_to__does_not_wait(
    ending: str, command: Callable[..., Outcome], tmp_path: Path
) -> None:
    pipe = tmp_path / f"pipe.{ending}"
    os.mkfifo(pipe)
    assert "is no regular file" in _require_import_refused(command, pipe, tmp_path / "model")


def test_import__of_a_file_without_an_end__does_not_read_it(
    command: Callable[..., Outcome], tmp_path: Path
) -> None:
    (tmp_path / "zero.onnx").symlink_to("/dev/zero")
    (tmp_path / "sparse.onnx").touch()
    os.truncate(tmp_path / "sparse.onnx", 1 << 40)
    for name in ("zero.onnx", "sparse.onnx"):
        _require_import_refused(command, tmp_path / name, tmp_path / "model")


def test_import__of_what_no_machine_can_run__does_not_try(
    command: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Only bounds are proved of a tensor of 400 GB; it is admitted, and not measured."""
    (tmp_path / "network.onnx").write_bytes(hostile_operators.large_inside())
    outcome = command("model", "import", tmp_path / "network.onnx", "--out", tmp_path / "model")
    assert outcome.code == 0
    assert outcome.err == "warning: not measured: one of its tensors has 100000000000 elements\n"
