"""The models of the exactness suite and what each is asked, as bundles for workers; see exactness.py."""

import gzip
import importlib.util
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from oracle_node.model.model import Model

REPOSITORY = Path(__file__).resolve().parents[1]
_SEED = 7
"""Of the requests to models that come without inputs."""
Rows = Callable[[], np.ndarray]


class SkippedError(Exception):
    """Something is not here; `str()` says what."""


@dataclass(frozen=True)
class Entry:
    """A model of the suite: a file to import or a model directory; `source` is given a folder to make it in.

    `rows` are its inputs, one a row. Without, a language model gets prompts and any other model random requests.
    """

    name: str
    source: Callable[[Path], Path]
    weights: int = 15
    rows: Rows | None = None


def suite(data: Path) -> list[Entry]:
    """The models of the repository, and the public ones where `data` has them."""

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


def entry_of(directory: Path) -> Entry:
    """Any model directory."""
    return Entry(directory.resolve().name, lambda _: directory)


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


def make_bundle(entry: Entry, directory: Path) -> bytes:
    """Model id, tape and sources for a worker that has numpy, onnx and onnxruntime only; imported and solved here."""
    from oracle_node.cli.prompting import drafting
    from oracle_node.executors.onnx import OnnxExecutor
    from oracle_node.model.solver import solve

    model, home = model_of(entry, directory)
    engine, claims = OnnxExecutor(model.tape), []
    for request in requests(entry, model, home):
        with drafting(model, home, None) as draft:
            answer = solve(model, engine, request, draft)
        claims.append(tuple(s.copy() for s in model.sources(request, answer.output, answer.witness)))
    return pickle.dumps((model.model_id, model.tape, [(model.symbols(c), c) for c in claims]))


def model_of(entry: Entry, directory: Path) -> "tuple[Model, Path]":
    """The model, and the directory that holds it."""
    from oracle_node.cli.sources import ImportOptions, import_into
    from oracle_node.model.directory import load_model

    source = entry.source(directory)
    if source.is_dir():
        return load_model(source), source
    is_text = source.suffix == ".gguf"
    if is_text and importlib.util.find_spec("gguf") is None:
        raise SkippedError("the extra llm is not installed")
    options = ImportOptions(8 if entry.weights == 8 else 15, context=64 if is_text else None)
    return import_into(directory / "model", source, options), directory / "model"


def requests(entry: Entry, model: "Model", directory: Path) -> list[bytes]:
    """The entry's inputs as the bytes that a request has."""
    from oracle_node.bench.selftest import random_requests
    from oracle_node.language.prompts import is_language, load_language

    if entry.rows is not None:
        return [np.ascontiguousarray(row).tobytes() for row in entry.rows()]
    if not is_language(model):
        return random_requests(model, 3, _SEED)
    language = load_language(model, directory)
    pieces, limits = len(language.vocabulary.pieces), language.limits
    start = [language.vocabulary.start or 0]
    prompts = (start, [*start, *(token % pieces for token in range(300, 305))][: limits.context])
    return [
        language.request(prompt, min(12, limits.answer, limits.context + 1 - len(prompt))).tobytes()
        for prompt in prompts
    ]
