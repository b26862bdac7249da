"""The package declares what it imports, ships what it needs, and its models are the ones their cards describe."""

import ast
import hashlib
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest

from oracle_node.bench.compare import FloatSource
from oracle_node.shipped import shipped

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~;\s]", line)[0].lower().replace("_", "-") for line in requirements}


def _third_party(folder: Path) -> dict[str, set[str]]:
    """Top-level modules imported anywhere in the folder that are neither ours nor Python's → the files."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for top in (
                {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"oracle_node"}
            ):
                found.setdefault(top, set()).add(str(path.relative_to(ROOT)))
    return found


def test_dependencies__everything_imported__is_declared() -> None:
    declared = _names(PROJECT["dependencies"]) | _names(
        [r for e in ("llm", "text", "ray", "dev") for r in PROJECT["optional-dependencies"][e]]
    )
    distributions = packages_distributions()
    undeclared = {
        module: files
        for module, files in _third_party(ROOT / "oracle_node").items()
        if not {
            name.lower().replace("_", "-") for name in distributions.get(module, [module, f"{module}-python"])
        }
        & declared
    }
    assert undeclared == {}


def test_dependencies__everything_declared__is_imported() -> None:
    distributions = packages_distributions()
    imported = {
        name.lower().replace("_", "-")
        for module in _third_party(ROOT / "oracle_node")
        for name in distributions.get(module, [])
    }
    unimported = {"coincurve"}  # eth-keys finds it, and signs without Python arithmetic
    assert _names(PROJECT["dependencies"]) - imported == unimported


def test_dependencies__all__have_lower_bounds() -> None:
    everything = PROJECT["dependencies"] + [
        r for extra in PROJECT["optional-dependencies"].values() for r in extra
    ]
    assert [line for line in everything if ">=" not in line and "==" not in line] == []


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in (ROOT / "models").rglob("SHA256SUMS")), ids=lambda f: f.name
)
def test_model__every_file__has_the_pinned_hash(folder: Path) -> None:
    pinned = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(pinned) >= {f"{folder.name}.onnx"}
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in pinned} == pinned


def test_digits__float_accuracy__is_what_the_card_says() -> None:
    model = shipped("digits")
    images, labels = model.test_split()
    network = FloatSource(model.source, threads=1)
    right = sum(
        int(network.run(image).argmax() == label) for image, label in zip(images, labels, strict=True)
    )
    assert f"{right} of the {len(labels)} held-out digits" in (model.folder / "README.md").read_text()


def test_digits__samples__are_held_out_images_of_their_digit() -> None:
    model = shipped("digits")
    images, labels = model.test_split()
    for digit in range(10):
        sample = np.load(model.sample(digit))
        assert any(np.array_equal(sample, image) for image in images[labels == digit])
