"""ONNX Runtime tells nobody that it runs, and leaves nothing in the home directory."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted((ROOT / "oracle_node").rglob("*.py"))
RUN = """
from oracle_node.bench.compare import FloatSource
from oracle_node.executors.canary import require_exact
from oracle_node.shipped import shipped
FloatSource(shipped("digits").source)
require_exact(1)
"""
COMPARED = """
from oracle_node.bench.compare import FloatSource
from oracle_node.shipped import shipped
FloatSource(shipped("digits").source)
"""
QUANTIZED = """
from pathlib import Path
from tempfile import mkdtemp
from oracle_node.bench.exact import _dynamic_int8
from oracle_node.shipped import shipped
assert _dynamic_int8(shipped("digits").source, Path(mkdtemp()), 1)
"""


def left_at_home(home: Path, program: str, **environment: str) -> list[str]:
    """The files that a Python process leaves in an empty home directory."""
    # a CI variable would silence ONNX Runtime by itself
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ}
    variables = {**kept, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    subprocess.run([sys.executable, "-c", program], env=variables, cwd=ROOT, check=True)
    return [str(path.relative_to(home)) for path in home.rglob("*")]


@pytest.mark.parametrize("program", [RUN, COMPARED, QUANTIZED], ids=["executor", "compare", "exact"])
def test_runtime__sessions__leave_the_home_directory_empty(tmp_path: Path, program: str) -> None:
    assert left_at_home(tmp_path, program) == []


def _imports_runtime(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.split(".")[0] == "onnxruntime" for name in names):
            return True
    return False


def test_runtime__is_imported__in_one_place() -> None:
    importers = {
        path.relative_to(ROOT / "oracle_node").as_posix() for path in SOURCES if _imports_runtime(path)
    }
    # the quantization tool is a package of its own, imported behind ours
    assert importers == {"executors/onnx/runtime.py", "bench/exact.py"}
