"""A toy tape with every instruction and trees of every shape, and the players of its games."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np

from oracle_node.commitments.hashing import leaf, tensor_hash
from oracle_node.commitments.merkle import MerkleTree
from oracle_node.commitments.model import ModelCommitment, commit
from oracle_node.commitments.tensor import tensor_bytes
from oracle_node.commitments.trace import Trace
from oracle_node.errors import ProtocolError
from oracle_node.executors import reference
from oracle_node.game import moves as m
from oracle_node.game.clocks import Turn, clock, dispute
from oracle_node.game.knowledge import Knowledge
from oracle_node.game.proof import _open_operands
from oracle_node.game.state import ChallengeState, ClaimState
from oracle_node.game.strategy import Player, challenger_moves, defender_moves
from oracle_node.tape.affine import Affine, Symbols
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Reducer, Source, Tape
from oracle_node.tape.types import DType, SourceKind

LONGEST = 2100
Sources = tuple[np.ndarray, np.ndarray, np.ndarray]


@cache
def toy_tape() -> Tape:
    """About twenty tensors of n elements, n in 1…2100: up to 17 chunks a tensor, a trace tree of five levels.

    It accepts no request that starts with 99.
    """
    limits = (1, LONGEST)
    t = TapeBuilder(Source(DType.I8, *limits), Source(DType.I32, *limits), Source(DType.I16, *limits))
    n, rng = Affine.symbol(0), np.random.default_rng(5)
    x = t.input(SourceKind.REQUEST, (n,), -100, 100)
    weights = t.const(rng.integers(-50, 50, 600).astype("<i4"))
    table = t.const(rng.integers(-128, 128, (7, 5)).astype("<i1"))
    columns = t.const(rng.integers(-9, 9, (3, 5)).astype("<i2"))
    shifted = t.map(lambda a: a * 3 + 1, x, dtype=DType.I16)
    wide = t.map(lambda a: a * a * 1000003, shifted, dtype=DType.I64)
    real = t.map(lambda a, b: a.to_float() * 0.1 + b.to_float().sqrt(), shifted, wide)
    rows = t.gather(x, table)
    scores = t.matmul(rows, columns)
    best = t.reduce(Reducer.ARGMAX, scores)
    top = t.reduce(Reducer.MAX, rows, function=lambda a: a * a)
    bent = t.map(lambda a: (a.to_int() & 1023) - 300, t.map(lambda a: a.floor(), real), dtype=DType.I32)
    picked = t.gather(bent, weights.reshape(600))
    joined = t.concat([shifted, shifted.slice(0, 0, 1), t.full(7, DType.I16).broadcast_to((3,))], 0)
    mixed = t.map(lambda a, b, c: a + b * c, picked, best, top, dtype=DType.I32)
    pairs = t.reduce(Reducer.SUM, mixed.unsqueeze(1).broadcast_to((n, 2)), function=lambda a: a + 1)
    witness = t.copy(joined.slice(0, 1, n))
    claimed = t.input(SourceKind.OUTPUT, (Affine.symbol(1),), -(2**31), 2**31 - 1)
    drafts = t.input(SourceKind.WITNESS, (Affine.symbol(2),), -1000, 1000)
    heads = [view.slice(0, 0, 1) for view in (claimed, drafts, x)]
    ok = t.map(lambda a, b, c: a.equals(a) & b.equals(b) & (c.equals(99) ^ 1), *heads, dtype=DType.U8)
    return t.finish(t.map(lambda a, b: a - b, pairs, best, dtype=DType.I32), ok, witness)


@cache
def toy_commitment() -> ModelCommitment:
    return commit(toy_tape())


class Recorded:
    """The tensors of one reference run, served as an executor would."""

    def __init__(self, tensors: Sequence[np.ndarray]) -> None:
        self.tensors = list(tensors)

    def run(
        self, symbols: Symbols, sources: Sequence[np.ndarray], wanted: Collection[int]
    ) -> dict[int, np.ndarray]:
        return {index: self.tensors[index] for index in wanted}

    def stream(self, symbols: Symbols, sources: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        return iter(enumerate(self.tensors))


@dataclass(frozen=True)
class Toy:
    """A claim for one request, and what an honest node knows of it."""

    symbols: Symbols
    sources: Sources
    knowledge: Knowledge


@cache
def right_claim(n: int) -> Toy:
    """The claim that the tape answers with itself, for a request of n elements."""
    request = np.random.default_rng(n).integers(-128, 128, n).astype("<i1")
    first = about((request, np.zeros(n, "<i4"), np.zeros(n, "<i2")))
    tensors = first.knowledge.tensors([toy_tape().output, toy_tape().witness or 0])
    return about((request, tensors[toy_tape().output], tensors[toy_tape().witness or 0]))


def about(sources: Sources) -> Toy:
    """An honest node's knowledge of any claim."""
    symbols = toy_tape().symbols((len(sources[0]), len(sources[1]), len(sources[2])))
    tensors = [tensor for _, tensor in reference.run(toy_tape(), symbols, sources)]
    return Toy(symbols, sources, Knowledge(toy_tape(), Recorded(tensors), symbols, sources))


