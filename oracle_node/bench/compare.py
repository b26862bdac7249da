"""A model beside the float network it was imported from: how far their answers are apart, and how long each takes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from oracle_node.bench.timing import medians_s
from oracle_node.codec.arrays import as_type, load_npz
from oracle_node.codec.description import (
    AnswerPart,
    FilledPart,
    ImagePart,
    InputPart,
    PromptPart,
    TablePart,
    TextAnswer,
    TextPart,
    answer_parts,
    image_layout,
    input_parts,
)
from oracle_node.codec.images import pixel_numbers
from oracle_node.errors import ConfigError
from oracle_node.executors.base import Executor
from oracle_node.importers.imported import FILLED
from oracle_node.model.model import Model
from oracle_node.model.solver import solve
from oracle_node.tape.types import SourceKind

_NUMPY = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(float)": np.float32}
"""Types of masks, as ONNX Runtime calls them."""
LABELS = ("label", "labels")
_TOKENS = 16
"""Of a random text, where its length is free."""
_IDS = 1000
"""Random token ids are below this: every vocabulary has so many."""


@dataclass(frozen=True)
class Samples:
    """Requests, each (n,) in the model's type, and where known the right class of each (m,)."""

    requests: Sequence[np.ndarray]
    labels: np.ndarray | None = None


def read_samples(path: Path, model: Model, limit: int | None = None) -> Samples:
    """The samples of a .npz: an array (n, …) for every input, by name where there are several, and perhaps `label`."""
    arrays = load_npz(path)
    labels = next((arrays.pop(name) for name in LABELS if name in arrays), None)
    names = [part.name for part in _inputs(model)]
    if len(names) == 1 and len(arrays) == 1:
        names = list(arrays)
    if sorted(names) != sorted(arrays):
        raise ConfigError(
            f"{path}: holds the arrays {', '.join(sorted(arrays)) or 'none'}; samples (n, …) of {', '.join(names)} "
            "are needed"
        )
    values = [arrays[name] for name in names]
    counts = {len(array) if array.ndim > 1 else 0 for array in values}
    if len(counts) != 1 or counts == {0} or (labels is not None and labels.shape != (*counts,)):
        shapes = ", ".join(str(array.shape) for array in values)
        raise ConfigError(f"{path}: samples of shape {shapes} are not (n, …) with as many labels")
    dtype = model.tape.sources[SourceKind.REQUEST].dtype
    (count,) = counts
    rows = [
        np.concatenate([as_type(array[row], dtype, path) for array in values])
        for row in range(min(count, limit or count))
    ]
    return Samples(rows, None if labels is None else labels[: len(rows)])


