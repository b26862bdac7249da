"""Real nodes inside a test: started on an arena, waited for, stopped."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount

from oracle_node.chain.events import ClaimCommitted, ClaimProposed
from oracle_node.chain.types import ClaimId, ClaimStatus, RequestId
from oracle_node.config import Config, parse_config
from oracle_node.node.node import Ready, run_node
from oracle_node.node.shelf import Shelf
from tests.e2e.arena import Arena, toy

PATIENCE_S = 30.0


def node_config(arena: Arena, folder: Path, roles: set[str], **sections: Any) -> Config:
    """A configuration with only these roles on."""
    switches = ("answer", "defend", "settle", "early", "watch", "challenge")
    return parse_config(
        {
            "chain": {
                "rpc": arena.chain.url,
                "chain_id": arena.client.chain_id,
                "oracle": arena.client.oracle,
                "start_block": arena.deployment.block,
                "poll_s": 0.05,
            },
            "key": {"keystore": "unused"},
            "store": folder / "node.db",
            "roles": {switch: switch in roles for switch in switches},
        }
        | sections
    )


@asynccontextmanager
async def running(
    config: Config,
    account: LocalAccount,
    shelf: Shelf | None = None,
    helpers: Sequence[LocalAccount] = (),
) -> AsyncIterator[Ready]:
    """A node that runs while the context lasts; its failure is raised at the end."""
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
    node = asyncio.create_task(
        run_node(
            config,
            account,
            stop,
            helpers=helpers,
            shelf=shelf or Shelf([toy()]),
            on_ready=started.set_result,
        )
    )
    await asyncio.wait({node, started}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if started.done():
            yield started.result()
    finally:
        stop.set()
        await node


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a condition on the chain; AssertionError after a while."""
    deadline = time.monotonic() + PATIENCE_S
    while not await condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        await asyncio.sleep(0.05)


async def proposed(arena: Arena, request_id: RequestId, claimant: str | None = None) -> ClaimId:
    """The request's first claim, or that claimant's first one, once it is revealed."""

    async def is_there() -> bool:
        claim_id = await _first_claim(arena, request_id, claimant)
        return claim_id is not None and (await arena.client.claim(claim_id)).status is ClaimStatus.PROPOSED

    await until(is_there, "a proposed claim")
    claim_id = await _first_claim(arena, request_id, claimant)
    assert claim_id is not None
    return claim_id


async def _first_claim(arena: Arena, request_id: RequestId, claimant: str | None) -> ClaimId | None:
    events = await arena.client.past_events(["ClaimCommitted", "ClaimProposed"])
    claims = [e.event for e in events if isinstance(e.event, ClaimCommitted | ClaimProposed)]
    ours = (c for c in claims if c.request_id == request_id and claimant in (None, c.claimant))
    return next((claim.claim_id for claim in ours), None)
