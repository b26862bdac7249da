"""One fresh arena a test, on both engines."""

from collections.abc import AsyncIterator

import pytest

from oracle_node.chain.embedded import find_anvil
from tests.e2e.arena import Arena, open_arena


@pytest.fixture(params=["pyevm", "anvil"])
async def arena(request: pytest.FixtureRequest) -> AsyncIterator[Arena]:
    """A deployed oracle with a listed toy model."""
    if request.param == "anvil" and find_anvil() is None:
        pytest.skip("anvil is not installed")
    async with open_arena(request.param) as opened:
        yield opened


@pytest.fixture
async def fast_arena() -> AsyncIterator[Arena]:
    """The same on one engine only, the fastest that is installed: for long series of tests about the node itself."""
    async with open_arena("auto") as opened:
        yield opened
