"""QuantizeLinear, DequantizeLinear, integer products, and what is refused: ONNX Runtime's bits."""

from typing import Any

import numpy as np
import pytest

from oracle_node.errors import ModelError
from oracle_node.importers.onnx import import_onnx
from tests.importers.networks import answer
from tests.importers.quantization import F32, I8, U8, Array, Network, difference, grid, integers, runtime


@pytest.mark.parametrize("kind", [U8, I8])
@pytest.mark.parametrize("axis", [None, 1])
def test_quantize_linear__halves_and_extremes__give_the_runtime_s_bits(
    kind: Any, axis: int | None, network: Network
) -> None:
    scale = np.asarray([0.5, 0.1, 3.0], F32) if axis else np.asarray(0.5, F32)
    zero = np.asarray([0, 100, 7] if axis else 9, kind)
    steps = np.arange(-300, 300, dtype=F32)[:, None] * np.asarray([0.25, 0.05, 1.5], F32)
    x = np.concatenate([steps, np.asarray([[1e30, -1e30, 0], [-1e-40, 1e-40, -0.0]], F32)])
    nodes = [("QuantizeLinear", ["x", "s", "z"], ["y"], {} if axis is None else {"axis": axis})]
    assert difference(network, nodes, x.clip(-1e6, 1e6), {"s": scale, "z": zero}, kind) == 0
    nodes.append(("DequantizeLinear", ["y", "s", "z"], ["f"], nodes[0][3]))
    nodes.append(("Identity", ["f"], ["y2"], {}))
    nodes = [(o, [r + "q" if r == "y" else r for r in i], ["yq" if n == "y" else n.replace("y2", "y") for n in w], a)
             for o, i, w, a in nodes]  # fmt: skip
    assert difference(network, nodes, x.clip(-1e6, 1e6), {"s": scale, "z": zero}, F32) == 0


