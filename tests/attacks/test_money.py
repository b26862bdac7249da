"""Attempts to be paid twice, on the compiled contracts. Every test passes where the attack fails."""

import numpy as np
import pytest

from oracle_node.chain.events import ClaimProposed, Requested
from oracle_node.chain.types import ClaimId, RequestId, RequestOptions
from oracle_node.commitments.hashing import leaf
from oracle_node.commitments.merkle import MerkleTree
from oracle_node.commitments.model import ModelCommitment
from oracle_node.commitments.tensor import tensor_root
from oracle_node.game.geometry import NO_LENGTH
from oracle_node.game.moves import InstructionProof, Step
from oracle_node.game.state import ChallengeKey
from oracle_node.tape.instruction import Source
from oracle_node.tape.types import DType
from tests.evm.oracle import EvmOracle, address_of
from tests.game.simulation import Revert

JUNK = (b"\x00", b"\x00")
"""No instructions: opcode 0 does not decode."""
THIEF = address_of("thief")


def junk_model() -> ModelCommitment:
    """What anyone may list: a program that does not decode."""
    return ModelCommitment(
        instruction_count=2,
        program_root=MerkleTree.of(leaf(junk) for junk in JUNK).root,
        weight_count=0,
        weights_root=leaf(bytes(1024)),
        output=0,
        witness=None,
        ok=1,
        sources=(Source(DType.U8, 1, 1), Source(DType.U8, 1, 1), Source()),
        inequalities=(),
        derived=(),
        step_bound=0,
        trace_work=0,
    )


class Heist:
    """A listing of the thief's, a claim of its own with a trace, and its own challenges of it."""

    def __init__(self, claims: int, challenges: int) -> None:
        self.oracle = EvmOracle()
        calls = self.oracle.calls
        listing_id, self.policy = self.oracle.list(junk_model())
        asked = self.oracle.send(THIEF, calls.request(listing_id, b"?", RequestOptions(), 0))
        request_id = next(RequestId(e.request_id) for e in asked if isinstance(e, Requested))
        self.claims: list[ClaimId] = []
        for nonce in range(claims):
            call = calls.propose_claim(request_id, nonce, b"!", b"", self.policy.claim_bond)
            events = self.oracle.send(THIEF, call)
            self.claims.append(next(e.claim_id for e in events if isinstance(e, ClaimProposed)))
        self.tree = MerkleTree.of([tensor_root(np.frombuffer(b"!", np.uint8)), tensor_root(b"\x01")])
        paths = self.tree.path(0), (), self.tree.path(1)
        self.oracle.send(THIEF, calls.post_trace(self.claims[0], self.tree.root, *paths))
        children = [self.tree.node(0, 0), self.tree.node(0, 1)]
        self.oracle.send(THIEF, calls.reveal(self.claims[0], self.tree.root, NO_LENGTH, children))
        self.keys = [ChallengeKey(self.claims[0], THIEF, nonce) for nonce in range(challenges)]
        for key in self.keys:
            bond = self.policy.challenge_bond
            self.oracle.send(THIEF, calls.open_challenge(self.claims[0], key.nonce, bond))

    def void(self, key: ChallengeKey) -> None:
        """Name the malformed instruction: the claim is void."""
        step = Step((self.tree.node(0, 0), self.tree.node(0, 1)), 0)
        path = MerkleTree.of(leaf(junk) for junk in JUNK).path(0)
        naming = InstructionProof(JUNK[0], path)
        self.oracle.send(THIEF, self.oracle.calls.pick(key, self.tree.root, (step,), naming))

    @property
    def balance(self) -> int:
        return int(self.oracle.read("balanceOf", THIEF))

    @property
    def held(self) -> int:
        return int(self.oracle.evm.get_balance(self.oracle.address))


def test_pick__on_a_claim_that_is_void_already__cannot_pay_its_bond_again() -> None:
    heist = Heist(claims=3, challenges=3)
    heist.void(heist.keys[0])
    assert heist.balance == heist.policy.claim_bond + heist.policy.challenge_bond
    for key in heist.keys[1:]:
        with pytest.raises(Revert):
            heist.void(key)
    assert heist.balance <= heist.held


def test_pick__on_a_claim_that_was_refuted__cannot_void_it() -> None:
    heist = Heist(claims=3, challenges=2)
    heist.oracle.now += heist.policy.challenger_clock + 1
    heist.oracle.send(THIEF, heist.oracle.calls.timeout(heist.keys[0]))  # lost by the thief as challenger
    heist.oracle.now += heist.policy.window + heist.policy.challenger_clock + heist.policy.defender_clock + 61
    heist.oracle.send(THIEF, heist.oracle.calls.finalize(heist.claims[0]))
    with pytest.raises(Revert):
        heist.void(heist.keys[1])
    assert heist.balance <= heist.held
