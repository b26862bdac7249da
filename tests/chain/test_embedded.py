"""Development chains: money, time and history."""

import platform
import sys
from pathlib import Path

import pytest

from oracle_node.chain.embedded import BALANCE_WEI, CHAIN_ID, DevChain, find_anvil, open_dev_chain
from oracle_node.errors import ConfigError


async def test_dev_chain__fresh__accounts_funded_and_id_known(chain: DevChain) -> None:
    assert await chain.web3.eth.chain_id == CHAIN_ID
    assert {await chain.web3.eth.get_balance(a.address) for a in chain.accounts} == {BALANCE_WEI}


async def test_advance__an_hour_after_a_burst_of_blocks__head_is_an_hour_later(chain: DevChain) -> None:
    await chain.mine(20)
    before = (await chain.web3.eth.get_block("latest"))["timestamp"]
    await chain.advance(3600)
    assert 3600 <= (await chain.web3.eth.get_block("latest"))["timestamp"] - before <= 3610


async def test_revert__blocks_since__they_never_were(chain: DevChain) -> None:
    snapshot = await chain.snapshot()
    await chain.mine(3)
    await chain.advance(1000)
    await chain.revert(snapshot)
    assert await chain.web3.eth.block_number == 0
    await chain.mine()
    head = await chain.web3.eth.get_block("latest")
    assert head["timestamp"] - (await chain.web3.eth.get_block(0))["timestamp"] < 500


def test_find_anvil__beside_the_npm_packages_of_the_contracts__is_theirs(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = repository / "contracts" / "node_modules"
    if not modules.exists() or (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip(
            "the npm packages are not installed (`make contracts-test` does it), or have no anvil for this machine"
        )
    # npm leaves out an optional package that it cannot get, and half of the tests of chains would be skipped unseen
    monkeypatch.setenv("PATH", "")
    found = find_anvil()
    assert found is not None and found.is_relative_to(modules)


async def test_open_dev_chain__no_such_program__says_so() -> None:
    with pytest.raises((ConfigError, FileNotFoundError), match="anvil"):
        async with open_dev_chain("anvil", anvil=Path("/nowhere/anvil")):
            pass
