"""Whole networks: what import promises of accuracy, size and determinism, on real models and data."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from oracle_node.commitments.model import commit, roots_of
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.importers.imported import ImportedModel
from oracle_node.importers.onnx import import_onnx
from oracle_node.tape.analysis import analyse
from oracle_node.tape.step import step_bytes
from tests.importers.networks import answer

Data = Callable[[str], Path]


def _images(data: Data) -> np.ndarray:
    content = gzip.decompress(data("mnist/t10k-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784).astype(np.float32)


def _labels(data: Data) -> np.ndarray:
    return np.frombuffer(
        gzip.decompress(data("mnist/t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8
    )


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _answers(model: ImportedModel, requests: np.ndarray) -> np.ndarray:
    """The answers to many requests by the fast executor, (n, elements)."""
    tape, executor = model.tape, OnnxExecutor(model.tape)
    claim = np.zeros(model.answer.elements, model.answer.dtype)
    symbols = tape.symbols((model.input.elements, claim.size, 0))
    sources = [[request.reshape(-1), claim, np.zeros(0, np.uint8)] for request in requests]
    return np.stack([executor.run(symbols, s, [tape.output])[tape.output].reshape(-1) for s in sources])


def _float32(path: Path, requests: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    session = _session(path)
    name = session.get_inputs()[0].name
    return np.stack([session.run(None, {name: r.reshape(shape)})[0].reshape(-1) for r in requests])


def test_mnist__fifteen_bits_on_a_sample__agrees_with_float32(shared_data: Data) -> None:
    path, images = shared_data("onnx/mnist-12.onnx"), _images(shared_data)[::50]
    model = import_onnx(path, weights=15)
    exact, float32 = _answers(model, images), _float32(path, images, model.input.shape)
    assert (exact.argmax(1) == float32.argmax(1)).all()
    assert np.abs(exact - float32).max() < 1e-3 * np.abs(float32).max()
    assert (answer(model, images[0]) == exact[0]).all()


@pytest.mark.slow
@pytest.mark.parametrize("weights", [8, 15, 21])
def test_mnist__all_images__keeps_its_accuracy(weights: int, shared_data: Data) -> None:
    path, images, labels = shared_data("onnx/mnist-12.onnx"), _images(shared_data), _labels(shared_data)
    model = import_onnx(path, weights=weights)  # type: ignore[arg-type]
    chosen = _answers(model, images).argmax(1)
    if weights > 8:
        assert (chosen != _float32(path, images, model.input.shape).argmax(1)).sum() <= 2
    assert abs((chosen == labels).mean() - 0.9891) < 0.002


def _scenes() -> list[np.ndarray]:
    """Ten images of noise and ten of shapes, (3, 240, 320) within ±1, some with something like a face."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:240, 0:320]
    planes = [
        np.stack([x / 160 - 1, y / 120 - 1, (x + y) / 280 - 1]),
        np.stack([np.sin(x / 7) * np.cos(y / 9)] * 3),
        np.stack([(x // 16 + y // 16) % 2 * 2 - 1] * 3),
        np.zeros((3, 240, 320)),
        np.ones((3, 240, 320)),
        np.stack([1 - ((x - 160) ** 2 + (y - 120) ** 2) / 20000] * 3),
        np.stack([(abs(x - 160) < 80) & (abs(y - 120) < 60)] * 3),
    ]
    for size, background in ((60, -0.3), (25, 0.5), (90, 0.9)):
        face = np.full((3, 240, 320), background)
        face[:, ((x - 160) / size) ** 2 + ((y - 120) / size / 1.3) ** 2 < 1] = [[0.6], [0.3], [0.1]]
        for side in (-0.4, 0.4):
            eye = ((x - 160 - side * size) / size / 0.15) ** 2 + (
                (y - 120 + 0.3 * size) / size / 0.1
            ) ** 2 < 1
            face[:, eye] = -0.8
        planes.append(face)
    return [random.uniform(-1, 1, (3, 240, 320)) for _ in range(10)] + planes


@pytest.mark.slow
def test_ultraface__twenty_one_bits__finds_the_boxes_and_scores_of_float32(shared_data: Data) -> None:
    path = shared_data("onnx/ultraface-RFB-320-simplified.onnx")
    images = np.clip(np.stack(_scenes()), -1, 1).astype(np.float32)
    exact = _answers(import_onnx(path, weights=21), images)
    session = _session(path)
    outputs = [session.run(["scores", "boxes"], {"input": image[None]}) for image in images]
    float32 = np.stack([np.concatenate([part.reshape(-1) for part in output]) for output in outputs])
    assert np.abs(exact - float32).max() < 1e-3


def test_mnist__tape__is_short_and_every_step_is_small(shared_data: Data) -> None:
    tape = import_onnx(shared_data("onnx/mnist-12.onnx")).tape
    symbols = tape.symbols((784, 10, 0))
    assert len(tape.instructions) <= 32
    assert max(step_bytes(i, symbols, len(tape.instructions)) for i in tape.instructions) <= 8400


def test_mlp__all_of_it__agrees_with_float32(shared_data: Data) -> None:
    path = shared_data("onnx/factorio_mnist_f32.onnx")
    model = import_onnx(path)
    requests = np.random.default_rng(1).uniform(0, 1, (50, 25)).astype(np.float32)
    exact, float32 = _answers(model, requests), _float32(path, requests, model.input.shape)
    assert np.abs(exact - float32).max() < 1e-3 * np.abs(float32).max()


def test_face_detector__two_outputs_joined__agrees_with_float32(shared_data: Data) -> None:
    path = shared_data("onnx/ultraface-RFB-320-simplified.onnx")
    model = import_onnx(path)
    assert [info.name for info in model.answers] == ["scores", "boxes"]
    assert model.answer.shape == (4420 * 6,)
    image = np.random.default_rng(2).normal(0, 0.5, model.input.shape).clip(-1, 1).astype(np.float32)
    scores, boxes = _session(path).run(None, {"input": image})
    exact = _answers(model, image[None])[0]
    assert np.abs(exact[: scores.size] - scores.reshape(-1)).max() < 2e-3
    assert np.abs(exact[scores.size :] - boxes.reshape(-1)).max() < 1e-2 * np.abs(boxes).max()


def test_digits__held_out_images__keep_their_labels(repository: Path) -> None:
    folder = repository / "models" / "digits"
    model = import_onnx(folder / "digits.onnx")
    held_out = np.load(folder / "test.npz")
    chosen = _answers(model, held_out["image"].astype(np.float32)).argmax(1)
    assert (chosen == held_out["label"]).sum() >= 358


def test_import__twice__gives_one_model_id(repository: Path) -> None:
    path = repository / "models" / "digits" / "digits.onnx"
    ids = {commit(m.tape, roots_of(m.tape.weights)).model_id for m in (import_onnx(path), import_onnx(path))}
    other = import_onnx(path, weights=8)
    assert len(ids) == 1
    assert commit(other.tape, roots_of(other.tape.weights)).model_id not in ids


def test_import__finished_tape__is_admitted_as_a_whole(repository: Path) -> None:
    model = import_onnx(repository / "models" / "digits" / "digits.onnx")
    assert len(analyse(model.tape).results) == len(model.tape.instructions)
    assert model.tape.sources[1].min_elements == model.tape.sources[1].max_elements == 10


def test_import__progress__counts_the_nodes(repository: Path) -> None:
    seen: list[tuple[int, int]] = []
    import_onnx(
        repository / "models" / "digits" / "digits.onnx", progress=lambda done, of: seen.append((done, of))
    )
    assert seen == [(i, 9) for i in range(1, 10)]


def test_inputs__several_of_one_type__are_joined(network: Callable[..., Path]) -> None:
    a, b = np.asarray([[1, 2]], np.float32), np.asarray([[10], [20]], np.float32)
    model = import_onnx(network([("Sub", ["a", "b"], ["y"], {})], {"a": a, "b": b}, {"y": np.float32}))
    assert model.input.elements == 4
    assert answer(model, np.concatenate([a.reshape(-1), b.reshape(-1)])).tolist() == [-9, -8, -19, -18]


def test_input__beyond_its_range__is_clamped(network: Callable[..., Path]) -> None:
    path = network([("Neg", ["x"], ["y"], {})], {"x": np.ones((1, 3), np.float32)}, {"y": np.float32})
    wild = np.asarray([np.nan, np.inf, -7], np.float32)
    assert answer(import_onnx(path, input_range=(-4, 5)), wild).tolist() == [0, -5, 4]
