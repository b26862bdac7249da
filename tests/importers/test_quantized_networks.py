"""Networks that ONNX Runtime's quantiser wrote: the same predictions on MNIST's test images, bit for bit or nearly."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from oracle_node.bench.selftest import selftest
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.importers.onnx import import_onnx
from oracle_node.model.model import Card, Model
from tests.importers.quantization import (
    F32,
    Array,
    answers,
    runtime,
)

Data = Callable[[str], Path]


def _images(data: Data) -> Array:
    content = gzip.decompress(data("mnist/t10k-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 1, 28, 28).astype(F32)


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, images: Array) -> None:
        self._left = iter([{name: image[None]} for image in images])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._left, None)


def _quantise(source: Path, target: Path, images: Array, style: QuantFormat, **options: Any) -> Path:
    name = onnx.load(source).graph.input[0].name
    reader = _Calibration(name, images[:32])
    quantize_static(source, target, reader, quant_format=style, reduce_range=True, **options)
    return target


STYLES: dict[str, tuple[QuantFormat, dict[str, Any]]] = {
    "qoperator_u8u8": (QuantFormat.QOperator, {}),
    "qoperator_s8s8_per_channel": (
        QuantFormat.QOperator,
        {"per_channel": True, "weight_type": QuantType.QInt8, "activation_type": QuantType.QInt8},
    ),
    "qdq_u8u8": (QuantFormat.QDQ, {}),
    "qdq_u8s8_per_channel": (
        QuantFormat.QDQ,
        {"per_channel": True, "weight_type": QuantType.QInt8, "activation_type": QuantType.QUInt8},
    ),
}


@pytest.fixture
def quantised_mnist(shared_data: Data, tmp_path: Path) -> Callable[[str], Path]:
    def build(style: str) -> Path:
        source = tmp_path / "mnist13.onnx"
        model = version_converter.convert_version(onnx.load(shared_data("onnx/mnist-12.onnx")), 13)
        onnx.save(model, source)
        kind, options = STYLES[style]
        return _quantise(source, tmp_path / f"{style}.onnx", _images(shared_data), kind, **options)

    return build


def _compare_mnist(path: Path, style: str, images: Array) -> None:
    model = import_onnx(path)
    got, wanted = answers(model, images), runtime(path, list(images[:, None]))
    assert (got.argmax(1) == wanted.argmax(1)).all()
    # a logit of a QDQ graph may round the other way once in a while
    assert np.mean(got != wanted) <= (0 if style.startswith("qoperator") else 1e-3)


@pytest.mark.parametrize("style", STYLES)
def test_mnist__quantised_by_the_runtime__predicts_the_same(
    style: str, quantised_mnist: Callable[[str], Path], shared_data: Data
) -> None:
    _compare_mnist(quantised_mnist(style), style, _images(shared_data)[::50])


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_mnist__quantised_all_images__predicts_the_same(
    style: str, quantised_mnist: Callable[[str], Path], shared_data: Data
) -> None:
    _compare_mnist(quantised_mnist(style), style, _images(shared_data))


@pytest.mark.parametrize("style", ["qoperator_u8u8", "qdq_u8s8_per_channel"])
def test_mnist__quantised__passes_the_self_test(
    style: str, quantised_mnist: Callable[[str], Path], shared_data: Data
) -> None:
    model = Model.of(import_onnx(quantised_mnist(style)).tape, Card("mnist"))
    requests = [image.tobytes() for image in _images(shared_data)[:2]]
    found = selftest(model, OnnxExecutor(model.tape), requests, 600, 1, lambda done: None)
    assert found.mismatches == [] and found.elements_checked >= 600


def test_mlp__dynamically_quantised__gives_the_runtime_s_bits(
    shared_data: Data, rng: np.random.Generator
) -> None:
    path = shared_data("onnx/factorio_mnist_int8dyn.onnx")
    model = import_onnx(path)
    requests = [
        r[None] for r in rng.uniform(0, 1, (200, 25)).astype(F32) * (rng.uniform(size=(200, 25)) > 0.5)
    ]
    requests = [r.astype(F32) for r in requests]
    assert (answers(model, requests) == runtime(path, requests)).all()
    admitted = Model.of(model.tape, Card("mlp"))
    samples = [r.tobytes() for r in requests[:2]]
    found = selftest(admitted, OnnxExecutor(admitted.tape), samples, 600, 1, lambda done: None)
    assert found.mismatches == []


def test_mlp__dynamically_quantised_on_all_images__predicts_the_same(shared_data: Data) -> None:
    path = shared_data("onnx/factorio_mnist_int8dyn.onnx")
    # the network sees 5 × 5 pixels: the middle of the image in blocks of 4 × 4
    blocks = _images(shared_data)[:, 0, 4:24, 4:24].reshape(-1, 5, 4, 5, 4).mean((2, 4), dtype=F32)
    requests = [r[None] for r in blocks.reshape(-1, 25) / F32(255)]
    got, wanted = answers(import_onnx(path), requests), runtime(path, requests)
    assert (got == wanted).all() and len(got) == 10000