def random_samples(model: Model, count: int, seed: int = 1) -> Samples:
    """Requests drawn as the card describes them: pixels, categories, tokens, else a normal distribution."""
    generator = np.random.default_rng(seed)
    source = model.tape.sources[SourceKind.REQUEST]
    parts = _inputs(model)
    free = max(source.min_elements // len(parts), min(_TOKENS, source.max_elements // len(parts)))
    return Samples(
        [
            np.concatenate([_drawn(part, part.elements or free, generator) for part in parts]).astype(
                source.dtype.numpy
            )
            for _ in range(count)
        ]
    )


def _drawn(part: InputPart, elements: int, generator: np.random.Generator) -> np.ndarray:
    match part:
        case ImagePart():
            _, height, width, _ = image_layout(part)
            return pixel_numbers(generator.integers(0, 256, (height, width, 3), np.uint8), part).reshape(-1)
        case TablePart(columns=columns):
            return np.array(
                [
                    generator.integers(len(c.categories)) if c.categories else generator.normal()
                    for c in columns
                ]
            )
        case TextPart():
            return generator.integers(1, _IDS, elements)
        case FilledPart(value=value):
            return np.full(elements, value)
        case _:
            return generator.normal(size=elements)


def compare_with_source(
    model: Model,
    executor: Executor,
    source: Path,
    samples: Samples,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, float | int]:
    """Run both on every sample, the source by ONNX Runtime in float32.

    Errors are over all samples and elements, the relative one against the sample's largest magnitude; `cosine` is the
    least. `top1_agreement` is the share of samples whose largest value stands at the same place.
    """
    reference = FloatSource(source, outputs=answer_names(model))
    worst_abs = worst_rel = total_abs = 0.0
    cosine, agree, right, right_source = 1.0, 0, 0, 0
    for index, request in enumerate(samples.requests):
        ours = model.source(SourceKind.OUTPUT, solve(model, executor, request.tobytes()).output).astype(
            np.float64
        )
        theirs = reference.run(request)
        if ours.shape != theirs.shape:
            raise ConfigError(f"the model answers {ours.size} values, {source} {theirs.size}: not its source")
        errors = np.abs(ours - theirs)
        worst_abs, total_abs = max(worst_abs, float(errors.max())), total_abs + float(errors.mean())
        worst_rel = max(worst_rel, float(errors.max()) / max(float(np.abs(theirs).max()), 1e-30))
        cosine = min(cosine, _cosine(ours, theirs))
        agree += int(ours.argmax() == theirs.argmax())
        if samples.labels is not None:
            right += int(ours.argmax() == samples.labels[index])
            right_source += int(theirs.argmax() == samples.labels[index])
        progress()
    count = len(samples.requests)
    found: dict[str, float | int] = {
        "samples": count,
        "max_abs_error": worst_abs,
        "mean_abs_error": total_abs / count,
        "max_rel_error": worst_rel,
        "cosine": cosine,
        "top1_agreement": agree / count,
    }
    if samples.labels is not None:
        found |= {"accuracy": right / count, "source_accuracy": right_source / count}
    return found


def time_beside_source(
    model: Model, executor: Executor, source: Path, request: np.ndarray, rounds: int
) -> dict[str, float]:
    """Median milliseconds of one answer and of its source by one thread, alternating; above 1 we are slower."""
    reference = FloatSource(source, 1, answer_names(model))
    seconds = medians_s(
        {
            "exact": lambda: solve(model, executor, request.tobytes()),
            "float32": lambda: reference.run(request),
        },
        rounds,
    )
    return {
        "exact_ms": 1e3 * seconds["exact"],
        "float32_ms": 1e3 * seconds["float32"],
        "time_ratio": seconds["exact"] / seconds["float32"],
    }


def answer_names(model: Model) -> list[str]:
    """The outputs of the source that make up the answer, in order."""
    parts: tuple[AnswerPart, ...] = answer_parts(
        model.card.answer, model.tape.sources[SourceKind.OUTPUT].max_elements
    )
    return [part.name for part in parts if not isinstance(part, TextAnswer)]


def _inputs(model: Model) -> list[Any]:
    parts = input_parts(model.card.input, model.tape.sources[SourceKind.REQUEST].max_elements)
    return [part for part in parts if not isinstance(part, PromptPart)]


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    norms = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norms if norms > 0 else float(np.array_equal(a, b))


class FloatSource:
    """A float ONNX network and those of its outputs that an answer holds, as ONNX Runtime runs it by default."""

    def __init__(
        self, source: Path, threads: int = 0, outputs: Sequence[str] = (), traces: Path | None = None
    ) -> None:
        """`outputs` name what is compared; the first output where the network has none of those names.

        With a folder for `traces`, every kernel's time is recorded.
        """
        from oracle_node.executors.onnx.runtime import ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what goes wrong comes as an exception
        if traces is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(traces / "float32")
        try:
            self._session = ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises pybind exceptions without a common base
            raise ConfigError(f"{source}: ONNX Runtime does not load it ({error})") from None
        self._source = source
        self._inputs = self._session.get_inputs()
        names = [node.name for node in self._session.get_outputs()]
        self._outputs = [name for name in outputs if name in names] or names[:1]

    def run(self, flat: np.ndarray) -> np.ndarray:
        """(n,) → the outputs, flat, one after another, f64; ConfigError where the network takes other inputs."""
        try:
            outputs = self._session.run(self._outputs, dict(self._fed(flat)))
        except ConfigError:
            raise
        except Exception as error:  # onnxruntime raises pybind exceptions without a common base
            raise ConfigError(
                f"{self._source}: ONNX Runtime does not run it on the samples ({error})"
            ) from None
        return np.concatenate([_flat(output) for output in outputs])

    def end_trace(self) -> Path:
        """Stop recording; the file that ONNX Runtime wrote."""
        return Path(self._session.end_profiling())

    def _fed(self, flat: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """The inputs by name; one may be of free length, with masks and segments beside it that no request holds."""
        free = [node for node in self._inputs if not all(isinstance(n, int) for n in node.shape[1:])]
        filled = [node for node in free if len(free) > 1 and node.name in FILLED]
        asked = [node for node in self._inputs if node not in filled]
        sizes = {node.name: prod(n for n in node.shape if isinstance(n, int)) for node in asked}
        rest = flat.size - sum(sizes[node.name] for node in asked if node not in free)
        start = 0
        for node in asked:
            size = rest if node in free else sizes[node.name]
            part, start = flat[start : start + size], start + size
            if part.size != size or size < 1:
                break
            shape = [n if isinstance(n, int) else 1 for n in node.shape]
            yield node.name, part.reshape([*shape[:1], -1] if node in free else shape)
        for node in filled:
            yield node.name, np.full((1, rest), FILLED[node.name], _NUMPY[node.type])
        if start != flat.size:
            shapes = ", ".join("×".join(map(str, node.shape)) for node in self._inputs)
            raise ConfigError(
                f"{self._source}: takes inputs of {shapes}, the samples have {flat.size:,} elements: not the "
                "model's source"
            )


def _flat(output: Any) -> np.ndarray:
    if isinstance(output, list):  # ZipMap's: a mapping from class to score, a row
        output = [list(row.values()) for row in output]
    return np.asarray(output, np.float64).reshape(-1)
