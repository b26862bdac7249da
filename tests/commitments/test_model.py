"""Model ids: every field counts, the words are those of abi.encode, and trace work is what its definition says."""

from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from eth_abi.abi import encode as abi_encode

from oracle_node.commitments.model import ModelCommitment, commit, program_tree, trace_work
from oracle_node.commitments.tensor import tensor_root
from oracle_node.tape.affine import Affine
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import DerivedSymbol, Inequality, Reducer, Reduction, Source, Tape
from oracle_node.tape.types import DType, SourceKind

RULE = Inequality((1, 1, 0), 96)


def toy_tape() -> Tape:
    request, output = Source(DType.I8, 1, 64), Source(DType.I32, 1, 64)
    t = TapeBuilder(request, output, inequalities=[RULE], derived=[DerivedSymbol(0, 4)])
    n = Affine.symbol(0)
    x = t.input(SourceKind.REQUEST, (n,), -128, 127)
    scores = t.matmul(x.reshape(n, 1), t.const(np.arange(6, dtype="<i4").reshape(6, 1)))
    return t.finish(t.reduce(Reducer.SUM, scores, function=lambda v: v * 2 + 1))


def abi_words(m: ModelCommitment) -> bytes:
    rules = [*m.inequalities, *[Inequality((0, 0, 0), 0)] * 4][:4]
    derived = [*m.derived, *[DerivedSymbol(0, 0)] * 5][:5]
    witness = 0xFFFFFFFF if m.witness is None else m.witness
    head = ["uint32", "uint32", "bytes32", "uint32", "bytes32", "uint32", "uint32", "uint32"]
    limits = ["(uint8,uint32,uint32)[3]", "(int64,int64,int64,int64)[4]", "(uint8,uint32)[5]"]
    counts = [1, m.instruction_count, m.program_root, m.weight_count, m.weights_root, m.output, witness, m.ok]
    sources = [(s.dtype, s.min_elements, s.max_elements) for s in m.sources]
    values = [sources, [(*r.coefficients, r.bound) for r in rules], [(d.source, d.divisor) for d in derived]]
    return abi_encode([*head, *limits, "uint32", "uint64"], [*counts, *values, m.step_bound, m.trace_work])


def test_model_id__of_a_tape__is_the_hash_of_the_abi_words() -> None:
    commitment = commit(toy_tape())
    assert commitment.encode() == abi_words(commitment)
    assert commitment.model_id == sha256(abi_words(commitment)).digest()


def test_encode__of_a_negative_coefficient__is_twos_complement() -> None:
    commitment = replace(commit(toy_tape()), inequalities=(Inequality((1, -1, 0), -5),), witness=3)
    assert commitment.encode() == abi_words(commitment)


@pytest.mark.parametrize(
    "change",
    [
        {"instruction_count": 9},
        {"program_root": bytes(32)},
        {"weight_count": 7},
        {"weights_root": bytes(32)},
        {"output": 0},
        {"witness": 0},
        {"ok": 0},
        {"sources": (Source(DType.I8, 2, 64), Source(DType.I32, 1, 64), Source())},
        {"inequalities": ()},
        {"derived": (DerivedSymbol(0, 5),)},
        {"step_bound": 1},
        {"trace_work": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_model_id__with_one_field_changed__differs(change: dict[str, object]) -> None:
    commitment = commit(toy_tape())
    assert replace(commitment, **change).model_id != commitment.model_id  # type: ignore[arg-type]


def test_commit__of_another_weight__changes_the_weights_root_only() -> None:
    tape = toy_tape()
    other = commit(replace(tape, weights=(tape.weights[0] + 1,)))
    assert other == replace(commit(tape), weights_root=other.weights_root)
    assert other.weights_root == tensor_root(tape.weights[0] + 1)


def test_program_tree__of_a_tape__has_a_leaf_an_instruction() -> None:
    tape = toy_tape()
    assert program_tree(tape.instructions).count == len(tape.instructions)
    assert program_tree(tape.instructions[:-1]).root != program_tree(tape.instructions).root


def test_trace_work__at_the_limits__adds_reads_operations_and_bytes() -> None:
    # n ≤ 64; scores (n,6) over k=1, 32 products an operation; sum over 6 of 3 operations; ok
    tape = toy_tape()
    operations = [len(i.tail.program.ops) for i in tape.instructions if isinstance(i.tail, Reduction)]
    assert operations == [4]
    widths = [i.dtype.width for i in tape.instructions]
    assert widths == [1, 4, 4, 4, 1]
    expected = (64 + 64) + (384 // 32 + 384 * 4) + (384 * 5 + 64 * 4) + (1 * 2 + 1)
    assert trace_work(tape) == expected


def test_trace_seconds__of_work__rounds_up() -> None:
    commitment = commit(toy_tape())
    seconds = [replace(commitment, trace_work=w).trace_seconds for w in (0, 1, 20_000_000, 20_000_001)]
    assert seconds == [0, 1, 1, 2]
