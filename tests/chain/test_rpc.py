"""Answers of a broken or hostile RPC: every one is an error in our terms, and none takes memory without end."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from web3.types import RPCEndpoint

from oracle_node.chain import rpc
from oracle_node.chain.client import OracleClient
from oracle_node.chain.events import EventDecoder
from oracle_node.chain.revert import RevertDecoder
from oracle_node.chain.rpc import BoundedProvider, MalformedError, RefusedError, connect, web3_over
from oracle_node.chain.types import ClaimId, RequestId
from oracle_node.contracts import load_artifact
from oracle_node.errors import OracleError, TransientError

ORACLE = "0x" + "11" * 20
HASH = "0x" + "22" * 32


class CannedProvider(BoundedProvider):
    """Answers everything with the same bytes."""

    def __init__(self, body: bytes) -> None:
        super().__init__("http://localhost:1", exception_retry_configuration=None)
        self._body = body

    async def _make_request(self, method: RPCEndpoint, request_data: bytes) -> bytes:
        return self._body


def _client(body: bytes) -> OracleClient:
    return OracleClient(web3_over(CannedProvider(body)), ORACLE, 1)


async def _logged(client: OracleClient) -> object:
    return await client.past_events(["Requested", "Revealed", "ClaimProposed"])


async def _both(client: OracleClient) -> object:
    return await asyncio.gather(client.limits(), client.balance(ORACLE))


READS: dict[str, Callable[[OracleClient], Awaitable[object]]] = {
    "open": lambda client: OracleClient.open(client.web3, ORACLE),
    "head": lambda client: client.head(),
    "limits": lambda client: client.limits(),
    "listing": lambda client: client.listing(b"\0" * 32),  # type: ignore[arg-type]
    "request": lambda client: client.request(RequestId(b"\0" * 32)),
    "claim": lambda client: client.claim(ClaimId(b"\0" * 32)),
    "both": _both,
    "balance": lambda client: client.balance(ORACLE),
    "follow": lambda client: client.follower(0).step(()),
    "events": _logged,
}


def _require_named(body: bytes, read: str) -> None:
    """An answer, or one of our errors."""
    with suppress(OracleError):
        asyncio.run(READS[read](_client(body)))  # type: ignore[arg-type]


def _result(value: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 0, "result": value}).encode()


def _error(value: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 0, "error": value}).encode()


_TEXT = "0x08c379a0" + "00" * 31 + "20" + "00" * 31 + "02"
"""A revert with a text of two bytes, which follow."""
BODIES = {
    "nothing": b"",
    "a page": b"<html>502 Bad Gateway</html>",
    "no text": b"\xff\xfe\x00",
    "half": _result(HASH)[:-9],
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "no result": b'{"jsonrpc": "2.0", "id": 0}',
    "no version": b'{"result": "0x1"}',
    "brackets": b"[" * 100_000,
    "a number of a million digits": b'{"jsonrpc": "2.0", "id": 0, "result": ' + b"9" * 10**6 + b"}",
    "result null": _result(None),
    "result text": _result("hello"),
    "result odd hex": _result("0x123"),
    "result list": _result([1, None, {}]),
    "result of bools": _result({"number": True, "hash": False, "timestamp": None}),
    "an empty block": _result({}),
    "a block of text": _result({"number": "x", "hash": "y", "timestamp": "z"}),
    "logs of nothing": _result([{}]),
    "logs of wrong types": _result([{"topics": 5, "data": None, "blockHash": 1, "blockNumber": [], "logIndex": {}}]),
    "short words": _result("0x" + "00" * 31),
    "long arrays": _result("0x" + "ff" * 320),
    "error text": _error("busy"),
    "error null": _error(None),
    "error list": _error([1]),
    "error without a message": _error({"code": -32000}),
    "error of a strange code": _error({"code": "x", "message": {"a": 1}, "data": [1]}),
    "a revert of no hex": _error({"code": 3, "message": "execution reverted", "data": "0xzz"}),
    "a revert of no text": _error({"code": 3, "message": "execution reverted", "data": _TEXT + "ff" * 32}),
    "a revert of many lines": _error({"code": 3, "message": "execution reverted: a\nb\nc", "data": "0x"}),
}  # fmt: skip


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("name", BODIES)
def test_reads__of_a_broken_rpc__fail_in_our_terms(name: str, read: str) -> None:
    _require_named(BODIES[name], read)


_WORDS = st.binary(max_size=400).map(lambda data: "0x" + data.hex())
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9) | _WORDS
)
_KEYS = st.sampled_from(
    [
        "number",
        "hash",
        "timestamp",
        "topics",
        "data",
        "blockHash",
        "blockNumber",
        "logIndex",
        "code",
        "message",
    ]
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(
    st.sampled_from([*READS]), st.builds(_result, _JSON) | st.builds(_error, _JSON) | st.binary(max_size=60)
)
@settings(max_examples=150, deadline=None)
def test_reads__of_any_answer__fail_in_our_terms(read: str, body: bytes) -> None:
    _require_named(body, read)


def _event_entries() -> Iterator[tuple[bytes, int]]:
    abi = load_artifact("InferenceOracle").abi
    decoder = EventDecoder(abi)
    for entry in abi:
        if entry["type"] == "event":
            (topic,) = decoder.topics_of(entry["name"])
            yield topic, sum(bool(i["indexed"]) for i in entry["inputs"])


_EVENTS = list(_event_entries())


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_logs__with_any_bytes__are_events_or_named_errors(data: st.DataObject) -> None:
    topic, indexed = data.draw(st.sampled_from(_EVENTS))
    count = indexed + data.draw(st.sampled_from([0, 0, 0, -1, 1]))
    topics = [
        topic.hex(),
        *(data.draw(st.binary(min_size=32, max_size=32)).hex() for _ in range(max(count, 0))),
    ]
    words = st.lists(
        st.sampled_from([0, 1, 32, 64, 96, 2**32, 2**64, 2**255]) | st.integers(0, 2**256 - 1), max_size=12
    )
    content = b"".join(word.to_bytes(32, "big") for word in data.draw(words)) + data.draw(
        st.binary(max_size=40)
    )
    log = {
        "address": ORACLE, "topics": ["0x" + t for t in topics], "data": "0x" + content.hex(), "blockHash": HASH,
        "blockNumber": "0x1", "logIndex": "0x0", "transactionHash": HASH, "transactionIndex": "0x0", "removed": False,
    }  # fmt: skip
    _require_named(_result([log]), "events")


@given(st.binary(max_size=200), st.sampled_from(["", "08c379a0", "4e487b71"]))
@settings(max_examples=150, deadline=None)
def test_revert__of_any_bytes__is_one_line(data: bytes, selector: str) -> None:
    error = RevertDecoder([load_artifact("InferenceOracle").abi]).decode("0x" + selector + data.hex(), "ask")
    assert str(error).startswith("ask: ")


@asynccontextmanager
async def _serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_answer__without_an_end__is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "_MOST_BYTES", 1 << 22)
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 20))
            sent += 1

    async with _serving(endless) as url, connect(url) as web3:
        with pytest.raises(RefusedError, match=r"read the head: .* more than 4194304 bytes"):
            await OracleClient(web3, ORACLE, 1).head()  # type: ignore[arg-type]
    assert sent < 64


async def test_answer__of_a_page_or_an_error_status__is_transient() -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>", status=200)

    async def gone(request: web.Request) -> web.StreamResponse:
        return web.Response(text="overloaded", status=503)

    for handler, kind in ((page, MalformedError), (gone, TransientError)):
        async with _serving(handler) as url, connect(url) as web3:
            with pytest.raises(kind, match="read the head"):
                await OracleClient(web3, ORACLE, 1).head()  # type: ignore[arg-type]


async def test_request__after_others_were_cancelled_at_any_point__is_answered() -> None:
    async def head(request: web.Request) -> web.StreamResponse:
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": "0x5"})

    async with _serving(head) as url, connect(url) as web3:
        for turns in range(40):  # of the loop, before the cancellation
            asked = [asyncio.ensure_future(web3.eth.get_block_number()) for _ in range(8)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for one in asked:
                one.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        async with asyncio.timeout(10):
            assert await web3.eth.get_block_number() == 5
