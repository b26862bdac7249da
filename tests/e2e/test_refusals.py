"""What the contract refuses, told by name with both values, before anything is sent."""

from dataclasses import replace

import pytest

from oracle_node.chain.actions import list_model
from oracle_node.chain.client import OracleClient
from oracle_node.chain.revert import RevertError
from oracle_node.chain.transactions import Sender
from oracle_node.chain.types import ListingId, RequestOptions
from oracle_node.errors import ConfigError
from tests.e2e.arena import Arena, toy_answer, toy_input


async def transactions(arena: Arena, sender: Sender) -> int:
    return await arena.chain.web3.eth.get_transaction_count(sender.address)  # type: ignore[arg-type]


async def test_request__wrong_length__bad_length(arena: Arena) -> None:
    before = await transactions(arena, arena.requester)
    with pytest.raises(RevertError, match=r"BadLength \(source 0, bytesGiven 2396\)"):
        await arena.ask(toy_input()[:-4])
    with pytest.raises(RevertError, match="BadLength"):
        await arena.ask(toy_input() + b"\x00")
    assert await transactions(arena, arena.requester) == before


async def test_request__unknown_listing__named(arena: Arena) -> None:
    unknown = replace(arena, listing_id=ListingId(b"\x05" * 32))
    with pytest.raises(RevertError, match=f"UnknownListing .listingId 0x{'05' * 32}"):
        await unknown.ask()


async def test_request__twice_with_one_nonce__exists(arena: Arena) -> None:
    await arena.ask()
    with pytest.raises(RevertError, match="RequestExists"):
        await arena.ask()
    await arena.ask(options=RequestOptions(nonce=1))


async def test_request__fee_below_the_listing__both_amounts(arena: Arena) -> None:
    call = arena.client.calls.request(arena.listing_id, toy_input(), RequestOptions(fee=5), 10**18)
    with pytest.raises(RevertError, match=rf"FeeTooLow \(fee 5, minFee {arena.policy.min_fee}\)"):
        await arena.requester.send(call)


async def test_claim__wrong_length__bad_length(arena: Arena) -> None:
    request_id = await arena.ask()
    answer = replace(toy_answer(), output=b"\x00" * 20)
    with pytest.raises(RevertError, match=r"BadLength \(source 1, bytesGiven 20\)"):
        await arena.claim(request_id, answer)


async def test_claim__revealed_with_another_answer__wrong_commitment(arena: Arena) -> None:
    request_id = await arena.ask()
    claim_id = arena.client.claim_id(request_id, arena.claimant.address, 0, b"\x01" * 32)
    await arena.claimant.send(
        arena.client.calls.commit_claim(request_id, b"\x01" * 32, 0, arena.policy.claim_bond)
    )
    with pytest.raises(RevertError, match="WrongCommitment"):
        await arena.claimant.send(
            arena.client.calls.reveal_claim(claim_id, bytes(32), toy_answer().output, b"")
        )


async def test_claim__without_its_bond__balance_and_need(arena: Arena) -> None:
    request_id = await arena.ask()
    call = arena.client.calls.commit_claim(request_id, b"\x01" * 32, 0, 0)
    with pytest.raises(
        RevertError, match=rf"InsufficientBalance \(balance 0, required {arena.policy.claim_bond}\)"
    ):
        await arena.claimant.send(call)


async def test_finalize__before_the_window_ends__not_final(arena: Arena) -> None:
    claim_id = await arena.claim(await arena.ask(), toy_answer())
    with pytest.raises(RevertError, match=r"NotFinal \(time \d+, finalAfter \d+, openChallenges 0\)"):
        await arena.claimant.send(arena.client.calls.finalize(claim_id))


async def test_challenge__after_the_window__closed(arena: Arena) -> None:
    claim_id = await arena.claim(await arena.ask(), toy_answer())
    await arena.advance_past((await arena.client.claim(claim_id)).window_end)
    with pytest.raises(RevertError, match=r"WindowClosed \(time \d+, windowEnd \d+\)"):
        await arena.challenger.send(
            arena.client.calls.open_challenge(claim_id, 0, arena.policy.challenge_bond)
        )


async def test_post_trace__by_a_stranger__not_allowed(arena: Arena) -> None:
    claim_id = await arena.claim(await arena.ask(), toy_answer())
    with pytest.raises(RevertError, match=f"NotAllowed.*required {arena.claimant.address.lower()}"):
        await arena.stranger.send(arena.client.calls.post_trace(claim_id, bytes(32), [], [], []))


async def test_list_model__twice__already_listed(arena: Arena) -> None:
    with pytest.raises(RevertError, match="AlreadyListed"):
        await list_model(arena.client, arena.stranger, arena.model.commitment, arena.policy)


async def test_list_model__terms_under_a_floor__field_and_floor(arena: Arena) -> None:
    hasty = replace(arena.policy, window=1)
    with pytest.raises(RevertError, match=r"BadPolicy \(field window, value 1, floor \d+\)"):
        await list_model(arena.client, arena.stranger, arena.model.commitment, hasty)


async def test_ids__computed_here__equal_the_contracts(arena: Arena) -> None:
    request_id = await arena.ask()
    view = await arena.client.request(request_id)
    assert (
        arena.client.request_id(arena.listing_id, arena.requester.address, 0, view.input_root) == request_id
    )
    assert arena.client.listing_id(arena.model.model_id, arena.policy) == arena.listing_id
    assert (await arena.client.listing(arena.listing_id)).model_id == arena.model.model_id


async def test_open__wrong_chain_or_address__config_error(arena: Arena) -> None:
    with pytest.raises(ConfigError, match="the RPC serves chain 31337, the configuration names chain 1"):
        await OracleClient.open(arena.chain.web3, arena.client.oracle, chain_id=1)
    with pytest.raises(ConfigError, match="no contract"):
        await OracleClient.open(arena.chain.web3, arena.stranger.address)
    with pytest.raises(ConfigError, match="is not an address"):
        await OracleClient.open(arena.chain.web3, "0x12")
