"""What people and nodes do with an oracle, as one call each: list, ask, claim. Receipts in, ids out."""

from typing import TypeVar

from oracle_node.chain.client import OracleClient
from oracle_node.chain.events import ClaimCommitted, ClaimProposed, Event, Listed, Requested
from oracle_node.chain.transactions import Receipt, Sender
from oracle_node.chain.types import (
    ClaimId,
    DerivedTerms,
    InequalityTerms,
    Limits,
    ListedModel,
    ListingId,
    Policy,
    RequestId,
    RequestOptions,
    SourceLimits,
)
from oracle_node.commitments.model import MAX_DERIVED, MAX_INEQUALITIES, VERSION, ModelCommitment
from oracle_node.commitments.tensor import tensor_root
from oracle_node.errors import ProtocolError
from oracle_node.tape.instruction import NO_INDEX

E = TypeVar("E", bound=Event)
_TRACE_TIMES = 4
"""Windows and clocks hold at least this many trace times beyond their floors (DESIGN §6, rule 6)."""


def listed_model(commitment: ModelCommitment) -> ListedModel:
    """The contract's struct of what a model id commits to."""
    inequalities = [InequalityTerms(*rule.coefficients, rule.bound) for rule in commitment.inequalities]
    derived = [DerivedTerms(symbol.source, symbol.divisor) for symbol in commitment.derived]
    return ListedModel(
        version=VERSION,
        instruction_count=commitment.instruction_count,
        program_root=commitment.program_root,
        weight_count=commitment.weight_count,
        weights_root=commitment.weights_root,
        output=commitment.output,
        witness=NO_INDEX if commitment.witness is None else commitment.witness,
        ok=commitment.ok,
        sources=tuple(SourceLimits(s.dtype, s.min_elements, s.max_elements) for s in commitment.sources),
        inequalities=(*inequalities, *[InequalityTerms(0, 0, 0, 0)] * (MAX_INEQUALITIES - len(inequalities))),
        derived=(*derived, *[DerivedTerms(0, 0)] * (MAX_DERIVED - len(derived))),
        step_bound=commitment.step_bound,
        trace_work=commitment.trace_work,
    )


def least_policy(
    limits: Limits, commitment: ModelCommitment, *, min_fee_wei: int = 0, commit_reveal: bool = True
) -> Policy:
    """The shortest times and smallest bonds that a deployment admits for a model."""
    extra = _TRACE_TIMES * commitment.trace_seconds
    return Policy(
        window=limits.min_window + extra,
        challenger_clock=limits.min_clock + extra,
        defender_clock=limits.min_clock + extra,
        reveal_timeout=limits.min_reveal_timeout,
        claim_bond=limits.min_claim_bond,
        challenge_bond=limits.min_challenge_bond,
        min_fee=min_fee_wei,
        commit_reveal=commit_reveal,
    )


async def list_model(
    client: OracleClient, sender: Sender, commitment: ModelCommitment, policy: Policy
) -> ListingId:
    """Offer a model under terms; RevertError AlreadyListed where it is."""
    receipt = await sender.send(client.calls.list_model(listed_model(commitment), policy))
    return (await event_in(client, receipt, Listed)).listing_id


async def ask(
    client: OracleClient,
    sender: Sender,
    listing_id: ListingId,
    input_bytes: bytes,
    options: RequestOptions | None = None,
) -> RequestId:
    """Send a request with the least fee it needs; the id comes from the mined transaction."""
    options = options or RequestOptions()
    least = await client.quote(listing_id, options.gas_limit)
    extra = max(options.fee - (await client.listing(listing_id)).policy.min_fee, 0) if options.fee else 0
    receipt = await sender.send(client.calls.request(listing_id, input_bytes, options, least + extra))
    return (await event_in(client, receipt, Requested)).request_id


async def claim_answer(
    client: OracleClient,
    sender: Sender,
    request_id: RequestId,
    output: bytes,
    witness: bytes = b"",
    *,
    salt: bytes = bytes(32),
    nonce: int = 0,
) -> ClaimId:
    """Claim an answer as the listing wants it: committed and revealed, or at once.

    The salt hides the answer until its reveal: it must be random wherever a mempool is public, and stored before.
    """
    policy = (await client.listing((await client.request(request_id)).listing_id)).policy
    if not policy.commit_reveal:
        call = client.calls.propose_claim(request_id, nonce, output, witness, policy.claim_bond)
        return (await event_in(client, await sender.send(call), ClaimProposed)).claim_id
    commitment = commitment_of(client, request_id, sender.address, salt, output, witness)
    call = client.calls.commit_claim(request_id, commitment, nonce, policy.claim_bond)
    claim_id = (await event_in(client, await sender.send(call), ClaimCommitted)).claim_id
    await sender.send(client.calls.reveal_claim(claim_id, salt, output, witness))
    return claim_id


def commitment_of(
    client: OracleClient, request_id: RequestId, claimant: str, salt: bytes, output: bytes, witness: bytes
) -> bytes:
    """The commitment to an answer."""
    roots = tensor_root(output), tensor_root(witness)
    return client.commitment(request_id, claimant, salt, roots, (len(output), len(witness)))


async def event_in(client: OracleClient, receipt: Receipt, kind: type[E]) -> E:
    """The event of that kind among a receipt's logs; ProtocolError where there is none."""
    for entry in await client.logged(receipt.logs):
        if isinstance(entry.event, kind):
            return entry.event
    raise ProtocolError(
        f"transaction 0x{receipt.transaction_hash.hex()} was mined without a {kind.__name__} event"
    )
