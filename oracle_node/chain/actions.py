"""What people and nodes do with an oracle, as one call each: list, ask, claim. Receipts in, ids out."""

from typing import TypeVar

from oracle_node.chain.client import OracleClient
from oracle_node.chain.events import ClaimCommitted, ClaimProposed, Event, Listed, Requested
from oracle_node.chain.revert import RevertError
from oracle_node.chain.terms import listed_model
from oracle_node.chain.transactions import Receipt, Sender
from oracle_node.chain.types import (
    ClaimId,
    ListingId,
    Policy,
    RequestId,
    RequestOptions,
)
from oracle_node.commitments.model import ModelCommitment
from oracle_node.commitments.tensor import tensor_root
from oracle_node.errors import ConfigError, ProtocolError

E = TypeVar("E", bound=Event)


async def list_model(
    client: OracleClient, sender: Sender, commitment: ModelCommitment, policy: Policy
) -> ListingId:
    """Offer a model under terms; RevertError AlreadyListed where it is."""
    receipt = await sender.send(client.calls.list_model(listed_model(commitment), policy))
    return (await event_in(client, receipt, Listed)).listing_id


async def find_listing(client: OracleClient, identifier: bytes) -> ListingId:
    """The listing of that id, or the only one of the model of that id; ConfigError where there is none, or a choice."""
    try:
        await client.listing(ListingId(identifier))
        return ListingId(identifier)
    except RevertError as error:
        if error.name != "UnknownListing":
            raise
    listed = [entry.event for entry in await client.past_events(["Listed"])]
    found = [e.listing_id for e in listed if isinstance(e, Listed) and e.model_id == identifier]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"this oracle lists neither terms nor a model of id 0x{identifier.hex()}")
    choices = ", ".join(f"0x{listing_id.hex()}" for listing_id in found)
    raise ConfigError(f"model 0x{identifier.hex()} is listed under several terms, choose one: {choices}")


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