class ForgedTree:
    """A tree over any 2^d chunks under any length, as only a liar builds it."""

    def __init__(self, data: bytes, byte_length: int) -> None:
        self.data, self.byte_length = data, byte_length
        self.tree = MerkleTree.of(leaf(data[k : k + 1024]) for k in range(0, len(data), 1024))
        self.depth, self.root = self.tree.depth, tensor_hash(byte_length, self.tree.root)

    def node(self, level: int, position: int) -> bytes:
        return self.tree.node(level, position)

    def chunk(self, position: int) -> bytes:
        return self.data[position * 1024 : (position + 1) * 1024]


def padded(knowledge: Knowledge, index: int) -> bytearray:
    """A tensor's bytes with all the padding of its tree."""
    tree = knowledge.tree(index)
    return bytearray(b"".join(tree.chunk(position) for position in range(1 << tree.depth)))


class Liar(Knowledge):
    """Knows the truth and says otherwise: other bytes, padding, lengths or roots for some tensors."""

    def __init__(
        self,
        honest: Knowledge,
        data: Mapping[int, bytes] = {},
        lengths: Mapping[int, int] = {},
        roots: Mapping[int, bytes] = {},
    ) -> None:
        super().__init__(honest.tape, honest.executor, honest.symbols, honest.sources)
        self.honest = honest
        self.forged = {
            index: ForgedTree(bytes(chunks), lengths.get(index, honest.byte_length(index)))
            for index, chunks in data.items()
        }
        told = list(honest.trace.roots)
        told += [honest.trace.tree.node(0, k) for k in range(len(told), 1 << honest.trace.tree.depth)]
        for index, root in [*((i, tree.root) for i, tree in self.forged.items()), *roots.items()]:
            told[index] = root
        self._trace = Trace(tuple(told))

    def tree(self, index: int) -> ForgedTree:  # type: ignore[override]
        return self.forged.get(index) or self.honest.tree(index)  # type: ignore[return-value]

    def require_sound(self, tensor: int, position: int) -> None:
        """A liar does not doubt itself."""


class Challenger:
    """Plays the honest strategy against the claim; `period` > 1 thinks only every so many blocks."""

    careless = False

    def __init__(self, knowledge: Knowledge, address: str = "challenger", period: int = 1) -> None:
        self.knowledge, self.player, self.period, self.calls = knowledge, Player(address), period, 0

    def __call__(self, claim: ClaimState, challenges: Iterable[ChallengeState], now: int) -> list[m.Due]:
        self.calls += 1
        if self.calls % self.period:
            return []
        return challenger_moves(claim, challenges, self.knowledge, self.player, now)


