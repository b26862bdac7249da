"""A language model as it lies on disk: imported by the command line, answered from without llama.cpp or gguf."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oracle_node.cli.sources import ImportOptions, import_into
from oracle_node.errors import ConfigError, ModelError
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.language.drafts import LookupWriter, ProposedText
from oracle_node.language.prompts import load_language
from oracle_node.model.directory import TOKENIZER, load_model, rewrite_card
from oracle_node.model.solver import solve
from tests.language.stories import FILES, START


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("gguf")
    pytest.importorskip("llama_cpp")
    if not FILES["q8_0"].exists():
        pytest.skip(f"needs ../shared/data/gguf/{FILES['q8_0'].name}")
    folder = tmp_path_factory.mktemp("models") / "stories"
    import_into(folder, FILES["q8_0"], ImportOptions(weights=8, context=64, answer=16))
    return folder


def test_answer__without_the_llm_extra__is_found_by_the_tape(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gguf", "llama_cpp"):
        monkeypatch.setitem(sys.modules, name, None)
    model = load_model(directory)
    language = load_language(model, directory)
    request = language.request([START], 6)
    draft = ProposedText(language, LookupWriter(), 4)
    answer = solve(model, OnnxExecutor(model.tape), request.tobytes(), draft)
    assert answer.output == b"Once upon a time, there"
    assert np.frombuffer(answer.witness, "<i4").size == 6


def test_import__of_a_language_model__writes_what_its_limits_say(directory: Path) -> None:
    model = load_model(directory)
    assert model.card.input == {"kind": "prompt", "context": 64, "answer": 16}
    assert [s.max_elements for s in model.tape.sources] == [65, 16 * 7, 16]
    assert model.card.origin.startswith("sha256:")


def test_record__of_an_agreement__changes_the_card_and_not_the_id(directory: Path) -> None:
    before = load_model(directory)
    rewrite_card(directory, measured={"top1_agreement": 1.0})
    after = load_model(directory)
    assert after.card == replace(before.card, measured={"top1_agreement": 1.0})
    assert after.model_id == before.model_id


def test_load__with_the_vocabulary_of_another_model__is_refused(directory: Path, tmp_path: Path) -> None:
    from oracle_node.language.tokenizer import write_vocabulary
    from tests.language.test_architectures import write

    other = tmp_path / "other"
    other.mkdir()
    for file in directory.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    write_vocabulary(write(tmp_path / "random.gguf"), other / TOKENIZER)
    with pytest.raises(ModelError, match="this is not the vocabulary of stories260K"):
        load_language(load_model(other), other)


def test_load__of_a_model_that_takes_no_prompt__is_refused(tmp_path: Path, repository: Path) -> None:
    import_into(tmp_path / "digits", repository / "models/digits/digits.onnx", ImportOptions())
    with pytest.raises(ConfigError, match="is no language model"):
        load_language(load_model(tmp_path / "digits"), tmp_path / "digits")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ImportOptions(context=1000), "a context of 1000 tokens: the model was made for 1…512"),
        (ImportOptions(context=16, answer=17), "answers of 17 tokens: the context allows 1…16"),
        (ImportOptions(outputs=("y",)), "--outputs is not for .gguf files"),
    ],
)
def test_import__with_options_that_do_not_fit__says_why(
    tmp_path: Path, options: ImportOptions, message: str
) -> None:
    if not FILES["q8_0"].exists():
        pytest.skip(f"needs ../shared/data/gguf/{FILES['q8_0'].name}")
    pytest.importorskip("gguf")
    with pytest.raises(ConfigError, match=message):
        import_into(tmp_path / "model", FILES["q8_0"], options)
    assert list((tmp_path / "model").iterdir()) == []
