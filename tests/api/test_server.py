"""The HTTP API without a node: health, before the first snapshot, and a taken port."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from pydantic import SecretStr

from oracle_node.api.schema import Health, Status
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
        assert "default-src 'none'" in await response.text()


async def test_serve__port_taken__config_error(url: str) -> None:
    port = int(url.rsplit(":", 1)[1])
    with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
        async with serve(ApiConfig(port=port), FACTS, Board(), Pulse(), Metrics()):
            pass


async def test_document__of_the_api__has_every_path_and_the_types_of_the_answers(url: str) -> None:
    status, document = await get(url + "/openapi.json")
    assert status == 200 and isinstance(document, dict)
    assert set(document["paths"]) == {"/", "/status", "/metrics", "/health", "/openapi.json"}
    for path in document["paths"]:
        async with aiohttp.ClientSession() as http, http.get(url + path) as response:
            content = document["paths"][path]["get"]["responses"][str(response.status)]["content"]
            assert response.content_type in content or path == "/"
    Status.model_validate((await get(url + "/status"))[1])
    Health.model_validate((await get(url + "/health"))[1])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_config__a_host_that_others_reach__needs_a_token(host: str) -> None:
    with pytest.raises(ValueError, match="needs a token"):
        ApiConfig(host=host)
    assert ApiConfig(host=host, token=SecretStr("secret")).host == host


async def test_serve__with_a_token__is_closed_but_for_health(pulse: Pulse) -> None:
    config = ApiConfig(port=0, token=SecretStr("secret"))
    async with serve(config, FACTS, Board(), pulse, Metrics()) as url, aiohttp.ClientSession() as http:
        for path, headers, wanted in [
            ("/health", {}, 200),
            ("/status", {}, 401),
            ("/metrics", {"Authorization": "Bearer other"}, 401),
            ("/status", {"Authorization": "Bearer secret"}, 200),
            ("/?token=secret", {}, 200),
            ("/?token=", {}, 401),
        ]:
            async with http.get(url + path, headers=headers) as response:
                assert response.status == wanted, path


async def test_serve__asked_too_often__says_so_and_stays_healthy(pulse: Pulse) -> None:
    config = ApiConfig(port=0, requests_per_s=3)
    async with serve(config, FACTS, Board(), pulse, Metrics()) as url, aiohttp.ClientSession() as http:
        found = []
        for _ in range(8):
            async with http.get(url + "/status") as response:
                found.append(response.status)
        assert found[:3] == [200] * 3 and 429 in found
        async with http.get(url + "/health") as response:
            assert response.status == 200
