"""Development chains of both engines, and a contract of twenty bytes to talk to."""

from collections.abc import AsyncIterator

import pytest

from oracle_node.chain.embedded import DevChain, find_anvil, open_dev_chain
from oracle_node.chain.journal import Call
from oracle_node.chain.revert import RevertDecoder
from oracle_node.chain.transactions import Sender

ECHO_RUNTIME = bytes.fromhex("36600c57600160006000a1005b3660006000373660 00fd".replace(" ", ""))
"""Called with nothing: logs topic 1. Called with data: reverts with it."""
ABI = [
    {
        "type": "error",
        "name": "TooLow",
        "inputs": [{"name": "given", "type": "uint256"}, {"name": "needed", "type": "uint256"}],
    }
]


@pytest.fixture(params=["pyevm", "anvil"])
async def chain(request: pytest.FixtureRequest) -> AsyncIterator[DevChain]:
    """A running development chain."""
    if request.param == "anvil" and find_anvil() is None:
        pytest.skip("anvil is not installed")
    async with open_dev_chain(request.param) as running:
        yield running


@pytest.fixture
def decoder() -> RevertDecoder:
    return RevertDecoder([ABI])


@pytest.fixture
def sender(chain: DevChain, decoder: RevertDecoder) -> Sender:
    return Sender(chain.web3, chain.accounts[0], decoder)


@pytest.fixture
async def echo(sender: Sender) -> str:
    """The address of the deployed echo contract."""
    creation = bytes.fromhex(f"60{len(ECHO_RUNTIME):02x}80600b6000396000f3") + ECHO_RUNTIME
    receipt = await sender.send(Call("", creation, label="deploy echo"))
    assert receipt.contract_address is not None
    return receipt.contract_address
