"""How other systems failed, and which test replays it here. The tests lie where their parts are; this lists them."""

import re
from pathlib import Path

import pytest

REPLAYS = {
    "serial challenges, or one slot for them: N confederates delay N periods (Truebit, Infernet)": [
        "test_claim__against_a_hundred_challenges__on_time_and_the_defender_is_paid",
        "test_finalize__hundred_silent_challenges__on_time_at_constant_gas",
    ],
    "a loop over sub-games that thousands of entries brick (optimism #9249)": [
        "test_claim__against_a_hundred_challenges__every_call_costs_what_it_costs_against_one",
    ],
    "moves without the expected node, which a reorg redirects (Sherlock M-4)": [
        "test_pick__for_another_node__stale",
        "test_open__claim_replaced_in_a_reorg__refused",
        "test_ids__of_claims_and_challenges__hash_all_that_they_bind",
    ],
    "tx.origin in place of the sender (Sherlock M-3)": [
        "test_contracts__who_sent_the_transaction__is_never_asked"
    ],
    "contract and client that disagree by one second (Trail of Bits 28)": [
        "test_clocks__defender_silent__loses_a_second_after_its_limit",
        "test_clock__at_its_limit__allows_the_move_and_no_timeout",
        "test_pairing__claim_against_challengers__the_honest_keep_their_money",
    ],
    "a client wedged by a front-run move (Trail of Bits 17, 29)": ["test_moves__front_run__the_game_goes_on"],
    "a sub-call that starves at 63/64 of the gas (Spearbit 5.1.1)": [
        "test_prove__with_any_gas_limit_below_its_cost__reverts_and_voids_nothing",
        "test_prove__with_too_little_gas__reverts_and_voids_nothing",
    ],
    "a callback that starves at 63/64 of the gas": [
        "test_deliver__starved_of_gas__reverts_or_gives_the_whole_limit"
    ],
    "payments that are pushed, and a payee that refuses": [
        "test_finalize__claimant_that_takes_no_ether__all_goes_on"
    ],
    "challenging oneself to recover a bond (rainbow-bridge #208)": [
        "test_refute__by_the_liars_own_challenge__costs_it_half_its_bond",
        "test_open__one_more_in_a_batch__costs_more_gas_than_a_void_challenge_is_paid_for",
    ],
    "two identical honest executions, and the challenger wins (ora-io/opml)": [
        "test_dispute__honest_claim__no_element_convicts",
        "test_right_claim__against_random_challengers__survives_every_one",
    ],
    "a change of phase with roots that nobody proved (opml, llama branch)": [
        "test_trace__without_the_claimed_output_or_ok__refused",
        "test_prove__openings_of_another_trace__refused",
    ],
    "reads of the input that nobody can judge (opml)": [
        "test_dispute__lie_in_any_tensor__convicted",
        "test_dispute__carried_lie__refuted_by_one_element",
    ],
    "a decoy that loses on purpose after the window": [
        "test_dispute__decoy_loses__the_other_challenge_convicts"
    ],
    "an answer copied from the mempool by a faster claimant (Infernet, Trail of Bits)": [
        "test_reveal__copied_commitment__opens_for_its_author_alone",
        "test_fee__same_answer_twice__to_the_earlier_commitment",
    ],
}


def _test_names(repository: Path) -> set[str]:
    sources = [
        *(repository / "tests").rglob("test_*.py"),
        *(repository / "contracts" / "test").rglob("*.sol"),
    ]
    return {
        name
        for path in sources
        for name in re.findall(r"(?:def|function) (test\w+)\(", path.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("failure", REPLAYS)
def test_known_failure__of_another_system__is_replayed(failure: str, repository: Path) -> None:
    assert set(REPLAYS[failure]) <= _test_names(repository)


def test_contracts__who_sent_the_transaction__is_never_asked(repository: Path) -> None:
    for path in (repository / "contracts" / "src").rglob("*.sol"):
        assert "tx.origin" not in path.read_text(encoding="utf-8"), path.name
