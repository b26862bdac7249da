"""Language models on the command line: who drafts their answers, and wrong ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from oracle_node.errors import ConfigError
from oracle_node.executors.base import Executor
from oracle_node.language.drafts import LOOKUP_TOKENS, LlamaWriter, LookupWriter, ProposedText
from oracle_node.language.lies import lies
from oracle_node.language.prompts import is_language, load_language
from oracle_node.model.model import Model
from oracle_node.model.solver import Claim, solve


@contextmanager
def drafting(
    model: Model, directory: Path, gguf: Path | None, threads: int = 0
) -> Iterator[ProposedText | None]:
    """A draft for the model's answers: llama.cpp's with a GGUF file, else a lookup; None where answers are no text."""
    if not is_language(model):
        if gguf is not None:
            raise ConfigError(f"{directory}: only language models are drafted for")
        yield None
        return
    language = load_language(model, directory)
    if gguf is None:
        yield ProposedText(language, LookupWriter(), LOOKUP_TOKENS)
        return
    with LlamaWriter(gguf, language.limits.context, threads) as writer:
        yield ProposedText(language, writer)


def wrong_claims(
    model: Model, directory: Path, executor: Executor, request: bytes, draft: ProposedText | None
) -> dict[str, Claim]:
    """One wrong answer of every kind to a prompt; ConfigError for models that take none."""
    language = load_language(model, directory)
    asked = np.frombuffer(request, "<i4")

    def answer(count: int) -> list[int]:
        wanted = language.request(asked[1:].tolist(), count).tobytes()
        tokens: list[int] = np.frombuffer(solve(model, executor, wanted, draft).witness, "<i4").tolist()
        return tokens

    return lies(language, asked, answer(int(asked[0])), answer)
