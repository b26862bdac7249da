"""Importing is exact too (DESIGN §6, rule 12): the same file gives the same model id on every machine.

So nothing that decides about a tape may use numpy's transcendental functions, powers, float sums or float products,
which differ by processor; single IEEE operations and integer work are all there is.
"""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "oracle_node"
INEXACT = {
    "arccos", "arcsin", "arctan", "arctan2", "cbrt", "cos", "cosh", "cumsum", "dot", "einsum", "exp", "exp2", "expm1",
    "float_power", "hypot", "inner", "linalg", "log", "log10", "log1p", "log2", "logaddexp", "matmul", "mean", "nansum",
    "power", "sin", "sinh", "std", "tan", "tanh", "tensordot", "trapezoid", "var", "vdot",
}  # fmt: skip
SOURCES = sorted(
    path
    for folder in ("tape", "importers", "commitments", "model")
    for path in (PACKAGE / folder).rglob("*.py")
)


def _inexact(tree: ast.AST) -> list[str]:
    """Uses of numpy functions that are not the same everywhere, and of the matrix product operator."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in INEXACT:
            owner = node.value
            if isinstance(owner, ast.Name) and owner.id in ("np", "numpy"):
                found.append(f"line {node.lineno}: np.{node.attr}")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            found.append(f"line {node.lineno}: @")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_import__sources__use_no_numpy_function_that_differs_by_processor(path: Path) -> None:
    assert _inexact(ast.parse(path.read_text())) == []


def test_inexact__a_mean_and_a_matrix_product__are_found() -> None:
    assert len(_inexact(ast.parse("a = np.mean(x)\nb = x @ y\nc = np.exp(x)"))) == 3
