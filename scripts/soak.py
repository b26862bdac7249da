#!/usr/bin/env python3
"""A node under siege on a chain of its own: requests, lies, kill -9, reorgs, a faulty RPC; then the books are checked.

    scripts/soak.py [--requests 2000] [--rate 20] [--lies 5] [--kill-every 20] [--reorg-every 15] [--faults 3] [--json]

A real node (`oracle-node run`) answers, settles, defends, watches and challenges against anvil with a block a second,
through a proxy that loses and delays RPC calls. Fifty consumers ask; a liar claims wrong answers and defends them. In
the end every request has to be answered or refunded exactly once, every lie refuted, no honest wei lost, and no
transaction stuck. Everything runs on this machine, and ends by itself. Exit status 1 where a check fails.
"""

import argparse
import asyncio
import json
import secrets
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

import aiohttp  # noqa: E402
import numpy as np  # noqa: E402
from aiohttp import web  # noqa: E402

from oracle_node.chain.actions import ask, claim_answer, list_model  # noqa: E402
from oracle_node.chain.client import OracleClient  # noqa: E402
from oracle_node.chain.deploy import DEV_LIMITS, deploy_oracle  # noqa: E402
from oracle_node.chain.embedded import DevChain, open_dev_chain  # noqa: E402
from oracle_node.chain.fees import FeePolicy  # noqa: E402
from oracle_node.chain.keystore import import_key  # noqa: E402
from oracle_node.chain.revert import RevertDecoder  # noqa: E402
from oracle_node.chain.terms import least_policy  # noqa: E402
from oracle_node.chain.transactions import Sender  # noqa: E402
from oracle_node.chain.types import (  # noqa: E402
    ClaimId,
    ClaimStatus,
    Limits,
    RequestId,
    RequestOptions,
    RequestStatus,
)
from oracle_node.cli.sources import import_digits  # noqa: E402
from oracle_node.errors import OracleError, TransientError  # noqa: E402
from oracle_node.executors.choice import make_executor  # noqa: E402
from oracle_node.game.strategy import Player  # noqa: E402
from oracle_node.model.directory import save_model  # noqa: E402
from oracle_node.model.solver import solve  # noqa: E402
from oracle_node.players.actors import Defender  # noqa: E402
from oracle_node.players.adversaries import Lie, LyingClaim, tell_lies  # noqa: E402
from oracle_node.players.dispute import Seat, play_seat  # noqa: E402
from oracle_node.shipped import shipped  # noqa: E402

NODE, OWNER, FIRST_LIAR, LIARS, FIRST_CONSUMER = 0, 1, 2, 8, 10
BLOCK_S, LIE_S, SAMPLE_S, SETTLE_S, REST_S = 1, 150, 5, 10, 0.2
PASSWORD = "soak"


@dataclass
class Troubles:
    """What was done to the node."""

    kills: int = 0
    reorgs: int = 0
    lost_calls: int = 0
    late_calls: int = 0


