"""The HTTP API without a node: health, before the first snapshot, and a taken port."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from oracle_node.api.server import Facts, serve
from oracle_node.chain.types import Address
from oracle_node.config import ApiConfig
from oracle_node.errors import ConfigError
from oracle_node.node.board import Board
from oracle_node.node.metrics import Metrics
from oracle_node.node.pulse import Pulse

FACTS = Facts(Address("0x" + "aa" * 20), Address("0x" + "bb" * 20), 1, (b"m" * 32,), ("watch",))


@pytest.fixture
def pulse() -> Pulse:
    return Pulse()


@pytest.fixture
async def url(pulse: Pulse) -> AsyncIterator[str]:
    async with serve(ApiConfig(port=0, stall_after_s=0.2), FACTS, Board(), pulse, Metrics()) as url:
        yield url


async def get(url: str) -> tuple[int, object]:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return response.status, await response.json()


async def test_health__loop_falls_silent__fails_and_names_it(url: str, pulse: Pulse) -> None:
    pulse.beat("follow")
    pulse.beat("answer")
    assert (await get(url + "/health"))[0] == 200
    await asyncio.sleep(0.3)
    pulse.beat("answer")
    status, body = await get(url + "/health")
    assert status == 503
    assert isinstance(body, dict)
    assert body["stalled"] == ["follow"]


async def test_status__before_the_first_snapshot__says_not_synced(url: str) -> None:
    status, body = await get(url + "/status")
    assert status == 200
    assert isinstance(body, dict)
    assert body["synced"] is False
    assert body["models"] == ["0x" + (b"m" * 32).hex()]


async def test_page__asked_for__is_there(url: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(url + "/") as response:
        assert response.status == 200
        assert 'fetch("status")' in await response.text()


async def test_serve__port_taken__config_error(url: str) -> None:
    port = int(url.rsplit(":", 1)[1])
    with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
        async with serve(ApiConfig(port=port), FACTS, Board(), Pulse(), Metrics()):
            pass
