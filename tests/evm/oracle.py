"""The real contracts in an in-process EVM, behind the interface of `tests.game.simulation.Contract`.

So the same players, liars and games run against the compiled oracle, thousands of moves in seconds.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from pyrevm import EVM, BlockEnv

from oracle_node.chain.abi import Functions, build
from oracle_node.chain.calls import Calls
from oracle_node.chain.deploy import DEV_LIMITS
from oracle_node.chain.events import EventDecoder, Listed, Logged, Requested
from oracle_node.chain.journal import Call
from oracle_node.chain.observe import challenge_state, claim_state
from oracle_node.chain.terms import least_policy, listed_model
from oracle_node.chain.types import Address, ChallengeView, ClaimId, ClaimView, Policy, RequestOptions
from oracle_node.commitments.model import ModelCommitment
from oracle_node.contracts import load_artifact
from oracle_node.game.moves import Move, Open
from oracle_node.game.state import ChallengeKey, ChallengeState, ClaimState
from oracle_node.players.submission import call_of, name_of
from tests.game.simulation import Revert

START_TIME = 1_000_000
_ETHER = 10**18


def address_of(name: str) -> Address:
    """A party's address."""
    return Address(to_checksum_address(keccak(text=name)[-20:]))


class EvmOracle:
    """A deployed oracle; time stands still until `now` is set."""

    def __init__(self) -> None:
        self.evm = EVM(spec_id="PRAGUE")
        self.now = START_TIME
        self.artifact = load_artifact("InferenceOracle")
        self.functions, self.events = Functions(self.artifact.abi), EventDecoder(self.artifact.abi)
        evaluator = self._deploy("ElementEvaluator", [])
        self.address = Address(self._deploy("InferenceOracle", [evaluator, DEV_LIMITS]))
        self.calls = Calls(self.address, self.functions)
        self.logged: list[Logged] = []
        self.gas_used = 0

    def _deploy(self, name: str, arguments: list[Any]) -> str:
        artifact = load_artifact(name)
        self.evm.set_balance(address_of("deployer"), 10**6 * _ETHER)
        code = artifact.bytecode + Functions(artifact.abi).encode_constructor(arguments)
        return str(self.evm.deploy(address_of("deployer"), code, gas=60_000_000))

    def send(self, sender: Address, call: Call) -> list[Any]:
        """Execute a call; Revert where the contract refuses it."""
        self.evm.set_block_env(BlockEnv(number=self.now, timestamp=self.now, gas_limit=60_000_000))
        self.evm.set_balance(sender, 10**6 * _ETHER)
        try:
            self.evm.message_call(
                sender, self.address, calldata=call.data, value=call.value_wei, gas=16_000_000
            )
        except RuntimeError as error:
            raise Revert(f"{call.label}: {error}") from None
        result = self.evm.result
        self.gas_used = result.gas_used
        decoded = [self.events.decode(*_raw(log)) for log in result.logs]
        events = [event for event in decoded if event is not None]
        self.logged += [Logged(event, self.now, k, self.now) for k, event in enumerate(events)]
        return events

    def read(self, name: str, *arguments: Any) -> Any:
        """The first value that a view function returns."""
        data = self.functions.encode(name, arguments)
        output = self.evm.message_call(address_of("reader"), self.address, calldata=data, is_static=True)
        return self.functions.decode(name, bytes(output))[0]

    def list(self, commitment: ModelCommitment) -> tuple[bytes, Policy]:
        """Offer a model without commit–reveal, on terms that leave time for a game with a block every 12 s."""
        least = least_policy(DEV_LIMITS, commitment, commit_reveal=False)
        policy = replace(least, challenger_clock=600, defender_clock=600)
        (event,) = self.send(address_of("lister"), self.calls.list_model(listed_model(commitment), policy))
        assert isinstance(event, Listed)
        return event.listing_id, policy


class EvmContract:
    """One proposed claim on a fresh or given oracle."""

    def __init__(
        self,
        commitment: ModelCommitment,
        sources: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> None:
        self.oracle = EvmOracle()
        request, output, witness = (source.tobytes() for source in sources)
        listing_id, self.policy = self.oracle.list(commitment)
        asked = self.oracle.send(
            address_of("asker"), self.oracle.calls.request(listing_id, request, RequestOptions(), _ETHER)
        )
        request_id = next(event.request_id for event in asked if isinstance(event, Requested))
        bond = self.policy.claim_bond
        self.oracle.send(
            address_of("claimant"), self.oracle.calls.propose_claim(request_id, 0, output, witness, bond)
        )
        self.claim_id = next(
            entry.event.claim_id
            for entry in self.oracle.logged
            if type(entry.event).__name__ == "ClaimProposed"
        )
        self.keys: list[ChallengeKey] = []
        self.moves: list[tuple[str, int]] = []

    @property
    def claim(self) -> ClaimState:
        view = build(ClaimView, self.oracle.read("getClaim", self.claim_id))
        return claim_state(ClaimId(self.claim_id), view, self.oracle.logged)

    @property
    def challenges(self) -> dict[ChallengeKey, ChallengeState]:
        views = {key: build(ChallengeView, self.oracle.read("getChallenge", key)) for key in self.keys}
        return {key: challenge_state(key, view) for key, view in views.items()}

    def execute(self, sender: Address, move: Move, now: int) -> None:
        """Send a move; Revert where the contract refuses it."""
        self.oracle.now = now
        self.oracle.send(sender, call_of(self.oracle.calls, move, self.policy.challenge_bond))
        self.moves.append((name_of(move), self.oracle.gas_used))
        if isinstance(move, Open):
            self.keys.append(ChallengeKey(move.claim_id, sender, move.nonce))


def _raw(log: Any) -> tuple[list[bytes], bytes]:
    """Topics and data of a pyrevm log."""
    topics = [bytes.fromhex(topic.removeprefix("0x")) for topic in log.topics]
    data = log.data[1] if isinstance(log.data, tuple) else log.data
    return topics, bytes(data)
