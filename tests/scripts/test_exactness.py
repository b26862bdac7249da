"""scripts/exactness.py: what it concludes from hashes, and the hashes of the repository's own models, here."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from oracle_node.cli.sources import ImportOptions, import_into

_PINNED = {
    "digits, 15 bits": "ca037ea1ba12f000",
    "digits, 8 bits": "b1a93299b9d16e65",
    "credit": "dddfba7636dc8ac9",
    "random language model, 15 bits": "d4c507b06733e98a",
    "random language model, 8 bits": "e425a8ca3fbac965",
}
"""As the whole suite gave them on every platform; they change with a model's id, its tape or its inputs only."""


@pytest.fixture(scope="module")
def script(repository: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(
        "exactness", repository / "scripts" / "exactness.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["exactness"] = module
    specification.loader.exec_module(module)
    return module


def _cells(script: ModuleType, **models: dict[str, str]) -> list[object]:
    made = []
    for model, row in models.items():
        for platform, result in row.items():
            kind, _, text = result.partition(": ")
            made.append(script.Cell(model, platform, **{kind: text}))
    return made


@pytest.mark.parametrize("name", _PINNED)
def test_suite__the_repositorys_models__have_the_pinned_hash_with_one_and_two_threads(
    script: ModuleType, name: str, tmp_path: Path
) -> None:
    if name.startswith("random"):
        pytest.importorskip("gguf", reason="needs the extra llm")
    entries = [entry for entry in script.suite(tmp_path) if entry.name == name]
    cells = list(script.run_all(entries, ("native-1", "native-2")))
    assert [str(cell) for cell in cells] == [_PINNED[name]] * 2
    assert [cell.environment["intra_op_threads"] for cell in cells] == [1, 2]
    assert script.verdict(cells) == 0


def test_verdict__one_hash_a_model__is_success(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = _cells(
        script, a={"x": "hash: 1", "y": "hash: 1", "z": "skipped: no emulator"}, b={"x": "hash: 2"}
    )
    assert script.verdict(cells) == 0
    assert "2 models, 3 runs, 1 skipped, 0 failed: one hash a model" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"x": "hash: 1", "y": "hash: 2"}, "different hashes of a"),
        ({"x": "hash: 1", "y": "failed: exit 1"}, "1 failed"),
        ({"x": "skipped: no emulator"}, "nothing ran"),
    ],
    ids=["two hashes", "a failure", "nothing"],
)
def test_verdict__anything_else__is_failure(
    script: ModuleType, row: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.verdict(_cells(script, a=row)) == 1
    assert said in capsys.readouterr().out


def test_table__a_row_a_model__shows_what_differs(script: ModuleType) -> None:
    cells = _cells(
        script,
        a={"x": "hash: 11", "y": "hash: 22", "z": "hash: 11"},
        b={"x": "skipped: absent", "y": "failed: exit 1", "z": "hash: 33"},
        c={"x": "skipped: absent", "y": "skipped: absent", "z": "skipped: absent"},
    )
    assert script.table(cells).splitlines() == [
        "| model | hash | x | y | z |",
        "|---|---|---|---|---|",
        "| a | 11 | = | 22 | = |",
        "| b | 33 | skipped: absent | FAILED: exit 1 | = |",
        "| c | – | skipped: absent | skipped: absent | skipped: absent |",
    ]


def test_version__already_fetched__stands_before_the_installed_one(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "ort-9.9.9"
    (site / "onnxruntime").mkdir(parents=True)
    (site / "onnxruntime" / "__init__.py").write_text("raise ImportError('the fetched one')")
    monkeypatch.setattr(script, "CACHE", tmp_path)
    command, threads, environment = script.launcher("ort-9.9.9")
    assert (command, threads) == ([sys.executable], 1)
    assert environment["PYTHONPATH"].startswith(str(site))
    bundle = tmp_path / "bundle"
    bundle.write_bytes(b"")
    cell = script.run_cell("model", "ort-9.9.9", bundle)
    assert cell.failed.startswith("exit 1, ")


def test_directory__a_model_of_ones_own__is_asked_random_requests(
    script: ModuleType,
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = tmp_path / "own"
    import_into(own, repository / "models" / "digits" / "digits.onnx", ImportOptions(8))
    written = tmp_path / "cells.json"
    monkeypatch.setattr(
        sys,
        "argv",
        ["exactness.py", "--directory", str(own), "--platform", "native-1", "--json", str(written)],
    )
    assert script.main() == 0
    (cell,) = json.loads(written.read_text())
    assert (cell["model"], cell["platform"]) == ("own", "native-1")
    assert re.fullmatch("[0-9a-f]{16}", cell["hash"])
    assert cell["hash"] in capsys.readouterr().out


def test_directory__no_model__fails_with_the_reason(script: ModuleType, tmp_path: Path) -> None:
    (cell,) = script.run_all([script.entry_of(tmp_path)], ("native-1",))
    assert "not a model directory" in cell.failed


@pytest.mark.parametrize(
    "arguments", [["--platform", "native-two"], ["--platform", "ort"], ["--model", "no such model"]]
)
def test_arguments__unknown_names__are_refused(
    script: ModuleType,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["exactness.py", *arguments])
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code == 2
    assert arguments[1] in capsys.readouterr().err
