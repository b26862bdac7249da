"""scripts/random_gguf.py: models that are whole, of the shape and spread asked for, and that llama.cpp runs."""

import importlib.util
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("gguf", reason="needs the extra llm")
pytest.importorskip("llama_cpp", reason="needs the extra llm")

import llama_cpp

from oracle_node.importers.gguf.file import GgufFile
from oracle_node.importers.gguf.hyperparameters import read_hyperparameters, require_tensors
from oracle_node.importers.gguf.vocabulary import read_vocabulary
from oracle_node.language.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "scripts" / "random_gguf.py"
    specification = importlib.util.spec_from_file_location("random_gguf", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def make(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """make(options…): the model that the script writes."""

    def run(*options: str, name: str = "model.gguf") -> Path:
        path = tmp_path / name
        monkeypatch.setattr(sys, "argv", ["random_gguf.py", str(path), *options])
        assert script.main() == 0
        return path

    return run


@pytest.mark.parametrize("kind", ["Q8_0", "F16", "F32"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("tied", [False, True])
def test_write__every_kind__is_a_whole_model(
    make: Callable[..., Path], kind: str, architecture: str, tied: bool
) -> None:
    path = make("--type", kind, "--architecture", architecture, *["--tied"] * tied)
    with GgufFile.open(path) as file:
        h = read_hyperparameters(file)
        require_tensors(file, h)
        read_vocabulary(file)
        assert (h.layers, h.width, h.vocabulary_size) == (2, 64, 512)
        assert (h.architecture, h.tied_output) == (architecture, tied)
        assert h.has_attention_bias == (architecture == "qwen2")
        assert file.type_name("blk.1.ffn_down.weight") == kind
        assert set(file.vector("blk.1.ffn_norm.weight")) == {1.0}
        for name, deviation in (("token_embd.weight", 0.6 * 2**0.5), ("blk.0.ffn_down.weight", 192**-0.5)):
            weights = file.rows(name, 0, 64)
            assert weights.std() == pytest.approx(deviation, rel=0.1)
            assert abs(weights.mean()) < 0.1 * deviation


@pytest.mark.parametrize("kind", ["Q8_0", "F16", "F32"])
def test_write__an_output_matrix__lets_every_word_follow_one_other(
    make: Callable[..., Path], script: ModuleType, kind: str
) -> None:
    with GgufFile.open(make("--type", kind)) as file:
        embedding, output = (file.rows(name, 0, 512) for name in ("token_embd.weight", "output.weight"))
    first, words = script.FIRST_WORD, 512 - script.FIRST_WORD
    best = (embedding @ output.T).argmax(axis=1)[first:]
    assert (best == first + (np.arange(words) + script.STRIDE) % words).all()
    assert not output[:first].any()


def test_write__the_same_seed__gives_the_same_bytes(make: Callable[..., Path]) -> None:
    first, second = make(name="first.gguf"), make(name="second.gguf")
    assert first.read_bytes() == second.read_bytes()
    assert make("--seed", "1", name="other.gguf").read_bytes() != first.read_bytes()


@pytest.mark.parametrize("options", [(), ("--architecture", "qwen2", "--type", "F32", "--tied")])
def test_write__a_tiny_model__runs_in_llama_cpp(make: Callable[..., Path], options: tuple[str, ...]) -> None:
    with closing(llama_cpp.Llama(str(make(*options)), n_ctx=64, n_threads=1, verbose=False)) as llama:
        prompt = llama.tokenize(b"babo kudi")
        found = [token for token, _ in zip(llama.generate(prompt, top_k=1), range(16), strict=False)]
    assert len(found) == 16
    assert all(0 <= token < 512 for token in found)


def test_write__made_up_words__are_tokens_of_their_own(make: Callable[..., Path]) -> None:
    with Tokenizer.open(make()) as tokenizer:
        pieces = tokenizer.vocabulary.pieces
        words = [(token, piece) for token, piece in enumerate(pieces) if len(piece) > 2 and piece[:1] == b" "]
        assert len(words) > 50
        for token, piece in words:
            assert tokenizer.encode(piece[1:].decode(), add_start=False) == [token]


def test_write__a_vocabulary_of_another_file__is_copied(
    make: Callable[..., Path], shared_data: Callable[[str], Path]
) -> None:
    source = shared_data("gguf/stories260K-f32.v3.gguf")
    with GgufFile.open(make("--vocabulary", str(source))) as file, GgufFile.open(source) as original:
        h = read_hyperparameters(file)
        require_tensors(file, h)
        assert (h.vocabulary_size, h.ffn_width) == (512, 192)
        assert read_vocabulary(file) == read_vocabulary(original)
        np.testing.assert_array_equal(*(f.array("tokenizer.ggml.scores") for f in (file, original)))


def test_main__a_vocabulary_that_is_none__is_one_line(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = tmp_path / "absent.gguf"
    monkeypatch.setattr(
        sys, "argv", ["random_gguf.py", str(tmp_path / "x.gguf"), "--vocabulary", str(absent)]
    )
    assert script.main() == 1
    assert capsys.readouterr().err == f"{absent}: cannot be read (No such file or directory)\n"


def test_words__the_largest_vocabularies__are_distinct(script: ModuleType) -> None:
    words = [word for word, _ in zip(script.words(), range(32000), strict=False)]
    assert len(set(words)) == 32000
