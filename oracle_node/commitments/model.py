"""What a model id commits to: program, weights, limits, costs; as fixed-width words (docs/protocol.md §2)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

import numpy as np

from oracle_node.commitments.hashing import leaf
from oracle_node.commitments.merkle import MerkleTree
from oracle_node.commitments.tensor import tensor_root
from oracle_node.commitments.trace import Progress
from oracle_node.tape.encoding import encode
from oracle_node.tape.instruction import (
    NO_INDEX,
    DerivedSymbol,
    Inequality,
    Instruction,
    Opcode,
    Reduction,
    Source,
    Tape,
)
from oracle_node.tape.mapped import release
from oracle_node.tape.region import Region, count
from oracle_node.tape.scalar import Program

VERSION = 1
MAX_INEQUALITIES = 4
MAX_DERIVED = 5
WORK_PER_SECOND = 20_000_000
"""Elementary operations that the clocks grant a second for (docs/protocol.md §2)."""

_PRODUCTS = 32
"""Of a matrix product, in the time of one other operation."""

_T = TypeVar("_T")
_NO_INEQUALITY = Inequality((0, 0, 0), 0)
_NO_DERIVED = DerivedSymbol(0, 0)


@dataclass(frozen=True, slots=True)
class ModelCommitment:
    """The fields under a model id, in the order of the Solidity struct `Model`."""

    instruction_count: int
    program_root: bytes
    weight_count: int
    weights_root: bytes
    output: int
    witness: int | None
    ok: int
    sources: tuple[Source, Source, Source]
    inequalities: tuple[Inequality, ...]
    derived: tuple[DerivedSymbol, ...]
    step_bound: int
    trace_work: int

    @property
    def trace_seconds(self) -> int:
        """What the clocks grant for one trace at the limits, rounded up."""
        return -(-self.trace_work // WORK_PER_SECOND)

    def encode(self) -> bytes:
        """One 32-byte big-endian word a field, negative ones in two's complement."""
        words: list[int | bytes] = [VERSION, self.instruction_count, self.program_root, self.weight_count]
        words += [self.weights_root, self.output, NO_INDEX if self.witness is None else self.witness, self.ok]
        for source in self.sources:
            words += [source.dtype, source.min_elements, source.max_elements]
        for rule in _filled(self.inequalities, _NO_INEQUALITY, MAX_INEQUALITIES):
            words += [*rule.coefficients, rule.bound]
        for symbol in _filled(self.derived, _NO_DERIVED, MAX_DERIVED):
            words += [symbol.source, symbol.divisor]
        words += [self.step_bound, self.trace_work]
        return b"".join(w if isinstance(w, bytes) else (w % (1 << 256)).to_bytes(32, "big") for w in words)

    @property
    def model_id(self) -> bytes:
        return sha256(self.encode()).digest()


def commit(tape: Tape, weight_roots: Sequence[bytes] | None = None) -> ModelCommitment:
    """The commitment of a tape; `weight_roots` saves hashing the weights again where they are known."""
    roots = roots_of(tape.weights) if weight_roots is None else weight_roots
    return ModelCommitment(
        instruction_count=len(tape.instructions),
        program_root=program_tree(tape.instructions).root,
        weight_count=len(roots),
        weights_root=MerkleTree.of(roots).root,
        output=tape.output,
        witness=tape.witness,
        ok=tape.ok,
        sources=tape.sources,
        inequalities=tape.inequalities,
        derived=tape.derived,
        step_bound=tape.step_bound,
        trace_work=trace_work(tape),
    )


def program_tree(instructions: Iterable[Instruction]) -> MerkleTree:
    """The tree over the encoded instructions; `path(i)` proves instruction i."""
    return MerkleTree.of(leaf(encode(instruction)) for instruction in instructions)


def roots_of(weights: Iterable[np.ndarray], progress: Progress | None = None) -> tuple[bytes, ...]:
    """The tensor roots of the constants, one at a time; `progress` gets the bytes done so far."""
    roots, done = [], 0
    for weight in weights:
        roots.append(tensor_root(weight))
        release(weight)
        done += weight.nbytes
        if progress is not None:
            progress(done)
    return tuple(roots)


def trace_work(tape: Tape) -> int:
    """Elementary operations of one trace, and bytes hashed, at most over all admitted lengths.

    Per instruction but CONST, whose roots are known: elements × reduce coordinates × (1 + scalar operations) + bytes of
    the result, each product bounded over the region (`Region.bounds`). 32 products of a MATMUL count as one operation,
    rounded up.
    """
    region = Region(tape.sources, tape.inequalities, tape.derived)
    total = 0
    for instruction in tape.instructions:
        if instruction.opcode is Opcode.CONST:
            continue
        reads = region.bounds(count((*instruction.shape, *instruction.reduce_shape)))[1]
        elements = region.bounds(count(instruction.shape))[1]
        work = reads * (1 + _operations(instruction))
        total += -(-work // _PRODUCTS) if instruction.opcode is Opcode.MATMUL else work
        total += elements * instruction.dtype.width
    return total


def _operations(instruction: Instruction) -> int:
    match instruction.tail:
        case Program(ops) | Reduction(program=Program(ops)):
            return len(ops)
        case _:
            return 0


def _filled(items: Sequence[_T], filler: _T, size: int) -> list[_T]:
    """The items, then fillers up to the fixed size; ValueError where there are too many."""
    if len(items) > size:
        raise ValueError(f"{len(items)} entries, a model has room for {size}")
    return [*items, *[filler] * (size - len(items))]
