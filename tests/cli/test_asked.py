"""What a model is asked on the command line: images, rows, sentences and several inputs, by its card; and cards."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from oracle_node.shipped import shipped
from tests.cli.running import Cli

DIGITS = shipped("digits")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "##ly"]


def _network(path: Path, nodes: list[onnx.NodeProto], inputs: dict[str, tuple[int, list[int]]]) -> Path:
    ends = [helper.make_tensor_value_info(name, *end) for name, end in inputs.items()]
    out = helper.make_empty_tensor_value_info("y")
    graph = onnx.shape_inference.infer_shapes(
        helper.make_model(
            helper.make_graph(nodes, "g", ends, [out]),
            opset_imports=[helper.make_opsetid("", 18)],
            ir_version=9,
        )
    )
    onnx.save(graph, path)
    return path


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from oracle_node.cli.sources import import_digits
    from oracle_node.model.directory import save_model

    folder = tmp_path_factory.mktemp("models") / "digits"
    save_model(import_digits(), folder)
    return folder


@pytest.fixture
def seven(tmp_path: Path) -> Path:
    """A held-out 7 as an image file of 24×24 pixels, white 255."""
    pixels = np.load(DIGITS.sample(7)).reshape(8, 8) * (255 / 16)
    Image.fromarray(pixels.round().astype(np.uint8)).resize((24, 24), Image.Resampling.NEAREST).save(
        tmp_path / "seven.png"
    )
    return tmp_path / "seven.png"


def test_run__an_image_file__is_seen_as_the_array_is(oracle: Cli, digits: Path, seven: Path) -> None:
    by_image = oracle("model", "run", digits, "--input", seven, "--json").json
    by_array = oracle("model", "run", digits, "--input", DIGITS.sample(7), "--json").json
    assert by_image["argmax"] == by_array["argmax"] == 7
    assert by_image["best"]["7"] == pytest.approx(by_array["best"]["7"], abs=0.05)


def test_run__two_inputs__by_name_or_in_one_archive(oracle: Cli, tmp_path: Path) -> None:
    node = helper.make_node("Sub", ["left", "right"], ["y"])
    source = _network(
        tmp_path / "net.onnx", [node], {"left": (TensorProto.FLOAT, [2]), "right": (TensorProto.FLOAT, [2])}
    )
    assert oracle("model", "import", source, "--out", tmp_path / "m").code == 0
    np.save(tmp_path / "a.npy", np.float32([5, 6]))
    np.save(tmp_path / "b.npy", np.float32([1, 4]))
    np.savez(tmp_path / "both.npz", right=[1, 4], left=[5, 6])
    a, b = f"left={tmp_path / 'a.npy'}", f"right={tmp_path / 'b.npy'}"
    named = oracle("model", "run", tmp_path / "m", "--input", b, "--input", a, "--json")
    archive = oracle("model", "run", tmp_path / "m", "--input", tmp_path / "both.npz", "--json")
    assert named.json["values"] == archive.json["values"] == [4, 2]
    twice = oracle("model", "run", tmp_path / "m", "--input", a, "--input", a)
    assert (twice.code, "twice for one input" in twice.err) == (2, True)
    lacking = oracle("model", "run", tmp_path / "m", "--input", a)
    assert (lacking.code, "no input 'right'" in lacking.err) == (1, True)


def test_run__a_sentence__goes_through_the_models_tokenizer(oracle: Cli, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["masked"]),
        helper.make_node("Neg", ["masked"], ["y"]),
    ]
    ends = {name: (TensorProto.INT64, [1, 6]) for name in ("input_ids", "attention_mask")}
    source = _network(tmp_path / "net.onnx", nodes, ends)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    imported = oracle(
        "model", "import", source, "--out", tmp_path / "m", "--tokenizer", tmp_path / "vocab.txt"
    )
    assert imported.code == 0, imported.err
    ran = oracle("model", "run", tmp_path / "m", "--text", "Badly good", "--json")
    assert ran.json["values"] == [-2, -6, -7, -5, -3, 0]


def test_import__a_tokenizer_for_no_text__is_refused(oracle: Cli, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    node = helper.make_node("Add", ["left", "right"], ["y"])
    ends = {name: (TensorProto.INT64, [2]) for name in ("left", "right")}
    source = _network(tmp_path / "net.onnx", [node], ends)
    ran = oracle("model", "import", source, "--out", tmp_path / "m", "--tokenizer", tmp_path / "vocab.txt")
    assert (ran.code, "no input 'input_ids', but left, right" in ran.err) == (1, True)
    assert not list((tmp_path / "m").iterdir())


def test_card__with_columns_and_labels__is_what_run_goes_by(oracle: Cli, tmp_path: Path) -> None:
    node = helper.make_node("Neg", ["x"], ["y"])
    source = _network(tmp_path / "net.onnx", [node], {"x": (TensorProto.FLOAT, [1, 2])})
    before = oracle("model", "import", source, "--out", tmp_path / "m", "--json").json
    card = {
        "license": "MIT",
        "input": {"kind": "table", "name": "x", "shape": [1, 2], "columns": [{"name": "a"}, {"name": "b"}]},
        "answer": {"kind": "classes", "name": "y", "labels": ["low", "high"]},
    }
    (tmp_path / "card.json").write_text(json.dumps(card))
    changed = oracle("model", "card", tmp_path / "m", "--set", tmp_path / "card.json", "--json")
    assert changed.json["license"] == "MIT" and changed.json["name"] == "net"
    assert oracle("model", "card", tmp_path / "m", "--json").json == changed.json
    (tmp_path / "row.csv").write_text("b,a\n3,4\n")
    ran = oracle("model", "run", tmp_path / "m", "--input", tmp_path / "row.csv", "--json").json
    assert (ran["values"], ran["label"]) == ([-4, -3], "high")
    assert oracle("model", "inspect", tmp_path / "m", "--json").json["model_id"] == before["model_id"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "a JSON object is needed"),
        ('{"model_id": "0x"}', "a JSON object is needed"),
        ('{"answer": []}', "JSON objects"),
        ('{"name": 5}', "name"),
        ('{"input": {"kind": "table", "columns": [{"name": "a"}], "shape": [9]}}', "9 numbers and 1 columns"),
    ],
)
def test_card__that_is_none__changes_nothing(
    oracle: Cli, digits: Path, tmp_path: Path, text: str, words: str
) -> None:
    before = oracle("model", "card", digits, "--json").json
    (tmp_path / "card.json").write_text(text)
    ran = oracle("model", "card", digits, "--set", tmp_path / "card.json")
    assert (ran.code, ran.err.count("\n"), words in ran.err) == (1, 1, True), ran.err
    assert oracle("model", "card", digits, "--json").json == before


def test_import__of_a_network__measures_it_unless_told_not_to(oracle: Cli, tmp_path: Path) -> None:
    arguments = ("model", "import", DIGITS.source, "--json", "--image-max", 16)
    measured = oracle(*arguments, "--out", tmp_path / "a").json
    assert measured["measured"]["cosine"] > 0.9999 and measured["measured"]["time_ratio"] > 0
    assert oracle("model", "card", tmp_path / "a", "--json").json["measured"] == measured["measured"]
    plain = oracle(*arguments, "--out", tmp_path / "b", "--no-measure").json
    assert plain["measured"] == {} and plain["model_id"] == measured["model_id"]


def test_compare__without_inputs__draws_some_and_may_record_them(oracle: Cli, tmp_path: Path) -> None:
    assert oracle("model", "import", DIGITS.source, "--out", tmp_path / "m", "--no-measure").code == 0
    found = oracle(
        "model", "compare", tmp_path / "m", "--source", DIGITS.source, "--limit", 3, "--record", "--json"
    ).json
    assert found["samples"] == 3 and found["cosine"] > 0.999
    assert oracle("model", "card", tmp_path / "m", "--json").json["measured"] == {**found, "inputs": "random"}
