"""The queue before the workers: who goes first, what a lost worker costs, and what is left at the end."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from oracle_node.config import parse_config
from oracle_node.errors import DeterminismError
from oracle_node.executors import canary
from oracle_node.node.inference import Inference, inference_of
from oracle_node.node.shelf import Shelf, shelve
from oracle_node.workers.bench import Content, LoadShelf, Workbench
from oracle_node.workers.process import ProcessWorker
from oracle_node.workers.tasks import Task
from oracle_node.workers.thread import ThreadWorker
from oracle_node.workers.worker import WorkerError
from tests.e2e.arena import toy
from tests.e2e.nodes import PATIENCE_S
from tests.workers import faulty


async def eventually(condition: Callable[[], bool]) -> None:
    """AssertionError after a while."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


async def test_inference__worker_crashes_once__retried_in_a_fresh_one(
    load: LoadShelf, tmp_path: Path
) -> None:
    async with Inference([ProcessWorker(load)], retries=1) as inference:
        assert await inference.start() == (toy().model.model_id,)
        assert await inference.run(faulty.Once(tmp_path / "mark")) == "second"
        assert inference.lost == 1


async def test_inference__worker_crashes_every_time__gives_up_and_serves_others(load: LoadShelf) -> None:
    async with Inference([ProcessWorker(load)], retries=1) as inference:
        with pytest.raises(WorkerError, match="SIGSEGV"):
            await inference.run(faulty.Segfault())
        assert inference.lost == 2
        assert await inference.run(faulty.Echo()) > 0


async def test_inference__worker_hangs__ended_after_the_timeout(load: LoadShelf) -> None:
    async with Inference([worker := ProcessWorker(load)], timeout_s=0.3) as inference:
        await inference.start()
        with pytest.raises(WorkerError, match=r"longer than inference.timeout_s \(0.3\)"):
            await inference.run(faulty.Hang())
        assert worker.pid is None


async def test_inference__all_workers_busy__urgent_tasks_have_one_of_their_own(
    load: LoadShelf, tmp_path: Path
) -> None:
    first, reserved = ProcessWorker(load), ProcessWorker(load)
    async with Inference([first], [reserved]) as inference:
        hanging = asyncio.create_task(inference.run(faulty.Hang(tmp_path / "begun")))
        await eventually((tmp_path / "begun").exists)
        waiting = asyncio.create_task(inference.run(faulty.Echo()))
        assert await inference.run(faulty.Echo(is_urgent=True)) == reserved.pid
        assert (inference.waiting, inference.busy) == (1, 1)
        hanging.cancel()
        assert await waiting == first.pid
        assert (inference.waiting, inference.busy) == (0, 0)


class Named(Task[str]):
    """Notes that it ran."""

    def __init__(
        self, name: str, ran: list[str], urgent: bool = False, content: Content | None = None
    ) -> None:
        self.name, self.ran, self.is_urgent, self._content = name, ran, urgent, content

    @property
    def content(self) -> Content | None:
        return self._content

    def run(self, bench: Workbench) -> str:
        self.ran.append(self.name)
        return self.name


def idle_thread() -> ThreadWorker:
    return ThreadWorker(lambda: Shelf([toy()]))


async def test_inference__several_wait__urgent_ones_first_then_in_order() -> None:
    ran: list[str] = []
    async with Inference([idle_thread()]) as inference:
        tasks = [Named("a", ran), Named("b", ran), Named("c", ran, urgent=True), Named("d", ran, urgent=True)]
        await asyncio.gather(*(inference.run(task) for task in tasks))
    assert ran == ["a", "c", "d", "b"]


async def test_inference__waiting_task_cancelled__takes_no_worker() -> None:
    ran: list[str] = []
    async with Inference([idle_thread()]) as inference:
        first = asyncio.create_task(inference.run(Named("first", ran)))
        second = asyncio.create_task(inference.run(Named("second", ran)))
        third = asyncio.create_task(inference.run(Named("third", ran)))
        await asyncio.sleep(0)
        second.cancel()
        assert [await first, await third] == ["first", "third"]
        assert (inference.waiting, inference.busy) == (0, 0)
    assert ran == ["first", "third"]


async def test_inference__claim_judged_before__goes_to_the_worker_that_knows_it() -> None:
    content, shelves = Content(b"m", b"r", b"o", b"w"), [Shelf([toy()]), Shelf([toy()])]
    seen: list[int] = []

    class Where(Named):
        def run(self, bench: Workbench) -> str:
            seen.append(shelves.index(bench.shelf))
            return ""

    workers = [ThreadWorker(partial(shelves.__getitem__, i)) for i in range(2)]
    async with Inference(workers) as inference:
        blocker, same = Where("", [], content=None), Where("", [], content=content)
        await asyncio.gather(inference.run(blocker), inference.run(same))
        await inference.run(same)
    assert sorted(seen[:2]) == [0, 1]
    assert seen[2] == 1


async def test_inference__machine_is_not_exact__no_worker_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "EXPECTED", "another hash")
    worker = ThreadWorker(lambda: Shelf([shelve(toy().model, threads=1)]))
    with pytest.raises(DeterminismError, match="not exact on this machine"):
        await worker.start()


@pytest.mark.parametrize(("executor", "kinds"), [("process", [True, True, False]), ("thread", [True])])
def test_inference_of__configuration__its_workers(executor: str, kinds: list[bool]) -> None:
    config = parse_config(
        {
            "chain": {"rpc": "http://localhost", "chain_id": 1, "oracle": "0x"},
            "key": {"keystore": "unused"},
            "inference": {"executor": executor, "parallel": 2},
        }
    )
    assert [desk.takes_all for desk in inference_of(config)._desks] == kinds
