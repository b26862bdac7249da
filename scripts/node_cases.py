#!/usr/bin/env python3
"""Imports ONNX's node conformance cases, runs them and compares: which operators and cases are supported.

    scripts/node_cases.py FOLDER [--only NAME] [--json FILE] [--markdown FILE] [--verbose]

FOLDER is `onnx/backend/test/data/node` of an onnx package up to 1.20 (later ones ship no data). A case has one
operator, or the function body that defines it ("expanded"). The tape is run by the reference executor. Integers and
booleans have to be equal bit for bit, floats within the suite's tolerance (rtol 1e-3, atol 1e-7);
those of AveragePool and MatMul, with sums and factors in fixed point, within 3e-4 of the output's largest value.

A request is one tensor of one type, and a proof covers every input in its range. So a case is tried in turn: as it is;
with the range of its own data as --input-range; with inputs of other types cast to the first one's; with all inputs but
the first (then: but the second) as constants, as networks have them; each of the last two also with that range.
The first that imports decides. Where none does, the case counts as refused, with the reason of the last attempt that
keeps the first input.
"""

import argparse
import json
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from oracle_node.errors import ModelError  # noqa: E402
from oracle_node.executors.reference import run  # noqa: E402
from oracle_node.importers.imported import ImportedModel  # noqa: E402
from oracle_node.importers.onnx import import_onnx  # noqa: E402

RTOL, ATOL = 1e-3, 1e-7
QUANTISED_ERROR = 3e-4
QUANTISED = {"Attention", "AveragePool", "MatMul"}
"""Where sums in fixed point, or products of 14 bits, err relative to the largest value, small results may err
more than 1e-3 of themselves."""


@dataclass
class Result:
    """`status` is passed, failed or refused; `how` the attempt that got furthest; `reason` why it did not pass."""

    case: str
    operator: str
    status: str
    how: str = ""
    reason: str = ""


@dataclass
class Case:
    name: str
    model: onnx.ModelProto
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    @property
    def operator(self) -> str:
        """The operator a case is about."""
        node = self.model.graph.node[0]
        domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
        return domain + node.op_type


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    parser.add_argument("--json", type=Path, help="write every case's result to this file")
    parser.add_argument("--markdown", type=Path, help="write a table of operators to this file")
    parser.add_argument("--verbose", action="store_true", help="print every case that does not pass")
    arguments = parser.parse_args()
    results = []
    for folder in sorted(arguments.folder.iterdir()):
        if arguments.only in folder.name and (folder / "model.onnx").exists():
            results.append(tried(folder, operator_of(arguments.folder, folder)))
            if arguments.verbose and results[-1].status != "passed":
                print(*asdict(results[-1]).values(), sep=" | ", flush=True)
    if not results:
        parser.error(f"{arguments.folder} has no folders with a model.onnx of that name")
    print(summary(results))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(r) for r in results], indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(results))
    return int(any(r.status == "failed" for r in results))


def operator_of(cases: Path, folder: Path) -> str:
    """The case's operator; that of the plain case for the body of a function, marked."""
    plain = re.sub(r"_expanded(_ver\d+|_function_\w+)?$", "", folder.name)
    source = cases / plain / "model.onnx"
    if not source.exists():
        source = folder / "model.onnx"
    node = onnx.load(source).graph.node[0]
    domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
    return f"{domain}{node.op_type}" + (" (expanded)" if plain != folder.name else "")


def tried(folder: Path, operator: str) -> Result:
    try:
        case = read(folder)
    except (ModelError, ValueError, TypeError) as error:
        return Result(folder.name, operator, "refused", "", str(error))
    reason = ""
    for how, model, inputs, options in attempts(case):
        try:
            problem = compared(case, model, inputs, operator, options)
        except (ModelError, ValueError) as error:
            # of the attempts that keep the first input, the last: the second is rarely the data
            reason = reason if "second" in how else short(str(error), case)
            continue
        # a wrong answer counts, even where another attempt gives the right one
        return Result(folder.name, operator, "failed" if problem else "passed", how, problem)
    return Result(folder.name, operator, "refused", "", reason)


def short(reason: str, case: Case) -> str:
    """Without the path and the node's name, which say nothing here; types before values."""
    reason = re.sub(r"^\S*network\.onnx: ", "", reason)
    reason = re.sub(r"^(\S+) node '[^']*': ", lambda m: "" if m[1] == case.operator else f"{m[1]}: ", reason)
    reason = re.sub(r"; rewrite it with .*", "", reason)
    reason = re.sub(r"input \S+ is (\w+):", r"an input is \1:", reason)
    return re.sub(r"\[[-+\d.e]+, [-+\d.e]+\]", "[…]", reason)


