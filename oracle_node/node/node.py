"""Putting a node together, and taking it apart: everything it opens is closed, whatever ends it."""

import asyncio
import json
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import structlog
from eth_account.signers.local import LocalAccount

from oracle_node.api.server import Facts, serve
from oracle_node.chain.client import OracleClient
from oracle_node.chain.fees import FeePolicy
from oracle_node.chain.rpc import Web3, connect
from oracle_node.chain.transactions import Sender
from oracle_node.chain.types import Address
from oracle_node.config import Config
from oracle_node.errors import ConfigError, OracleError, TransientError
from oracle_node.executors.onnx.environment import environment
from oracle_node.node.board import Board
from oracle_node.node.effects import Effects
from oracle_node.node.fetching import with_models_here
from oracle_node.node.inference import inference_of
from oracle_node.node.ledger import Ledger
from oracle_node.node.metrics import Metrics
from oracle_node.node.pulse import Pulse
from oracle_node.node.services import RoleLoop, follow, roles_of
from oracle_node.node.shelf import Shelf
from oracle_node.store.store import Store
from oracle_node.workers.process import Setup

log = structlog.get_logger()


@dataclass(frozen=True)
class Ready:
    """What a running node can tell its starter."""

    address: Address
    models: tuple[bytes, ...]
    api_url: str | None
    board: Board


async def run_node(
    config: Config,
    account: LocalAccount,
    stop: asyncio.Event,
    *,
    helpers: Sequence[LocalAccount] = (),
    shelf: Shelf | None = None,
    worker_setup: Setup | None = None,
    on_ready: Callable[[Ready], None] | None = None,
) -> None:
    """Run until `stop` is set. ConfigError and ModelError before it starts; DeterminismError ends it.

    `helpers` send what anyone may. `shelf` gives models that are verified already, instead of those of `config.models`;
    `worker_setup` prepares the processes that models run in.
    """
    roles = roles_of(config.roles)
    async with AsyncExitStack() as stack:
        config = await with_models_here(config)
        inference = await stack.enter_async_context(inference_of(config, shelf, worker_setup))
        models = await inference.start()
        store = Store(config.store)
        stack.callback(store.close)
        web3 = await stack.enter_async_context(connect(*config.chain.rpc_urls))
        client = await _await_oracle(config, web3, stop)
        if client is None:
            return
        store.require_identity(chain_id=str(client.chain_id), oracle=client.oracle, account=account.address)
        sender, *helping = _senders(client, [account, *helpers], store, _fees(config))
        follower = client.follower(
            config.chain.start_block,
            chunk_blocks=config.chain.chunk_blocks,
            confirmations=config.chain.confirmations,
        )
        me = Address(sender.address)
        ledger = Ledger(client, store, follower, me, frozenset(models))
        board, pulse, metrics, nudge = Board(), Pulse(), Metrics(), asyncio.Event()
        metrics.watch_queue(lambda: inference.waiting, lambda: inference.lost)
        effects = Effects(client, sender, store, inference, metrics, _environment(config), helping)
        facts = Facts(me, client.oracle, client.chain_id, models, tuple(role.name for role in roles))
        api_url = None
        if config.api is not None:
            api_url = await stack.enter_async_context(serve(config.api, facts, board, pulse, metrics))
        loops = [RoleLoop(role, config.money, effects, board, pulse, metrics, nudge) for role in roles]
        about = {"address": me, "chain_id": client.chain_id, "oracle": client.oracle}
        log.info("node_started", **about, unsettled=len(store.unsettled(me)))
        if on_ready is not None:
            on_ready(Ready(me, models, api_url, board))
        pulse.beat("follow")
        # the senders first: until they have gone through what an earlier run has left, they sign nothing new
        services: dict[str, Coroutine[Any, Any, Any]] = {
            f"resume {one.address}": one.resume() for one in [sender, *helping]
        }
        services |= {"follow": follow(ledger, board, pulse, metrics, nudge, config.chain.poll_s)}
        services |= {role.name: loop.run() for role, loop in zip(roles, loops, strict=True)}
        await _run_services(services, stop)
    log.info("node_stopped", address=me)


def _senders(
    client: OracleClient, keys: Sequence[LocalAccount], store: Store, fees: FeePolicy
) -> list[Sender]:
    if len({key.address for key in keys}) < len(keys):
        raise ConfigError("a key may be listed once under [key]: each has its own line of nonces")
    return [client.sender(key, store, fees) for key in keys]


async def _await_oracle(config: Config, web3: Web3, stop: asyncio.Event) -> OracleClient | None:
    """The oracle, as soon as its chain answers; None where `stop` comes first. ConfigError for a wrong one."""
    while not stop.is_set():
        try:
            return await OracleClient.open(web3, config.chain.oracle, chain_id=config.chain.chain_id)
        except TransientError as error:
            log.warning("chain_unavailable", reason=str(error), again_in_s=config.chain.poll_s)
        try:
            async with asyncio.timeout(config.chain.poll_s):
                await stop.wait()
        except TimeoutError:
            continue
    return None


async def _run_services(services: dict[str, Coroutine[Any, Any, None]], stop: asyncio.Event) -> None:
    """All services until `stop` or the first failure, which is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(service, name=name) for name, service in services.items()]
            await stop.wait()
            for task in running:
                task.cancel()
    except* OracleError as failures:
        raise _first(failures) from failures


def _first(group: BaseExceptionGroup[OracleError]) -> OracleError:
    failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    assert isinstance(failure, OracleError)
    return failure


def _environment(config: Config) -> str | None:
    """What this machine computes with, as JSON; the machines of a cluster are not known here."""
    return None if config.inference.executor == "ray" else json.dumps(environment(config.inference.threads))


def _fees(config: Config) -> FeePolicy:
    return FeePolicy(
        most_in_flight=config.chain.most_in_flight,
        max_fee_per_gas_wei=int(config.chain.max_fee_gwei * 10**9),
        poll_s=min(config.chain.poll_s, 1.0),
        replace_after_s=config.chain.replace_after_s,
    )


def stop_on_signals(stop: asyncio.Event) -> None:
    """Let SIGINT and SIGTERM set the event, and do nothing else."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
