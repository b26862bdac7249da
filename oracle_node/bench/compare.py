"""A model beside the float network it was imported from: how far their answers are apart."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np

from oracle_node.errors import ConfigError
from oracle_node.executors.base import Executor
from oracle_node.model.model import Model
from oracle_node.model.solver import solve
from oracle_node.tape.types import SourceKind

LABELS = ("label", "labels")


@dataclass(frozen=True)
class Samples:
    """Inputs (n, …) and, where known, the right class of each (n,)."""

    values: np.ndarray
    labels: np.ndarray | None


def read_samples(path: Path, limit: int | None = None) -> Samples:
    """The samples of a .npz: one array besides the labels; ConfigError otherwise."""
    if not is_zipfile(path):
        raise ConfigError(
            f"{path}: not a numpy .npz archive; `numpy.savez(FILE, x=samples, label=labels)` writes one"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
    except (ValueError, OSError, EOFError, MemoryError, BadZipFile, AttributeError, TypeError) as error:
        reason = "an array holds Python objects" if "pickle" in str(error) else error
        raise ConfigError(f"{path}: not a numpy .npz archive ({reason})") from None
    labels = next((arrays.pop(name) for name in LABELS if name in arrays), None)
    if len(arrays) != 1:
        raise ConfigError(
            f"{path}: holds the arrays {sorted(arrays) or 'none'}; one of samples is needed, (n, …)"
        )
    (values,) = arrays.values()
    if values.ndim < 2 or not len(values) or (labels is not None and labels.shape != values.shape[:1]):
        raise ConfigError(f"{path}: samples of shape {values.shape} are not (n, …) with as many labels")
    if values.dtype.kind not in "biuf":
        raise ConfigError(f"{path}: samples of numpy type {values.dtype} are not numeric")
    return Samples(values[:limit], None if labels is None else labels[:limit])


def compare_with_source(
    model: Model,
    executor: Executor,
    source: Path,
    samples: Samples,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, float | int]:
    """Run both on every sample, the source by ONNX Runtime in float32.

    Errors are the largest over all samples, the relative one against the sample's largest magnitude. `top1_agreement`
    is the share of samples whose largest value stands at the same place.
    """
    reference = FloatSource(source, output=model.card.answer.get("name"))
    worst_abs = worst_rel = 0.0
    agree = right = right_source = 0
    for index, sample in enumerate(samples.values):
        request = np.ascontiguousarray(sample, model.tape.sources[SourceKind.REQUEST].dtype.numpy)
        ours = model.source(SourceKind.OUTPUT, solve(model, executor, request.tobytes()).output).astype(
            np.float64
        )
        theirs = reference.run(request)
        if ours.shape != theirs.shape:
            raise ConfigError(f"the model answers {ours.size} values, {source} {theirs.size}: not its source")
        worst_abs = max(worst_abs, error := float(np.abs(ours - theirs).max()))
        worst_rel = max(worst_rel, error / max(float(np.abs(theirs).max()), 1e-30))
        agree += int(ours.argmax() == theirs.argmax())
        if samples.labels is not None:
            right += int(ours.argmax() == samples.labels[index])
            right_source += int(theirs.argmax() == samples.labels[index])
        progress()
    count = len(samples.values)
    found: dict[str, float | int] = {
        "samples": count,
        "max_abs_error": worst_abs,
        "max_rel_error": worst_rel,
        "top1_agreement": agree / count,
    }
    if samples.labels is not None:
        found |= {"accuracy": right / count, "source_accuracy": right_source / count}
    return found


class FloatSource:
    """A float ONNX network with one input and one of its outputs, as ONNX Runtime runs it by default."""

    def __init__(self, source: Path, threads: int = 0, output: str | None = None) -> None:
        """`output` names what is compared; the first output where the network has none of that name."""
        from oracle_node.executors.onnx.runtime import ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises pybind exceptions without a common base
            raise ConfigError(f"{source}: ONNX Runtime does not load it ({error})") from None
        self._source = source
        self._input = self._session.get_inputs()[0]
        names = [node.name for node in self._session.get_outputs()]
        self._output = output if output in names else names[0]
        self._shape = [size if isinstance(size, int) else 1 for size in self._input.shape]

    def run(self, flat: np.ndarray) -> np.ndarray:
        """(n,) → the output, flat, f64; ConfigError where the network takes other inputs."""
        if flat.size != prod(self._shape):
            shape = " × ".join(map(str, self._input.shape))
            raise ConfigError(
                f"{self._source}: takes inputs of {shape} = {prod(self._shape):,} elements, the samples have "
                f"{flat.size:,}: not the model's source"
            )
        try:
            (output,) = self._session.run([self._output], {self._input.name: flat.reshape(self._shape)})
        except Exception as error:  # onnxruntime raises pybind exceptions without a common base
            raise ConfigError(
                f"{self._source}: ONNX Runtime does not run it on the samples ({error})"
            ) from None
        if isinstance(output, list):  # ZipMap's: a mapping from class to score, a row
            output = [list(row.values()) for row in output]
        return np.asarray(output, np.float64).reshape(-1)
