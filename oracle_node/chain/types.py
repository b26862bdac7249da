"""The contracts' structs and enums as frozen values; field for field as in `contracts/src/interfaces/Types.sol`.

Times are unix seconds, durations seconds, money wei, lengths elements unless the name says bytes.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NewType

from oracle_node.game.state import ChallengeKey as ChallengeKey
from oracle_node.game.state import ChallengeStatus as ChallengeStatus
from oracle_node.game.state import ClaimStatus as ClaimStatus

Address = NewType("Address", str)
"""Checksummed hex."""
ListingId = NewType("ListingId", bytes)
RequestId = NewType("RequestId", bytes)
ClaimId = NewType("ClaimId", bytes)
ChallengeId = NewType("ChallengeId", bytes)

ZERO_ADDRESS = Address("0x" + "00" * 20)


class RequestStatus(IntEnum):
    """Where a request stands."""

    NONE = 0
    OPEN = 1
    ANSWERED = 2
    EXPIRED = 3


class Turn(IntEnum):
    """Whose clock runs."""

    NOBODY = 0
    DEFENDER = 1
    CHALLENGER = 2


class DeliveryKind(IntEnum):
    """What a delivery means."""

    PROVISIONAL = 0
    RETRACTED = 1
    FINAL = 2


@dataclass(frozen=True)
class SourceLimits:
    """What a source may hold."""

    dtype: int
    min_elements: int
    max_elements: int


@dataclass(frozen=True)
class InequalityTerms:
    """c0·n0 + c1·n1 + c2·n2 ≤ bound."""

    c0: int
    c1: int
    c2: int
    bound: int


@dataclass(frozen=True)
class DerivedTerms:
    """ceil(n_source / divisor)."""

    source: int
    divisor: int


@dataclass(frozen=True)
class ListedModel:
    """What a model id commits to."""

    version: int
    instruction_count: int
    program_root: bytes
    weight_count: int
    weights_root: bytes
    output: int
    witness: int
    ok: int
    sources: tuple[SourceLimits, ...]
    inequalities: tuple[InequalityTerms, ...]
    derived: tuple[DerivedTerms, ...]
    step_bound: int
    trace_work: int


@dataclass(frozen=True)
class Policy:
    """The terms under which a model is asked."""

    window: int
    challenger_clock: int
    defender_clock: int
    reveal_timeout: int
    claim_bond: int
    challenge_bond: int
    min_fee: int
    commit_reveal: bool


@dataclass(frozen=True)
class Limits:
    """Floors and caps of a deployment."""

    min_window: int
    min_clock: int
    min_reveal_timeout: int
    settle_margin: int
    request_lifetime: int
    max_input_bytes: int
    max_claim_bytes: int
    max_step_bytes: int
    min_claim_bond: int
    min_challenge_bond: int
    callback_gas_price: int
    trace_second_price: int


@dataclass(frozen=True)
class Listing:
    """A model under terms."""

    model_id: bytes
    policy: Policy
    trace_seconds: int


@dataclass(frozen=True)
class RequestOptions:
    """How a request wants to be answered; zeros ask for the contract's defaults."""

    callback: Address = ZERO_ADDRESS
    gas_limit: int = 0
    provisional: bool = False
    deadline: int = 0
    fee: int = 0
    nonce: int = 0
    callback_data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class RequestView:
    """A request as the contract sees it."""

    listing_id: ListingId
    requester: Address
    status: RequestStatus
    provisional: bool
    delivered: bool
    fee_paid: bool
    deadline: int
    claims: int
    standing: int
    fee: int
    input_elements: int
    gas_limit: int
    callback: Address
    input_root: bytes
    callback_hash: bytes
    answer: ClaimId


@dataclass(frozen=True)
class ClaimView:
    """A claim as the contract sees it."""

    request_id: RequestId
    claimant: Address
    status: ClaimStatus
    order: int
    open_challenges: int
    window_end: int
    trace_time: int
    output_elements: int
    witness_elements: int
    output_root: bytes
    witness_root: bytes
    trace_root: bytes
    pot: int


@dataclass(frozen=True)
class ChallengeView:
    """A challenge as the contract sees it."""

    status: ChallengeStatus
    since: int
    challenger_left: int
    defender_left: int
    instruction: int
    position: int
    height: int
    byte_length: int
    challenger_cost: int
    steps: int
    node: bytes
    turn: Turn
    limit: int
