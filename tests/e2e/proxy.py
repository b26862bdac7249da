"""A JSON-RPC proxy that cuts the line at one chosen transaction, just before or just after it reaches the chain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web


class Cut:
    """The line: whole until the n-th transaction (from 0), and dead from then on, once `happened`."""

    def __init__(self, at_transaction: int, after_delivery: bool) -> None:
        self.at_transaction, self.after_delivery = at_transaction, after_delivery
        self.transactions = 0
        self.happened = asyncio.Event()


@asynccontextmanager
async def open_proxy(target: str, cut: Cut) -> AsyncIterator[str]:
    """Serve on localhost; yields the URL."""

    async def handle(request: web.Request) -> web.Response:
        body = await request.json()
        if cut.happened.is_set():
            raise web.HTTPBadGateway
        is_last = body["method"] == "eth_sendRawTransaction" and cut.transactions == cut.at_transaction
        cut.transactions += body["method"] == "eth_sendRawTransaction"
        if is_last and not cut.after_delivery:
            cut.happened.set()
            raise web.HTTPBadGateway
        async with http.post(target, json=body) as response:
            answer = await response.json()
        if is_last:
            cut.happened.set()
            raise web.HTTPBadGateway
        return web.json_response(answer)

    application = web.Application(client_max_size=16 << 20)
    application.router.add_post("/", handle)
    runner = web.AppRunner(application, access_log=None)
    async with aiohttp.ClientSession() as http:
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()
