"""What the chain says of a claim and its challenges: built from events elsewhere, read here. Times are block times."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from oracle_node.game.geometry import Place
from oracle_node.tape.instruction import NO_INDEX


class ClaimStatus(IntEnum):
    """As `ClaimStatus` of the contract."""

    NONE = 0
    COMMITTED = 1
    PROPOSED = 2
    FINALIZED = 3
    REFUTED = 4
    VOID = 5
    FORFEITED = 6

    @property
    def is_decided(self) -> bool:
        return self > ClaimStatus.PROPOSED


class ChallengeStatus(IntEnum):
    """As `ChallengeStatus` of the contract."""

    NONE = 0
    ACTIVE = 1
    WON = 2
    LOST = 3
    VOID = 4


@dataclass(frozen=True, slots=True)
class NodeKey:
    """Names a record: `child_count` is 0 for a chunk, else a power of two up to 32."""

    node: bytes
    length_tag: int
    child_count: int


@dataclass(frozen=True, slots=True)
class Record:
    """A `Revealed` event (children) or a `ChunkPosted` event (the chunk as given, its last zeros perhaps left out)."""

    time: int
    children: tuple[bytes, ...] = ()
    chunk: bytes = b""


@dataclass(frozen=True)
class ClaimState:
    """A claim and everything revealed under it, by whomever."""

    claim_id: bytes
    claimant: str
    status: ClaimStatus
    window_end: int
    trace_time: int = 0
    trace_root: bytes | None = None
    records: Mapping[NodeKey, Record] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChallengeKey:
    """Names a challenge, as the contract's `ChallengeKey`."""

    claim_id: bytes
    challenger: str
    nonce: int


@dataclass(frozen=True, slots=True)
class ChallengeState:
    """A challenge at the challenger's last move, as `getChallenge` returns it.

    `node` is None until the first pick (or the trace root, once there is one); `instruction` is `NO_INDEX` inside the
    trace tree. `since` is the time of the challenger's last move, and both clocks (seconds) are as they stood then.
    """

    key: ChallengeKey
    status: ChallengeStatus
    since: int
    challenger_left: int
    defender_left: int
    node: bytes | None = None
    instruction: int = NO_INDEX
    position: int = 0
    height: int = 0
    byte_length: int = 0

    @property
    def is_active(self) -> bool:
        return self.status is ChallengeStatus.ACTIVE

    @property
    def place(self) -> Place:
        """Where it stands in the claim's tree; meaningless before the first pick."""
        return Place(None if self.instruction == NO_INDEX else self.instruction, self.height, self.position)
