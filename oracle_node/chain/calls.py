"""Every call of the oracle that changes something, as data for a `Sender`; arguments as in the Solidity interface."""

from collections.abc import Sequence
from typing import Any

from oracle_node.chain.abi import Functions
from oracle_node.chain.journal import Call
from oracle_node.chain.types import (
    Address,
    ChallengeKey,
    ClaimId,
    ListedModel,
    ListingId,
    Policy,
    RequestId,
    RequestOptions,
)

Path = Sequence[bytes]


class Calls:
    """Builds calls to one oracle."""

    def __init__(self, oracle: Address, functions: Functions) -> None:
        self._oracle, self._functions = oracle, functions

    def _call(self, label: str, name: str, *arguments: Any, value_wei: int = 0) -> Call:
        return Call(self._oracle, self._functions.encode(name, arguments), value_wei, label)

    # Models, requests, money

    def list_model(self, model: ListedModel, policy: Policy) -> Call:
        """Offer a model under terms."""
        return self._call("list the model", "list", model, policy)

    def request(
        self, listing_id: ListingId, input_bytes: bytes, options: RequestOptions, value_wei: int
    ) -> Call:
        """Ask."""
        return self._call(
            f"ask listing {_short(listing_id)}",
            "request",
            listing_id,
            input_bytes,
            options,
            value_wei=value_wei,
        )

    def expire(self, request_id: RequestId) -> Call:
        """Take an unanswered request back."""
        return self._call(f"expire request {_short(request_id)}", "expire", request_id)

    def deposit(self, account: Address, value_wei: int) -> Call:
        """Credit a balance."""
        return self._call("deposit", "deposit", account, value_wei=value_wei)

    def withdraw(self, to: Address, amount_wei: int) -> Call:
        """Pay out the sender's balance."""
        return self._call("withdraw", "withdraw", to, amount_wei)

    # Claims

    def commit_claim(self, request_id: RequestId, commitment: bytes, nonce: int, value_wei: int) -> Call:
        """Commit to an answer, unseen."""
        label = f"commit a claim for request {_short(request_id)}"
        return self._call(label, "commitClaim", request_id, commitment, nonce, value_wei=value_wei)

    def reveal_claim(self, claim_id: ClaimId, salt: bytes, output: bytes, witness: bytes) -> Call:
        """Publish a committed answer."""
        return self._call(f"reveal claim {_short(claim_id)}", "revealClaim", claim_id, salt, output, witness)

    def propose_claim(
        self, request_id: RequestId, nonce: int, output: bytes, witness: bytes, value_wei: int
    ) -> Call:
        """Claim at once, where the listing does without commitments."""
        label = f"claim request {_short(request_id)}"
        return self._call(label, "proposeClaim", request_id, nonce, output, witness, value_wei=value_wei)

    def forfeit(self, claim_id: ClaimId) -> Call:
        """End a claim that was not revealed in time."""
        return self._call(f"forfeit claim {_short(claim_id)}", "forfeit", claim_id)

    def finalize(self, claim_id: ClaimId) -> Call:
        """End an unrefuted claim after its window."""
        return self._call(f"finalize claim {_short(claim_id)}", "finalize", claim_id)

    def deliver(self, request_id: RequestId, output: bytes, callback_data: bytes) -> Call:
        """Call the consumer with the final answer."""
        return self._call(
            f"deliver request {_short(request_id)}", "deliver", request_id, output, callback_data
        )

    def deliver_provisional(self, claim_id: ClaimId, output: bytes, callback_data: bytes) -> Call:
        """Call the consumer with a claim's output before finality."""
        label = f"deliver claim {_short(claim_id)} early"
        return self._call(label, "deliverProvisional", claim_id, output, callback_data)

    def retract(self, request_id: RequestId, callback_data: bytes) -> Call:
        """Tell the consumer that the early answer does not hold."""
        return self._call(f"retract request {_short(request_id)}", "retract", request_id, callback_data)

    # The game

    def open_challenge(self, claim_id: ClaimId, nonce: int, value_wei: int) -> Call:
        """Say that a claim is wrong."""
        return self._call(f"challenge claim {_short(claim_id)}", "open", claim_id, nonce, value_wei=value_wei)

    def post_trace(
        self, claim_id: ClaimId, root: bytes, output_path: Path, witness_path: Path, ok_path: Path
    ) -> Call:
        """Bind a claim to its trace."""
        label = f"post the trace of claim {_short(claim_id)}"
        return self._call(label, "postTrace", claim_id, root, output_path, witness_path, ok_path)

    def reveal(self, claim_id: ClaimId, node: bytes, length_tag: int, children: Sequence[bytes]) -> Call:
        """Open a node of a claim's tree."""
        label = f"reveal node {_short(node)} of claim {_short(claim_id)}"
        return self._call(label, "reveal", claim_id, node, length_tag, children)

    def post_chunk(self, claim_id: ClaimId, node: bytes, length_tag: int, chunk: bytes) -> Call:
        """Publish a chunk of a claim's tensor; zeros at its end are left out."""
        label = f"post chunk {_short(node)} of claim {_short(claim_id)}"
        return self._call(label, "postChunk", claim_id, node, length_tag, chunk.rstrip(b"\x00"))

    def pick(self, key: ChallengeKey, expected_node: bytes, steps: Sequence[Any], naming: Any) -> Call:
        """Descend: `steps` are (children, index), `naming` is (instruction bytes, path), empty where none is named."""
        return self._call(
            f"pick under {_short(expected_node)} of claim {_short(key.claim_id)}",
            *("pick", key, expected_node, steps, naming),
        )

    def prove(self, key: ChallengeKey, expected_node: bytes, proof: Any) -> Call:
        """Convict: `proof` is the struct `Proof` as nested tuples or dataclasses."""
        return self._call(f"prove claim {_short(key.claim_id)} wrong", "prove", key, expected_node, proof)

    def timeout(self, key: ChallengeKey) -> Call:
        """Settle a challenge in which a clock ran out."""
        return self._call(f"call time on a challenge of claim {_short(key.claim_id)}", "timeout", key)

    def close(self, key: ChallengeKey) -> Call:
        """Settle a challenge whose claim is decided."""
        return self._call(f"close a challenge of claim {_short(key.claim_id)}", "close", key)


def _short(identifier: bytes) -> str:
    return f"0x{identifier[:6].hex()}…"