class Defender(Challenger):
    """Plays the honest strategy for the claim, from whatever knowledge it is given: a liar's, if it is one."""

    def __call__(self, claim: ClaimState, challenges: Iterable[ChallengeState], now: int) -> list[m.Due]:
        self.calls += 1
        if self.calls % self.period:
            return []
        return defender_moves(claim, challenges, self.knowledge, self.player, now)


class LyingDefender(Defender):
    """Tries what its knowledge says even where the contract refuses it; it has nothing to say under a made-up root."""

    careless = True

    def __call__(self, claim: ClaimState, challenges: Iterable[ChallengeState], now: int) -> list[m.Due]:
        try:
            return super().__call__(claim, challenges, now)
        except ProtocolError:
            return []


class Idler:
    """Opens a challenge if it is to, and never moves again."""

    idle = True

    def __init__(self, address: str, opens: bool = False) -> None:
        self.address, self.opens = address, opens

    def __call__(self, claim: ClaimState, challenges: Iterable[ChallengeState], now: int) -> list[m.Due]:
        if self.opens and not any(c.key.challenger == self.address for c in challenges):
            return [m.Due(m.Open(claim.claim_id, 0), None)]
        return []


class Sybil:
    """Challenges a right claim: picks at random, and tries to prove true elements wrong in several ways."""

    careless = True

    def __init__(self, knowledge: Knowledge, address: str, seed: int) -> None:
        self.knowledge, self.address, self.random = knowledge, address, Random(seed)

    def __call__(self, claim: ClaimState, challenges: Iterable[ChallengeState], now: int) -> list[m.Due]:
        mine = [c for c in challenges if c.key.challenger == self.address]
        if not mine:
            return [m.Due(m.Open(claim.claim_id, 0), None)]
        timer = clock(claim, mine[0], len(self.knowledge.tape.instructions))
        current = dispute(claim, mine[0], len(self.knowledge.tape.instructions))
        if not mine[0].is_active or current is None or timer.turn is not Turn.CHALLENGER:
            return [m.Due(m.Timeout(mine[0].key), None)]
        if current.place.tensor is not None and current.place.is_leaf:
            return [m.Due(self._proof(claim, mine[0]), None)]
        place, node, steps = current.place, current.node, []
        if not place.is_leaf:
            children = claim.records[current.key].children
            index = self.random.randrange(len(children))
            steps, place = [m.Step(children, index)], place.child(index)
        naming = m.InstructionProof()
        if place.tensor is None and place.is_leaf:
            named = min(place.position, len(self.knowledge.tape.instructions) - 1)
            naming = m.InstructionProof(*self.knowledge.encoded(named))
        return [m.Due(m.Pick(mine[0].key, node, tuple(steps), naming), None)]

    def _proof(self, claim: ClaimState, challenge: ChallengeState) -> m.Prove:
        """A true element, one with a tampered opening, or one past the end."""
        assert challenge.node is not None
        knowledge, tensor = self.knowledge, challenge.instruction
        record = claim.records[dispute(claim, challenge, len(knowledge.tape.instructions)).key]  # type: ignore[union-attr]
        instruction = knowledge.instruction(tensor)
        width = instruction.dtype.width
        slot = self.random.randrange(1024 // width)
        element = challenge.position * (1024 // width) + slot
        openings: tuple[m.Opening, ...] = ()
        siblings: tuple[tuple[bytes, ...], ...] = ()
        if element < instruction.count(knowledge.symbols):
            openings, siblings = _open_operands(knowledge, tensor, element)
            if openings and self.random.random() < 0.5:
                bad = bytearray(openings[0].chunks)
                bad[self.random.randrange(len(bad))] ^= 1
                openings = (m.Opening(openings[0].ref, openings[0].positions, bytes(bad)), *openings[1:])
        named = m.InstructionProof(*knowledge.encoded(tensor))
        return m.Prove(
            challenge.key, challenge.node, m.Proof(named, record.chunk, slot, openings, siblings, ())
        )


def data_of(tensor: np.ndarray) -> bytes:
    return tensor_bytes(tensor).tobytes()
