"""Many reads in one call: each gets its own answer, or its own failure."""

import asyncio
from typing import cast

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from web3.types import BlockIdentifier, RPCEndpoint

from oracle_node.chain.embedded import DevChain
from oracle_node.chain.lens import Lens
from oracle_node.chain.revert import RevertDecoder, RevertError
from oracle_node.chain.rpc import BoundedProvider
from oracle_node.chain.types import Address
from oracle_node.errors import TransientError

TOO_LOW = keccak(text="TooLow(uint256,uint256)")[:4]


class Line:
    """A chain's provider that counts the calls, and can be cut."""

    def __init__(self, chain: DevChain, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls, self.is_cut = 0, False
        provider = cast(BoundedProvider, chain.web3.provider)
        self._ask = provider._make_request
        monkeypatch.setattr(provider, "_make_request", self._counted)

    async def _counted(self, method: RPCEndpoint, request: bytes) -> bytes:
        self.calls += method == "eth_call"
        if self.is_cut:
            raise ConnectionAbortedError
        return await self._ask(method, request)


@pytest.fixture
def line(chain: DevChain, echo: str, monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(chain, monkeypatch)


@pytest.fixture
def lens(chain: DevChain, echo: str, decoder: RevertDecoder) -> Lens:
    return Lens(chain.web3, Address(echo), decoder)


async def _refusal(lens: Lens, number: int, block: BlockIdentifier = "latest") -> int:
    """The echo contract refuses what it is given with just that."""
    data = TOO_LOW + encode(["uint256", "uint256"], [number, number + 1])
    with pytest.raises(RevertError, match=f"^read {number}: refused by the contract: TooLow") as caught:
        await lens.read(data, 400, f"read {number}", block)
    return int(caught.value.arguments["given"])


async def test_read__a_hundred_at_once__three_calls_and_each_its_own_answer(lens: Lens, line: Line) -> None:
    assert await asyncio.gather(*(_refusal(lens, n) for n in range(100))) == list(range(100))
    assert line.calls == 3
    assert await _refusal(lens, 7) == 7
    assert line.calls == 4


async def test_read__before_and_after_a_block__not_mixed(lens: Lens, line: Line) -> None:
    before = [lens.read(TOO_LOW, 400, "before its deployment", 0) for _ in range(2)]
    assert await asyncio.gather(*before, _refusal(lens, 1), _refusal(lens, 2)) == [b"", b"", 1, 2]
    assert line.calls == 2


async def test_read__one_reader_cancelled__the_others_are_answered(lens: Lens) -> None:
    readers = [asyncio.create_task(_refusal(lens, n)) for n in range(3)]
    await asyncio.sleep(0)
    readers[1].cancel()
    found = await asyncio.gather(*readers, return_exceptions=True)
    assert isinstance(found[1], asyncio.CancelledError)
    assert [found[0], found[2]] == [0, 2]


async def test_read__no_answer__every_reader_learns_of_it(lens: Lens, line: Line) -> None:
    line.is_cut = True
    found = await asyncio.gather(
        *(lens.read(b"", 400, "read", "latest") for _ in range(3)), return_exceptions=True
    )
    assert [type(error) for error in found] == [TransientError] * 3