@pytest.mark.parametrize("kind", [U8, I8])
def test_movement_and_maxima__of_integers__pass_through_unchanged(
    kind: Any, network: Network, rng: np.random.Generator
) -> None:
    nodes = [
        ("MaxPool", ["x"], ["m"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ("Clip", ["m", "low", "high"], ["c"], {}),
        ("Transpose", ["c"], ["t"], {"perm": [0, 2, 3, 1]}),
        ("Flatten", ["t"], ["f"], {}),
        ("Reshape", ["f", "shape"], ["y"], {}),
    ]
    constants = {"low": np.asarray(3, kind), "high": np.asarray(99, kind), "shape": np.asarray([4, -1])}
    assert difference(network, nodes, integers(rng, kind, (1, 4, 7, 8)), constants, kind) == 0


def test_dynamic_quantize_linear__of_any_range__gives_the_runtime_s_bits(
    network: Network, rng: np.random.Generator
) -> None:
    ranges = [(-1, 1), (0, 5), (-9, -2), (3, 4), (0, 0), (-1e-6, 2e-6), (-1000, 3)]
    for position, kind in enumerate((U8, F32, U8)):
        outputs = ["y" if i == position else f"o{i}" for i in range(3)]
        node = ("DynamicQuantizeLinear", ["x"], outputs, {})
        for low, high in ranges:
            x = rng.uniform(low, high, (3, 40)).astype(F32)
            path = network([node], {"x": x}, {"y": kind})
            assert (runtime(path, [x])[0] == answer(import_onnx(path), x)).all()


def test_integer_products__with_zero_points__are_exact(network: Network, rng: np.random.Generator) -> None:
    constants = {
        "w": integers(rng, U8, (20, 6)),
        "k": integers(rng, U8, (3, 2, 3, 3)),
        "az": np.asarray(11, U8),
        "bz": np.asarray(130, U8),
    }
    reads = ["x", "w", "az", "bz"]
    x = integers(rng, U8, (4, 20))
    assert difference(network, [("MatMulInteger", reads, ["y"], {})], x, constants, np.int32) == 0
    node = ("ConvInteger", ["x", "k", "az", "bz"], ["y"], {"pads": [1, 1, 1, 1]})
    assert difference(network, [node], integers(rng, U8, (1, 2, 6, 5)), constants, np.int32) == 0


@pytest.mark.parametrize("operator", ["Gemm", "MatMul", "Conv"])
def test_qdq__around_a_product__rounds_the_exact_integer_sum(
    operator: str, network: Network, rng: np.random.Generator
) -> None:
    shapes = {"Gemm": ((3, 50), (7, 50)), "MatMul": ((3, 50), (50, 7)), "Conv": ((1, 4, 5, 5), (7, 4, 3, 3))}
    shape, kernel = shapes[operator]
    axis = 1 if operator == "MatMul" else 0
    w, b = integers(rng, I8, kernel), rng.integers(-9000, 9000, 7).astype(np.int32)
    ws, xs = rng.uniform(0.001, 0.02, 7).astype(F32), F32(0.017)
    constants = {
        "w": w, "ws": ws, "wz": np.zeros(7, I8), "b": b, "bs": xs * ws, "bz": np.zeros(7, np.int32),
        **grid("x", xs, 77, U8), **grid("y", 0.6, 128, U8),
    }  # fmt: skip
    biased = operator != "MatMul"
    nodes = [
        ("DequantizeLinear", ["x", "xs", "xz"], ["xf"], {}),
        ("DequantizeLinear", ["w", "ws", "wz"], ["wf"], {"axis": axis}),
        ("DequantizeLinear", ["b", "bs", "bz"], ["bf"], {"axis": 0}),
        (
            operator,
            ["xf", "wf", *(["bf"] if biased else [])],
            ["f"],
            {"transB": 1} if operator == "Gemm" else {},
        ),
        ("QuantizeLinear", ["f", "ys", "yz"], ["y"], {}),
    ]
    x = integers(rng, U8, shape)
    got = answer(import_onnx(network(nodes, {"x": x}, {"y": U8}, constants)), x)
    q, k = x.astype(np.int64) - 77, w.astype(np.int64)
    if operator == "Conv":
        windows = np.lib.stride_tricks.sliding_window_view(q[0], (3, 3), (1, 2))
        total = np.einsum("cyxij,ocij->oyx", windows, k)
        total, factor = total + b[:, None, None], (xs * ws)[:, None, None]
    else:
        total, factor = q @ (k.T if operator == "Gemm" else k) + (b if biased else 0), xs * ws
    expected = np.clip(np.rint(total.astype(F32) * factor / F32(0.6)) + 128, 0, 255)
    assert (got == expected.reshape(-1)).all()


def test_qdq__a_clipped_tensor_that_two_products_read__keeps_its_integers(
    network: Network, rng: np.random.Generator
) -> None:
    w, x = integers(rng, I8, (30, 30)), integers(rng, U8, (3, 30))
    constants = {"w": w, **grid("w", 0.01, 0, I8), **grid("x", 0.02, 77, U8), "low": U8(9), "high": U8(200)}
    nodes = [
        ("Clip", ["x", "low", "high"], ["c"], {}),
        ("DequantizeLinear", ["c", "xs", "xz"], ["f"], {}),
        ("DequantizeLinear", ["w", "ws", "wz"], ["wf"], {}),
        ("MatMul", ["f", "wf"], ["a"], {}),
        ("Gemm", ["f", "wf"], ["b"], {"transB": 1}),
        ("Sub", ["a", "b"], ["y"], {}),
    ]
    got = answer(import_onnx(network(nodes, {"x": x}, {"y": F32}, constants)), x)
    q, factor = x.clip(9, 200).astype(np.int64) - 77, F32(0.02) * F32(0.01)
    a, b = ((q @ k).astype(F32) * factor for k in (w.astype(np.int64), w.T.astype(np.int64)))
    assert (got == (a - b).reshape(-1)).all()


Q = ("QuantizeLinear", ["x", "s", "z"], ["y"], {})
REFUSED: dict[str, tuple[Any, Any, dict[str, Array], str]] = {
    "scale_not_positive": (Q, F32, {"s": np.asarray(0, F32), "z": np.asarray(0, U8)}, "quantise the network again"),
    "zero_point_type": (Q, F32, {"s": np.asarray(1, F32), "z": np.asarray(0, np.uint16)}, "uint16"),
    "input_integer": (Q, np.int32, {"s": np.asarray(1, F32), "z": np.asarray(0, U8)}, "put a Cast before"),
    "scale_computed": (("QuantizeLinear", ["x", "x", "z"], ["y"], {}), F32, {"z": np.asarray(0, U8)}, "constant"),
    "blocks": (
        ("QuantizeLinear", ["x", "s", "z"], ["y"], {"block_size": 2}),
        F32, {"s": np.ones((2, 2), F32), "z": np.zeros((2, 2), U8)}, "per channel",
    ),
    "type_of_the_input": (
        ("QLinearMatMul", ["x", "s", "z", "x", "s", "z", "s", "z"], ["y"], {}),
        F32, {"s": np.asarray(1, F32), "z": np.asarray(0, U8)}, "float32",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_quantised__what_cannot_be_imported__is_refused_with_a_way_out(case: str, network: Network) -> None:
    node, kind, constants, words = REFUSED[case]
    path = network([node], {"x": np.ones((2, 2), kind)}, {"y": U8}, constants, 21)
    with pytest.raises(ModelError) as caught:
        import_onnx(path)
    message = str(caught.value)
    assert words in message and f"{node[0]} node" in message and "\n" not in message
