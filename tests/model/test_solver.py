"""The fixpoint solver: a classifier in one pass, a toy language model whatever its draft guesses."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pytest

from oracle_node.errors import ModelError
from oracle_node.executors import reference
from oracle_node.model.model import Card, Model, RequestRefusedError
from oracle_node.model.solver import Claim, solve
from oracle_node.tape.affine import Affine, Symbols
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Inequality, Reducer, Source, Tape
from oracle_node.tape.types import DType, SourceKind

STOP = 0
NEXT = np.asarray([0, 5, 7, 1, 3, 2, 4, 0], "<u1")
"""The toy language: 6 → 4 → 3 → 1 → 5 → 2 → 7 → stop."""


class Reference:
    """The reference executor, counting its runs."""

    def __init__(self, tape: Tape) -> None:
        self.tape, self.runs = tape, 0

    def run(
        self, symbols: Symbols, sources: Sequence[np.ndarray], wanted: Collection[int]
    ) -> dict[int, np.ndarray]:
        self.runs += 1
        return {i: tensor for i, tensor in self.stream(symbols, sources) if i in wanted}

    def stream(self, symbols: Symbols, sources: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        return reference.run(self.tape, symbols, sources)


def classifier() -> Model:
    """Two scores of four numbers; it wants the first number to be 1."""
    t = TapeBuilder(Source(DType.I8, 4, 4), Source(DType.I32, 2, 2))
    x = t.input(SourceKind.REQUEST, (4,), -128, 127)
    scores = t.matmul(x.reshape(1, 4), t.const(np.arange(8, dtype="<i1").reshape(2, 4)))
    ok = t.map(lambda v: v.equals(1), x.slice(0, 0, 1), dtype=DType.U8)
    return Model.of(t.finish(scores, ok), Card("classes"))


def language_model(limit: int = 9) -> Model:
    """Continues one token until the stop token; its text is a letter a token."""
    sources = Source(DType.U8, 1, 1), Source(DType.U8, 1, limit), Source(DType.U8, 1, limit)
    t = TapeBuilder(*sources, inequalities=[Inequality((0, 1, -1), 0), Inequality((0, -1, 1), 0)])
    n = Affine.symbol(SourceKind.WITNESS)
    tokens = t.input(SourceKind.WITNESS, (n,), 0, 7)
    context = t.concat([t.input(SourceKind.REQUEST, (1,), 0, 7), tokens], 0)
    answer = t.gather(context.slice(0, 0, n), t.const(NEXT))
    text = t.map(lambda token: token + 97, answer, dtype=DType.U8)
    stops = t.reduce(Reducer.SUM, tokens.reshape(1, n), function=lambda token: token.equals(STOP))
    last = tokens.slice(0, n - 1, 1)
    ok = t.map(lambda s, token: s.equals(1) & token.equals(STOP), stops, last, dtype=DType.U8)
    return Model.of(t.finish(text, ok, answer), Card("letters"))


class Guesses:
    """Drafts the true continuation but for wrong tokens at some positions, and at most `length` tokens."""

    def __init__(self, wrong: Collection[int] = (), length: int = 9) -> None:
        self.wrong, self.length = wrong, length

    def propose(self, request: np.ndarray, settled: np.ndarray) -> Claim:
        tokens = settled.tolist()
        while (not tokens or tokens[-1] != STOP) and len(tokens) < max(self.length, len(settled)):
            true = NEXT[tokens[-1] if tokens else request[0]]
            tokens.append(int(true) if len(tokens) not in self.wrong else (int(true) + 3) % 8)
        return Claim(np.asarray([t + 97 for t in tokens], "<u1"), np.asarray(tokens, "<u1"))


def test_solve__of_a_classifier__takes_one_pass() -> None:
    model = classifier()
    executor = Reference(model.tape)
    answer = solve(model, executor, np.asarray([1, 2, 3, 4], "i1").tobytes())
    assert np.frombuffer(answer.output, "<i4").tolist() == [20, 60]
    assert (answer.witness, answer.ok, answer.passes, executor.runs) == (b"", True, 1, 1)
    assert answer.seconds > 0


def test_solve__of_an_answer_longer_than_claims_may_be__is_refused() -> None:
    t = TapeBuilder(Source(DType.U8, 1, 9), Source(DType.U8, 1, 4))
    model = Model.of(t.finish(t.input(SourceKind.REQUEST, (Affine.symbol(0),), 0, 5)), Card("echo"))
    with pytest.raises(RequestRefusedError, match="output has 6, the model takes 1…4"):
        solve(model, Reference(model.tape), bytes(6))


def test_solve__of_a_request_that_is_not_ok__is_refused() -> None:
    model = classifier()
    with pytest.raises(RequestRefusedError, match="classes does not accept"):
        solve(model, Reference(model.tape), bytes(4))


@pytest.mark.parametrize("length", [0, 3, 5])
def test_solve__of_a_request_of_another_length__is_refused(length: int) -> None:
    model = classifier()
    with pytest.raises(RequestRefusedError, match=f"request input has {length}, the model takes 4…4"):
        solve(model, Reference(model.tape), bytes(length))


def test_solve__of_a_request_that_splits_an_element__is_refused() -> None:
    t = TapeBuilder(Source(DType.I32, 1, 4), Source(DType.I32, 1, 4))
    model = Model.of(t.finish(t.input(SourceKind.REQUEST, (Affine.symbol(0),), 0, 9)), Card("echo"))
    with pytest.raises(RequestRefusedError, match="5 bytes are no whole number of i32"):
        solve(model, Reference(model.tape), bytes(5))


def test_solve__of_an_answer_as_long_as_its_request__finds_the_length() -> None:
    t = TapeBuilder(Source(DType.U8, 1, 9), Source(DType.U8, 1, 9))
    model = Model.of(t.finish(t.input(SourceKind.REQUEST, (Affine.symbol(0),), 0, 5)), Card("echo"))
    assert solve(model, Reference(model.tape), bytes([1, 2, 9])).output == bytes([1, 2, 5])


@pytest.mark.parametrize(("wrong", "passes"), [((), 1), ((3,), 2), ((0, 1, 2, 3, 4, 5, 6), 8), ((6,), 2)])
def test_solve__of_a_language_model__is_canonical_whatever_the_draft(
    wrong: tuple[int, ...], passes: int
) -> None:
    model = language_model()
    answer = solve(model, Reference(model.tape), bytes([6]), Guesses(wrong))
    assert list(answer.witness) == [4, 3, 1, 5, 2, 7, 0]
    assert answer.output == b"edbfcha"
    assert answer.passes == passes


def test_solve__of_a_draft_that_stops_short__asks_for_more() -> None:
    class Growing(Guesses):
        def propose(self, request: np.ndarray, settled: np.ndarray) -> Claim:
            self.length = len(settled) + 2
            return super().propose(request, settled)

    model = language_model()
    answer = solve(model, Reference(model.tape), bytes([6]), Growing())
    assert answer.output == b"edbfcha" and answer.passes == 4


@pytest.mark.parametrize("draft", [Guesses(length=3), None])
def test_solve__where_no_claim_stops__is_refused(draft: Guesses | None) -> None:
    model = language_model()
    with pytest.raises(RequestRefusedError, match="ok is 0"):
        solve(model, Reference(model.tape), bytes([6]), draft)


def test_solve__of_an_answer_beyond_the_limit__is_refused() -> None:
    model = language_model(limit=4)
    with pytest.raises(RequestRefusedError, match="the model takes 1…4"):
        solve(model, Reference(model.tape), bytes([6]), Guesses())


def test_solve__without_a_draft__settles_a_claim_of_the_least_length() -> None:
    model = language_model()
    answer = solve(model, Reference(model.tape), bytes([7]))
    assert (answer.witness, answer.output, answer.passes) == (b"\0", b"a", 2)


def test_solve__with_a_draft_that_takes_back_a_token__is_an_error() -> None:
    class Stubborn(Guesses):
        def propose(self, request: np.ndarray, settled: np.ndarray) -> Claim:
            return super().propose(request, settled[:0])

    model = language_model()
    with pytest.raises(ModelError, match="element 2 does not settle"):
        solve(model, Reference(model.tape), bytes([6]), Stubborn((2,)))
