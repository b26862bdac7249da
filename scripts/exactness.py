#!/usr/bin/env python3
"""Does every model give the same bits everywhere? Runs each on many platforms and prints a table of hashes.

    scripts/exactness.py [--model NAME…] [--platform NAME…] [--json FILE] [--markdown FILE]

A hash covers, for a few real inputs, the answer of the fast path and the trace root: every tensor of the run.
Models: those of `models/`, a random language model, and the public ones in --data where it exists; 8 and 15 bits.
Platforms: `native-N` (N threads), `ort-VERSION` (that ONNX Runtime from PyPI), any x86-64 processor of qemu (Haswell,
Nehalem) and any of its Arm ones (cortex-a72, max). Emulators and versions are fetched once, see emulated-python.sh.
What cannot be run is shown as skipped, with the reason. Exits with 1 where a model has more than one hash or a run
failed.
"""

import argparse
import gzip
import importlib.util
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

import numpy as np  # noqa: E402

PLATFORMS = (
    *("native-1", "native-2", "ort-1.23.2", "ort-1.25.1", "ort-1.27.0", "ort-1.30.0", "ort-1.32.0"),
    *("Haswell", "Nehalem", "cortex-a72", "max"),
)
CACHE = Path(os.environ.get("EMULATED_ROOT", Path.home() / ".cache" / "oracle-node-emulated"))
TIMEOUT_S = 1800
Rows = Callable[[], np.ndarray]


class SkippedError(Exception):
    """Something is not here; `str()` says what."""


@dataclass(frozen=True)
class Entry:
    """A model of the suite; `rows` are its inputs, one a row, or None for a language model's prompts."""

    name: str
    source: Callable[[Path], Path]
    weights: int = 15
    rows: Rows | None = None


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
    cells = list(run_all(arguments))
    print("\n" + table(cells))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(cell) for cell in cells], indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(table(cells) + "\n")
    return verdict(cells)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", metavar="NAME", help="only these; see --list")
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
    names = [entry.name for entry in suite(arguments.data)]
    if arguments.list:
        print(*names, sep="\n")
        raise SystemExit(0)
    if unknown := set(arguments.model or ()) - set(names):
        parser.error(f"no model {min(unknown)}; there are {', '.join(names)}")
    return arguments


def suite(data: Path) -> list[Entry]:
    """The models and where their inputs come from."""

    def ours(name: str, key: str, count: int) -> tuple[Callable[[Path], Path], Rows]:
        folder = REPOSITORY / "models" / name
        return lambda _: folder / f"{name}.onnx", lambda: np.load(folder / "test.npz")[key][:count]

    def public(name: str) -> Callable[[Path], Path]:
        return lambda _: require(data / name)

    digits, credit = ours("digits", "image", 3), ours("credit", "row", 8)
    entries = [Entry(f"digits, {bits} bits", digits[0], bits, digits[1]) for bits in (15, 8)]
    entries += [Entry("credit", credit[0], 15, credit[1])]
    entries += [Entry(f"random language model, {bits} bits", random_language_model, bits) for bits in (15, 8)]
    mnist = public("onnx/mnist-12.onnx")
    entries += [Entry(f"mnist-12, {bits} bits", mnist, bits, lambda: images(data)[:3]) for bits in (15, 8)]
    for kind in ("f32", "int8dyn"):
        source = public(f"onnx/factorio_mnist_{kind}.onnx")
        entries.append(Entry(f"factorio {kind}", source, 15, lambda: thumbnails(images(data)[:8])))
    entries.append(Entry("ultraface", public("onnx/ultraface-RFB-320-simplified.onnx"), 15, portrait))
    stories = public("gguf/stories260K-q8_0.v3.gguf")
    entries += [Entry(f"stories260K q8_0, {bits} bits", stories, bits) for bits in (15, 8)]
    return entries


def require(path: Path) -> Path:
    if not path.exists():
        raise SkippedError(f"there is no {path.name} in --data")
    return path


