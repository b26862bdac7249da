"""From challenge to conviction on the real contracts: whatever is wrong with a story, one element shows it."""

from functools import cache

import numpy as np
import pytest

from oracle_node.bench.selftest import selftest
from oracle_node.game.state import ClaimStatus
from oracle_node.game.strategy import Player
from oracle_node.language.lies import LIES, lies
from oracle_node.model.solver import Claim
from oracle_node.players.actors import Challenger, Defender, knowledge_of
from oracle_node.players.adversaries import claim_baldly
from oracle_node.tape.instruction import Opcode
from tests.evm.oracle import START_TIME, EvmContract, address_of
from tests.game.simulation import play
from tests.game.toy import Sybil
from tests.language.stories import START, Stories, llama, stories

CLAIMANT, CHALLENGER = address_of("claimant"), address_of("challenger")
TOKENS = 12


@cache
def truth() -> tuple[Stories, list[int], bytes]:
    """The model, the answer's tokens, its text."""
    model = stories(weights=8)
    answer, _ = model.tell([START], TOKENS, llama())
    return model, np.frombuffer(answer.witness, "<i4").tolist(), answer.output


@cache
def wrong_claims() -> dict[str, Claim]:
    """What the claimant says, by what is wrong with it."""
    model, tokens, _ = truth()

    def longer(count: int) -> list[int]:
        answer, _ = model.tell([START], count, llama())
        return np.frombuffer(answer.witness, "<i4").tolist()

    return lies(model.language, model.language.request([START], TOKENS), tokens, longer)


@pytest.mark.parametrize("what", LIES)
def test_dispute__about_a_story__is_won_with_one_element(what: str) -> None:
    model, *_ = truth()
    request = model.language.request([START], TOKENS).tobytes()
    claim = wrong_claims()[what]
    text, witness = claim.output.tobytes(), claim.witness.tobytes()
    lying = claim_baldly(model.model, model.executor, request, text, witness)
    contract = EvmContract(model.model.commitment, model.model.sources(request, text, witness))
    honest = knowledge_of(model.model, model.executor, request, text, witness)
    players = {
        CLAIMANT: Defender(lying.knowledge, Player(CLAIMANT)).moves,
        CHALLENGER: Challenger(honest, Player(CHALLENGER)).moves,
    }
    play(contract, players, START_TIME)  # type: ignore[arg-type]
    assert contract.claim.status is ClaimStatus.REFUTED
    assert contract.moves[-1][0] == "prove"


def test_dispute__about_the_true_story__leaves_it_standing() -> None:
    model, tokens, text = truth()
    request, witness = model.language.request([START], TOKENS).tobytes(), np.asarray(tokens, "<i4").tobytes()
    contract = EvmContract(model.model.commitment, model.model.sources(request, text, witness))
    honest = knowledge_of(model.model, model.executor, request, text, witness)
    players = {CLAIMANT: Defender(honest, Player(CLAIMANT)).moves, CHALLENGER: Sybil(honest, CHALLENGER, 5)}
    play(contract, players, START_TIME)  # type: ignore[arg-type]
    assert contract.claim.status is ClaimStatus.PROPOSED


def test_selftest__of_a_language_model__has_no_mismatch() -> None:
    model, *_ = truth()
    request = model.language.request([START, 403, 407], 5).tobytes()
    found = selftest(model.model, model.executor, [request], 1500, 3, lambda n: None)
    assert found.mismatches == [] and found.elements_checked >= 1500
    assert set(found.by_opcode) == {opcode.name for opcode in Opcode}
