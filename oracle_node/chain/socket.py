"""JSON-RPC over a WebSocket: one connection, opened when it is needed, and opened again after it broke."""

import asyncio
from contextlib import suppress
from typing import Any, cast

import aiohttp
from pydantic import TypeAdapter
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

_OBJECTS = TypeAdapter(dict[str, Any])
_BROKEN = (
    aiohttp.WSMsgType.CLOSE,
    aiohttp.WSMsgType.CLOSING,
    aiohttp.WSMsgType.CLOSED,
    aiohttp.WSMsgType.ERROR,
)


class SocketProvider(AsyncJSONBaseProvider):
    """Calls overlap; answers are matched by id. Subscriptions are not used: what they push is dropped."""

    def __init__(self, url: str, timeout_s: float, most_bytes: int) -> None:
        super().__init__()
        self._url, self._timeout_s, self._most_bytes = url, timeout_s, most_bytes
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._listener: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[RPCResponse]] = {}
        self._opening = asyncio.Lock()

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """OSError or TimeoutError where the connection breaks or stays silent."""
        request = self.form_request(method, params)
        number = int(request["id"] or 0)
        async with asyncio.timeout(self._timeout_s):
            socket = await self._open()
            answer: asyncio.Future[RPCResponse] = asyncio.get_running_loop().create_future()
            self._waiting[number] = answer
            try:
                await socket.send_str(self.encode_rpc_dict(request).decode())
                return await answer
            finally:
                self._waiting.pop(number, None)

    async def disconnect(self) -> None:
        """Close it; a later call opens it again."""
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener
        if self._session is not None:
            await self._session.close()
        self._listener = self._session = self._socket = None

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        async with self._opening:
            if self._socket is None or self._socket.closed:
                if self._session is None:
                    self._session = aiohttp.ClientSession()
                self._socket = await self._session.ws_connect(
                    self._url, max_msg_size=self._most_bytes, heartbeat=self._timeout_s
                )
                self._listener = asyncio.create_task(self._read(self._socket))
            return self._socket

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            while (message := await socket.receive()).type not in _BROKEN:
                self._hand_out(message.data)
        finally:
            await socket.close()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ConnectionResetError("the WebSocket was closed"))

    def _hand_out(self, data: str | bytes) -> None:
        """To whoever waits for it; what is no answer to anybody is dropped, and its caller's time runs out."""
        with suppress(ValueError):
            response = _OBJECTS.validate_json(data)
            number = response.get("id")
            answer = self._waiting.get(number) if isinstance(number, int) else None
            if answer is not None and not answer.done():
                answer.set_result(cast(RPCResponse, response))
