#!/usr/bin/env python3
"""Does a model give the same bits on every processor? Runs it natively and emulated, and compares hashes.

    scripts/exactness.py MODEL_DIR [--cpu Haswell --cpu Nehalem --cpu cortex-a72] [--length N] [--seed S]

Emulated processors need scripts/emulated-python.sh, which downloads qemu on its first use. Exits with 1 where the
output or the trace differ.
"""

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

import numpy as np  # noqa: E402

DEFAULT_CPUS = ("Haswell", "Nehalem", "cortex-a72")


def main() -> int:
    if sys.argv[1:2] == ["--worker"]:
        print(*run_bundle(Path(sys.argv[2]), int(sys.argv[3])))
        return 0
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as directory:
        bundle = Path(directory) / "bundle"
        bundle.write_bytes(make_bundle(arguments.model, arguments.length, arguments.seed))
        hashes = set()
        for name, command, threads in platforms(arguments.cpu):
            started = time.monotonic()
            line = run_worker(
                [*command, str(Path(__file__).resolve()), "--worker", str(bundle), str(threads)]
            )
            hashes.add(line)
            print(f"{name:24} {line}  {time.monotonic() - started:.1f} s", flush=True)
    print("identical" if len(hashes) == 1 else f"{len(hashes)} different results")
    return int(len(hashes) != 1)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a model directory")
    parser.add_argument(
        "--cpu", action="append", help=f"emulated processors (default: {', '.join(DEFAULT_CPUS)}; none: '')"
    )
    parser.add_argument(
        "--length", type=int, help="elements of every source, within its limits (default: at most 16)"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.cpu = [cpu for cpu in (arguments.cpu or DEFAULT_CPUS) if cpu]
    return arguments


def platforms(cpus: list[str]) -> list[tuple[str, list[str], int]]:
    """(name, command that runs Python, threads)."""
    emulated = str(REPOSITORY / "scripts" / "emulated-python.sh")
    native = [(f"native, {threads} thread(s)", [sys.executable], threads) for threads in (1, 2)]
    return native + [(f"{cpu}, emulated", [emulated, cpu], 1) for cpu in cpus]


def run_worker(command: list[str]) -> str:
    """The last line that the worker printed."""
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:2])} failed with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1]


def make_bundle(directory: Path, length: int | None, seed: int) -> bytes:
    """The tape with random sources, for a worker that has numpy, onnx and onnxruntime only."""
    from oracle_node.model.directory import load_model

    tape = load_model(directory).tape
    rng = np.random.default_rng(seed)
    sources = [random_source(rng, source, length) for source in tape.sources]
    symbols = tape.symbols(tuple(len(source) for source in sources))
    return pickle.dumps((tape, symbols, sources))


def random_source(rng: np.random.Generator, source: "Source", length: int | None) -> np.ndarray:  # type: ignore[name-defined] # noqa: F821
    count = min(max(source.min_elements, 16 if length is None else length), source.max_elements)
    dtype = source.dtype.numpy
    if dtype == np.float32:
        return rng.normal(size=count).astype(np.float32)
    return rng.integers(*source.dtype.bounds, count, dtype, endpoint=True)


def run_bundle(bundle: Path, threads: int) -> tuple[str, str]:
    """SHA-256 (16 hex digits) of the fast path's answers, and of the whole trace."""
    from oracle_node.executors.onnx import OnnxExecutor

    tape, symbols, sources = pickle.loads(bundle.read_bytes())
    executor = OnnxExecutor(tape, threads)
    wanted = [index for index in (tape.output, tape.witness, tape.ok) if index is not None]
    answers, trace = sha256(), sha256()
    for _, tensor in sorted(executor.run(symbols, sources, wanted).items()):
        answers.update(np.ascontiguousarray(tensor).tobytes())
    for _, tensor in executor.stream(symbols, sources):
        trace.update(sha256(np.ascontiguousarray(tensor).tobytes()).digest())
    return answers.hexdigest()[:16], trace.hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
