"""`model compare`: sample files, and networks that are not the model's source, in one clear line."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from oracle_node.bench.compare import (
    Samples,
    compare_with_source,
    random_samples,
    read_samples,
    time_beside_source,
)
from oracle_node.cli.sources import import_source
from oracle_node.errors import ConfigError
from oracle_node.executors.reference import ReferenceExecutor
from oracle_node.model.model import Model
from tests.codec.models import echo


def network(path: Path, width: int | str = 4, dtype: int = TensorProto.FLOAT) -> Path:
    """y = relu(x) of so many values."""
    ends = [helper.make_tensor_value_info(end, dtype, [1, width]) for end in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
    return path


SAMPLES = Samples(np.float32([[1, -2, 3, 0.5], [0, 1, -1, 9]]), np.array([2, 3]))


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return import_source(network(tmp_path / "net.onnx"))


def two_ended(path: Path) -> Path:
    """total = left + right, twice = 2·left."""
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, 2]) for end in ("left", "right")]
    outs = [helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, 2]) for end in ("total", "twice")]
    nodes = [
        helper.make_node("Add", ["left", "right"], ["total"]),
        helper.make_node("Add", ["left", "left"], ["twice"]),
    ]
    graph = helper.make_graph(nodes, "g", ends, outs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
    return path


def test_compare__with_its_source__has_small_errors(tmp_path: Path, model: Model) -> None:
    found = compare_with_source(model, ReferenceExecutor(model.tape), tmp_path / "net.onnx", SAMPLES)
    assert found["samples"] == 2 and found["accuracy"] == found["top1_agreement"] == 1.0
    assert found["max_rel_error"] < 1e-3


def test_compare__with_another_network__measures_the_difference(tmp_path: Path, model: Model) -> None:
    graph = onnx.load(network(tmp_path / "other.onnx"))
    graph.graph.node[0].op_type = "Abs"
    onnx.save(graph, tmp_path / "other.onnx")
    found = compare_with_source(model, ReferenceExecutor(model.tape), tmp_path / "other.onnx", SAMPLES)
    assert (found["max_abs_error"], found["mean_abs_error"]) == (2.0, (2 + 1) / 8)
    assert found["max_rel_error"] == 2 / 3
    assert found["cosine"] == pytest.approx((10.25 / 14.25) ** 0.5)


def test_compare__of_several_inputs_and_outputs__takes_them_by_name(tmp_path: Path) -> None:
    source = two_ended(tmp_path / "net.onnx")
    model = import_source(source)
    left, right = np.float32([[1, 2], [3, 4]]), np.float32([[10, 20], [30, 40]])
    np.savez(tmp_path / "samples.npz", right=right, left=left)
    samples = read_samples(tmp_path / "samples.npz", model)
    assert [request.tolist() for request in samples.requests] == [[1, 2, 10, 20], [3, 4, 30, 40]]
    found = compare_with_source(model, ReferenceExecutor(model.tape), source, samples)
    assert found["samples"] == 2 and found["max_abs_error"] == 0
    timed = time_beside_source(model, ReferenceExecutor(model.tape), source, samples.requests[0], 1)
    assert timed["time_ratio"] == timed["exact_ms"] / timed["float32_ms"] > 0


def test_random_samples__of_an_image__are_pixels_as_the_card_has_them() -> None:
    image = {"kind": "image", "shape": [1, 1, 4, 4], "colors": "grey", "scale": [2.0]}
    drawn = random_samples(echo(16, input=image), 3)
    assert len(drawn.requests) == 3 and drawn.requests[0].tolist() != drawn.requests[1].tolist()
    for request in drawn.requests:
        assert request.dtype == np.float32 and request.min() >= 0 and 255 < request.max() <= 510
        assert (request % 2 == 0).all()


@pytest.mark.parametrize(
    ("width", "dtype", "words"),
    [
        (6, TensorProto.FLOAT, r"takes inputs of 1×6, the samples have 4 elements: not the model's source"),
        (4, TensorProto.DOUBLE, "ONNX Runtime does not run it on the samples"),
    ],
)
def test_compare__with_a_network_of_other_inputs__is_one_clear_error(
    tmp_path: Path, model: Model, width: int | str, dtype: int, words: str
) -> None:
    other = network(tmp_path / "other.onnx", width, dtype)
    with pytest.raises(ConfigError, match=words) as refused:
        compare_with_source(model, ReferenceExecutor(model.tape), other, SAMPLES)
    assert str(other) in str(refused.value)


def test_read_samples__of_an_npy__says_what_is_wanted(tmp_path: Path, model: Model) -> None:
    np.save(tmp_path / "samples.npy", np.zeros((2, 4)))
    with pytest.raises(ConfigError, match=r"not a numpy \.npz archive; `numpy\.savez") as refused:
        read_samples(tmp_path / "samples.npy", model)
    assert "context manager" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"PK", b"not numpy at all"])
def test_read_samples__of_anything_else__is_refused_in_our_words(
    tmp_path: Path, model: Model, content: bytes
) -> None:
    (tmp_path / "samples.npz").write_bytes(content)
    with pytest.raises(ConfigError, match=r"not a numpy \.npz archive") as refused:
        read_samples(tmp_path / "samples.npz", model)
    assert "pickle" not in str(refused.value)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([[{}]], object), "Python objects"),
        (np.array([["a", "b"]]), "not numeric"),
        (np.zeros(4), r"samples of shape \(4,\) are not \(n, …\)"),
    ],
)
def test_read_samples__of_no_numbers__is_refused(
    tmp_path: Path, model: Model, array: np.ndarray, words: str
) -> None:
    np.savez(tmp_path / "samples.npz", x=array)
    with pytest.raises(ConfigError, match=words):
        read_samples(tmp_path / "samples.npz", model)
