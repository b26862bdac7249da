"""`/health`, `/metrics`, `/status` and a page that shows the last. Read-only: nothing here changes anything."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from aiohttp import web
from prometheus_client import generate_latest

from oracle_node.api.status import status_of
from oracle_node.chain.types import Address
from oracle_node.config import ApiConfig
from oracle_node.errors import ConfigError
from oracle_node.node.board import Board
from oracle_node.node.metrics import Metrics
from oracle_node.node.pulse import Pulse


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

    async def page(_: web.Request) -> web.Response:
        text = (files(__package__) / "page.html").read_text("utf-8")
        return web.Response(text=text, content_type="text/html")

    application = web.Application()
    application.add_routes(
        [
            web.get("/", page),
            web.get("/health", health),
            web.get("/metrics", metrics_text),
            web.get("/status", status),
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
