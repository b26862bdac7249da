"""The gas of whole disputes on a chain that accounts for it as mainnet does, calldata floor included."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oracle_node.bench.dispute import bench_dispute
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.importers.onnx import import_onnx
from oracle_node.model.model import Card, Model

MNIST_INPUT, MNIST_CONV1, MNIST_TAIL1, MNIST_CONV2, MNIST_TAIL2 = 0, 8, 10, 18, 20


@pytest.mark.parametrize("tensor", [MNIST_INPUT, MNIST_CONV1, MNIST_TAIL1, MNIST_CONV2, MNIST_TAIL2, None])
async def test_bench_dispute__on_the_mnist_network__stays_within_rounds_and_gas(
    tensor: int | None, shared_data: Callable[[str], Path]
) -> None:
    model = Model.of(import_onnx(shared_data("onnx/mnist-12.onnx")).tape, Card("mnist"))
    image = np.random.default_rng(3).integers(0, 256, 784).astype("<f4").tobytes()
    tensors = None if tensor is None else [tensor]
    measured = await bench_dispute(model, OnnxExecutor(model.tape), image, tensors, "pyevm")
    assert measured["rounds"] <= 4 and measured["transactions"] <= 8
    assert measured["gas_total"] <= 950_000
    assert measured["gas_step"] <= 345_000
    assert measured["seconds"] < 10
