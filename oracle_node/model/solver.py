"""Answers as fixpoints (DESIGN §4): draft a claim, run the tape on it, correct the first difference, repeat."""

from dataclasses import dataclass
from itertools import count
from time import perf_counter
from typing import Protocol

import numpy as np

from oracle_node.errors import ModelError
from oracle_node.executors.base import Executor
from oracle_node.model.model import Model, RequestRefusedError
from oracle_node.tape.types import SourceKind


@dataclass(frozen=True)
class Claim:
    """What is claimed for a request: output and witness, (n,) arrays of their registered types."""

    output: np.ndarray
    witness: np.ndarray


class Draft(Protocol):
    """Guesses claims, by any means; only the number of passes depends on how well it guesses."""

    def propose(self, request: np.ndarray, settled: np.ndarray) -> Claim:
        """A whole claim whose witness starts with the settled elements.

        When a settled claim does not satisfy `ok`, it is asked again with the whole witness as settled, and should
        propose a longer one, or the same for "that is all".
        """
        ...


@dataclass(frozen=True)
class Answer:
    """The one claim that the model answers with itself; `passes` counts runs of the tape."""

    output: bytes
    witness: bytes
    ok: bool
    seconds: float
    passes: int


def solve(model: Model, executor: Executor, request: bytes, draft: Draft | None = None) -> Answer:
    """The model's answer to a request; without a draft each claim is the answer to the one before.

    RequestRefusedError where no claim satisfies `ok` or a length leaves the model's limits; ModelError where a claim
    does not settle: the tape is not causal, or the draft takes back what is settled.
    """
    start = perf_counter()
    source = model.source(SourceKind.REQUEST, request)
    claim, settled = _first_claim(model, source, draft), 0
    for passes in count(1):
        answer, ok = _run(model, executor, source, claim)
        says_the_same = not model.reads_claim and _lengths(claim) == _lengths(answer)
        agreed = None if says_the_same else _agreed_elements(claim, answer)
        if agreed is None:
            if ok:
                seconds = perf_counter() - start
                return Answer(answer.output.tobytes(), answer.witness.tobytes(), ok, seconds, passes)
            claim, settled = _longer_claim(model, source, answer, draft), len(answer.witness)
            continue
        if agreed < settled:
            raise ModelError(
                f"claim element {agreed} does not settle: the tape is not causal, or the draft changed it"
            )
        settled = agreed + 1
        in_witness = agreed < len(answer.witness)
        claim = draft.propose(source, answer.witness[:settled]) if draft and in_witness else answer
    raise AssertionError("unreachable")


def _first_claim(model: Model, source: np.ndarray, draft: Draft | None) -> Claim:
    """The draft's, or zeros of the least admitted lengths."""
    _, output, witness = model.tape.sources
    if draft is not None:
        return draft.propose(source, np.zeros(0, witness.dtype.numpy))
    return Claim(
        np.zeros(output.min_elements, output.dtype.numpy), np.zeros(witness.min_elements, witness.dtype.numpy)
    )


def _longer_claim(model: Model, source: np.ndarray, claim: Claim, draft: Draft | None) -> Claim:
    """What the draft adds to a settled claim that is not `ok`; RequestRefusedError where it adds nothing."""
    longer = claim if draft is None else draft.propose(source, claim.witness)
    if len(longer.witness) <= len(claim.witness):
        name = model.card.name or "the model"
        raise RequestRefusedError(f"{name} does not accept this request, or no answer to it (ok is 0)")
    return longer


def _run(model: Model, executor: Executor, source: np.ndarray, claim: Claim) -> tuple[Claim, bool]:
    """One pass of the tape: what it answers to a claim, and whether the claim is acceptable in itself."""
    tape = model.tape
    sources = (source, claim.output, claim.witness)
    wanted = {tape.output, tape.ok} | ({tape.witness} if tape.witness is not None else set())
    tensors = executor.run(model.symbols(sources), sources, wanted)
    witness = claim.witness if tape.witness is None else tensors[tape.witness].reshape(-1)
    return Claim(tensors[tape.output].reshape(-1), witness), bool(tensors[tape.ok].reshape(-1)[0])


def _lengths(claim: Claim) -> tuple[int, int]:
    return len(claim.output), len(claim.witness)


def _agreed_elements(claim: Claim, answer: Claim) -> int | None:
    """How many elements agree before the first difference, the witness before the output; None if there is none."""
    witness = _first_difference(claim.witness, answer.witness)
    if witness is not None:
        return witness
    output = _first_difference(claim.output, answer.output)
    return None if output is None else len(claim.witness) + output


def _first_difference(a: np.ndarray, b: np.ndarray) -> int | None:
    """Where the bits first differ, or the shorter array ends; both of one type."""
    common = min(len(a), len(b))
    bits = np.dtype(f"<u{a.dtype.itemsize}")
    differing = np.flatnonzero(a[:common].view(bits) != b[:common].view(bits))
    if len(differing):
        return int(differing[0])
    return None if len(a) == len(b) else common
