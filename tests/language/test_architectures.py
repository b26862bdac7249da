"""Small models of random weights, of every architecture: their logits are llama.cpp's, their ids do not move."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from oracle_node.bench.agreement import compare_with_llama
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.importers.gguf import import_gguf
from oracle_node.language.drafts import LlamaWriter
from oracle_node.language.prompts import Language, card_input
from oracle_node.model.model import Card, Model
from oracle_node.tape.analysis import analyse

pytest.importorskip("gguf")
pytest.importorskip("llama_cpp")
PROMPTS = [[1, 300, 301, 302], [1, 260], [*range(259, 299)]]


def write(path: Path, *options: str) -> Path:
    """A model by scripts/random_gguf.py."""
    script = Path(__file__).resolve().parents[2] / "scripts" / "random_gguf.py"
    specification = importlib.util.spec_from_file_location("random_gguf", script)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    arguments, sys.argv = sys.argv, [script.name, str(path), *options]
    try:
        assert module.main() == 0
    finally:
        sys.argv = arguments
    return path


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["F32", "F16"])
def test_logits__of_a_random_model__are_those_of_llama_cpp(
    tmp_path: Path, architecture: str, tied: bool, kind: str
) -> None:
    path = write(tmp_path / "model.gguf", "--type", kind, "--architecture", architecture, *["--tied"] * tied)
    imported = import_gguf(path, context=64, answer=8)
    model = Model.of(imported.tape, Card("random", input=card_input(imported.limits)))
    language = Language(imported.vocabulary, imported.limits)
    with LlamaWriter(path, 64, threads=1) as writer:
        found = compare_with_llama(model, OnnxExecutor(imported.tape), language, writer, PROMPTS)
    assert found["tokens"] == 8 * len(PROMPTS)
    # llama.cpp itself rounds activations to float16 where the weights are
    assert found["max_rel_error"] < {"F32": 1e-3, "F16": 3e-3}[kind]
    assert found["top1_agreement"] == 1.0


@pytest.mark.parametrize("kv_heads", [1, 4])
def test_import__one_head_of_keys_or_one_a_head__is_proved_causal(tmp_path: Path, kv_heads: int) -> None:
    imported = import_gguf(write(tmp_path / "model.gguf", "--kv-heads", str(kv_heads)), context=32)
    analyse(imported.tape)


def test_import__the_same_file_and_options__give_the_same_id(tmp_path: Path) -> None:
    path = write(tmp_path / "model.gguf")
    ids = {
        Model.of(import_gguf(path, weights=bits, context=context).tape, Card("random")).model_id
        for bits in (8, 15)
        for context in (32, 33, 32)
    }
    assert len(ids) == 4


@pytest.mark.parametrize("vocabulary", [512, 700])
def test_argmax__over_any_vocabulary__takes_the_lowest_of_equals(vocabulary: int) -> None:
    from oracle_node.executors import reference
    from oracle_node.importers.gguf.reductions import ARGMAX_BLOCK, argmax
    from oracle_node.tape.builder import TapeBuilder
    from oracle_node.tape.instruction import Source
    from oracle_node.tape.types import DType, SourceKind

    assert vocabulary > 2 * ARGMAX_BLOCK
    rng = np.random.default_rng(vocabulary)
    b = TapeBuilder(Source(DType.I8, 9 * vocabulary, 9 * vocabulary), Source(DType.I32, 9, 9))
    x = b.input(SourceKind.REQUEST, (9, vocabulary), -128, 127)
    tape = b.finish(argmax(b, x))
    rows = rng.integers(-3, 4, (9, vocabulary)).astype(np.int8)
    rows[3], rows[4, -1], rows[5, ARGMAX_BLOCK - 1 : ARGMAX_BLOCK + 1] = 0, 9, 9
    empty = np.zeros(0, np.uint8)
    sources = (rows.reshape(-1), np.zeros(9, np.int32), empty)
    found = dict(reference.run(tape, tape.symbols((rows.size, 9, 0)), sources))[tape.output]
    assert found.tolist() == rows.argmax(axis=1).tolist()
