"""`/health`, `/metrics`, `/status`, `/openapi.json` and a page that shows them. Nothing here changes anything.

What reads the node's state is limited in rate, and needs the token where the configuration has one; `/health` is open.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hmac import compare_digest
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import generate_latest

from oracle_node.api.schema import openapi
from oracle_node.api.status import status_of
from oracle_node.chain.types import Address
from oracle_node.config import ApiConfig
from oracle_node.errors import ConfigError
from oracle_node.node.board import Board
from oracle_node.node.metrics import Metrics
from oracle_node.node.pulse import Pulse

_OPEN = "/health"


@dataclass(frozen=True)
class Facts:
    """What does not change while a node runs."""

    address: Address
    oracle: Address
    chain_id: int
    models: tuple[bytes, ...]
    """What this node watches: its part of the availability promise (DESIGN §6, rule 14)."""
    roles: tuple[str, ...]


@asynccontextmanager
async def serve(
    config: ApiConfig, facts: Facts, board: Board, pulse: Pulse, metrics: Metrics
) -> AsyncIterator[str]:
    """Serve until the context ends; yields the URL. ConfigError where the port is taken."""

    async def health(_: web.Request) -> web.Response:
        stalled = pulse.stalled(config.stall_after_s)
        body = {"healthy": not stalled, "stalled": stalled, "silent_for_s": _rounded(pulse)}
        return web.json_response(body, status=503 if stalled else 200)

    async def metrics_text(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(metrics.registry), content_type="text/plain", charset="utf-8"
        )

    async def status(_: web.Request) -> web.Response:
        return web.json_response(_known(facts) | status_of(board.latest))

    async def document(_: web.Request) -> web.Response:
        return web.json_response(openapi(version("oracle-node")))

    async def page(_: web.Request) -> web.Response:
        text = (files(__package__) / "page.html").read_text("utf-8")
        return web.Response(text=text, content_type="text/html")

    application = web.Application(middlewares=[_guard(config)])
    application.add_routes(
        [
            web.get("/", page),
            web.get(_OPEN, health),
            web.get("/metrics", metrics_text),
            web.get("/status", status),
            web.get("/openapi.json", document),
        ]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, config.host, config.port).start()
        except OSError as error:
            raise ConfigError(
                f"the API cannot listen on {config.host}:{config.port}: {error.strerror}"
            ) from error
        yield f"http://{config.host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _guard(config: ApiConfig) -> Middleware:
    """Token and rate for everything but `/health`: a bearer header, or `?token=` for the page."""
    token = None if config.token is None else config.token.get_secret_value().encode()
    room, filled = float(config.requests_per_s), time.monotonic()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal room, filled
        if request.path == _OPEN:
            return await handler(request)
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        given = (bearer or request.query.get("token", "")).encode()
        if token is not None and not compare_digest(given, token):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        now = time.monotonic()
        room = min(room + (now - filled) * config.requests_per_s, config.requests_per_s)
        filled = now
        if room < 1:
            raise web.HTTPTooManyRequests(headers={"Retry-After": "1"})
        room -= 1
        return await handler(request)

    return guard


def _rounded(pulse: Pulse) -> dict[str, float]:
    return {name: round(age, 1) for name, age in pulse.ages_s().items()}


def _known(facts: Facts) -> dict[str, Any]:
    return {
        "address": facts.address,
        "oracle": facts.oracle,
        "chain_id": facts.chain_id,
        "models": ["0x" + model.hex() for model in facts.models],
        "roles": list(facts.roles),
    }
