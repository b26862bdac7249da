"""What cannot be imported is refused in one line that names the operator, the node and a way out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from oracle_node.errors import AdmissionError, ModelError
from oracle_node.importers.onnx import import_onnx

X = np.ones((2, 3), np.float32)
W = np.ones((3, 4), np.float32)
Network = Callable[..., Path]


def _refusal(path: Path, error: type[ModelError] = ModelError, **options: Any) -> str:
    with pytest.raises(error) as caught:
        import_onnx(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_file__cut_short_anywhere__is_refused(network: Network, tmp_path: Path) -> None:
    whole = network([("MatMul", ["x", "w"], ["y"], {})], {"x": X}, {"y": np.float32}, {"w": W}).read_bytes()
    cut = tmp_path / "cut.onnx"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        _refusal(cut)


def test_file__of_another_kind__is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    for content in (b"", b"not a network\n", bytes(range(256)), b"\x89PNG\r\n\x1a\n" * 40):
        path.write_bytes(content)
        assert str(path) in _refusal(path)


def test_file__absent__is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in _refusal(tmp_path / "absent.onnx")


def test_file__with_weights_beside_it__needs_them(network: Network, tmp_path: Path) -> None:
    w = np.arange(12, dtype=np.float32).reshape(3, 4)
    inside = network([("MatMul", ["x", "w"], ["y"], {})], {"x": X}, {"y": np.float32}, {"w": w})
    outside = tmp_path / "outside.onnx"
    onnx.save(
        onnx.load(inside), outside, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    assert (import_onnx(outside).tape.weights[0] == import_onnx(inside).tape.weights[0]).all()
    (tmp_path / "weights.bin").unlink()
    assert "weights in other files" in _refusal(outside)


def test_operator__unknown__is_named_with_its_node_and_what_to_do(network: Network) -> None:
    message = _refusal(
        network([("Einsum", ["x"], ["y"], {"equation": "ij->ji"})], {"x": X}, {"y": np.float32})
    )
    assert "Einsum node 'einsum0'" in message
    assert "rewrite it" in message


def test_operator__quantised_in_an_unknown_way__points_to_the_float_network(network: Network) -> None:
    nodes = [("MatMulBnb4Quantized", ["x"], ["y"], {})]
    assert "import the float32 network" in _refusal(network(nodes, {"x": X}, {"y": np.uint8}))


def test_operator__unknown_in_a_branch_that_nothing_reads__does_not_matter(network: Network) -> None:
    nodes = [("Einsum", ["x"], ["unused"], {"equation": "ij->ji"}), ("Relu", ["x"], ["y"], {})]
    assert import_onnx(network(nodes, {"x": X}, {"y": np.float32})).operators == {"Relu": 1}


REFUSED: dict[str, tuple[list[Any], dict[str, np.ndarray], str]] = {
    "weights_computed": ([("Conv", ["i", "i"], ["y"], {})], {}, "weight"),
    "weights_not_finite": ([("MatMul", ["x", "w"], ["y"], {})], {"w": W * np.float32(np.nan)}, "finite"),
    "weights_double": ([("MatMul", ["x", "w"], ["y"], {})], {"w": W.astype(np.float64)}, "float32"),
    "shapes_do_not_fit": ([("MatMul", ["x", "w"], ["y"], {})], {"w": W.T}, "do not fit"),
    "shapes_do_not_broadcast": ([("Add", ["x", "w"], ["y"], {})], {"w": W}, "broadcast"),
    "reshape_of_another_size": ([("Reshape", ["x", "w"], ["y"], {})], {"w": np.asarray([4, 2])}, "reshape"),
    "exponent_not_small": ([("Pow", ["x", "w"], ["y"], {})], {"w": np.float32(2.3)}, "exponent"),
    "division_by_zero": ([("Div", ["x", "w"], ["y"], {})], {"w": np.float32(0)}, "constant zero"),
    "cast_to_double": ([("Cast", ["x"], ["y"], {"to": 11})], {}, "float32"),
    "training": (
        [("Dropout", ["x", "w", "t"], ["y"], {})],
        {"w": np.float32(0.5), "t": np.asarray(True)},
        "inference",
    ),
    "gather_out_of_range": ([("Gather", ["x", "w"], ["y"], {})], {"w": np.asarray([2])}, "outside"),
    "pool_indices": ([("MaxPool", ["i"], ["y", "k"], {"kernel_shape": [2, 2]})], {}, "Indices"),
    "pool_without_kernel": ([("MaxPool", ["i"], ["y"], {})], {}, "kernel_shape"),
    "window_too_long": ([("MaxPool", ["i"], ["y"], {"kernel_shape": [9, 9]})], {}, "longer"),
    "padding_mode": ([("Pad", ["x", "w"], ["y"], {"mode": "mirror"})], {"w": np.zeros(4, np.int64)}, "mode"),
    "axis_too_large": ([("Softmax", ["x"], ["y"], {"axis": 5})], {}, "axis 5"),
    "input_missing": ([("Add", ["x"], ["y"], {})], {}, "input 1 is missing"),
    "nothing_computes_it": (
        [("Relu", ["nowhere"], ["y"], {}), ("Add", ["x", "y"], ["y2"], {})],
        {},
        "nowhere",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_node__that_cannot_be_lowered__is_named(case: str, network: Network) -> None:
    nodes, constants, expected = REFUSED[case]
    reads_image = any("i" in reads for _, reads, _, _ in nodes)
    inputs = {"i": np.ones((1, 1, 4, 4), np.float32)} if reads_image else {"x": X}
    message = _refusal(network(nodes, inputs, {nodes[-1][2][0]: np.float32}, constants))
    assert expected in message
    assert f"{nodes[0][0]} node '{nodes[0][0].lower()}0'" in message


def test_divisor__that_may_be_zero__cannot_be_proved(network: Network) -> None:
    nodes = [("Relu", ["x"], ["r"], {}), ("Sub", ["r", "x"], ["d"], {}), ("Div", ["x", "d"], ["y"], {})]
    message = _refusal(network(nodes, {"x": X}, {"y": np.float32}), AdmissionError)
    assert "Div node 'div2'" in message
    assert "contains zero" in message


def test_integers__that_may_overflow_their_type__cannot_be_proved(network: Network) -> None:
    nodes = [("Add", ["x", "x"], ["y"], {})]
    assert "may overflow int32" in _refusal(
        network(nodes, {"x": X.astype(np.int32)}, {"y": np.int32}), AdmissionError
    )


def test_step__larger_than_the_bound__cannot_be_proved(network: Network) -> None:
    path = network([("Relu", ["x"], ["y"], {})], {"x": X}, {"y": np.float32})
    assert "bytes, the bound is 2000" in _refusal(path, AdmissionError, step_bound=2000)


@pytest.mark.parametrize("opset", [6, 99])
def test_opset__outside_the_supported_ones__is_refused(opset: int, network: Network) -> None:
    path = network([("Relu", ["x"], ["y"], {})], {"x": X}, {"y": np.float32})
    model = onnx.load(path)
    model.opset_import[0].version = opset
    onnx.save(model, path)
    assert f"opset {opset}" in _refusal(path)


def test_input__with_an_open_dimension__is_refused_unless_it_is_the_batch_or_of_one_row(
    network: Network,
) -> None:
    path = network([("Relu", ["x"], ["y"], {})], {"x": X[:1, None]}, {"y": np.float32})
    model = onnx.load(path)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[0].dim_param = "batch"
    onnx.save(model, path)
    assert import_onnx(path).input.shape == (1, 1, 3)
    dims[2].dim_param = "length"
    onnx.save(model, path)
    assert import_onnx(path).input.shape == (1, 1, "length")
    dims[1].dim_value = 2
    onnx.save(model, path)
    assert "dimension 2 of input x is not fixed" in _refusal(path)


def test_input__double__is_refused(network: Network) -> None:
    assert "DOUBLE" in _refusal(
        network([("Relu", ["x"], ["y"], {})], {"x": X.astype(np.float64)}, {"y": np.float64})
    )


def test_output__independent_of_the_input__is_refused(network: Network) -> None:
    nodes = [("Shape", ["x"], ["y"], {})]
    assert "do not depend on the input" in _refusal(network(nodes, {"x": X}, {"y": np.int64}))


def test_outputs__of_different_types__have_to_be_chosen(network: Network) -> None:
    nodes = [("ArgMax", ["x"], ["label"], {"axis": 1}), ("Relu", ["x"], ["score"], {})]
    path = network(nodes, {"x": X}, {"label": np.int64, "score": np.float32})
    assert "outputs=" in _refusal(path)
    assert "no output wrong" in _refusal(path, outputs=("wrong",))
    assert import_onnx(path, outputs=("label",)).answer.dtype == "int64"
