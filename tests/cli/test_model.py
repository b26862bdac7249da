"""`oracle-node model`: the digits model from its ONNX file to answers, and every way to call it wrongly."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from oracle_node.shipped import shipped
from tests.cli.running import Cli

DIGITS = shipped("digits")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped classifier as a model directory."""
    from oracle_node.cli.sources import import_source
    from oracle_node.model.directory import save_model

    folder = tmp_path_factory.mktemp("models") / "digits"
    save_model(import_source(DIGITS.source), folder)
    return folder


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The URL of a folder."""
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    """Logs nothing."""

    def log_message(self, *_: object) -> None:
        return


def _one_node(folder: Path, kind: str, name: str) -> Path:
    """A network of one node."""
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, 4]) for end in ("x", "y")]
    graph = helper.make_graph([helper.make_node(kind, ["x"], ["y"], name=name)], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), folder / "net.onnx")
    return folder / "net.onnx"


def test_import__digits__reports_what_inspect_finds(oracle: Cli, tmp_path: Path) -> None:
    imported = oracle("model", "import", DIGITS.source, "--out", tmp_path / "m", "--weights", "8", "--json")
    inspected = oracle("model", "inspect", tmp_path / "m", "--json")
    assert (imported.code, inspected.code) == (0, 0)
    keys = {
        "model_id",
        "tape_root",
        "weights_root",
        "instructions",
        "ops",
        "max_step_bytes",
        "inputs",
        "answer",
    }
    assert keys <= inspected.json.keys()
    shared = imported.json.keys() & inspected.json.keys()
    assert {k: imported.json[k] for k in shared} == {k: inspected.json[k] for k in shared}
    assert inspected.json["max_step_bytes"] <= 12 * 1024


def test_import__onto_a_model__is_refused_unless_forced(oracle: Cli, tmp_path: Path) -> None:
    arguments = ("model", "import", DIGITS.source, "--out", tmp_path / "m", "--json")
    first = oracle(*arguments).json["model_id"]
    refused = oracle(*arguments, "--weights", "8")
    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert "--force" in refused.err and str(tmp_path / "m") in refused.err
    assert oracle("model", "inspect", tmp_path / "m", "--json").json["model_id"] == first
    replaced = oracle(*arguments, "--weights", "8", "--force").json["model_id"]
    assert oracle("model", "inspect", tmp_path / "m", "--json").json["model_id"] == replaced != first


def test_import__same_file_twice__gives_the_same_id(oracle: Cli, tmp_path: Path, digits: Path) -> None:
    again = oracle("model", "import", DIGITS.source, "--out", tmp_path / "m", "--json").json["model_id"]
    assert oracle("model", "verify", again, digits, "--json").json == {"model_id": again, "verified": True}


@pytest.mark.parametrize("digit", [0, 3, 7])
def test_run__a_held_out_digit__is_recognised(oracle: Cli, digits: Path, digit: int) -> None:
    ran = oracle("model", "run", digits, "--input", DIGITS.sample(digit), "--json")
    assert ran.code == 0
    assert ran.json["argmax"] == digit
    values = np.frombuffer(bytes.fromhex(ran.json["output"][2:]), "<f4")
    assert values.tolist() == ran.json["values"]
    assert ran.json["witness"] == "0x"
    assert ran.json["seconds"] > 0


def test_run__with_trace__is_the_same_by_both_executors(oracle: Cli, digits: Path) -> None:
    arguments = ("model", "run", digits, "--input", DIGITS.sample(4), "--trace", "--json", "--executor")
    fast, slow = (oracle(*arguments, executor).json for executor in ("onnx", "reference"))
    assert fast["output"] == slow["output"]
    assert fast["trace_root"] == slow["trace_root"]


def test_compare__held_out_split__keeps_the_classes(oracle: Cli, digits: Path) -> None:
    arguments = ("--source", DIGITS.source, "--inputs", DIGITS.folder / "test.npz", "--limit", 60, "--json")
    found = oracle("model", "compare", digits, *arguments).json
    assert found["samples"] == 60
    assert found["top1_agreement"] == 1.0
    assert found["max_rel_error"] < 1e-2


def test_selftest__digits__all_executors_agree(oracle: Cli, digits: Path) -> None:
    found = oracle("model", "selftest", digits, "--elements", 200, "--json").json
    assert found["mismatches"] == 0
    assert found["elements_checked"] >= 200
    assert found["run_elements"] > 0 and found["padding_elements"] > 0
    assert set(found["by_opcode"]) >= {"INPUT", "CONST", "MAP", "MATMUL"}


def test_verify__another_id__fails_and_names_both(oracle: Cli, digits: Path) -> None:
    ran = oracle("model", "verify", "0x" + "11" * 32, digits)
    assert ran.code == 1
    assert "0x" + "11" * 32 in ran.err


def test_inspect__for_people__shows_the_id_and_no_json(oracle: Cli, digits: Path) -> None:
    ran = oracle("model", "inspect", digits)
    assert ran.code == 0
    assert "model id" in ran.out
    assert "{" not in ran.out


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "net.onnx"), (b"not a protobuf at all", "net.onnx"), (b"\x08\x08\x12\x04pyto", "net.onnx")],
    ids=["empty", "text", "truncated"],
)
def test_import__not_an_onnx_file__is_one_line(
    oracle: Cli, tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "net.onnx").write_bytes(content)
    ran = oracle("model", "import", tmp_path / "net.onnx", "--out", tmp_path / "m")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert words in ran.err
    assert not (tmp_path / "m" / "model.json").exists()


def test_import__digits_cut_short__is_one_line(oracle: Cli, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(DIGITS.source.read_bytes()[:-1000])
    ran = oracle("model", "import", tmp_path / "net.onnx", "--out", tmp_path / "m")
    assert (ran.code, ran.err.count("\n")) == (1, 1)


def test_import__unknown_operator__names_it_and_its_node(oracle: Cli, tmp_path: Path) -> None:
    ran = oracle("model", "import", _one_node(tmp_path, "Acosh", "the_odd_one"), "--out", tmp_path / "m")
    assert ran.code == 1
    assert "Acosh" in ran.err
    assert "the_odd_one" in ran.err


@pytest.mark.parametrize(("name", "words"), [("x.gguf", "GGUF"), ("x.pt", "no importer for .pt")])
def test_import__other_formats__say_what_can_be_done(
    oracle: Cli, tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / name).write_bytes(b"data")
    ran = oracle("model", "import", tmp_path / name, "--out", tmp_path / "m")
    assert ran.code == 1
    assert words in ran.err


def test_run__input_of_the_wrong_length__names_both_lengths(
    oracle: Cli, digits: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "short.npy", np.zeros(63, np.float32))
    ran = oracle("model", "run", digits, "--input", tmp_path / "short.npy")
    assert ran.code == 1
    assert "63 elements, the model takes 64" in ran.err


def test_inspect__directory_that_is_no_model__is_one_line(oracle: Cli, tmp_path: Path) -> None:
    ran = oracle("model", "inspect", tmp_path)
    assert (ran.code, ran.err.count("\n")) == (1, 1)


def test_inspect__one_weight_changed__is_refused(oracle: Cli, digits: Path, tmp_path: Path) -> None:
    for path in digits.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = bytearray((tmp_path / "weights.bin").read_bytes())
    weights[0] ^= 1
    (tmp_path / "weights.bin").write_bytes(weights)
    ran = oracle("model", "inspect", tmp_path)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "corrupt" in ran.err


def test_fetch__from_a_server__verified_under_its_id(oracle: Cli, digits: Path, tmp_path: Path) -> None:
    model_id = oracle("model", "inspect", digits, "--json").json["model_id"]
    with serving(digits) as url:
        fetched = oracle("model", "fetch", url, "--model-id", model_id, "--out", tmp_path / "here", "--json")
        other = oracle("model", "fetch", f"{url}#0x{'11' * 32}", "--out", tmp_path / "other")
    assert fetched.json["model_id"] == model_id
    assert oracle("model", "inspect", tmp_path / "here", "--json").json["model_id"] == model_id
    assert (other.code, other.out, other.err.count("\n")) == (1, "", 1)
    assert f"there lies model {model_id}" in other.err
    assert not (tmp_path / "other").exists()
