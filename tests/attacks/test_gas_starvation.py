"""Moves sent with too little gas: a sub-call that starves (63/64) must never pass for a malformed instruction."""

import pytest

from oracle_node.chain.types import Address
from oracle_node.game.moves import Move, Pick, Prove
from oracle_node.game.state import ClaimStatus
from oracle_node.players.submission import call_of
from tests.evm.oracle import START_TIME, EvmContract, address_of
from tests.game.simulation import play
from tests.game.toy import Challenger, Liar, LyingDefender, padded, right_claim, toy_commitment

CLAIMANT, CHALLENGER = address_of("claimant"), address_of("challenger")
STEP = 4_000


class Starving(EvmContract):
    """Tries every decisive move first with all gas limits below the one that suffices."""

    tried = 0

    def execute(self, sender: Address, move: Move, now: int) -> None:
        if isinstance(move, Pick | Prove):
            self.starve(sender, move, now)
        super().execute(sender, move, now)

    def starve(self, sender: Address, move: Move, now: int) -> None:
        self.oracle.now = now
        evm = self.oracle.evm
        call = call_of(self.oracle.calls, move, self.policy.challenge_bond)
        start = evm.snapshot()
        super().execute(sender, move, now)
        sufficient = self.oracle.gas_used
        self.moves.pop()
        evm.revert(start)
        for gas in range(sufficient // 2, sufficient, STEP):
            before = evm.snapshot()
            try:
                evm.message_call(
                    sender, self.oracle.address, calldata=call.data, value=call.value_wei, gas=gas
                )
            except RuntimeError:
                self.tried += 1
            assert self.claim.status in (ClaimStatus.PROPOSED, ClaimStatus.REFUTED), gas
            evm.revert(before)


@pytest.mark.parametrize("tensor", [4, 9, 13])
def test_prove__with_any_gas_limit_below_its_cost__reverts_and_voids_nothing(tensor: int) -> None:
    toy = right_claim(40)
    data = padded(toy.knowledge, tensor)
    data[0] ^= 0x41
    contract = Starving(toy_commitment(), toy.sources)
    liar = LyingDefender(Liar(toy.knowledge, {tensor: bytes(data)}), CLAIMANT)
    play(contract, {CLAIMANT: liar, CHALLENGER: Challenger(toy.knowledge, CHALLENGER)}, START_TIME)  # type: ignore[arg-type]
    assert contract.claim.status is ClaimStatus.REFUTED
    assert contract.tried > 20
