"""Wrong answers of a language model, one of every kind that a claimant could try; for benches and tests."""

from collections.abc import Callable, Sequence

import numpy as np

from oracle_node.language.prompts import Language
from oracle_node.model.solver import Claim

LIES = ("token", "byte", "stop", "short", "long", "cut")
"""What is wrong: a token, a byte of the text, an end too early, a token too few or too many, text that is missing."""
Tokens = list[int]
Longer = Callable[[int], Tokens]
"""The model's own answer of that many tokens."""


def _another(language: Language, token: int) -> int:
    """A token that says something and ends nothing."""
    vocabulary = language.vocabulary
    said = [t for t, piece in enumerate(vocabulary.pieces) if piece and t not in vocabulary.end]
    return said[(said.index(token) + 1) % len(said)] if token in said else said[0]


def lies(language: Language, request: np.ndarray, tokens: Sequence[int], longer: Longer) -> dict[str, Claim]:
    """Claims by what is wrong with them, made from the true answer's tokens (two at least, which say something)."""
    true, text = list(tokens), language.text(request, list(tokens))
    middle = len(true) // 2
    wrong = [*true[:middle], _another(language, true[middle]), *true[middle + 1 :]]
    ended = [*true[:middle], min(language.vocabulary.end)]

    def saying(said: bytes) -> Claim:
        return Claim(np.frombuffer(said, np.uint8), np.asarray(true, "<i4"))

    place = len(text) // 2
    return {
        "token": language.claim(request, wrong),
        "byte": saying(text[:place] + bytes([text[place] ^ 1]) + text[place + 1 :]),
        "stop": language.claim(request, ended),
        "short": language.claim(request, true[:-1]),
        "long": language.claim(request, longer(len(true) + 1)),
        "cut": saying(text[:-1]),
    }
