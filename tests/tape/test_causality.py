"""A toy language model with attention is proved to have one answer; every way of looking ahead is refused."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from oracle_node.errors import AdmissionError
from oracle_node.executors import reference
from oracle_node.tape.affine import Affine
from oracle_node.tape.analysis import analyse
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Inequality, Reducer, Source, Tape
from oracle_node.tape.types import DType, SourceKind
from oracle_node.tape.view import View

P, M, W = (Affine.symbol(kind) for kind in SourceKind)
LIMIT, VOCABULARY, WIDTH = 12, 11, 4


@dataclass(frozen=True)
class Model:
    """The choices that a sound model makes; each test changes one."""

    reads_last: bool = False
    mask: Callable[[View, View], tuple[View, View]] = lambda now, then: (then, now)
    masked_score: int = -(10**6)
    hides_weights: bool = True
    scale_of_all: bool = False
    shares_text: bool = False
    ok_counts: bool = True

    def build(self) -> Tape:
        rng = np.random.default_rng(3)
        b = TapeBuilder(
            Source(DType.I32, 1, LIMIT), Source(DType.U8, 1, LIMIT), Source(DType.I32, 1, LIMIT),
            inequalities=[Inequality((1, 0, 1), LIMIT + 1)],
        )  # fmt: skip
        prompt = b.input(SourceKind.REQUEST, (P,), 0, VOCABULARY - 1)
        claimed = b.input(SourceKind.WITNESS, (W,), 0, VOCABULARY - 1)
        unread = 0 if self.reads_last else 1
        tokens = b.concat([prompt, claimed.slice(0, 0, W - unread)], 0)
        counting = b.const(np.arange(LIMIT + 1, dtype=np.int32)).slice(0, 0, P + W - unread)
        x = b.gather(tokens, b.const(rng.integers(-9, 10, (VOCABULARY, WIDTH)).astype(np.int8)))
        if self.scale_of_all:
            top = b.reduce(Reducer.MAX, x.transpose(1, 0), function=lambda v: v.abs())
            x = b.map(lambda v, m: v + m, x, top)
        then, now = self.mask(counting.unsqueeze(1), counting.unsqueeze(0))
        scores = b.map(
            lambda s, a, c: (a <= c).where(s, self.masked_score), b.matmul(x, x), then, now, dtype=DType.I32
        )
        best = b.reduce(Reducer.MAX, scores)
        weights = b.map(lambda s, m: (s - m + 300).maximum(0), scores, best.unsqueeze(1), dtype=DType.I32)
        if self.hides_weights:
            weights = b.map(lambda w, a, c: (a <= c).where(w, 0), weights, then, now, dtype=DType.I32)
        mixed = b.matmul(weights, b.copy(x.transpose(1, 0)))
        rows = mixed.slice(0, P - unread, W)
        logits = b.matmul(rows, b.const(rng.integers(-9, 10, (VOCABULARY, WIDTH)).astype(np.int8)))
        answer = b.reduce(Reducer.ARGMAX, logits)
        text = b.gather(claimed, b.const(np.arange(VOCABULARY, dtype=np.uint8) + 97))
        if self.shares_text:
            text = b.map(
                lambda t, o: t.maximum(o), text, b.input(SourceKind.OUTPUT, (M,), 0, 99).slice(0, 0, 1)
            )
        ends = claimed.slice(0, W - 1 if self.ok_counts else Affine(0), 1)
        return b.finish(text, b.map(lambda t: t.equals(0), ends, dtype=DType.U8), answer)


def test_one_answer__causal_attention__is_proved() -> None:
    analyse(Model().build())


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Model(reads_last=True), "is not proved to depend only on witness elements before i"),
        (Model(mask=lambda now, then: (now, then)), "is not proved"),
        (Model(masked_score=0), "is not proved"),
        (Model(hides_weights=False), "is not proved"),
        (Model(scale_of_all=True), "is not proved"),
        (Model(shares_text=True), "the output .* depends on the claim itself"),
        (Model(ok_counts=False), "the witness may have any length and ok does not look at it"),
    ],
    ids=[
        "reads its own token",
        "mask upside down",
        "mask within reach",
        "no mask",
        "scale of all",
        "text",
        "ok",
    ],
)
def test_one_answer__of_a_model_that_looks_ahead__is_refused(model: Model, reason: str) -> None:
    with pytest.raises(AdmissionError, match=reason):
        analyse(model.build())


@pytest.mark.parametrize("ahead", [0, 1])
def test_one_answer__sum_of_the_tokens_before__is_proved_but_not_one_further(ahead: int) -> None:
    b = TapeBuilder(Source(DType.I32, 1, LIMIT), None, Source(DType.I32, 1, LIMIT))
    claimed = b.input(SourceKind.WITNESS, (W,), 0, 9)
    counting = b.const(np.arange(LIMIT + 1, dtype=np.int32))
    now, then = counting.slice(0, ahead, W).unsqueeze(1), counting.slice(0, 0, W).unsqueeze(0)
    seen = b.map(lambda v, a, c: (a < c).where(v, 0), claimed.unsqueeze(0), then, now, dtype=DType.I32)
    tape = b.finish(
        b.full(0, DType.U8).reshape(1).slice(0, 0, 0),
        b.map(lambda t: t.equals(0), claimed.slice(0, W - 1, 1), dtype=DType.U8),
        b.reduce(Reducer.SUM, seen),
    )
    if ahead == 0:
        analyse(tape)
    else:
        with pytest.raises(AdmissionError, match="is not proved"):
            analyse(tape)


@pytest.mark.parametrize("seed", range(8))
def test_one_answer__rows_before_a_change__keep_their_bits(seed: int) -> None:
    """What the proof says, run: a longer claim that differs from position k on has the same answers up to k."""
    rng = np.random.default_rng(seed)
    tape = Model().build()
    prompt = rng.integers(0, VOCABULARY, 3).astype(np.int32)
    short = rng.integers(0, VOCABULARY, int(rng.integers(1, 6))).astype(np.int32)
    long = np.concatenate([short, rng.integers(0, VOCABULARY, 4).astype(np.int32)])
    same = int(rng.integers(0, len(short)))
    long[same] = (long[same] + 1) % VOCABULARY
    answers = [_answers(tape, prompt, claim) for claim in (short, long)]
    assert answers[0][: same + 1].tolist() == answers[1][: same + 1].tolist()


def _answers(tape: Tape, prompt: np.ndarray, claim: np.ndarray) -> np.ndarray:
    symbols = tape.symbols((len(prompt), len(claim), len(claim)))
    sources = [prompt, np.zeros(len(claim), np.uint8), claim]
    assert tape.witness is not None
    return dict(reference.run(tape, symbols, sources))[tape.witness]
