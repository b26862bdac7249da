"""Parties who break the rules, for demonstrations and tests. Nothing that serves users imports this module.

A liar keeps a whole trace of its lie, so that it can answer every question consistently until the chain recomputes the
one element that does not follow.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from oracle_node.commitments.tensor import tensor_root
from oracle_node.commitments.trace import Trace
from oracle_node.executors import reference
from oracle_node.executors.base import Executor
from oracle_node.game.clocks import Dispute, Turn, clock, dispute
from oracle_node.game.geometry import children_count
from oracle_node.game.knowledge import Knowledge
from oracle_node.game.moves import Due, InstructionProof, Open, Pick, Step
from oracle_node.game.state import ChallengeState, ClaimState, ClaimStatus
from oracle_node.game.strategy import Player
from oracle_node.model.model import Model
from oracle_node.tape.affine import Symbols
from oracle_node.tape.instruction import Opcode, Tape
from oracle_node.tape.types import Array


@dataclass(frozen=True)
class Lie:
    """One element turned into something else: the lowest bit of its bytes flipped, or `bits` put in its place.

    `carried`: everything computed from it is computed again from the lie, so that only this one element is wrong.
    Otherwise all later tensors stay true, and the lie shows where they meet.
    """

    tensor: int
    element: int = 0
    carried: bool = True
    bits: bytes | None = None


class LyingExecutor:
    """Runs a tape honestly up to a lie, and on from it; `forced` tensors are replaced whole, at the end, uncarried."""

    def __init__(
        self,
        tape: Tape,
        honest: Executor,
        lies: Sequence[Lie] = (),
        forced: Mapping[int, Array] | None = None,
    ) -> None:
        self._tape, self._honest = tape, honest
        self._lies = {lie.tensor: lie for lie in lies}
        self._forced = dict(forced or {})

    def run(self, symbols: Symbols, sources: Sequence[Array], wanted: Collection[int]) -> dict[int, Array]:
        """The wanted tensors of the lying trace."""
        if any(lie.carried for lie in self._lies.values()):
            return {index: tensor for index, tensor in self.stream(symbols, sources) if index in wanted}
        found = self._honest.run(symbols, sources, wanted)
        return {index: self._told(index, tensor) for index, tensor in found.items()}

    def _told(self, index: int, tensor: Array) -> Array:
        """What is shown of a tensor."""
        lie = self._lies.get(index)
        return self._forced.get(index, tensor if lie is None else _tell(tensor, lie))

    def stream(self, symbols: Symbols, sources: Sequence[Array]) -> Iterator[tuple[int, Array]]:
        """The lying trace, in order."""
        last = reference.last_readers(self._tape)
        kept: dict[int, Array] = {}
        tainted: set[int] = set()
        for index, tensor in self._honest.stream(symbols, sources):
            instruction = self._tape.instructions[index]
            earlier = () if instruction.opcode in (Opcode.INPUT, Opcode.CONST) else instruction.operands
            if any(operand.ref in tainted for operand in earlier):
                operands = reference.operand_tensors(self._tape, instruction, sources, kept)
                tensor = reference.evaluate_all(instruction, symbols, operands)
                tainted.add(index)
            lie = self._lies.get(index)
            told = self._told(index, tensor)
            if lie is not None and lie.carried:
                tensor = _tell(tensor, lie)
                tainted.add(index)
            kept[index] = np.array(tensor)
            yield index, told
            for done in [i for i in kept if last.get(i, i) <= index]:
                del kept[done]


class LyingKnowledge(Knowledge):
    """A trace that is not the tape's; it does not doubt itself."""

    def require_sound(self, tensor: int, position: int) -> None:
        """A liar does not look back."""


@dataclass(frozen=True)
class LyingClaim:
    """A wrong answer and the trace that goes with it."""

    output: bytes
    witness: bytes
    knowledge: LyingKnowledge


def tell_lies(
    model: Model, honest: Executor, request: bytes, output: bytes, witness: bytes, lies: Sequence[Lie]
) -> LyingClaim:
    """A claim whose output and witness are what the lies lead to, starting from the true `output` and `witness`.

    The claim is as wrong as its lies: one that changes neither output nor witness makes a true claim.
    """
    tape = model.tape
    sources = model.sources(request, output, witness)
    executor = LyingExecutor(tape, honest, lies)
    wanted = {tape.output} | ({tape.witness} if tape.witness is not None else set())
    told = executor.run(model.symbols(sources), sources, wanted)
    lied_output = told[tape.output].tobytes()
    lied_witness = witness if tape.witness is None else told[tape.witness].tobytes()
    return _claim(model, honest, request, lied_output, lied_witness, lies)


