"""Tracing: every kernel's time, by the instruction that it was written for."""

from pathlib import Path

import numpy as np

from oracle_node.executors.onnx import OnnxExecutor
from tests.executors.onnx.checking import EMPTY, new_builder


def test_kernels__of_a_traced_executor__name_their_instructions_in_the_order_of_the_plan(
    tmp_path: Path,
) -> None:
    builder = new_builder()
    x = builder.const(np.arange(12, dtype=np.float32).reshape(3, 4))
    half = builder.map(lambda v: v * 0.5, x)
    turned = builder.map(lambda v: v + 1.0, half.transpose(1, 0))
    tape = builder.finish(turned)
    executor = OnnxExecutor(tape, traces=tmp_path)
    for _ in range(3):
        executor.run(tape.symbols((0, 0, 0)), (EMPTY, EMPTY, EMPTY), [tape.output])
    kernels = executor.kernels()
    assert [(k.position, k.operator) for k in kernels] == [
        (half.ref, "Mul"), (turned.ref, "Transpose"), (turned.ref, "Add"),
    ]  # fmt: skip
    assert all(0 < kernel.seconds < 1 for kernel in kernels)
    assert not list(tmp_path.iterdir())
