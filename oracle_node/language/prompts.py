"""What a language model's request and answer look like in bytes: token ids in, text out.

A request is i32: the most tokens wanted, then the prompt's tokens. A claim's witness is the answer's tokens, i32, its
output their text. Not here: how text becomes tokens (`tokenizer`), who writes the answer (`drafts`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oracle_node.errors import ConfigError, ModelError
from oracle_node.importers.gguf.file import GgufFile
from oracle_node.importers.gguf.text import Limits
from oracle_node.importers.gguf.vocabulary import Vocabulary, read_vocabulary
from oracle_node.model.directory import TOKENIZER
from oracle_node.model.model import Model
from oracle_node.model.solver import Claim

PROMPT = "prompt"
"""The card's `input.kind` of a language model."""
_HEADER = 1


@dataclass(frozen=True)
class Language:
    """A language model's vocabulary and limits, as its tape has them."""

    vocabulary: Vocabulary
    limits: Limits

    def request(self, prompt: Sequence[int], max_tokens: int | None = None) -> np.ndarray:
        """A request for at most `max_tokens` tokens after the prompt's, (n,) i32; ConfigError where it does not fit."""
        room = min(self.limits.answer, self.limits.context + 1 - len(prompt))
        if not prompt:
            raise ConfigError("a prompt needs at least one token")
        if room < 1:
            raise ConfigError(
                f"the prompt has {len(prompt)} tokens, the model takes {self.limits.context} at most"
            )
        wanted = room if max_tokens is None else max_tokens
        if not 1 <= wanted <= room:
            raise ConfigError(
                f"{wanted} tokens: after a prompt of {len(prompt)} this model gives 1 to {room}"
            )
        unknown = next((t for t in prompt if not 0 <= t < len(self.vocabulary.pieces)), None)
        if unknown is not None:
            raise ConfigError(
                f"there is no token {unknown}: the vocabulary has {len(self.vocabulary.pieces)}"
            )
        return np.asarray([wanted, *prompt], "<i4")

    def start(self) -> list[int]:
        """The shortest prompt: the start token, or ConfigError where the model has none."""
        if self.vocabulary.start is None:
            raise ConfigError("this model has no start token: a prompt must not be empty")
        return [self.vocabulary.start]

    def wanted(self, request: np.ndarray) -> int:
        """The most tokens that an answer to the request may have."""
        most = min(max(int(request[0]), 1), self.limits.answer)
        return min(most, self.limits.context + 2 - len(request))

    def is_complete(self, request: np.ndarray, tokens: Sequence[int]) -> bool:
        """Whether an answer ends with these tokens."""
        return bool(tokens) and (tokens[-1] in self.vocabulary.end or len(tokens) >= self.wanted(request))

    def text(self, request: np.ndarray, tokens: Sequence[int]) -> bytes:
        """What the tokens of an answer say after the request's prompt."""
        vocabulary = self.vocabulary
        said = b"".join(vocabulary.pieces[token] for token in tokens)
        if not (tokens and vocabulary.drops_leading_space and self._last(request) == vocabulary.start):
            return said
        return said[1:] if vocabulary.pieces[tokens[0]].startswith(b" ") else said

    def prompt(self, request: np.ndarray) -> list[int]:
        """The request's prompt as the model reads it: whoever asks may name tokens that do not exist."""
        last = len(self.vocabulary.pieces) - 1
        return [min(max(int(token), 0), last) for token in request[_HEADER:]]

    def _last(self, request: np.ndarray) -> int:
        """The prompt's last token as the tape compares it, which holds it to what a header may be, too."""
        return min(max(int(request[-1]), 0), max(len(self.vocabulary.pieces) - 1, self.limits.answer))

    def claim(self, request: np.ndarray, tokens: Sequence[int]) -> Claim:
        """The claim that the answer is these tokens."""
        text = np.frombuffer(self.text(request, tokens), np.uint8)
        return Claim(text, np.asarray(tokens, "<i4"))


def is_language(model: Model) -> bool:
    """Whether a model answers prompts."""
    return model.card.input.get("kind") == PROMPT


def card_input(limits: Limits) -> dict[str, Any]:
    """What a language model's card says of its input."""
    return {"kind": PROMPT, "context": limits.context, "answer": limits.answer}


def load_language(model: Model, directory: Path) -> Language:
    """The vocabulary in a model's directory; ModelError where it is not the model's, ConfigError for other models."""
    if not is_language(model):
        raise ConfigError(f"{directory}: {model.card.name} is no language model: it takes no prompt")
    with GgufFile.open(directory / TOKENIZER) as file:
        vocabulary = read_vocabulary(file)
    request, _, witness = model.tape.sources
    limits = Limits(request.max_elements - _HEADER, witness.max_elements)
    if limits.sources(vocabulary) != model.tape.sources:
        raise ModelError(f"{directory / TOKENIZER}: this is not the vocabulary of {model.card.name}")
    return Language(vocabulary, limits)


def prompt_request(
    model: Model, directory: Path, text: str, *, chat: bool = False, max_tokens: int | None = None
) -> bytes:
    """The request of a text, tokenised by the model's own tokenizer; an empty text is the start token alone."""
    from oracle_node.language.tokenizer import Tokenizer

    language = load_language(model, directory)
    with Tokenizer.open(directory / TOKENIZER) as tokenizer:
        tokens = tokenizer.chat(text) if chat else tokenizer.encode(text)
    return language.request(tokens or language.start(), max_tokens).tobytes()