def read(folder: Path) -> Case:
    model = onnx.load(folder / "model.onnx")
    values: dict[str, dict[str, np.ndarray]] = {}
    for kind, infos in (("input", model.graph.input), ("output", model.graph.output)):
        values[kind] = {}
        for i, info in enumerate(infos):
            if info.type.WhichOneof("value") != "tensor_type":
                raise ModelError(f"an {kind} is a sequence or optional")
            tensor = TensorProto()
            tensor.ParseFromString((folder / "test_data_set_0" / f"{kind}_{i}.pb").read_bytes())
            values[kind][info.name] = numpy_helper.to_array(tensor)
    return Case(folder.name, model, values["input"], values["output"])


Attempt = tuple[str, onnx.ModelProto, dict[str, np.ndarray], dict[str, object]]


def attempts(case: Case) -> Iterator[Attempt]:
    """(how, model, its inputs, import options), from the plain case to the most helped one."""
    variants = [("as is", case.model, case.inputs), ("cast", *with_casts(case))]
    names = list(case.inputs)
    for position, name in enumerate(names[:2]):
        kept = {name: case.inputs[name]}
        how = "constants" if position == 0 else "constants, second input kept"
        variants.append((how, bound(case, name), kept))
        if case.inputs[name].dtype == np.bool_:
            variants.append((f"{how}, cast", *with_casts(Case(case.name, bound(case, name), kept, {}))))
    for how, model, inputs in variants[: 1 if len(names) == 1 and variants[1][1] is case.model else None]:
        fixed = with_shapes(model, inputs)
        yield how, fixed, inputs, {}
        data = [v for v in inputs.values() if v.size and v.dtype.kind in "fiu"]
        if data:
            low, high = min(float(v.min()) for v in data), max(float(v.max()) for v in data)
            if np.isfinite([low, high]).all() and low < high:
                yield f"{how}, range", fixed, inputs, {"input_range": (low, high)}


def with_casts(case: Case) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """All inputs in one type, with Cast nodes: float32, or int64 for several integer types, uint8 for booleans."""
    types = {v.dtype for v in case.inputs.values()}
    if len(types) == 1 and np.dtype(np.bool_) not in types:
        return case.model, case.inputs
    common = np.float32 if np.dtype(np.float32) in types else np.uint8 if len(types) == 1 else np.int64
    if not types <= {
        np.dtype(t) for t in (np.float32, np.bool_, np.uint8, np.int8, np.int16, np.int32, np.int64)
    }:
        return case.model, case.inputs
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    inputs, casts = {}, []
    for info in model.graph.input:
        value, kind = case.inputs[info.name], info.type.tensor_type.elem_type
        if value.dtype != common:
            casts.append(helper.make_node("Cast", [f"{info.name}_cast"], [info.name], to=kind))
            info.name += "_cast"
            info.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(common))
        inputs[info.name] = value.astype(common)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model, inputs


