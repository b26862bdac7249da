"""The contract's rules in plain Python, for one claim: every move is checked as `IGame.sol` and docs/protocol.md say.

Written apart from the code it tests: it shares hashing with it and nothing of the strategy.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from oracle_node.commitments.hashing import leaf, pad_chunk, tensor_hash
from oracle_node.commitments.merkle import fold, fold_path, multiproof_root
from oracle_node.commitments.model import ModelCommitment
from oracle_node.commitments.tensor import tensor_root
from oracle_node.executors import reference
from oracle_node.game import moves as m
from oracle_node.game.clocks import Turn, clock
from oracle_node.game.state import (
    ChallengeKey,
    ChallengeState,
    ChallengeStatus,
    ClaimState,
    ClaimStatus,
    NodeKey,
    Record,
)
from oracle_node.tape.affine import Symbols
from oracle_node.tape.encoding import decode
from oracle_node.tape.instruction import NO_INDEX, Opcode

NO_LENGTH = 2**64 - 1
CLAIM_ID = b"\x11" * 32
ELSEWHERE = np.frombuffer(b"\xa5" * 8, "<u8"), np.frombuffer(b"\x5a" * 8, "<u8")


class Revert(Exception):  # noqa: N818
    """The move breaks a rule."""


def require(condition: bool, rule: str) -> None:
    if not condition:
        raise Revert(rule)


def tagged(root: bytes, length_tag: int) -> bytes:
    return root if length_tag == NO_LENGTH else tensor_hash(length_tag, root)


def levels(height: int) -> int:
    return height if height <= 5 else {0: 4, 1: 5}.get(height % 4, height % 4)


def depth_of(count: int) -> int:
    height = 0
    while 1 << height < count:
        height += 1
    return height


class Contract:
    """One proposed claim; `claim` and `challenges` are what its events tell."""

    def __init__(
        self,
        model: ModelCommitment,
        symbols: Symbols,
        sources: tuple[np.ndarray, np.ndarray, np.ndarray],
        claimant: str,
        window_end: int = 1000,
        clocks: tuple[int, int] = (600, 600),
    ) -> None:
        self.model, self.symbols, self.clocks = model, symbols, clocks
        self.source_roots = [tensor_root(source) for source in sources]
        self.source_bytes = [source.nbytes for source in sources]
        self.claim = ClaimState(CLAIM_ID, claimant, ClaimStatus.PROPOSED, window_end)
        self.challenges: dict[ChallengeKey, ChallengeState] = {}
        self.gas_moves: list[str] = []

    def execute(self, sender: str, move: m.Move, now: int) -> None:
        """Apply a move, or Revert and change nothing."""
        getattr(self, "_" + type(move).__name__.lower())(sender, move, now)
        self.gas_moves.append(type(move).__name__)

    def _challenge(self, key: ChallengeKey, expected: bytes | None = None) -> ChallengeState:
        challenge = self.challenges.get(key)
        require(challenge is not None and challenge.is_active, "ChallengeNotActive")
        assert challenge is not None
        if expected is not None:
            require(self.claim.trace_root is not None, "TraceNotPosted")
            require((challenge.node or self.claim.trace_root) == expected, "StaleNode")
        return challenge

    def _on_clock(self, challenge: ChallengeState, now: int) -> tuple[int, int]:
        """The challenger's and the defender's seconds left if the challenger moves now."""
        timer = clock(self.claim, challenge, self.model.instruction_count)
        require(timer.turn is Turn.CHALLENGER and now <= timer.limit, "ClockOut")
        started = timer.limit - challenge.challenger_left
        return timer.limit - now, challenge.defender_left - (started - challenge.since)

    def _settle(self, key: ChallengeKey, status: ChallengeStatus) -> None:
        self.challenges[key] = replace(self.challenges[key], status=status)
        if status is ChallengeStatus.WON:
            self.claim = replace(self.claim, status=ClaimStatus.REFUTED)

    def _open(self, sender: str, move: m.Open, now: int) -> None:
        key = ChallengeKey(move.claim_id, sender, move.nonce)
        require(self.claim.status is ClaimStatus.PROPOSED, "ClaimNotIn")
        require(now <= self.claim.window_end, "WindowClosed")
        require(key not in self.challenges, "ChallengeExists")
        self.challenges[key] = ChallengeState(key, ChallengeStatus.ACTIVE, now, *self.clocks)

    def _posttrace(self, sender: str, move: m.PostTrace, now: int) -> None:
        model, depth = self.model, depth_of(self.model.instruction_count)
        require(sender == self.claim.claimant, "NotAllowed")
        require(self.claim.trace_root is None, "TraceAlreadyPosted")
        opened = [(model.output, self.source_roots[1], move.output_path)]
        opened.append((model.ok, tensor_root(b"\x01"), move.ok_path))
        if model.witness is not None:
            opened.append((model.witness, self.source_roots[2], move.witness_path))
        for index, root, path in opened:
            require(len(path) == depth, "WrongPathLength")
            require(fold_path(root, index, path) == move.trace_root, "WrongRoot")
        self.claim = replace(self.claim, trace_root=move.trace_root, trace_time=now)

    def _record(self, key: NodeKey, record: Record) -> None:
        require(key not in self.claim.records, "AlreadyRevealed")
        self.claim = replace(self.claim, records={**self.claim.records, key: record})

    def _reveal(self, sender: str, move: m.Reveal, now: int) -> None:
        require(len(move.children) in (2, 4, 8, 16, 32), "WrongChildCount")
        require(tagged(fold(move.children), move.length_tag) == move.node, "WrongRoot")
        self._record(
            NodeKey(move.node, move.length_tag, len(move.children)), Record(now, children=move.children)
        )

    def _postchunk(self, sender: str, move: m.PostChunk, now: int) -> None:
        require(len(move.chunk) <= 1024, "ChunkTooLong")
        require(tagged(leaf(pad_chunk(move.chunk)), move.length_tag) == move.node, "WrongRoot")
        self._record(NodeKey(move.node, move.length_tag, 0), Record(now, chunk=move.chunk))

    def _pick(self, sender: str, move: m.Pick, now: int) -> None:
        require(sender == move.key.challenger, "NotAllowed")
        challenge = self._challenge(move.key, move.expected_node)
        challenger_left, defender_left = self._on_clock(challenge, now)
        in_trace, byte_length = challenge.instruction == NO_INDEX, challenge.byte_length
        height = depth_of(self.model.instruction_count) if challenge.node is None else challenge.height
        full = depth_of(max(1, -(-byte_length // 1024)))
        node, position, instruction = move.expected_node, challenge.position, challenge.instruction
        require(bool(move.steps) or bool(move.naming.instruction), "NothingPicked")
        for step in move.steps:
            require(height > 0, "NothingPicked")
            opened = levels(height)
            require(len(step.children) == 1 << opened, "WrongChildCount")
            tag = byte_length if not in_trace and height == full else NO_LENGTH
            record = self.claim.records.get(NodeKey(node, tag, 1 << opened))
            require(record is not None, "NotRevealed")
            require(record is not None and record.children == step.children, "NotTheRevealed")
            require(0 <= step.index < 1 << opened, "ChildOutOfRange")
            node, position, height = (
                step.children[step.index],
                (position << opened) + step.index,
                height - opened,
            )
        at_tensor = in_trace and height == 0
        require(bool(move.naming.instruction) == at_tensor, "NamingMismatch")
        if at_tensor:
            instruction = self._name(position, move.naming)
            decoded = decode(move.naming.instruction)
            byte_length = decoded.count(self.symbols) * decoded.dtype.width
            position, height = 0, depth_of(max(1, -(-byte_length // 1024)))
        self.challenges[move.key] = ChallengeState(
            move.key, ChallengeStatus.ACTIVE, now, challenger_left, defender_left,
            node, instruction, position, height, byte_length,
        )  # fmt: skip

    def _name(self, index: int, naming: m.InstructionProof) -> int:
        require(index < self.model.instruction_count, "InstructionOutOfRange")
        require(len(naming.path) == depth_of(self.model.instruction_count), "WrongPathLength")
        root = fold_path(leaf(naming.instruction), index, naming.path)
        require(root == self.model.program_root, "WrongRoot")
        return index

    def _prove(self, sender: str, move: m.Prove, now: int) -> None:
        challenge, proof = self._challenge(move.key, move.expected_node), move.proof
        self._on_clock(challenge, now)
        require(challenge.instruction != NO_INDEX and challenge.height == 0, "NotAtChunk")
        tag = challenge.byte_length if challenge.byte_length <= 1024 else NO_LENGTH
        record = self.claim.records.get(NodeKey(move.expected_node, tag, 0))
        require(record is not None, "NotRevealed")
        require(record is not None and record.chunk == proof.chunk, "NotTheRevealed")
        self._name(challenge.instruction, proof.instruction)
        width = decode(proof.instruction.instruction).dtype.width
        require(0 <= proof.slot < 1024 // width, "SlotOutOfRange")
        element = challenge.position * (1024 // width) + proof.slot
        claimed = pad_chunk(proof.chunk)[proof.slot * width : (proof.slot + 1) * width]
        computed = bytes(width)
        if element * width < challenge.byte_length:
            computed = self._evaluate(proof, element)
        require(claimed != computed, "ElementIsRight")
        self._settle(move.key, ChallengeStatus.WON)

    def _evaluate(self, proof: m.Proof, element: int) -> bytes:
        """The element from the opened chunks alone; a read of any other chunk reverts."""
        instruction = decode(proof.instruction.instruction)
        operands = {operand.ref: operand for operand in instruction.operands}
        refs = [opening.ref for opening in proof.openings]
        require(refs == sorted(set(refs)) and set(refs) <= operands.keys(), "BadOpening")
        roots, tensors = {}, []
        for opening, siblings in zip(proof.openings, proof.siblings, strict=True):
            require(list(opening.positions) == sorted(set(opening.positions)), "BadOpening")
            length = operands[opening.ref].count(self.symbols) * operands[opening.ref].dtype.width
            chunks = [opening.chunks[k : k + 1024] for k in range(0, len(opening.chunks), 1024)]
            leaves = {p: leaf(c) for p, c in zip(opening.positions, chunks, strict=True)}
            try:
                merkle = multiproof_root(leaves, depth_of(max(1, -(-length // 1024))), siblings)
            except ValueError as error:
                raise Revert("WrongRoot") from error
            roots[opening.ref] = tensor_hash(length, merkle)
        self._require_roots(instruction.opcode, roots, proof.root_siblings)
        for fill in ELSEWHERE:
            opened = {o.ref: o for o in proof.openings}
            arrays = []
            for operand in instruction.operands:
                count = operand.count(self.symbols)
                data = (
                    np.resize(fill, -(-count * operand.dtype.width // 1024) * 128 + 128).view(np.uint8).copy()
                )
                if operand.ref in opened:
                    for k, position in enumerate(opened[operand.ref].positions):
                        chunk = opened[operand.ref].chunks[k * 1024 : (k + 1) * 1024]
                        data[position * 1024 : position * 1024 + 1024] = np.frombuffer(chunk, np.uint8)
                arrays.append(data.view(operand.dtype.numpy)[:count])
            with np.errstate(all="ignore"):
                tensors.append(
                    reference.evaluate(instruction, self.symbols, arrays, np.asarray([element])).tobytes()
                )
        require(tensors[0] == tensors[1], "ChunkNotOpened")
        return tensors[0]

    def _require_roots(self, opcode: Opcode, roots: dict[int, bytes], siblings: tuple[bytes, ...]) -> None:
        if opcode is Opcode.INPUT:
            require(all(self.source_roots[ref] == root for ref, root in roots.items()), "WrongRoot")
            return
        if not roots:
            return
        of_weights = opcode is Opcode.CONST
        count = self.model.weight_count if of_weights else self.model.instruction_count
        required = self.model.weights_root if of_weights else self.claim.trace_root
        try:
            require(multiproof_root(roots, depth_of(count), siblings) == required, "WrongRoot")
        except ValueError as error:
            raise Revert("WrongRoot") from error

    def _timeout(self, sender: str, move: m.Timeout, now: int) -> None:
        challenge = self._challenge(move.key)
        timer = clock(self.claim, challenge, self.model.instruction_count)
        require(timer.turn is not Turn.NOBODY and now > timer.limit, "ClockRunning")
        won = timer.turn is Turn.DEFENDER
        self._settle(move.key, ChallengeStatus.WON if won else ChallengeStatus.LOST)

    def _close(self, sender: str, move: m.Close, now: int) -> None:
        self._challenge(move.key)
        require(self.claim.status.is_decided, "ClaimUndecided")
        self._settle(move.key, ChallengeStatus.VOID)


Actor = Callable[[ClaimState, Iterable[ChallengeState], int], Iterable[m.Due]]
"""A player: what it would do now."""


def play(contract: Contract, actors: dict[str, Actor], now: int = 0, blocks: int = 400) -> int:
    """Let the players move, a block every 12 s, until no challenge is active but those of idlers; returns the time.

    A move that reverts fails the test, unless its actor is `careless`.
    """
    idle = {address for address, actor in actors.items() if getattr(actor, "idle", False)}
    for _ in range(blocks):
        now += 12
        for address, actor in actors.items():
            for due in list(actor(contract.claim, list(contract.challenges.values()), now)):
                try:
                    contract.execute(address, due.move, now)
                except Revert:
                    if not getattr(actor, "careless", False):
                        raise
        active = {key.challenger for key, c in contract.challenges.items() if c.is_active}
        if contract.challenges and not (active - idle if contract.claim.status.is_decided else active):
            return now
    raise AssertionError(f"the game does not end: {contract.gas_moves[-20:]}")
