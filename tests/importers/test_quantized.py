"""Quantised networks: the integers of ONNX Runtime's kernels, exactly where those are the same on every machine."""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from oracle_node.bench.selftest import selftest
from oracle_node.errors import ModelError
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.importers.imported import ImportedModel
from oracle_node.importers.onnx import import_onnx
from oracle_node.model.model import Card, Model
from tests.importers.networks import answer

Array = np.ndarray
Data = Callable[[str], Path]
Network = Callable[..., Path]
MICROSOFT = "com.microsoft"
STANDARD = ("QLinearConv", "QLinearMatMul")
U8, I8, F32 = np.uint8, np.int8, np.float32


def _images(data: Data) -> Array:
    content = gzip.decompress(data("mnist/t10k-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 1, 28, 28).astype(F32)


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _runtime(path: Path, requests: Sequence[Array]) -> Array:
    session = _session(path)
    name = session.get_inputs()[0].name
    return np.stack([session.run(None, {name: r})[0].reshape(-1) for r in requests])


def _answers(model: ImportedModel, requests: Sequence[Array]) -> Array:
    """The answers to many requests by the fast executor, (n, elements)."""
    tape, executor = model.tape, OnnxExecutor(model.tape)
    claim = np.zeros(model.answer.elements, model.answer.dtype)
    symbols = tape.symbols((model.input.elements, claim.size, 0))
    sources = [[request.reshape(-1), claim, np.zeros(0, np.uint8)] for request in requests]
    return np.stack([executor.run(symbols, s, [tape.output])[tape.output].reshape(-1) for s in sources])


def _microsoft(path: Path) -> Path:
    """The file with its nodes whose names say so moved into the runtime's own domain."""
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type.startswith(("QLinear", "QGemm")) and node.op_type not in STANDARD:
            node.domain = MICROSOFT
    model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    onnx.save(model, path)
    return path


@pytest.fixture
def difference(network: Network) -> Callable[..., int]:
    """difference(nodes, x, constants, output): how far the integers or floats lie from the runtime's, as int for 0."""

    def measure(
        nodes: Any, x: Array, constants: dict[str, Array], output: Any = U8, opset: int = 17
    ) -> float:
        path = _microsoft(network(nodes, {"x": x}, {"y": output}, constants, opset))
        expected = _runtime(path, [x])[0]
        model = import_onnx(path)
        assert np.dtype(model.answer.dtype) == expected.dtype
        got = answer(model, x)
        return float(np.abs(got.astype(np.float64) - expected.astype(np.float64)).max())

    return measure


def _integers(rng: np.random.Generator, kind: Any, shape: tuple[int, ...]) -> Array:
    bounds = np.iinfo(kind)
    return rng.integers(bounds.min, bounds.max, shape, endpoint=True).astype(kind)


def _grid(name: str, scale: Any, zero: Any, kind: Any) -> dict[str, Array]:
    return {f"{name}s": np.asarray(scale, F32), f"{name}z": np.asarray(zero, kind)}


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
    case: str, kinds: tuple[Any, Any], difference: Callable[..., float], rng: np.random.Generator
) -> None:
    shape, kernel, attributes = SHAPES[case]
    channels = kernel[0]
    # without VNNI the runtime's sums of u8 by s8 saturate above half of the range
    w = _integers(rng, kinds[1], kernel) // 2
    for per_channel in (False, True):
        scales = rng.uniform(0.001, 0.02, channels) if per_channel else 0.007
        zero = np.zeros(channels, kinds[1]) if per_channel else np.asarray(100 if kinds[1] is U8 else 0)
        if per_channel and kinds[1] is U8:
            continue
        constants = {
            "w": w.astype(kinds[1]),
            "b": rng.integers(-5000, 5000, channels).astype(np.int32),
            **_grid("x", 0.031, 117 if kinds[0] is U8 else -9, kinds[0]),
            **_grid("w", scales, zero, kinds[1]),
            **_grid("y", 0.43, 120 if kinds[0] is U8 else 3, kinds[0]),
        }
        node = ("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["y"], attributes)
        assert difference([node], _integers(rng, kinds[0], shape), constants, kinds[0]) == 0


@pytest.mark.parametrize("kinds", [(U8, U8), (U8, I8), (I8, I8)], ids=["u8u8", "u8s8", "s8s8"])
@pytest.mark.parametrize("per_column", [False, True])
def test_qlinear_matmul__of_constant_weights__gives_the_runtime_s_bits(
    kinds: tuple[Any, Any], per_column: bool, difference: Callable[..., float], rng: np.random.Generator
) -> None:
    zero: Any = 90 if kinds[1] is U8 else 0
    scales = rng.uniform(0.001, 0.02, 9) if per_column else 0.013
    constants = {
        "w": (_integers(rng, kinds[1], (70, 9)) // 2).astype(kinds[1]),
        **_grid("x", 0.02, 5, kinds[0]),
        **_grid("w", scales, [zero] * 9 if per_column else zero, kinds[1]),
        **_grid("y", 0.21, 11, kinds[0]),
    }
    node = ("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"], {})
    assert difference([node], _integers(rng, kinds[0], (2, 6, 70)), constants, kinds[0]) == 0


def test_qlinear_matmul__of_two_activations__gives_the_runtime_s_bits(
    difference: Callable[..., float], rng: np.random.Generator
) -> None:
    constants = {**_grid("x", 0.02, 100, U8), **_grid("y", 0.35, 128, U8)}
    nodes = [
        ("Transpose", ["x"], ["t"], {"perm": [0, 2, 1]}),
        ("QLinearMatMul", ["x", "xs", "xz", "t", "xs", "xz", "ys", "yz"], ["y"], {}),
    ]
    assert difference(nodes, _integers(rng, U8, (2, 6, 7)), constants) == 0


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("is_float", [False, True])
def test_qgemm__with_bias__gives_the_runtime_s_bits(
    transposed: int, is_float: bool, difference: Callable[..., float], rng: np.random.Generator
) -> None:
    constants = {
        "w": (_integers(rng, I8, (7, 30) if transposed else (30, 7)) // 2).astype(I8),
        "b": rng.integers(-3000, 3000, 7).astype(np.int32),
        **_grid("x", 0.02, 5, U8),
        **_grid("w", rng.uniform(0.001, 0.02, 7), np.zeros(7), I8),
        **_grid("y", 0.21, 11, U8),
    }
    reads = ["x", "xs", "xz", "w", "ws", "wz", "b", *([] if is_float else ["ys", "yz"])]
    node = ("QGemm", reads, ["y"], {"transB": transposed})
    error = difference([node], _integers(rng, U8, (3, 30)), constants, F32 if is_float else U8)
    assert error == 0


BINARY = {"QLinearAdd": 0.05, "QLinearMul": 2.1}


@pytest.mark.parametrize("operator", BINARY)
@pytest.mark.parametrize("kind", [U8, I8])
def test_qlinear_add_and_mul__any_operands__lie_within_one_of_the_runtime(
    operator: str, kind: Any, difference: Callable[..., float], rng: np.random.Generator
) -> None:
    constants = {
        "w": _integers(rng, kind, (5, 1)),
        **_grid("x", 0.021, 7, kind),
        **_grid("w", 0.037, 3, kind),
        **_grid("y", BINARY[operator], 20, kind),
    }
    node = (operator, ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"], {})
    assert difference([node], _integers(rng, kind, (2, 5, 6)), constants, kind) <= 1


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
    operator: str, kind: Any, difference: Callable[..., float], rng: np.random.Generator
) -> None:
    attributes, tolerance = ONE_INPUT[operator]
    zero = 0 if kind is U8 else -128
    step = 1 / 256 if operator in ("QLinearSigmoid", "QLinearSoftmax") else 0.02
    constants = {**_grid("x", 0.03, zero + 100, kind), **_grid("y", step, zero, kind)}
    node = (operator, ["x", "xs", "xz", "ys", "yz"], ["y"], attributes)
    assert difference([node], _integers(rng, kind, (1, 4, 9, 8)), constants, kind) <= tolerance


def test_qlinear_concat__other_grids__are_brought_onto_the_result_s(
    difference: Callable[..., float], rng: np.random.Generator
) -> None:
    constants = {
        "w": _integers(rng, U8, (1, 2, 5)),
        **_grid("x", 0.021, 7, U8),
        **_grid("w", 0.05, 33, U8),
        **_grid("y", 0.05, 33, U8),
    }
    reads = ["ys", "yz", "x", "xs", "xz", "w", "ws", "wz"]
    node = ("QLinearConcat", reads, ["y"], {"axis": 1})
    assert difference([node], _integers(rng, U8, (1, 3, 5)), constants) == 0


@pytest.mark.parametrize("kind", [U8, I8])
@pytest.mark.parametrize("axis", [None, 1])
def test_quantize_linear__halves_and_extremes__give_the_runtime_s_bits(
    kind: Any, axis: int | None, difference: Callable[..., float]
) -> None:
    scale = np.asarray([0.5, 0.1, 3.0], F32) if axis else np.asarray(0.5, F32)
    zero = np.asarray([0, 100, 7] if axis else 9, kind)
    steps = np.arange(-300, 300, dtype=F32)[:, None] * np.asarray([0.25, 0.05, 1.5], F32)
    x = np.concatenate([steps, np.asarray([[1e30, -1e30, 0], [-1e-40, 1e-40, -0.0]], F32)])
    nodes = [("QuantizeLinear", ["x", "s", "z"], ["y"], {} if axis is None else {"axis": axis})]
    assert difference(nodes, x.clip(-1e6, 1e6), {"s": scale, "z": zero}, kind) == 0
    nodes.append(("DequantizeLinear", ["y", "s", "z"], ["f"], nodes[0][3]))
    nodes.append(("Identity", ["f"], ["y2"], {}))
    nodes = [(o, [r + "q" if r == "y" else r for r in i], ["yq" if n == "y" else n.replace("y2", "y") for n in w], a)
             for o, i, w, a in nodes]  # fmt: skip
    assert difference(nodes, x.clip(-1e6, 1e6), {"s": scale, "z": zero}, F32) == 0


@pytest.mark.parametrize("kind", [U8, I8])
def test_movement_and_maxima__of_integers__pass_through_unchanged(
    kind: Any, difference: Callable[..., float], rng: np.random.Generator
) -> None:
    nodes = [
        ("MaxPool", ["x"], ["m"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ("Clip", ["m", "low", "high"], ["c"], {}),
        ("Transpose", ["c"], ["t"], {"perm": [0, 2, 3, 1]}),
        ("Flatten", ["t"], ["f"], {}),
        ("Reshape", ["f", "shape"], ["y"], {}),
    ]
    constants = {"low": np.asarray(3, kind), "high": np.asarray(99, kind), "shape": np.asarray([4, -1])}
    assert difference(nodes, _integers(rng, kind, (1, 4, 7, 8)), constants, kind) == 0


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
            assert (_runtime(path, [x])[0] == answer(import_onnx(path), x)).all()


def test_integer_products__with_zero_points__are_exact(
    difference: Callable[..., float], rng: np.random.Generator
) -> None:
    constants = {
        "w": _integers(rng, U8, (20, 6)),
        "k": _integers(rng, U8, (3, 2, 3, 3)),
        "az": np.asarray(11, U8),
        "bz": np.asarray(130, U8),
    }
    reads = ["x", "w", "az", "bz"]
    x = _integers(rng, U8, (4, 20))
    assert difference([("MatMulInteger", reads, ["y"], {})], x, constants, np.int32) == 0
    node = ("ConvInteger", ["x", "k", "az", "bz"], ["y"], {"pads": [1, 1, 1, 1]})
    assert difference([node], _integers(rng, U8, (1, 2, 6, 5)), constants, np.int32) == 0


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
    got, wanted = _answers(model, images), _runtime(path, list(images[:, None]))
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
    assert (_answers(model, requests) == _runtime(path, requests)).all()
    admitted = Model.of(model.tape, Card("mlp"))
    samples = [r.tobytes() for r in requests[:2]]
    found = selftest(admitted, OnnxExecutor(admitted.tape), samples, 600, 1, lambda done: None)
    assert found.mismatches == []


@pytest.mark.parametrize("operator", ["Gemm", "MatMul", "Conv"])
def test_qdq__around_a_product__rounds_the_exact_integer_sum(
    operator: str, network: Network, rng: np.random.Generator
) -> None:
    shapes = {"Gemm": ((3, 50), (7, 50)), "MatMul": ((3, 50), (50, 7)), "Conv": ((1, 4, 5, 5), (7, 4, 3, 3))}
    shape, kernel = shapes[operator]
    axis = 1 if operator == "MatMul" else 0
    w, b = _integers(rng, I8, kernel), rng.integers(-9000, 9000, 7).astype(np.int32)
    ws, xs = rng.uniform(0.001, 0.02, 7).astype(F32), F32(0.017)
    constants = {
        "w": w, "ws": ws, "wz": np.zeros(7, I8), "b": b, "bs": xs * ws, "bz": np.zeros(7, np.int32),
        **_grid("x", xs, 77, U8), **_grid("y", 0.6, 128, U8),
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
    x = _integers(rng, U8, shape)
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


def test_quantised__sums_beyond_int32__are_refused(network: Network) -> None:
    length = 70000
    constants = {
        **_grid("x", 1, 0, U8), **_grid("w", 1, 0, U8), **_grid("y", 1, 0, U8), "w": np.full((length, 1), 255, U8),
    }  # fmt: skip
    node = ("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"], {})
    with pytest.raises(ModelError, match="overflow int32"):
        import_onnx(network([node], {"x": np.zeros((1, length), U8)}, {"y": U8}, constants))
