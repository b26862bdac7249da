"""QLinear operators: the integers of ONNX Runtime's kernels, or within one where those differ by processor."""

from typing import Any

import numpy as np
import pytest

from oracle_node.errors import ModelError
from oracle_node.importers.onnx import import_onnx
from tests.importers.quantization import F32, I8, U8, Network, difference, grid, integers

SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": ((1, 3, 9, 7), (5, 3, 3, 3), {}),
    "padded_strided": ((1, 2, 8, 9), (4, 2, 3, 2), {"pads": [1, 2, 1, 0], "strides": [2, 1]}),
    "same_upper": ((1, 1, 9, 9), (3, 1, 5, 5), {"auto_pad": "SAME_UPPER"}),
    "groups": ((1, 6, 6, 5), (9, 2, 3, 3), {"group": 3, "pads": [1, 1, 1, 1]}),
    "depthwise": ((1, 5, 6, 6), (5, 1, 3, 3), {"group": 5, "pads": [1, 1, 1, 1]}),
    "one_by_one": ((2, 40, 4, 4), (6, 40, 1, 1), {}),
}


@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("kinds", [(U8, U8), (U8, I8), (I8, I8)], ids=["u8u8", "u8s8", "s8s8"])
def test_qlinear_conv__per_tensor_and_per_channel__gives_the_runtime_s_bits(
    case: str, kinds: tuple[Any, Any], network: Network, rng: np.random.Generator
) -> None:
    shape, kernel, attributes = SHAPES[case]
    channels = kernel[0]
    # without VNNI the runtime's sums of u8 by s8 saturate above half of the range
    w = integers(rng, kinds[1], kernel) // 2
    for per_channel in (False, True):
        scales = rng.uniform(0.001, 0.02, channels) if per_channel else 0.007
        zero = np.zeros(channels, kinds[1]) if per_channel else np.asarray(100 if kinds[1] is U8 else 0)
        if per_channel and kinds[1] is U8:
            continue
        constants = {
            "w": w.astype(kinds[1]),
            "b": rng.integers(-5000, 5000, channels).astype(np.int32),
            **grid("x", 0.031, 117 if kinds[0] is U8 else -9, kinds[0]),
            **grid("w", scales, zero, kinds[1]),
            **grid("y", 0.43, 120 if kinds[0] is U8 else 3, kinds[0]),
        }
        node = ("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["y"], attributes)
        assert difference(network, [node], integers(rng, kinds[0], shape), constants, kinds[0]) == 0


@pytest.mark.parametrize("kinds", [(U8, U8), (U8, I8), (I8, I8)], ids=["u8u8", "u8s8", "s8s8"])
@pytest.mark.parametrize("per_column", [False, True])
def test_qlinear_matmul__of_constant_weights__gives_the_runtime_s_bits(
    kinds: tuple[Any, Any], per_column: bool, network: Network, rng: np.random.Generator
) -> None:
    zero: Any = 90 if kinds[1] is U8 else 0
    scales = rng.uniform(0.001, 0.02, 9) if per_column else 0.013
    constants = {
        "w": (integers(rng, kinds[1], (70, 9)) // 2).astype(kinds[1]),
        **grid("x", 0.02, 5, kinds[0]),
        **grid("w", scales, [zero] * 9 if per_column else zero, kinds[1]),
        **grid("y", 0.21, 11, kinds[0]),
    }
    node = ("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"], {})
    assert difference(network, [node], integers(rng, kinds[0], (2, 6, 70)), constants, kinds[0]) == 0


def test_qlinear_matmul__of_two_activations__gives_the_runtime_s_bits(
    network: Network, rng: np.random.Generator
) -> None:
    constants = {**grid("x", 0.02, 100, U8), **grid("y", 0.35, 128, U8)}
    nodes = [
        ("Transpose", ["x"], ["t"], {"perm": [0, 2, 1]}),
        ("QLinearMatMul", ["x", "xs", "xz", "t", "xs", "xz", "ys", "yz"], ["y"], {}),
    ]
    assert difference(network, nodes, integers(rng, U8, (2, 6, 7)), constants) == 0


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("is_float", [False, True])
def test_qgemm__with_bias__gives_the_runtime_s_bits(
    transposed: int, is_float: bool, network: Network, rng: np.random.Generator
) -> None:
    constants = {
        "w": (integers(rng, I8, (7, 30) if transposed else (30, 7)) // 2).astype(I8),
        "b": rng.integers(-3000, 3000, 7).astype(np.int32),
        **grid("x", 0.02, 5, U8),
        **grid("w", rng.uniform(0.001, 0.02, 7), np.zeros(7), I8),
        **grid("y", 0.21, 11, U8),
    }
    reads = ["x", "xs", "xz", "w", "ws", "wz", "b", *([] if is_float else ["ys", "yz"])]
    node = ("QGemm", reads, ["y"], {"transB": transposed})
    error = difference(network, [node], integers(rng, U8, (3, 30)), constants, F32 if is_float else U8)
    assert error == 0


BINARY = {"QLinearAdd": 0.05, "QLinearMul": 2.1}


@pytest.mark.parametrize("operator", BINARY)
@pytest.mark.parametrize("kind", [U8, I8])
def test_qlinear_add_and_mul__any_operands__lie_within_one_of_the_runtime(
    operator: str, kind: Any, network: Network, rng: np.random.Generator
) -> None:
    constants = {
        "w": integers(rng, kind, (5, 1)),
        **grid("x", 0.021, 7, kind),
        **grid("w", 0.037, 3, kind),
        **grid("y", BINARY[operator], 20, kind),
    }
    node = (operator, ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"], {})
    assert difference(network, [node], integers(rng, kind, (2, 5, 6)), constants, kind) <= 1


ONE_INPUT: dict[str, tuple[dict[str, Any], float]] = {
    "QLinearGlobalAveragePool": ({}, 0),
    "QLinearSigmoid": ({}, 1),
    "QLinearLeakyRelu": ({"alpha": 0.1}, 1),
    "QLinearAveragePool": ({"kernel_shape": [3, 2], "strides": [2, 2]}, 1),
    "QLinearSoftmax": ({"axis": 1, "opset": 13}, 1),
}


@pytest.mark.parametrize("operator", ONE_INPUT)
@pytest.mark.parametrize("kind", [U8, I8])
def test_qlinear_of_one_input__all_integers__lie_near_the_runtime(
    operator: str, kind: Any, network: Network, rng: np.random.Generator
) -> None:
    attributes, tolerance = ONE_INPUT[operator]
    zero = 0 if kind is U8 else -128
    step = 1 / 256 if operator in ("QLinearSigmoid", "QLinearSoftmax") else 0.02
    constants = {**grid("x", 0.03, zero + 100, kind), **grid("y", step, zero, kind)}
    node = (operator, ["x", "xs", "xz", "ys", "yz"], ["y"], attributes)
    assert difference(network, [node], integers(rng, kind, (1, 4, 9, 8)), constants, kind) <= tolerance


def test_qlinear_concat__other_grids__are_brought_onto_the_result_s(
    network: Network, rng: np.random.Generator
) -> None:
    constants = {
        "w": integers(rng, U8, (1, 2, 5)),
        **grid("x", 0.021, 7, U8),
        **grid("w", 0.05, 33, U8),
        **grid("y", 0.05, 33, U8),
    }
    reads = ["ys", "yz", "x", "xs", "xz", "w", "ws", "wz"]
    node = ("QLinearConcat", reads, ["y"], {"axis": 1})
    assert difference(network, [node], integers(rng, U8, (1, 3, 5)), constants) == 0


def test_quantised__sums_beyond_int32__are_refused(network: Network) -> None:
    length = 70000
    constants = {
        **grid("x", 1, 0, U8), **grid("w", 1, 0, U8), **grid("y", 1, 0, U8), "w": np.full((length, 1), 255, U8),
    }  # fmt: skip
    node = ("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"], {})
    with pytest.raises(ModelError, match="overflow int32"):
        import_onnx(network([node], {"x": np.zeros((1, length), U8)}, {"y": U8}, constants))
