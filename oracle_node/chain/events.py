"""The contracts' events as frozen values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from eth_abi.abi import decode
from eth_utils.abi import collapse_if_tuple
from eth_utils.crypto import keccak

from oracle_node.chain.abi import build, named
from oracle_node.chain.types import (
    Address,
    ChallengeId,
    ChallengeStatus,
    ClaimId,
    DeliveryKind,
    ListedModel,
    ListingId,
    Policy,
    RequestId,
    RequestOptions,
)


@dataclass(frozen=True)
class Listed:
    """A model was listed under terms."""

    listing_id: ListingId
    model_id: bytes
    model: ListedModel = field(repr=False)
    policy: Policy


@dataclass(frozen=True)
class Requested:
    """A model was asked."""

    request_id: RequestId
    listing_id: ListingId
    requester: Address
    input_root: bytes
    options: RequestOptions
    input: bytes = field(repr=False)


@dataclass(frozen=True)
class RequestExpired:
    """Nobody answered."""

    request_id: RequestId
    refund: int


@dataclass(frozen=True)
class RequestReopened:
    """A claim fell after the deadline: there is a new one."""

    request_id: RequestId
    deadline: int


@dataclass(frozen=True)
class FeePaid:
    """The request's fee went to a claimant."""

    request_id: RequestId
    claim_id: ClaimId
    claimant: Address
    amount: int


@dataclass(frozen=True)
class Delivered:
    """A callback was called."""

    request_id: RequestId
    claim_id: ClaimId
    kind: DeliveryKind
    sequence: int
    success: bool


@dataclass(frozen=True)
class ClaimCommitted:
    """An answer was committed, unseen."""

    claim_id: ClaimId
    request_id: RequestId
    claimant: Address
    commitment: bytes
    order: int
    reveal_by: int


@dataclass(frozen=True)
class ClaimProposed:
    """An answer is public, and may be challenged."""

    claim_id: ClaimId
    request_id: RequestId
    claimant: Address
    output_root: bytes
    witness_root: bytes
    order: int
    window_end: int
    output: bytes = field(repr=False)
    witness: bytes = field(repr=False)


@dataclass(frozen=True)
class ClaimForfeited:
    """A commitment was not revealed in time."""

    claim_id: ClaimId
    request_id: RequestId
    burned: int


@dataclass(frozen=True)
class ClaimFinalized:
    """A claim stood; `answered` if it is the request's answer."""

    claim_id: ClaimId
    request_id: RequestId
    answered: bool


@dataclass(frozen=True)
class ClaimRefuted:
    """A claim fell."""

    claim_id: ClaimId
    request_id: RequestId
    challenge_id: ChallengeId


@dataclass(frozen=True)
class ClaimVoided:
    """The model's own program is malformed: everybody gets their bonds back."""

    claim_id: ClaimId
    request_id: RequestId


@dataclass(frozen=True)
class ChallengeOpened:
    """Somebody says that a claim is wrong."""

    challenge_id: ChallengeId
    claim_id: ClaimId
    challenger: Address
    nonce: int


@dataclass(frozen=True)
class TracePosted:
    """The claimant bound itself to a trace."""

    claim_id: ClaimId
    trace_root: bytes


@dataclass(frozen=True)
class Revealed:
    """The children of a node of a claim's tree are public."""

    claim_id: ClaimId
    node: bytes
    length_tag: int
    children: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class ChunkPosted:
    """A chunk of a claim's tensor is public; zeros at its end may be left out."""

    claim_id: ClaimId
    node: bytes
    length_tag: int
    chunk: bytes = field(repr=False)


@dataclass(frozen=True)
class Picked:
    """A challenge now disputes `node`."""

    challenge_id: ChallengeId
    claim_id: ClaimId
    node: bytes
    instruction: int
    position: int
    height: int
    byte_length: int


@dataclass(frozen=True)
class ElementProved:
    """The element that convicted a claim."""

    challenge_id: ChallengeId
    element: int
    claimed: int
    computed: int


@dataclass(frozen=True)
class ChallengeSettled:
    """A challenge is over, and who got what."""

    challenge_id: ChallengeId
    claim_id: ClaimId
    status: ChallengeStatus
    to_challenger: int
    to_claimant: int


@dataclass(frozen=True)
class DelegateSet:
    """An account may, or may no longer, make another's picks."""

    challenger: Address
    delegate: Address
    allowed: bool


@dataclass(frozen=True)
class Deposited:
    """A balance grew."""

    account: Address
    amount: int


@dataclass(frozen=True)
class Withdrawn:
    """A balance was paid out."""

    account: Address
    to: Address
    amount: int


@dataclass(frozen=True)
class Burned:
    """Wei left circulation."""

    amount: int


Event: TypeAlias = (
    Listed
    | Requested
    | RequestExpired
    | RequestReopened
    | FeePaid
    | Delivered
    | ClaimCommitted
    | ClaimProposed
    | ClaimForfeited
    | ClaimFinalized
    | ClaimRefuted
    | ClaimVoided
    | ChallengeOpened
    | TracePosted
    | Revealed
    | ChunkPosted
    | Picked
    | ElementProved
    | ChallengeSettled
    | DelegateSet
    | Deposited
    | Withdrawn
    | Burned
)
EVENT_TYPES: dict[str, type[Event]] = {cls.__name__: cls for cls in Event.__args__}


@dataclass(frozen=True)
class Logged:
    """An event at its place: block, position among the block's logs, and the block's time."""

    event: Event
    block: int
    log_index: int
    time: int


class EventDecoder:
    """Knows the events of an ABI."""

    def __init__(self, abi: Sequence[Mapping[str, Any]]) -> None:
        entries = [entry for entry in abi if entry["type"] == "event"]
        self._by_topic = {_topic(entry): entry for entry in entries}

    def decode(self, topics: Sequence[bytes], data: bytes) -> Event | None:
        """The event of a log; None for one that this version does not know."""
        entry = self._by_topic.get(bytes(topics[0])) if topics else None
        if entry is None or entry["name"] not in EVENT_TYPES:
            return None
        indexed = [i for i in entry["inputs"] if i["indexed"]]
        plain = [i for i in entry["inputs"] if not i["indexed"]]
        words = [decode([i["type"]], bytes(topic))[0] for i, topic in zip(indexed, topics[1:], strict=True)]
        values = decode([collapse_if_tuple(i) for i in plain], bytes(data))
        return build(EVENT_TYPES[entry["name"]], named([*indexed, *plain], [*words, *values]))

    def topics_of(self, *names: str) -> list[bytes]:
        """The first topics of the named events."""
        return [topic for topic, entry in self._by_topic.items() if entry["name"] in names]


def _topic(entry: Mapping[str, Any]) -> bytes:
    types = ",".join(collapse_if_tuple(dict(i)) for i in entry["inputs"])
    return bytes(keccak(text=f"{entry['name']}({types})"))