def bound(case: Case, kept: str) -> onnx.ModelProto:
    """The model with every input but one as a constant."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    infos = [info for info in model.graph.input if info.name == kept]
    for name, value in case.inputs.items():
        if name != kept:
            model.graph.initializer.append(numpy_helper.from_array(value, name))
    del model.graph.input[:]
    model.graph.input.extend(infos)
    return model


def with_shapes(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> onnx.ModelProto:
    """Symbolic dimensions fixed to those of the data."""
    for info in model.graph.input:
        shape = info.type.tensor_type.shape
        del shape.dim[:]
        for size in inputs[info.name].shape:
            shape.dim.add().dim_value = size
    return model


def compared(
    case: Case,
    model: onnx.ModelProto,
    inputs: dict[str, np.ndarray],
    operator: str,
    options: dict[str, object],
) -> str:
    """What is wrong with the answers, or nothing; every output by itself, since a request has one type."""
    if any(v.size == 0 for v in (*inputs.values(), *case.outputs.values())):
        raise ModelError("an input or output has no elements")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "network.onnx"
        path.write_bytes(model.SerializeToString())
        for name, expected in case.outputs.items():
            imported = import_onnx(path, weights=15, outputs=(name,), **options)  # type: ignore[arg-type]
            request = np.concatenate([np.ravel(inputs[info.name]) for info in imported.inputs])
            if problem := difference(answer(imported, request), imported, expected, operator):
                if request.dtype.kind == "f" and not np.isfinite(request).all():
                    raise ModelError("an input is not finite: requests hold finite numbers")
                return f"{name}: {problem}"
    return ""


def answer(model: ImportedModel, request: np.ndarray) -> np.ndarray:
    tape = model.tape
    claim = np.zeros(model.answer.elements, model.answer.dtype)
    symbols = tape.symbols((request.size, claim.size, 0))
    return dict(run(tape, symbols, [request, claim, np.zeros(0, np.uint8)]))[tape.output].reshape(-1)


def difference(got: np.ndarray, model: ImportedModel, expected: np.ndarray, operator: str) -> str:
    kind = np.dtype(np.uint8) if expected.dtype == np.bool_ else expected.dtype
    if model.answer.shape != expected.shape or np.dtype(model.answer.dtype) != kind:
        return f"{model.answer.dtype}{model.answer.shape} instead of {expected.dtype}{expected.shape}"
    wanted = expected.reshape(-1)
    if kind.kind != "f":
        wrong = int((got != wanted.astype(kind)).sum())
        return f"{wrong} of {wanted.size} elements differ" if wrong else ""
    allowed = ATOL + RTOL * np.abs(wanted.astype(np.float64))
    if operator.removesuffix(" (expanded)") in QUANTISED:
        allowed = np.maximum(allowed, QUANTISED_ERROR * np.abs(wanted).max())
    if not np.isfinite(wanted).all():
        raise ModelError("the expected output is not finite")
    error = np.abs(got.astype(np.float64) - wanted)
    if (error <= allowed).all():
        return ""
    worst = int(np.argmax(error - allowed))
    return f"{got[worst]} instead of {wanted[worst]}"


def by_operator(results: list[Result]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[result.operator].append(result)
    return dict(sorted(groups.items()))


def totals(results: list[Result]) -> str:
    counts = Counter(r.status for r in results)
    plain = sum(r.status == "passed" and r.how == "as is" for r in results)
    supported = sum(any(r.status == "passed" for r in g) for g in by_operator(results).values())
    return (
        f"{len(results)} cases: {counts['passed']} passed ({plain} as they are), {counts['failed']} failed, "
        f"{counts['refused']} refused; {supported} of {len(by_operator(results))} operators have a case that passes"
    )


def summary(results: list[Result]) -> str:
    lines = [f"{'operator':34} cases passed failed refused"]
    for operator, group in by_operator(results).items():
        counts = Counter(r.status for r in group)
        lines.append(
            f"{operator:34} {len(group):5} {counts['passed']:6} {counts['failed']:6} {counts['refused']:7}"
        )
    return "\n".join([*lines, totals(results)])


def markdown(results: list[Result]) -> str:
    """docs/operators.md: operators with a case that passes, then the others in one line."""
    lines = [
        "# ONNX operators",
        "",
        "Written by `scripts/node_cases.py` from the node conformance cases of onnx 1.20: each imported (15-bit "
        "weights), run and compared. Integers and booleans equal the expected output bit for bit; floats are within "
        f"rtol 1e-3, atol 1e-7, except that {', '.join(sorted(QUANTISED))} (sums and factors in fixed point) may err "
        f"by {QUANTISED_ERROR:g} of the output's largest value. Parameters that a case passes as inputs (axes, shapes, "
        "weights) are constants here, as networks have them, booleans come in as numbers, and where a proof needs it "
        "the range of the case's data is its `--input-range`. *Expanded* cases are bodies of functions.",
        "",
        f"{totals(results)}.",
        "",
        "| operator | cases passed | cases refused and why |",
        "|---|---|---|",
    ]
    groups = by_operator(results)
    for operator, group in groups.items():
        passed = sum(r.status == "passed" for r in group)
        if passed:
            lines.append(f"| {operator} | {passed} of {len(group)} | {reasons(group)} |")
    none = [name for name, group in groups.items() if not any(r.status == "passed" for r in group)]
    return "\n".join([*lines, "", f"No case passes of: {', '.join(none)}.", ""])


def reasons(group: list[Result]) -> str:
    counts = Counter(
        ("wrong: " if r.status == "failed" else "") + r.reason.replace("|", "/")[:110]
        for r in group
        if r.status != "passed"
    )
    shown = [f"{count}: {reason}" for reason, count in counts.most_common(3)]
    rest = sum(counts.values()) - sum(count for _, count in counts.most_common(3))
    return "; ".join([*shown, *([f"{rest} others"] if rest else [])])


if __name__ == "__main__":
    sys.exit(main())
