"""`model compare`: sample files, and networks that are not the model's source, in one clear line."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from oracle_node.bench.compare import Samples, compare_with_source, read_samples
from oracle_node.cli.sources import import_source
from oracle_node.errors import ConfigError
from oracle_node.executors.reference import ReferenceExecutor


def network(path: Path, width: int | str = 4, dtype: int = TensorProto.FLOAT) -> Path:
    """y = relu(x) of so many values."""
    ends = [helper.make_tensor_value_info(end, dtype, [1, width]) for end in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
    return path


SAMPLES = Samples(np.float32([[1, -2, 3, 0.5], [0, 1, -1, 9]]), np.array([2, 3]))


def test_compare__with_its_source__has_small_errors(tmp_path: Path) -> None:
    source = network(tmp_path / "net.onnx")
    model = import_source(source)
    found = compare_with_source(model, ReferenceExecutor(model.tape), source, SAMPLES)
    assert found["samples"] == 2 and found["accuracy"] == found["top1_agreement"] == 1.0
    assert found["max_rel_error"] < 1e-3


@pytest.mark.parametrize(
    ("width", "dtype", "words"),
    [
        (6, TensorProto.FLOAT, r"1 × 6 = 6 elements, the samples have 4: not the model's source"),
        ("n", TensorProto.FLOAT, r"1 × n = 1 elements, the samples have 4"),
        (4, TensorProto.DOUBLE, "ONNX Runtime does not run it on the samples"),
    ],
)
def test_compare__with_a_network_of_other_inputs__is_one_clear_error(
    tmp_path: Path, width: int | str, dtype: int, words: str
) -> None:
    model = import_source(network(tmp_path / "net.onnx"))
    other = network(tmp_path / "other.onnx", width, dtype)
    with pytest.raises(ConfigError, match=words) as refused:
        compare_with_source(model, ReferenceExecutor(model.tape), other, SAMPLES)
    assert str(other) in str(refused.value)


def test_read_samples__of_an_npy__says_what_is_wanted(tmp_path: Path) -> None:
    np.save(tmp_path / "samples.npy", SAMPLES.values)
    with pytest.raises(ConfigError, match=r"not a numpy \.npz archive; `numpy\.savez") as refused:
        read_samples(tmp_path / "samples.npy")
    assert "context manager" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"PK", b"not numpy at all"])
def test_read_samples__of_anything_else__is_refused_in_our_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "samples.npz").write_bytes(content)
    with pytest.raises(ConfigError, match=r"not a numpy \.npz archive") as refused:
        read_samples(tmp_path / "samples.npz")
    assert "pickle" not in str(refused.value)


@pytest.mark.parametrize(
    ("array", "words"),
    [(np.array([[{}]], object), "Python objects"), (np.array([["a", "b"]]), "not numeric")],
)
def test_read_samples__of_no_numbers__is_refused(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.savez(tmp_path / "samples.npz", x=array)
    with pytest.raises(ConfigError, match=words):
        read_samples(tmp_path / "samples.npz")
