"""Several RPCs: the next takes over, and never one that would look like a reorg or is another chain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from oracle_node.chain import endpoints
from oracle_node.chain.embedded import open_dev_chain
from oracle_node.chain.journal import Call
from oracle_node.chain.revert import RevertDecoder
from oracle_node.chain.rpc import connect, patiently, translated
from oracle_node.chain.transactions import Sender
from oracle_node.config import parse_config
from oracle_node.errors import ConfigError, TransientError

DECODER = RevertDecoder([])


class Server:
    """A JSON-RPC of three methods, over HTTP and WebSocket; `status` other than 200 refuses HTTP."""

    def __init__(self, head: int, chain_id: int = 7) -> None:
        self.head, self.chain_id = head, chain_id
        self.status, self.calls = 200, 0
        self.sockets: set[web.WebSocketResponse] = set()
        self.url = ""

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        block = {"number": hex(self.head), "hash": "0x" + "11" * 32, "timestamp": "0x1"}
        results = {
            "eth_chainId": hex(self.chain_id),
            "eth_blockNumber": hex(self.head),
            "eth_getBlockByNumber": block,
        }
        return {"jsonrpc": "2.0", "id": call["id"], "result": results[call["method"]]}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        self.calls += 1
        if self.status != 200:
            return web.Response(status=self.status, headers={"Retry-After": "2"})
        return web.json_response(self.answer(await request.json()))

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str("no json")
                await socket.send_json(self.answer(message.json()))
        return socket


@asynccontextmanager
async def serving(*servers: Server) -> AsyncIterator[list[str]]:
    runners = []
    for server in servers:
        application = web.Application()
        application.router.add_route("*", "/", server.handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        runners.append(runner)
    try:
        yield [server.url for server in servers]
    finally:
        for runner in runners:
            await runner.cleanup()


async def head(web3: Any) -> int:
    async with translated(DECODER, "look"):
        return int((await web3.eth.get_block("latest"))["number"])


async def test_endpoints__first_fails__the_second_takes_over_and_stays() -> None:
    first, second = Server(10), Server(11)
    async with serving(first, second) as urls, connect(*urls) as web3:
        assert await head(web3) == 10 and second.calls == 0
        first.status = 502
        assert await head(web3) == 11
        assert second.calls == 3
        first.status, asked = 200, first.calls
        assert await head(web3) == 11 and first.calls == asked


async def test_endpoints__second_is_behind__no_older_head_is_shown() -> None:
    first, second = Server(10), Server(9)
    async with serving(first, second) as urls, connect(*urls) as web3:
        await head(web3)
        first.status = 502
        with pytest.raises(TransientError, match="behind block 10"):
            await head(web3)
        second.head = 10
        assert await head(web3) == 10


async def test_endpoints__second_serves_another_chain__never_used() -> None:
    first, second = Server(10), Server(99, chain_id=8)
    async with serving(first, second) as urls, connect(*urls) as web3:
        assert await web3.eth.chain_id == 7
        first.status = 429
        with pytest.raises(TransientError, match="chain 8"):
            await head(web3)


async def test_endpoints__head_stops_while_another_goes_on__switched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "_STOPPED_AFTER_S", 0.05)
    first, second = Server(10), Server(10)
    async with serving(first, second) as urls, connect(*urls) as web3:
        await head(web3)
        await asyncio.sleep(0.1)
        assert await head(web3) == 10 and await head(web3) == 10
        second.head = 12
        await asyncio.sleep(0.1)
        await head(web3)
        assert await head(web3) == 12


async def test_patiently__a_busy_server_names_a_time__waited_for() -> None:
    server = Server(10)
    server.status = 429
    async with serving(server) as urls, connect(*urls) as web3:
        started = asyncio.get_running_loop().time()
        asking = asyncio.create_task(patiently(lambda: head(web3), within_s=10))
        while not server.calls:
            await asyncio.sleep(0.01)
        server.status = 200
        assert await asking == 10
        assert server.calls == 2 and asyncio.get_running_loop().time() - started >= 2


async def test_socket__breaks__opened_again_by_the_next_call() -> None:
    server = Server(10)
    async with serving(server) as urls, connect(urls[0].replace("http", "ws")) as web3:
        assert await asyncio.gather(*(head(web3) for _ in range(5))) == [10] * 5
        assert len(server.sockets) == 1
        for socket in server.sockets:
            await socket.close()
        await asyncio.sleep(0.05)
        assert await head(web3) == 10 and len(server.sockets) == 2


async def test_socket__nobody_there__one_clear_line() -> None:
    async with connect("ws://127.0.0.1:1") as web3:
        with pytest.raises(TransientError, match="look: no answer from the RPC"):
            await head(web3)


async def test_socket__a_real_chain__serves_transactions() -> None:
    async with open_dev_chain("anvil") as chain, connect(chain.url.replace("http", "ws")) as web3:
        sender = Sender(web3, chain.accounts[0], DECODER)
        receipt = await sender.send(Call(chain.accounts[1].address, b"", 5, "pay"))
        assert receipt.block_number == 1


def test_config__rpc__one_or_several() -> None:
    chain = {"chain_id": 1, "oracle": "0x" + "00" * 20}

    def urls(rpc: object) -> tuple[str, ...]:
        return parse_config({"chain": chain | {"rpc": rpc}, "key": {"keystore": "k"}}).chain.rpc_urls

    assert urls("http://a") == ("http://a",)
    assert urls(["https://a", "wss://b"]) == ("https://a", "wss://b")
    for wrong in ("ftp://a", [], ["http://a", "b"]):
        with pytest.raises(ConfigError, match="rpc"):
            urls(wrong)


async def test_failure__url_with_a_key__is_not_in_the_message() -> None:
    server = Server(10)
    server.status = 401
    async with serving(server) as urls, connect(urls[0] + "/?key=hidden") as web3:
        with pytest.raises(TransientError, match="401 Unauthorized") as caught:
            await head(web3)
    assert "hidden" not in str(caught.value)
