#!/usr/bin/env python3
"""Does every model give the same bits everywhere? Runs each on many platforms and prints a table of hashes.

    scripts/exactness.py [--model NAME…] [--directory DIR…] [--platform NAME…] [--json FILE] [--markdown FILE]

A hash covers, for a few inputs, the answer of the fast path, compiled to loops where llvmlite is installed, and the
trace root: every tensor of the run.
Models: those of `models/`, a random language model, and the public ones in --data where it exists; 8 and 15 bits. With
--directory, a model of your own instead.
Platforms: `native-N` (N threads), `ort-VERSION` (that ONNX Runtime from PyPI), any x86-64 processor of qemu (Haswell,
Nehalem) and any of its Arm ones (cortex-a72, max). Emulators and versions are fetched once, see emulated-python.sh.
What cannot be run is shown as skipped, with the reason. Exits with 1 where a model has more than one hash or a run
failed.
"""

import argparse
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "scripts")]

from exactness_suite import Entry, SkippedError, entry_of, make_bundle, suite  # noqa: E402

from oracle_node.errors import OracleError  # noqa: E402

PLATFORMS = (
    *("native-1", "native-2", "ort-1.23.2", "ort-1.25.1", "ort-1.27.0", "ort-1.30.0", "ort-1.32.0"),
    *("Haswell", "Nehalem", "cortex-a72", "max"),
)
CACHE = Path(os.environ.get("EMULATED_ROOT", Path.home() / ".cache" / "oracle-node-emulated"))
TIMEOUT_S = 1800


class UnknownProcessorError(Exception):
    """The emulator is here, but knows no such processor."""


@dataclass(frozen=True)
class Cell:
    """One model on one platform: its hash, or why there is none."""

    model: str
    platform: str
    hash: str = ""
    skipped: str = ""
    failed: str = ""
    seconds: float = 0.0
    environment: dict[str, Any] | None = None

    def __str__(self) -> str:
        if self.hash:
            return self.hash
        return f"skipped: {self.skipped}" if self.skipped else f"FAILED: {self.failed}"


def main() -> int:
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(run_bundle(Path(sys.argv[2]).read_bytes(), int(sys.argv[3]))))
        return 0
    arguments = parse_arguments()
    cells = list(run_all(arguments.entries, arguments.platform or PLATFORMS))
    print("\n" + table(cells))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(cell) for cell in cells], indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(table(cells) + "\n")
    return verdict(cells)


