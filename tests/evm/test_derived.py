"""Derived symbols, ceil(n / divisor): their values, what is proved of them, and that chain and executors agree."""

from functools import cache
from random import Random

import numpy as np
import pytest

from oracle_node.errors import AdmissionError
from oracle_node.executors import reference
from oracle_node.executors.evm import EvmEvaluator, Opening
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.game.knowledge import Knowledge
from oracle_node.game.state import ChallengeStatus, ClaimStatus
from oracle_node.model.model import Card, Model
from oracle_node.tape.affine import Affine
from oracle_node.tape.analysis import analyse
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.encoding import encode
from oracle_node.tape.instruction import DerivedSymbol, Inequality, Reducer, Source, Tape
from oracle_node.tape.region import Region
from oracle_node.tape.types import DType, SourceKind
from tests.evm.claimed import CHALLENGER, CLAIMANT, Claimed, recorded, refute
from tests.evm.oracle import START_TIME, EvmContract
from tests.game.simulation import play
from tests.game.toy import Defender, Sybil

LONGEST, BLOCK, GROUP = 200, 7, 3
DERIVED = (DerivedSymbol(0, BLOCK), DerivedSymbol(1, GROUP))
N, BLOCKS, GROUPS = Affine.symbol(0), Affine.symbol(3), Affine.symbol(4)
MOST_BLOCKS = 29


def by_blocks(rows: int = MOST_BLOCKS) -> Tape:
    """The first element of every block of seven, beside the request: no row of the table may be missing or too many."""
    answer = Source(DType.I8, 1, MOST_BLOCKS)
    t = TapeBuilder(Source(DType.I8, 1, LONGEST), answer, derived=DERIVED)
    x = t.input(SourceKind.REQUEST, (N,), -100, 100)
    numbers = t.const(np.arange(rows, dtype="<i2"))
    starts = t.map(lambda k: k * BLOCK, numbers.slice(0, 0, BLOCKS))
    firsts = t.gather(starts, x)
    largest = t.reduce(Reducer.MAX, firsts)
    # blocks × request, and one row less than there are blocks
    scores = t.map(lambda a, b: a * b, firsts.unsqueeze(1), x.unsqueeze(0), dtype=DType.I16)
    joined = t.concat([firsts, x, firsts.slice(0, 0, BLOCKS - 1)], 0)
    kept = t.map(lambda a, b, c: a * 2 + b + c, joined.slice(0, N, BLOCKS), largest, scores.pick(1, 0))
    groups = t.reduce(Reducer.SUM, numbers.slice(0, 0, GROUPS))
    ok = t.map(lambda a, b: a.equals(a) & b.equals(b), kept.slice(0, 0, 1), groups, dtype=DType.U8)
    return t.finish(firsts, ok)


@cache
def model() -> Model:
    return Model.of(by_blocks(), Card("by blocks"))


def claim_for(length: int) -> Claimed:
    """The right claim about a request of so many elements."""
    request = np.random.default_rng(length).integers(-128, 128, length).astype("<i1")
    answer = np.clip(request[::BLOCK], -100, 100)
    sources = (request, answer, np.zeros(0, "u1"))
    symbols = model().symbols(sources)
    tensors = recorded(model(), symbols, sources)
    assert tensors.tensors[model().tape.output].tolist() == answer.tolist()
    known = Knowledge(model().tape, tensors, symbols, sources, weight_roots=model().weight_roots)
    return Claimed(model(), sources, known)


@pytest.mark.parametrize(
    ("length", "blocks"), [(1, 1), (6, 1), (7, 1), (8, 2), (14, 2), (15, 3), (196, 28), (197, 29), (200, 29)]
)
def test_symbols__derived__are_rounded_up(length: int, blocks: int) -> None:
    assert by_blocks().symbols((length, 4, 0)) == (length, 4, 0, blocks, 2, 0, 0, 0)


def test_region__of_derived_symbols__is_that_of_their_sources() -> None:
    sources = (Source(DType.U8, 8, LONGEST), Source(DType.U8, 1, 50), Source())
    bounds = Region(sources, (), DERIVED).bounds
    assert bounds(BLOCKS) == (2, 29)
    assert bounds(GROUPS) == (1, 17)
    assert bounds(BLOCKS * 5 - 3) == (7, 142)
    # an inequality that shortens the source shortens what is derived from it
    trimmed = Region(sources, (Inequality((2, 1, 0), 101),), DERIVED).bounds
    assert trimmed(N) == (8, 50)
    assert trimmed(BLOCKS) == (2, 8)


def test_admission__a_table_of_one_row_less_than_blocks__is_refused() -> None:
    analyse(by_blocks())
    with pytest.raises(AdmissionError):
        by_blocks(MOST_BLOCKS - 1)


@pytest.mark.parametrize("length", [1, 6, 7, 8, 13, 14, 15, 77, 197, 200])
def test_executors__derived_dimensions__are_the_same_everywhere(length: int) -> None:
    claimed, tape, evm = claim_for(length), by_blocks(), EvmEvaluator()
    symbols, sources = claimed.knowledge.symbols, claimed.sources
    expected = claimed.knowledge.executor.run(symbols, sources, range(len(tape.instructions)))
    executor = OnnxExecutor(tape)
    wanted = executor.run(symbols, sources, range(len(tape.instructions)))
    for index, streamed in executor.stream(symbols, sources):
        for found in (streamed, wanted[index]):
            assert (found.dtype, found.shape) == (expected[index].dtype, expected[index].shape)
            assert found.tobytes() == expected[index].tobytes()
        instruction = tape.instructions[index]
        count = instruction.count(symbols)
        operands = reference.operand_tensors(tape, instruction, sources, expected)
        opened = {
            o.ref: Opening.whole(o.ref, tensor.tobytes())
            for o, tensor in zip(instruction.operands, operands, strict=True)
        }
        shape = evm.inspect(encode(instruction), symbols)
        assert shape.element_count == count
        bits = evm.evaluate(
            encode(instruction), symbols, [*range(count)], [opened[ref] for ref in sorted(opened)]
        )
        width = instruction.dtype.width
        assert b"".join(b.to_bytes(width, "little") for b in bits) == expected[index].tobytes()


@pytest.mark.parametrize("length", [1, 7, 8, 50])
def test_game__lies_about_derived_tensors__are_convicted(length: int) -> None:
    claimed, random = claim_for(length), Random(length)
    for tensor in range(len(claimed.model.tape.instructions)):
        for byte in {0, claimed.knowledge.byte_length(tensor) - 1}:
            refute(claimed, tensor, byte, random.randrange(1, 256))


@pytest.mark.parametrize("seed", range(6))
def test_game__honest_claim_with_derived_symbols__survives(seed: int) -> None:
    claimed = claim_for(50)
    contract = EvmContract(claimed.model.commitment, claimed.sources)
    honest, sybil = Defender(claimed.knowledge, CLAIMANT), Sybil(claimed.knowledge, CHALLENGER, seed)
    play(contract, {CLAIMANT: honest, CHALLENGER: sybil}, START_TIME)  # type: ignore[arg-type]
    assert contract.claim.status is ClaimStatus.PROPOSED
    assert [c.status for c in contract.challenges.values()] == [ChallengeStatus.LOST]
