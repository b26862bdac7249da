"""Moves whose calldata was tampered with, at every turn of real disputes: refused by name, or as good as the original.

No mutant may void a claim, convict a true one, panic, or burn all of its gas.
"""

import re
from collections.abc import Iterator
from random import Random

import pytest
from eth_utils.crypto import keccak

from oracle_node.chain.types import Address
from oracle_node.contracts import load_artifact
from oracle_node.game.moves import Move, Open
from oracle_node.game.state import ChallengeStatus, ClaimStatus
from oracle_node.players.submission import call_of
from tests.evm.oracle import START_TIME, EvmContract, address_of
from tests.game.simulation import play
from tests.game.toy import (
    Challenger,
    Defender,
    Liar,
    LyingDefender,
    Sybil,
    padded,
    right_claim,
    toy_commitment,
)

CLAIMANT, CHALLENGER = address_of("claimant"), address_of("challenger")
GAS = 16_000_000
WORD = 32
_REVERT = re.compile(r"Revert { gas_used: \d+, output: 0x([0-9a-f]{0,8})")


def _selectors() -> set[str]:
    """Of every error that our contracts name."""
    return {
        keccak(text=f"{entry['name']}({','.join(i['type'] for i in entry['inputs'])})")[:4].hex()
        for name in ("InferenceOracle", "ElementEvaluator", "Judge")
        for entry in load_artifact(name).abi
        if entry["type"] == "error"
    }


def mutants(data: bytes, random: Random, count: int) -> Iterator[bytes]:
    """Calldata with a few bytes or words changed, cut or repeated; the function stays."""
    for _ in range(count):
        out = bytearray(data)
        for _ in range(random.choice([1, 1, 1, 2, 3])):
            at = random.randrange(4, len(out))
            word = 4 + (at - 4) // WORD * WORD
            match random.randrange(7):
                case 0:
                    out[at] ^= 1 << random.randrange(8)
                case 1:  # a number, length or offset a little off
                    value = int.from_bytes(out[word : word + WORD]) + random.choice([-WORD, -1, 1, WORD])
                    out[word : word + WORD] = (value % (1 << 256)).to_bytes(WORD)
                case 2:  # or far off
                    out[word : word + WORD] = random.choice(
                        [bytes(WORD), b"\xff" * WORD, (1 << 63).to_bytes(WORD), (1 << 31).to_bytes(WORD)]
                    )
                case 3:
                    del out[word : word + WORD]
                case 4:
                    out[word:word] = out[word : word + WORD]
                case 5:
                    out = out[: max(at, 5)]
                case _:
                    out += random.randbytes(WORD)
            if len(out) < 5:
                break
        yield bytes(out)


class Tampering(EvmContract):
    """Tries every move in many broken forms before it is made."""

    named = _selectors()
    count = 60
    allowed = frozenset({ClaimStatus.PROPOSED})
    tried = accepted = 0

    def execute(self, sender: Address, move: Move, now: int) -> None:
        self.oracle.now = now
        if not isinstance(move, Open):
            self.tamper(sender, move)
        super().execute(sender, move, now)

    def tamper(self, sender: Address, move: Move) -> None:
        evm, logged = self.oracle.evm, list(self.oracle.logged)
        call = call_of(self.oracle.calls, move, self.policy.challenge_bond)
        self.oracle.send(
            address_of("asker"), self.oracle.calls.deposit(address_of("asker"), 1)
        )  # sets the time
        for mutant in mutants(call.data, Random(call.data), self.count):
            before = evm.snapshot()
            self.tried += 1
            try:
                evm.message_call(sender, self.oracle.address, calldata=mutant, gas=GAS)
                self.accepted += 1
            except RuntimeError as error:
                self.require_named(mutant, str(error))
            assert self.claim.status in self.allowed, mutant.hex()
            assert ChallengeStatus.VOID not in {c.status for c in self.challenges.values()}, mutant.hex()
            evm.revert(before)
        self.oracle.logged = logged

    def require_named(self, mutant: bytes, said: str) -> None:
        """An error of ours, or the ABI decoder's, which says nothing; never a panic, never the end of the gas."""
        reverted = _REVERT.match(said)
        assert reverted is not None, (said, mutant.hex())
        assert not reverted[1] or reverted[1] in self.named, (said, mutant.hex())


class TamperingWithALie(Tampering):
    """Where an accepted mutant may convict."""

    count = 400
    allowed = frozenset({ClaimStatus.PROPOSED, ClaimStatus.REFUTED})


@pytest.mark.parametrize(
    "tensor", [4, pytest.param(9, marks=pytest.mark.slow), pytest.param(13, marks=pytest.mark.slow)]
)
def test_moves__tampered_with_in_a_dispute_about_a_lie__refused_by_name(tensor: int) -> None:
    toy = right_claim(40)
    data = padded(toy.knowledge, tensor)
    data[0] ^= 0x41
    contract = TamperingWithALie(toy_commitment(), toy.sources)
    liar = LyingDefender(Liar(toy.knowledge, {tensor: bytes(data)}), CLAIMANT)
    play(contract, {CLAIMANT: liar, CHALLENGER: Challenger(toy.knowledge, CHALLENGER)}, START_TIME)  # type: ignore[arg-type]
    assert contract.claim.status is ClaimStatus.REFUTED
    assert contract.tried >= 2000
    assert contract.accepted < contract.tried / 4


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))])
def test_moves__tampered_with_against_a_true_claim__never_convict(seed: int) -> None:
    toy = right_claim(40)
    contract = Tampering(toy_commitment(), toy.sources)
    actors = {CLAIMANT: Defender(toy.knowledge, CLAIMANT), CHALLENGER: Sybil(toy.knowledge, CHALLENGER, seed)}
    play(contract, actors, START_TIME)  # type: ignore[arg-type]
    assert contract.claim.status is ClaimStatus.PROPOSED
    assert contract.tried > 200
