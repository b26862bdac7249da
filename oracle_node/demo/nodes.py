"""Real nodes on a stage: the same process that users run, with its own key, roles and store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from oracle_node.config import Config, parse_config
from oracle_node.demo.stage import POLL_S, Stage
from oracle_node.errors import OracleError
from oracle_node.node.node import run_node
from oracle_node.node.shelf import Shelf

ALL_ROLES = ("answer", "defend", "settle", "watch", "challenge")


@asynccontextmanager
async def running_node(stage: Stage, who: str, shelf: Shelf, *roles: str) -> AsyncIterator[None]:
    """A node of that account with those roles, from ready to stopped; its failure is raised as an OracleError."""
    stop, ready = asyncio.Event(), asyncio.Event()
    with TemporaryDirectory(prefix="oracle-node-demo-") as folder:
        config = _config(stage, Path(folder), roles)
        account = stage.accounts[who]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    run_node(config, account, stop, shelf=shelf, on_ready=lambda _: ready.set())
                )
                await ready.wait()
                try:
                    yield
                finally:
                    stop.set()
        except* OracleError as failures:
            raise first_failure(failures) from None


def first_failure(group: BaseExceptionGroup[OracleError]) -> BaseException:
    """The first exception inside nested groups."""
    failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure


def _config(stage: Stage, folder: Path, roles: tuple[str, ...]) -> Config:
    return parse_config(
        {
            "chain": {
                "rpc": stage.chain.url,
                "chain_id": stage.deployment.chain_id,
                "oracle": stage.deployment.oracle,
                "start_block": stage.deployment.block,
                "poll_s": POLL_S,
            },
            "key": {"keystore": folder / "unused.json"},
            "store": folder / "node.db",
            "roles": {role: role in roles for role in ALL_ROLES},
        }
    )