def claim_baldly(
    model: Model, honest: Executor, request: bytes, output: bytes, witness: bytes = b""
) -> LyingClaim:
    """A claim of any bytes at all: an honest trace but for the answer itself, which is simply asserted."""
    return _claim(model, honest, request, output, witness, ())


def _claim(
    model: Model, honest: Executor, request: bytes, output: bytes, witness: bytes, lies: Sequence[Lie]
) -> LyingClaim:
    tape = model.tape
    sources = model.sources(request, output, witness)
    symbols = model.symbols(sources)
    forced = {tape.output: sources[1], tape.ok: np.ones(1, np.uint8)}
    if tape.witness is not None:
        forced[tape.witness] = sources[2]
    executor = LyingExecutor(tape, honest, lies, forced)
    knowledge = LyingKnowledge(tape, executor, symbols, sources, weight_roots=model.weight_roots)
    return LyingClaim(output, witness, knowledge)


def stand_by(model: Model, honest: Knowledge, lie: Lie | None = None) -> LyingClaim:
    """The claim that `honest` is about, defended with an honest trace but for the claim itself and one uncarried lie.

    Nothing is run again but the tensors lied about.
    """
    tape, (_, output, witness) = model.tape, honest.sources
    forced = {tape.output: output, tape.ok: np.ones(1, np.uint8)}
    if tape.witness is not None:
        forced[tape.witness] = witness
    lies = [] if lie is None else [lie]
    executor = LyingExecutor(tape, honest.executor, lies, forced)
    changed = executor.run(honest.symbols, honest.sources, {*forced, *(lie.tensor for lie in lies)})
    roots = list(honest.trace.roots)
    for index, tensor in changed.items():
        roots[index] = tensor_root(tensor)
    knowledge = LyingKnowledge(
        tape, executor, honest.symbols, honest.sources, Trace(tuple(roots)), model.weight_roots
    )
    return LyingClaim(output.tobytes(), witness.tobytes(), knowledge)


class Silent:
    """Never moves: its clock runs out."""

    def moves(self, claim: ClaimState, challenges: Sequence[ChallengeState], now: int) -> list[Due]:
        return []


class RandomPicker:
    """Challenges whatever it sees and descends at random; it can never prove anything against a true claim."""

    def __init__(self, knowledge: Knowledge, player: Player, seed: int) -> None:
        self._knowledge, self._player, self._random = knowledge, player, Random(seed)

    def moves(self, claim: ClaimState, challenges: Sequence[ChallengeState], now: int) -> list[Due]:
        ours = [c for c in challenges if c.key.challenger == self._player.address]
        if claim.status is ClaimStatus.PROPOSED and not ours:
            return [Due(Open(claim.claim_id, self._player.nonce), claim.window_end)]
        return [due for challenge in ours if (due := self._move(claim, challenge, now)) is not None]

    def _move(self, claim: ClaimState, challenge: ChallengeState, now: int) -> Due | None:
        count = len(self._knowledge.tape.instructions)
        timer = clock(claim, challenge, count)
        current = dispute(claim, challenge, count)
        if current is None or not timer.allows(Turn.CHALLENGER, now):
            return None
        if current.place.tensor is not None and current.place.is_leaf:
            return None
        node, place, steps = current.node, current.place, list[Step]()
        while not place.is_leaf:
            record = claim.records.get(Dispute(node, place, current.byte_length).key)
            if record is None:
                break
            index = self._random_child(place.tensor, place.level, place.position)
            steps.append(Step(record.children, index))
            node, place = record.children[index], place.child(index)
        naming = InstructionProof()
        if place.tensor is None and place.is_leaf:
            naming = InstructionProof(*self._knowledge.encoded(place.position))
        return Due(Pick(challenge.key, current.node, tuple(steps), naming), timer.limit)

    def _random_child(self, tensor: int | None, level: int, position: int) -> int:
        """Any child, but in the trace tree one that has an instruction under it."""
        children = children_count(level)
        if tensor is not None:
            return self._random.randrange(children)
        span = (1 << level) // children
        instructions = len(self._knowledge.tape.instructions)
        return self._random.randrange(min(children, -(-(instructions - (position << level)) // span)))


def _tell(tensor: Array, lie: Lie) -> Array:
    told = np.array(tensor)
    width = told.dtype.itemsize
    element = told.reshape(-1).view(np.uint8)[lie.element * width : (lie.element + 1) * width]
    if lie.bits is None:
        element[0] ^= 1
    else:
        element[:] = np.frombuffer(lie.bits, np.uint8)
    return told
