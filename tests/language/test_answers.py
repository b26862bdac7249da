"""Answers of a trained model: the published text, the same whoever drafts, and nothing else passes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from oracle_node.errors import ConfigError
from oracle_node.game.judge import judge
from oracle_node.language.drafts import LookupWriter
from oracle_node.players.actors import knowledge_of
from tests.conftest import SHARED_DATA
from tests.language.stories import START, Stories, llama, stories

TOKENS = 24


@dataclass(frozen=True)
class Said:
    """A request, and a claim about it."""

    request: np.ndarray
    tokens: list[int]
    text: bytes

    def is_right(self, model: Stories) -> bool:
        witness = np.asarray(self.tokens, "<i4").tobytes()
        return judge(
            knowledge_of(model.model, model.executor, self.request.tobytes(), self.text, witness)
        ).is_right


def told(model: Stories, prompt: list[int], tokens: int = TOKENS) -> Said:
    """The true answer."""
    answer, _ = model.tell(prompt, tokens, llama())
    return Said(
        model.language.request(prompt, tokens), np.frombuffer(answer.witness, "<i4").tolist(), answer.output
    )


def test_answer__to_the_start_token__is_the_published_text() -> None:
    model = stories()
    answer, draft = model.tell([START], 200, llama())
    published = (SHARED_DATA / "text/stories260K_greedy_200.txt").read_bytes()
    assert answer.output == published and len(answer.witness) == 4 * 200
    assert draft.corrected_tokens == 0


def test_answer__by_lookup_or_by_llama__is_the_same() -> None:
    model = stories("q8_0")
    by_llama, draft = model.tell([START, 403], TOKENS, llama("q8_0"), first=8)
    by_lookup, _ = model.tell([START, 403], TOKENS, LookupWriter(), first=4)
    assert (by_llama.output, by_llama.witness) == (by_lookup.output, by_lookup.witness)
    assert by_llama.passes < by_lookup.passes
    assert draft.proposed_tokens >= TOKENS


def test_answer__with_two_threads__is_the_same() -> None:
    one, two = (stories("q8_0", threads=threads).tell([START], 12, llama("q8_0"))[0] for threads in (1, 2))
    assert (one.output, one.witness) == (two.output, two.witness)


@pytest.mark.parametrize("kind", ["f32", "q8_0"])
def test_logits__beside_llama_cpp__are_near(kind: str) -> None:
    model = stories(kind)
    said, writer = told(model, [START, 403], 16), llama(kind)
    tape, prompt = model.model.tape, [START, 403]
    shape = (len(said.tokens), len(model.vocabulary.pieces))
    sources = model.model.sources(said.request.tobytes(), said.text, np.asarray(said.tokens, "<i4").tobytes())
    symbols = model.model.symbols(sources)
    logits = max(
        i for i, step in enumerate(tape.instructions)
        if step.concrete_shape(symbols) == shape and step.dtype.kind == "float"
    )  # fmt: skip
    ours = model.executor.run(symbols, sources, [logits])[logits]
    theirs = np.empty(shape, np.float32)
    for row in range(len(said.tokens)):
        writer.read(prompt + said.tokens[:row])
        theirs[row] = writer.logits()
    # llama.cpp itself rounds activations to 8 bits where the weights are quantised
    assert np.abs(ours - theirs).max() < {"f32": 1e-3, "q8_0": 3e-2}[kind] * np.abs(theirs).max()


def test_judge__of_claims_about_a_story__accepts_the_true_one_only() -> None:
    model = stories()
    true = told(model, [START])
    language, request, tokens = model.language, true.request, true.tokens
    assert true.is_right(model)
    wrong = [*tokens[:9], (tokens[9] + 1) % 512, *tokens[10:]]
    lies = {
        "another token": Said(request, wrong, language.text(request, wrong)),
        "another byte": Said(request, tokens, true.text[:-1] + b"?"),
        "a byte too few": Said(request, tokens, true.text[:-1]),
        "a byte too many": Said(request, tokens, true.text + b" "),
        "cut short": Said(request, tokens[:-1], language.text(request, tokens[:-1])),
        "only text": Said(request, tokens[:1], true.text),
        "no text": Said(request, tokens, b""),
        "the space kept": Said(request, tokens, b" " + true.text),
    }
    longer = told(model, [START], TOKENS + 1)
    lies["too long"] = Said(request, longer.tokens, longer.text)
    ended = [*tokens[:5], min(model.vocabulary.end)]
    lies["an end of its own"] = Said(request, ended, language.text(request, ended))
    assert {name for name, lie in lies.items() if lie.is_right(model)} == set()


def test_judge__of_another_length_asked_for__accepts_that_length() -> None:
    model = stories()
    assert told(model, [START], 1).is_right(model)
    assert len(told(model, [START], 1).tokens) == 1


@pytest.mark.parametrize(
    ("prompt", "tokens", "message"),
    [
        ([], 5, "at least one token"),
        ([START], 300, r"300 tokens: after a prompt of 1 this model gives 1 to 256"),
        ([START], 0, "0 tokens"),
        ([512], 5, "there is no token 512"),
        ([START] * 513, None, "the prompt has 513 tokens, the model takes 512"),
    ],
)
def test_request__that_does_not_fit__says_why(prompt: list[int], tokens: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        stories().language.request(prompt, tokens)


@pytest.mark.slow
def test_drafts__of_ten_stories__need_no_correction() -> None:
    """More than a thousand greedy tokens: the tape chooses what llama.cpp in float32 does."""
    model, said = stories(), 0
    for first in (START, *range(262, 314, 6)):
        answer, draft = model.tell([START, first] if first != START else [START], 110, llama())
        assert draft.corrected_tokens == 0, first
        said += len(answer.witness) // 4
    assert said >= 1000


class Broken:
    """A writer that fails, or names tokens that do not exist."""

    def __init__(self, fails: bool) -> None:
        self._fails = fails

    def continued(self, tokens: Sequence[int], most: int, end: frozenset[int]) -> list[int]:
        if self._fails:
            raise RuntimeError("llama_decode returned -1")
        return [10**6] * most


@pytest.mark.parametrize("fails", [True, False])
def test_answer__with_a_draft_that_breaks__is_the_same(fails: bool) -> None:
    model = stories("q8_0")
    by_lookup, _ = model.tell([START], 5, LookupWriter(), first=4)
    by_broken, _ = model.tell([START], 5, Broken(fails), first=4)
    assert (by_broken.output, by_broken.witness) == (by_lookup.output, by_lookup.witness)
