"""Importing is exact too (DESIGN §6, rule 12): the same file gives the same model id on every machine.

So nothing that decides about a tape may use transcendental functions, powers, float sums or float products of numpy or
the C library, which differ by processor and by version; single IEEE operations (the square root is one), powers of two
and integer work are all there is. Read from the sources' syntax: what cannot be told there is on the list below, or not
found (the built-in `sum`, of floats).
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "oracle_node"
NUMPY = {
    "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "average", "bartlett", "blackman",
    "cbrt", "convolve", "correlate", "corrcoef", "cos", "cosh", "cov", "cross", "cumprod", "cumsum", "dot",
    "einsum", "exp", "exp2", "expm1", "fft", "float_power", "geomspace", "hamming", "hanning", "hypot", "i0",
    "inner", "interp", "kaiser", "kron", "linalg", "log", "log10", "log1p", "log2", "logaddexp", "logaddexp2",
    "logspace", "matmul", "matvec", "mean", "nanmean", "nanprod", "nanstd", "nansum", "nanvar", "polyfit",
    "polyval", "power", "prod", "sin", "sinc", "sinh", "std", "sum", "tan", "tanh", "tensordot", "trace",
    "trapezoid", "var", "vdot", "vecdot", "vecmat",
}  # fmt: skip
"""Functions of numpy whose bits depend on the machine, for floats at least."""
MATH = {
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "cos", "cosh", "dist", "erf", "erfc", "exp",
    "exp2", "expm1", "gamma", "hypot", "lgamma", "log", "log10", "log1p", "log2", "pow", "sin", "sinh", "sumprod",
    "tan", "tanh",
}  # fmt: skip
"""Functions of the C library that are not correctly rounded everywhere; `math.sqrt`, `ldexp` and their like are."""
METHODS = {"cumprod", "cumsum", "dot", "mean", "prod", "std", "sum", "trace", "var"}
"""Methods of arrays of the same kind."""
WITH_TYPE = {"sum", "prod", "cumsum", "cumprod"}
"""Exact where they say that they compute in an integer type."""
REDUCED = {"add", "multiply", "logaddexp", "logaddexp2", "hypot"}
INTEGERS = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
OTHER_LIBRARIES = {"scipy", "cmath", "statistics", "random"}

ALLOWED = {
    ("tape/blocks.py", "np.prod(x.dims[x.rank - axes:])"): "dimensions are integers",
    ("importers/onnx/reductions.py", "BLOCK_ELEMENTS ** levels"): "both are Python integers",
    ("importers/onnx/reductions.py", "block ** levels"): "both are Python integers",
}
"""(file, expression as `ast.unparse` writes it): why it is exact all the same."""
SOURCES = sorted(
    path
    for folder in ("tape", "importers", "commitments", "model")
    for path in (PACKAGE / folder).rglob("*.py")
)


def inexact(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, expression) of whatever may give other bits on another machine."""
    modules = {"np": "numpy", "numpy": "numpy", "math": "math"} | {
        name.asname: name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
        if name.asname
    }
    for node in ast.walk(tree):
        if _is_inexact(node, modules):
            yield getattr(node, "lineno", 0), ast.unparse(node)


def _is_inexact(node: ast.AST, modules: dict[str, str]) -> bool:
    match node:
        case ast.Import(names=names):
            return any(name.name.split(".")[0] in OTHER_LIBRARIES or "linalg" in name.name for name in names)
        case ast.ImportFrom(module=str(module), names=names):
            banned = {"numpy": NUMPY, "math": MATH}.get(module, set())
            known = module.split(".")[0] in OTHER_LIBRARIES or module.startswith("numpy.linalg")
            return known or any(name.name in banned for name in names)
        case ast.Call(func=ast.Attribute(value=owner, attr=name)) if name in WITH_TYPE:
            is_math = isinstance(owner, ast.Name) and modules.get(owner.id) == "math"
            return not is_math and not _says_integers(node)
        case ast.Call(func=ast.Attribute(attr=name)) if name in METHODS:
            return True
        case ast.Call(func=ast.Name(id="pow"), args=[base, exponent]):
            return not _is_exact_power(base, exponent)
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            module = modules.get(owner)
            return name not in WITH_TYPE and name in {"numpy": NUMPY, "math": MATH}.get(module or "", set())
        case ast.Attribute(
            value=ast.Attribute(value=ast.Name(id=owner), attr=ufunc),
            attr="reduce" | "accumulate" | "reduceat",
        ):
            return modules.get(owner) == "numpy" and ufunc in REDUCED
        case ast.BinOp(op=ast.MatMult()) | ast.AugAssign(op=ast.MatMult()):
            return True
        case ast.BinOp(op=ast.Pow(), left=base, right=exponent):
            return not _is_exact_power(base, exponent)
        case ast.AugAssign(op=ast.Pow(), target=base, value=exponent):
            return not _is_exact_power(base, exponent)
    return False


