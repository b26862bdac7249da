"""The trained story model of 260,000 parameters, imported once a process."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import pytest

from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.importers.gguf import import_gguf
from oracle_node.importers.gguf.text import Limits
from oracle_node.importers.gguf.vocabulary import Vocabulary
from oracle_node.language.drafts import LlamaWriter, ProposedText, Writer
from oracle_node.language.prompts import Language, card_input
from oracle_node.model.model import Card, Model
from oracle_node.model.solver import Answer, solve
from tests.conftest import SHARED_DATA

FILES = {
    "f32": SHARED_DATA / "gguf/stories260K-f32.v3.gguf",
    "q8_0": SHARED_DATA / "gguf/stories260K-q8_0.v3.gguf",
}
START = 1


@dataclass(frozen=True)
class Stories:
    """The model, ready to run on one thread."""

    model: Model
    language: Language
    executor: OnnxExecutor

    @property
    def vocabulary(self) -> Vocabulary:
        return self.language.vocabulary

    def tell(
        self, prompt: list[int], tokens: int, writer: Writer, first: int = 32
    ) -> tuple[Answer, ProposedText]:
        """The answer to a prompt, and the draft that was asked for it."""
        draft = ProposedText(self.language, writer, first)
        request = self.language.request(prompt, tokens).tobytes()
        return solve(self.model, self.executor, request, draft), draft


@cache
def stories(kind: str = "f32", weights: Literal[8, 15] = 15, threads: int = 1) -> Stories:
    """The model of that file; skips where the test data is absent."""
    path = FILES[kind]
    if not path.exists():
        pytest.skip(f"needs ../shared/data/gguf/{path.name}, test data that the repository does not ship")
    pytest.importorskip("gguf")
    imported = import_gguf(path, weights=weights)
    limits: Limits = imported.limits
    model = Model.of(imported.tape, Card(path.stem, input=card_input(limits), answer={"kind": "text"}))
    return Stories(model, Language(imported.vocabulary, limits), OnnxExecutor(imported.tape, threads))


@cache
def llama(kind: str = "f32") -> LlamaWriter:
    """llama.cpp with the same file."""
    pytest.importorskip("llama_cpp")
    return LlamaWriter(FILES[kind], 512, threads=1)