def images(data: Path) -> np.ndarray:
    """MNIST's test images, (n, 1, 28, 28) f32 of 0 to 255."""
    content = gzip.decompress(require(data / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 1, 28, 28).astype(np.float32)


def thumbnails(pictures: np.ndarray) -> np.ndarray:
    """(n, 1, 28, 28) of 0 to 255 as (n, 25) of 0 to 1: every fifth pixel."""
    return pictures[:, 0, 3:28:5, 3:28:5].reshape(len(pictures), 25) / np.float32(255)


def portrait() -> np.ndarray:
    """One picture (1, 1, 3, 240, 320) as the detector reads it: shapes and noise, (pixel − 127) / 128."""
    y, x = np.mgrid[:240, :320]
    noise = (x * 1103515245 + y * 12345 + x * y * 7919) >> 7 & 31
    head = ((x - 160) ** 2 * 3 + (y - 120) ** 2 * 2 < 9000) * 120
    pixels = np.stack([np.clip(x // 3 + head + noise - 10 * c, 0, 255) for c in range(3)])
    return ((pixels.astype(np.float32) - 127) / 128)[None, None]


def random_language_model(directory: Path) -> Path:
    """The tiny shape of random_gguf.py."""
    path = directory / "random.gguf"
    command = [sys.executable, str(REPOSITORY / "scripts" / "random_gguf.py"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SkippedError((done.stderr or "random_gguf.py failed").strip().splitlines()[-1])
    return path


def run_all(arguments: argparse.Namespace) -> Iterator[Cell]:
    """Every cell, model by model; a line of progress each."""
    chosen = [e for e in suite(arguments.data) if not arguments.model or e.name in arguments.model]
    for entry in chosen:
        with tempfile.TemporaryDirectory() as directory:
            bundle = Path(directory) / "bundle"
            reason = ""
            try:
                bundle.write_bytes(make_bundle(entry, Path(directory)))
            except (SkippedError, ImportError) as error:
                reason = str(error)
            for platform in arguments.platform or PLATFORMS:
                cell = (
                    Cell(entry.name, platform, skipped=reason)
                    if reason
                    else run_cell(entry.name, platform, bundle)
                )
                print(f"{cell.model:32} {cell.platform:12} {cell}  {cell.seconds:.1f} s", flush=True)
                yield cell


def make_bundle(entry: Entry, directory: Path) -> bytes:
    """Model id, tape and sources for a worker that has numpy, onnx and onnxruntime only; imported and solved here."""
    from oracle_node.cli.prompting import drafting
    from oracle_node.cli.sources import ImportOptions, import_into
    from oracle_node.executors.onnx import OnnxExecutor
    from oracle_node.model.solver import solve

    source = entry.source(directory)
    if source.suffix == ".gguf" and importlib.util.find_spec("gguf") is None:
        raise SkippedError("the extra llm is not installed")
    is_text = entry.rows is None
    options = ImportOptions(8 if entry.weights == 8 else 15, context=64 if is_text else None)
    model = import_into(directory / "model", source, options)
    engine, claims = OnnxExecutor(model.tape), []
    for request in requests(entry, model, directory / "model"):
        with drafting(model, directory / "model", None) as draft:
            answer = solve(model, engine, request, draft)
        claims.append(tuple(s.copy() for s in model.sources(request, answer.output, answer.witness)))
    return pickle.dumps((model.model_id, model.tape, [(model.symbols(c), c) for c in claims]))


def requests(entry: Entry, model: Any, directory: Path) -> list[bytes]:
    """The entry's inputs as the bytes that a request has."""
    if entry.rows is not None:
        return [np.ascontiguousarray(row).tobytes() for row in entry.rows()]
    from oracle_node.language.prompts import load_language

    language = load_language(model, directory)
    prompts = [language.start(), [*language.start(), 300, 301, 302, 303, 304]]
    return [language.request(prompt, 12).tobytes() for prompt in prompts]


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
    executor, digest = OnnxExecutor(tape, threads), sha256(model_id)
    wanted = [index for index in (tape.output, tape.witness, tape.ok) if index is not None]
    for symbols, sources in runs:
        for _, tensor in sorted(executor.run(symbols, sources, wanted).items()):
            digest.update(np.ascontiguousarray(tensor).tobytes())
        digest.update(trace(executor, symbols, sources).root)
    return {"hash": digest.hexdigest()[:16], "environment": environment(threads)}


def table(cells: list[Cell]) -> str:
    """Markdown: a row a model, a column a platform."""
    platforms = list(dict.fromkeys(cell.platform for cell in cells))
    lines = [f"| model | {' | '.join(platforms)} |", "|---" * (len(platforms) + 1) + "|"]
    for model in dict.fromkeys(cell.model for cell in cells):
        row = {cell.platform: str(cell) for cell in cells if cell.model == model}
        lines.append(f"| {model} | {' | '.join(row[platform] for platform in platforms)} |")
    return "\n".join(lines)


def verdict(cells: list[Cell]) -> int:
    """0 where every model that ran has one hash; says so."""
    bad = [cell for cell in cells if cell.failed]
    hashes: dict[str, set[str]] = {}
    for cell in cells:
        if cell.hash:
            hashes.setdefault(cell.model, set()).add(cell.hash)
    different = [model for model, found in hashes.items() if len(found) > 1]
    skipped = sum(bool(cell.skipped) for cell in cells)
    print(
        f"\n{len(hashes)} models, {sum(bool(c.hash) for c in cells)} runs, {skipped} skipped, {len(bad)} failed: "
        + (f"different hashes of {', '.join(different)}" if different else "one hash a model")
    )
    return int(bool(bad or different or not hashes))


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