@dataclass
class Soak:
    """One run: who plays, what was asked and said, and what was measured on the way."""

    options: argparse.Namespace
    chain: DevChain
    client: OracleClient
    listing_id: Any
    policy: Any
    config: Path
    troubles: Troubles = field(default_factory=Troubles)
    asked: dict[RequestId, tuple[int, int]] = field(default_factory=dict)
    """Every request's consumer and nonce."""
    lies: set[ClaimId] = field(default_factory=set)
    memory_mb: list[tuple[float, float]] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None

    def __post_init__(self) -> None:
        self.random = Random(self.options.seed)
        self.model = import_digits(8)
        self.executor = make_executor(self.model.tape, threads=1)
        self.inputs = [np.load(shipped().sample(digit)).astype("<f4").tobytes() for digit in range(10)]
        fees = FeePolicy(poll_s=0.5)
        accounts = self.chain.accounts
        self.consumers = [self.client.sender(a, fees=fees) for a in accounts[FIRST_CONSUMER:]]
        self.liars = [self.client.sender(a, fees=fees) for a in accounts[FIRST_LIAR:FIRST_CONSUMER]]
        self.disputes: list[asyncio.Task[None]] = []
        self.lying = [asyncio.Lock() for _ in self.liars]

    # The node

    async def node(self) -> None:
        """Start it, and start it again whenever it ends."""
        log = (self.config.parent / "node.log").open("ab")
        while True:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "oracle_node", "--debug", "run", "--json", "--config", str(self.config),
                cwd=REPOSITORY, stdout=log, stderr=log,
            )  # fmt: skip
            try:
                await self.process.wait()
            finally:
                with suppress(ProcessLookupError):
                    self.process.kill()

    async def killer(self) -> None:
        """kill -9, about every so many seconds."""
        while self.options.kill_every:
            await asyncio.sleep(self.options.kill_every * self.random.uniform(0.5, 1.5))
            if self.process is not None and self.process.returncode is None:
                self.process.send_signal(signal.SIGKILL)
                self.troubles.kills += 1

    async def reorgs(self) -> None:
        """Blocks vanish with what they held.

        No block may be mined meanwhile: anvil would put it on top with a parent that is gone, its logs and all.
        """
        while self.options.reorg_every:
            await asyncio.sleep(self.options.reorg_every * self.random.uniform(0.5, 1.5))
            await self.chain._request("evm_setIntervalMining", 0)
            await asyncio.sleep(REST_S)
            await self.chain._request("anvil_reorg", self.random.randint(1, 5), [])
            await self.chain._request("evm_setIntervalMining", BLOCK_S)
            self.troubles.reorgs += 1

    async def sampler(self) -> None:
        """Resident memory of the node and its workers, MB."""
        start = time.monotonic()
        while True:
            await asyncio.sleep(SAMPLE_S)
            if self.process is not None and self.process.returncode is None:
                self.memory_mb.append((time.monotonic() - start, _resident_mb(self.process.pid)))

    # The others

    async def consume(self) -> None:
        """Ask at the given rate, each consumer one request at a time."""
        room = [asyncio.Lock() for _ in self.consumers]
        start = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(self.options.requests):
                ahead = start + number / self.options.rate - time.monotonic()
                if ahead > 0:
                    await asyncio.sleep(ahead)
                group.create_task(self._ask(number, room[number % len(room)]))

    async def _ask(self, number: int, lock: asyncio.Lock) -> None:
        consumer = number % len(self.consumers)
        lies = self.random.random() * 100 < self.options.lies
        async with lock:
            request_id = await self._asked(consumer, number)
        if lies:
            lying = self._lie(request_id, self.inputs[number % 10], number % len(self.liars))
            self.disputes.append(asyncio.create_task(lying))

    async def _asked(self, consumer: int, nonce: int) -> RequestId:
        data, options = self.inputs[nonce % 10], RequestOptions(nonce=nonce)
        while True:
            with suppress(OracleError):
                request_id = await ask(self.client, self.consumers[consumer], self.listing_id, data, options)
                self.asked[request_id] = consumer, nonce
                return request_id
            await asyncio.sleep(BLOCK_S)

    async def _lie(self, request_id: RequestId, data: bytes, liar: int) -> None:
        """A wrong answer. Each liar defends one at a time, and hopes of the others that nobody looks."""
        sender = self.liars[liar]
        answer = await asyncio.to_thread(solve, self.model, self.executor, data)
        tensors = len(self.model.tape.instructions) - 2
        lie = Lie(self.random.randrange(tensors // 2, tensors), 0)
        lying = tell_lies(self.model, self.executor, data, answer.output, answer.witness, [lie])
        if lying.output == answer.output:
            return
        with suppress(OracleError, TimeoutError):  # a reorg may take away what it lied about
            async with asyncio.timeout(LIE_S):
                claim_id = await claim_answer(
                    self.client, sender, request_id, lying.output, lying.witness, salt=secrets.token_bytes(32)
                )
                self.lies.add(claim_id)
                if not self.lying[liar].locked():
                    async with self.lying[liar]:
                        await self._stand_by(claim_id, lying, sender)

    async def _stand_by(self, claim_id: ClaimId, lying: LyingClaim, sender: Sender) -> None:
        seat = Seat("defender", Defender(lying.knowledge, Player(sender.address)), sender)
        await play_seat(self.client, claim_id, seat, poll_s=BLOCK_S)

    async def settle(self) -> bool:
        """Until nothing is open any more, or too long; what reorgs have taken away is asked again."""
        deadline = time.monotonic() + self.options.grace
        open_ones = set(self.asked)
        while open_ones and time.monotonic() < deadline:
            await asyncio.sleep(SETTLE_S)
            ids = list(open_ones)
            try:
                views = await asyncio.gather(*map(self.client.request, ids))
            except TransientError:  # a block went away in a reorg
                continue
            for request_id, view in zip(ids, views, strict=True):
                if view.status is RequestStatus.NONE:
                    await self._asked(*self.asked[request_id])
                elif view.fee_paid or view.status is RequestStatus.EXPIRED:
                    open_ones.discard(request_id)
        return not open_ones


def _resident_mb(pid: int) -> float:
    """Proportional memory of a process and its descendants."""
    total, todo = 0, [pid]
    while todo:
        one = todo.pop()
        with suppress(OSError, ValueError):
            todo += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


@asynccontextmanager
async def faulty_rpc(target: str, percent: float, random: Random, troubles: Troubles) -> AsyncIterator[str]:
    """A proxy that answers some calls with 502 or 429, loses some answers, and delays some."""

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        luck = random.random() * 100
        if luck < percent / 2:
            troubles.lost_calls += 1
            raise web.HTTPBadGateway if luck < percent / 4 else web.HTTPTooManyRequests
        if luck < percent:
            troubles.late_calls += 1
            await asyncio.sleep(random.uniform(0.2, 2.0))
        async with http.post(target, data=body, headers={"Content-Type": "application/json"}) as response:
            answer = await response.read()
        if 100 - percent / 4 < luck:
            troubles.lost_calls += 1
            raise web.HTTPGatewayTimeout
        return web.Response(body=answer, content_type="application/json")

    application = web.Application(client_max_size=16 << 20)
    application.router.add_post("/", handle)
    runner = web.AppRunner(application, access_log=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as http:
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def books(soak: Soak, wallet_wei: int) -> dict[str, Any]:
    """What the chain says in the end: figures, and `failures` in words."""
    client, node = soak.client, soak.chain.accounts[NODE].address
    names = ["Requested", "ClaimProposed", "FeePaid", "ClaimRefuted", "ChallengeSettled", "ClaimForfeited"]
    events: dict[str, list[Any]] = {name: [] for name in names}
    for entry in await client.past_events(names):
        events[type(entry.event).__name__].append(entry)
    paid = Counter(e.event.request_id for e in events["FeePaid"])
    views = dict(zip(soak.asked, await asyncio.gather(*map(client.request, soak.asked)), strict=True))
    lies = await asyncio.gather(*map(client.claim, soak.lies))
    refuted = {e.event.claim_id for e in events["ClaimRefuted"]}
    own = {e.event.claim_id for e in events["ClaimProposed"] if e.event.claimant == node}
    fees = sum(e.event.amount for e in events["FeePaid"] if e.event.claimant == node)
    gas = await _gas_wei(soak.chain, node)
    pending, mined = [
        await soak.chain.web3.eth.get_transaction_count(node, tag) for tag in ("pending", "latest")
    ]
    left = await soak.chain.web3.eth.get_balance(node) + await client.balance(node) + gas - wallet_wei
    failures = {
        "requests not answered or refunded once": sum(
            not (paid[i] == 1 if v.status is RequestStatus.ANSWERED else v.status is RequestStatus.EXPIRED)
            for i, v in views.items()
        ),
        "lies that stand": sum(v.status in (ClaimStatus.PROPOSED, ClaimStatus.FINALIZED) for v in lies),
        "honest claims refuted": len(own & refuted),
        "honest claims forfeited": sum(e.event.claim_id in own for e in events["ClaimForfeited"]),
        "wei lost": max(0, fees - left),
        "transactions stuck": pending - mined,
    }
    asked_at = {e.event.request_id: e.time for e in events["Requested"]}
    first: dict[Any, int] = {}
    for entry in events["ClaimProposed"]:
        if entry.event.claimant == node:
            first.setdefault(entry.event.request_id, entry.time)
    waits = sorted(at - asked_at[i] for i, at in first.items() if i in asked_at)
    span = max(first.values(), default=1) - min(asked_at.values(), default=0)
    memory = [mb for _, mb in soak.memory_mb]
    third = max(len(memory) // 3, 1)
    return {
        "requests": len(soak.asked),
        "answered": sum(v.status is RequestStatus.ANSWERED for v in views.values()),
        "lies": len(soak.lies),
        "lies_refuted": sum(v.status is ClaimStatus.REFUTED for v in lies),
        "answers_per_s": round(len(first) / max(span, 1), 2),
        "latency_p50_s": statistics.median(waits) if waits else None,
        "latency_p99_s": waits[int(len(waits) * 0.99)] if waits else None,
        "node_earned_wei": left,
        "node_fees_wei": fees,
        "node_gas_wei": gas,
        "node_transactions": mined,
        "memory_mb": {
            "first_third": round(statistics.mean(memory[:third]), 1) if memory else None,
            "last_third": round(statistics.mean(memory[-third:]), 1) if memory else None,
            "most": round(max(memory, default=0), 1),
        },
        **vars(soak.troubles),
        "failures": {name: count for name, count in failures.items() if count},
    }


async def _gas_wei(chain: DevChain, sender: str) -> int:
    total = 0
    for number in range((await chain.web3.eth.get_block_number()) + 1):
        for receipt in await chain._request("eth_getBlockReceipts", hex(number)):
            if receipt["from"].lower() == sender.lower():
                total += int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    return total


def _config(folder: Path, rpc: str, client: OracleClient, block: int) -> Path:
    path = folder / "node.toml"
    (folder / "password").write_text(PASSWORD)
    path.write_text(
        f"""
models = ["model"]
store = "node.db"
[chain]
rpc = "{rpc}"
chain_id = {client.chain_id}
oracle = "{client.oracle}"
start_block = {block}
poll_s = 0.5
[key]
keystore = "key.json"
password_file = "password"
[inference]
threads = 1
"""
    )
    return path


def limits_of(window_s: int) -> Limits:
    """Short terms, all in proportion."""
    return replace(
        DEV_LIMITS,
        min_window=window_s,
        min_clock=window_s,
        min_reveal_timeout=3 * window_s // 2,
        settle_margin=window_s // 2,
        request_lifetime=15 * window_s,
    )


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything set up, played and counted."""
    troubles, limits = Troubles(), limits_of(options.window)
    async with open_dev_chain("anvil", accounts=FIRST_CONSUMER + options.consumers) as chain:
        accounts = chain.accounts
        owner = Sender(chain.web3, accounts[OWNER], RevertDecoder([]))
        deployment = await deploy_oracle(owner, await chain.web3.eth.chain_id, limits)
        client = await OracleClient.open(chain.web3, deployment.oracle)
        model = import_digits(8)
        policy = least_policy(limits, model.commitment, min_fee_wei=5 * 10**15)
        listing_id = await list_model(client, client.sender(accounts[OWNER]), model.commitment, policy)
        await chain._request("evm_setAutomine", False)
        await chain._request("evm_setIntervalMining", BLOCK_S)
        folder = Path(options.folder)
        save_model(model, folder / "model")
        import_key(folder / "key.json", accounts[NODE].key.hex(), PASSWORD, iterations=2)
        random = Random(options.seed)
        wallet_wei = await chain.web3.eth.get_balance(accounts[NODE].address)
        async with faulty_rpc(chain.url, options.faults, random, troubles) as rpc:
            config = _config(folder, rpc, client, deployment.block)
            soak = Soak(options, chain, client, listing_id, policy, config, troubles)
            return await _play(soak, wallet_wei)


async def _play(soak: Soak, wallet_wei: int) -> dict[str, Any]:
    node = asyncio.create_task(soak.node())
    sampler = asyncio.create_task(soak.sampler())
    attacks: list[Coroutine[Any, Any, None]] = [soak.killer(), soak.reorgs()]
    running = [asyncio.create_task(attack) for attack in attacks]
    start = time.monotonic()
    try:
        await asyncio.sleep(5)
        await soak.consume()
        settled = await soak.settle()
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        await soak.chain._request("evm_setIntervalMining", BLOCK_S)
        await asyncio.sleep(SETTLE_S)
        found = await books(soak, wallet_wei)
    finally:
        for task in [node, sampler, *running, *soak.disputes]:
            task.cancel()
        await asyncio.wait([node, sampler])
    return {**found, "settled": settled, "seconds": round(time.monotonic() - start, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=20, help="requests a second")
    parser.add_argument("--consumers", type=int, default=50)
    parser.add_argument(
        "--lies", type=float, default=5, help="percent of the requests that a liar answers too"
    )
    parser.add_argument("--kill-every", type=float, default=20, help="seconds; 0 never")
    parser.add_argument("--reorg-every", type=float, default=15, help="seconds; 0 never")
    parser.add_argument("--faults", type=float, default=3, help="percent of the node's RPC calls")
    parser.add_argument(
        "--grace", type=float, default=600, help="seconds to settle in after the last request"
    )
    parser.add_argument("--window", type=int, default=60, help="seconds to challenge in, and on each clock")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="keep the node's files here")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="oracle-soak-") as folder:
        options.folder = options.folder or folder
        found = asyncio.run(run(options))
    print(json.dumps(found) if options.json else "\n".join(f"{k:<18} {v}" for k, v in found.items()))
    return 1 if found["failures"] or not found["settled"] else 0


if __name__ == "__main__":
    sys.exit(main())