def parse_arguments() -> argparse.Namespace:
    """The command line, and the `entries` that it chooses."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", metavar="NAME", help="only these; see --list")
    parser.add_argument(
        "--directory",
        action="append",
        type=Path,
        metavar="DIR",
        help="a model directory, not the suite's models",
    )
    parser.add_argument(
        "--platform", action="append", metavar="NAME", help=f"instead of: {', '.join(PLATFORMS)}"
    )
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY.parent / "shared" / "data", help="public models and inputs"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every cell, with what computed it")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the table")
    parser.add_argument("--list", action="store_true", help="name the models and exit")
    arguments = parser.parse_args()
    known = {entry.name: entry for entry in suite(arguments.data)}
    if arguments.list:
        print(*known, sep="\n")
        raise SystemExit(0)
    if unknown := set(arguments.model or ()) - set(known):
        parser.error(f"no model {min(unknown)}; there are {', '.join(known)}")
    for platform in arguments.platform or ():
        if not re.fullmatch(r"native-\d+|ort-\d+(\.\d+)+|(?!(?:native|ort)\b)[A-Za-z][\w.-]*", platform):
            parser.error(f"{platform} is no platform; there are native-N, ort-VERSION and qemu's processors")
    own = [entry_of(directory) for directory in arguments.directory or ()]
    named = [known[name] for name in arguments.model or (() if own else known)]
    arguments.entries = named + own
    return arguments


def run_all(entries: list[Entry], platforms: tuple[str, ...]) -> Iterator[Cell]:
    """Every cell, model by model; a line of progress each."""
    for entry in entries:
        with tempfile.TemporaryDirectory() as directory:
            bundle, missing = Path(directory) / "bundle", {}
            try:
                bundle.write_bytes(make_bundle(entry, Path(directory)))
            except (SkippedError, ImportError) as error:
                missing = {"skipped": str(error)}
            except OracleError as error:
                missing = {"failed": str(error)}
            for platform in platforms:
                cell = (
                    Cell(entry.name, platform, **missing)
                    if missing
                    else run_cell(entry.name, platform, bundle)
                )
                print(f"{cell.model:32} {cell.platform:12} {cell}  {cell.seconds:.1f} s", flush=True)
                yield cell


def run_cell(model: str, platform: str, bundle: Path) -> Cell:
    """Run the worker on a platform and read its hash."""
    started = time.monotonic()
    try:
        command, threads, environment = launcher(platform)
        done = subprocess.run(
            [*command, str(Path(__file__).resolve()), "--worker", str(bundle), str(threads)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHON": sys.executable, **environment},
            timeout=TIMEOUT_S,
            check=False,
        )
    except SkippedError as error:
        return Cell(model, platform, skipped=str(error))
    except UnknownProcessorError as error:
        return Cell(model, platform, failed=str(error))
    except subprocess.TimeoutExpired:
        return Cell(model, platform, failed=f"no result within {TIMEOUT_S} s")
    seconds = round(time.monotonic() - started, 1)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return Cell(model, platform, failed=f"exit {done.returncode}, {lines[-1][:200]}", seconds=seconds)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    version = found["environment"]["onnxruntime_version"]
    if platform.startswith("ort-") and version != platform[4:]:
        return Cell(model, platform, failed=f"ran on onnxruntime {version}", seconds=seconds)
    return Cell(model, platform, found["hash"], seconds=seconds, environment=found["environment"])


@cache
def launcher(platform: str) -> tuple[list[str], int, dict[str, str]]:
    """(command that runs Python, threads, environment); SkippedError where it cannot be had."""
    kind, _, value = platform.partition("-")
    if kind == "native":
        return [sys.executable], int(value), {}
    if kind == "ort":
        site = runtime_of(value)
        return (
            [sys.executable],
            1,
            {"PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])},
        )
    command = [str(REPOSITORY / "scripts" / "emulated-python.sh"), platform]
    environment = {**os.environ, "PYTHON": sys.executable}
    probe = [*command, "-c", "import numpy, onnx, onnxruntime"]
    done = subprocess.run(probe, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it does not start"]
        if "CPU model" in done.stderr:
            raise UnknownProcessorError(f"qemu has no processor {platform}")
        raise SkippedError(f"no emulator ({lines[-1][:120]})")
    return command, 1, {}


def runtime_of(version: str) -> Path:
    """A folder with that ONNX Runtime alone, to stand before the installed one."""
    site = CACHE / f"ort-{version}"
    if not (site / "onnxruntime").exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run(
            [*command, "--target", str(site), f"onnxruntime=={version}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise SkippedError(
                f"onnxruntime {version} cannot be installed ({(errors or ['pip failed'])[-1][:120]})"
            )
    return site


def run_bundle(bundle: bytes, threads: int) -> dict[str, Any]:
    """16 hex digits of SHA-256 over the model id and, for every input, the answers and the trace root."""
    from oracle_node.commitments.trace import trace
    from oracle_node.executors.onnx import OnnxExecutor
    from oracle_node.executors.onnx.environment import environment

    model_id, tape, runs = pickle.loads(bundle)
    executor, digest = OnnxExecutor(tape, threads, loops_after=0), sha256(model_id)
    executor.loops_from_ns = 0  # all that can be compiled, where llvmlite is installed
    wanted = [index for index in (tape.output, tape.witness, tape.ok) if index is not None]
    for symbols, sources in runs:
        for _, tensor in sorted(executor.run(symbols, sources, wanted).items()):
            digest.update(np.ascontiguousarray(tensor).tobytes())
        digest.update(trace(executor, symbols, sources).root)
    return {"hash": digest.hexdigest()[:16], "environment": environment(threads)}


def table(cells: list[Cell]) -> str:
    """Markdown: a row a model, its most common hash, a column a platform; `=` where that gave the hash."""
    platforms = list(dict.fromkeys(cell.platform for cell in cells))
    lines = [f"| model | hash | {' | '.join(platforms)} |", "|---" * (len(platforms) + 2) + "|"]
    for model in dict.fromkeys(cell.model for cell in cells):
        row = {cell.platform: cell for cell in cells if cell.model == model}
        hashes = Counter(cell.hash for cell in row.values() if cell.hash)
        usual = max(hashes, key=lambda found: hashes[found], default="")
        shown = ["=" if row[p].hash == usual and usual else str(row[p]) for p in platforms]
        lines.append(f"| {' | '.join([model, usual or '–', *shown])} |")
    return "\n".join(lines)


def verdict(cells: list[Cell]) -> int:
    """0 where every model that ran has one hash; says so."""
    bad = [cell for cell in cells if cell.failed]
    hashes: dict[str, set[str]] = {}
    for cell in cells:
        if cell.hash:
            hashes.setdefault(cell.model, set()).add(cell.hash)
    different = [model for model, found in hashes.items() if len(found) > 1]
    conclusion = f"different hashes of {', '.join(different)}" if different else "one hash a model"
    runs, skipped = sum(bool(cell.hash) for cell in cells), sum(bool(cell.skipped) for cell in cells)
    print(
        f"\n{len(hashes)} models, {runs} runs, {skipped} skipped, {len(bad)} failed: "
        + (conclusion if hashes else "nothing ran")
    )
    return int(bool(bad or different or not hashes))


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