def _says_integers(call: ast.Call) -> bool:
    """Whether it has `dtype=np.int64` or another integer type."""
    types = [keyword.value for keyword in call.keywords if keyword.arg == "dtype"]
    return any(isinstance(type_, ast.Attribute) and type_.attr in INTEGERS for type_ in types)


def _is_exact_power(base: ast.expr, exponent: ast.expr) -> bool:
    """A power of two, or a square, which is one product; numpy takes the C library's `pow` for others."""
    if isinstance(base, ast.Constant) and base.value == 2:
        return not (isinstance(exponent, ast.Constant) and isinstance(exponent.value, float))
    return isinstance(exponent, ast.Constant) and type(exponent.value) is int and exponent.value in (1, 2)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_import__sources__use_nothing_that_differs_by_machine(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    assert [found for found in inexact(ast.parse(path.read_text())) if (name, found[1]) not in ALLOWED] == []


def test_allowed__every_exception__is_still_in_the_sources() -> None:
    found = {
        (path.relative_to(PACKAGE).as_posix(), text)
        for path in SOURCES
        for _, text in inexact(ast.parse(path.read_text()))
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    "line",
    [
        "np.mean(x)", "np.exp(x)", "numpy.exp(x)", "np.sum(x)", "np.average(x)", "np.prod(x)", "np.linalg.norm(x)",
        "np.add.reduce(x)", "np.multiply.accumulate(x)", "np.power(x, y)", "f = np.tanh", "np.sum(x, dtype=np.float64)",
        "x.mean()", "x.dot(y)", "x.std()", "x.var()", "x.prod()", "x.sum()", "x.sum(axis=1)", "x.sum(dtype=np.float32)",
        "x.cumsum()", "(x + y).sum()", "x @ y", "x @= y",
        "x ** 0.5", "x ** -1", "x ** 3", "x ** y", "2 ** 0.5", "x **= 3", "3.0 ** -n", "pow(x, 3)", "pow(x, 0.5)",
        "math.exp(x)", "math.log(x)", "math.pow(x, y)", "math.sin(x)", "math.cos(x)", "math.tan(x)", "math.log2(x)",
        "from numpy import exp", "from numpy import zeros, tanh", "from numpy.linalg import norm",
        "import numpy.linalg", "from math import exp", "from math import sqrt, log",
        "import scipy.special", "from scipy import special",
        "import math as m\nm.exp(x)", "import numpy as n\nn.exp(x)",
    ],
)  # fmt: skip
def test_inexact__whatever_differs_by_machine__is_found(line: str) -> None:
    assert list(inexact(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "np.sqrt(x)", "math.sqrt(x)", "math.ldexp(x, 3)", "math.prod(shape)", "prod(shape)", "np.maximum.reduce(x)",
        "x.sum(axis=1, dtype=np.int64)", "np.sum(x, dtype=np.int64)", "2.0 ** -40", "2 ** (bits - 1)", "x ** 2",
        "from math import prod, sqrt, ldexp", "from numpy import zeros", "b.matmul(x, y)", "b.reduce(Reducer.SUM, x)",
        "x.exp()", "sum(sizes)", "np.abs(x)", "pow(a, b, m)",
    ],
)  # fmt: skip
def test_inexact__exact_work__is_not_found(line: str) -> None:
    assert list(inexact(ast.parse(line))) == []
