"""The game's moves: each field is an argument of the contract function of the same name (IGame.sol), in its order."""

from dataclasses import dataclass

from oracle_node.game.state import ChallengeKey


@dataclass(frozen=True, slots=True)
class Open:
    """`open(claimId, nonce)`, with the challenge bond."""

    claim_id: bytes
    nonce: int


@dataclass(frozen=True, slots=True)
class PostTrace:
    """`postTrace`, from the claimant's key. Paths are bottom first; `witness_path` is empty without a witness."""

    claim_id: bytes
    trace_root: bytes
    output_path: tuple[bytes, ...]
    witness_path: tuple[bytes, ...]
    ok_path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Reveal:
    """`reveal`, from any key."""

    claim_id: bytes
    node: bytes
    length_tag: int
    children: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PostChunk:
    """`postChunk`, from any key; zeros at the chunk's end are left out."""

    claim_id: bytes
    node: bytes
    length_tag: int
    chunk: bytes


@dataclass(frozen=True, slots=True)
class Step:
    """One revealed level, and the child that is disputed."""

    children: tuple[bytes, ...]
    index: int


@dataclass(frozen=True, slots=True)
class InstructionProof:
    """An instruction's bytes and its path in the program tree; both empty for "none"."""

    instruction: bytes = b""
    path: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Pick:
    """`pick`, from the challenger's key or its delegate's."""

    key: ChallengeKey
    expected_node: bytes
    steps: tuple[Step, ...]
    naming: InstructionProof


@dataclass(frozen=True, slots=True)
class Opening:
    """Whole 1,024-byte chunks of one operand, concatenated, at strictly ascending positions."""

    ref: int
    positions: tuple[int, ...]
    chunks: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """As the contract's `Proof`; at or past the element count nothing is opened."""

    instruction: InstructionProof
    chunk: bytes
    slot: int
    openings: tuple[Opening, ...] = ()
    siblings: tuple[tuple[bytes, ...], ...] = ()
    root_siblings: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Prove:
    """`prove`, from any key."""

    key: ChallengeKey
    expected_node: bytes
    proof: Proof


@dataclass(frozen=True, slots=True)
class Timeout:
    """`timeout`, from any key: the player on turn has let its clock run out."""

    key: ChallengeKey


@dataclass(frozen=True, slots=True)
class Close:
    """`close`, from any key: the claim was decided elsewhere."""

    key: ChallengeKey


Move = Open | PostTrace | Reveal | PostChunk | Pick | Prove | Timeout | Close


@dataclass(frozen=True, slots=True)
class Due:
    """A move to make now; `limit` is the last block time at which it is valid, None where time does not matter."""

    move: Move
    limit: int | None
