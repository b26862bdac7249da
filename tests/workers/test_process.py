"""Worker processes: real crashes, hangs and memory limits, and what is left of them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from oracle_node.errors import ModelError
from oracle_node.game.state import ClaimState, ClaimStatus
from oracle_node.game.strategy import Player
from oracle_node.model.model import RequestRefusedError
from oracle_node.node.shelf import Shelf
from oracle_node.players.adversaries import claim_baldly
from oracle_node.workers.bench import Content, LoadShelf
from oracle_node.workers.process import ProcessWorker
from oracle_node.workers.tasks import Decide, Judge, Side, Solve, Task
from oracle_node.workers.thread import ThreadWorker
from oracle_node.workers.worker import UnexpectedError, Worker, WorkerError
from tests.e2e.arena import toy, toy_answer, toy_input
from tests.workers import faulty

PATIENCE_S = 20.0


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[tuple[bytes, ...]]:
    """A worker that is stopped at the end."""
    try:
        yield await worker.start()
    finally:
        worker.stop()


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    """AssertionError after a while."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.mark.parametrize("kind", [ProcessWorker, ThreadWorker])
async def test_worker__toy__answers_judges_and_plays_as_in_this_process(
    kind: Callable[[LoadShelf], Worker], load: LoadShelf
) -> None:
    truth, model_id = toy_answer(), toy().model.model_id
    lie = claim_baldly(toy().model, toy().executor, toy_input(), bytes(len(truth.output)))
    right = Content(model_id, toy_input(), truth.output, truth.witness)
    wrong = Content(model_id, toy_input(), lie.output, lie.witness)
    async with working(worker := kind(load)) as models:
        assert models == (model_id,)
        answer = await worker.run(Solve(model_id, toy_input()))
        assert (answer.output, answer.witness, answer.ok) == (truth.output, truth.witness, True)
        assert (await worker.run(Judge(right))).is_right
        verdict = await worker.run(Judge(wrong))
        assert not verdict.is_right
        assert "output differs at byte 0" in verdict.reason
        claim = ClaimState(b"\1" * 32, "0x" + "aa" * 20, ClaimStatus.PROPOSED, window_end=100)
        player = Player("0x" + "bb" * 20)
        [due] = await worker.run(Decide(Side.CHALLENGER, wrong, claim, (), player, now=50))
        assert due.limit == 100
        assert await worker.run(Decide(Side.DEFENDER, right, claim, (), player, now=50)) == []


async def test_worker__request_that_the_model_refuses__raises_what_the_model_says(load: LoadShelf) -> None:
    async with working(worker := ProcessWorker(load)):
        with pytest.raises(RequestRefusedError, match="no whole number of f32 elements"):
            await worker.run(Solve(toy().model.model_id, b"\0"))
        assert await worker.run(faulty.Echo()) == worker.pid


async def test_worker__files_that_are_no_model__says_so_and_leaves_no_process(tmp_path: Path) -> None:
    worker = ProcessWorker(partial(Shelf.load, (tmp_path,)))
    with pytest.raises(ModelError, match="not a model directory"):
        await worker.start()
    assert worker.pid is None


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (faulty.Segfault(), "SIGSEGV"),
        (faulty.Killed(), r"SIGKILL \(out of memory\?\)"),
        (faulty.Exit(), "exit code 3"),
        (faulty.Bug(), "IndexError: a bug in a model's way"),
    ],
)
async def test_worker__its_task_goes_wrong__says_how_and_starts_anew(
    load: LoadShelf, task: Task[None], reason: str
) -> None:
    async with working(worker := ProcessWorker(load)):
        with pytest.raises(WorkerError, match=reason) as caught:
            await worker.run(task)
        if isinstance(caught.value, UnexpectedError):
            assert "faulty.py" in caught.value.where
        worker.stop()
        assert (await worker.run(Solve(toy().model.model_id, toy_input()))).output == toy_answer().output


async def test_worker__memory_limit__bounds_private_data_and_not_mapped_files(
    load: LoadShelf, tmp_path: Path
) -> None:
    file = tmp_path / "weights"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 30)
    async with working(worker := ProcessWorker(load, memory_bytes=700 << 20)):
        assert await worker.run(faulty.MapFile(file)) == 0
        assert await worker.run(faulty.Devour(200)) == 200
        with pytest.raises(WorkerError, match="MemoryError"):
            await worker.run(faulty.Devour(800))


async def test_worker__its_process__is_set_up_for_its_place(
    load: LoadShelf, capfd: pytest.CaptureFixture[str]
) -> None:
    async with working(worker := ProcessWorker(load)):
        settings = await worker.run(faulty.Settings())
        await worker.run(faulty.Echo())
    assert settings == {"ignores_interrupt": True, "oom_score": 500, "has_web3": False}
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "said on standard output\n")


async def test_worker__stopped_in_the_middle_of_a_task__is_gone(load: LoadShelf, tmp_path: Path) -> None:
    worker, begun = ProcessWorker(load), tmp_path / "begun"
    await worker.start()
    pid = worker.pid
    assert pid is not None
    task = asyncio.create_task(worker.run(faulty.Hang(begun)))
    while not begun.exists():
        await asyncio.sleep(0.02)
    task.cancel()
    worker.stop()
    await asyncio.wait({task})
    assert not is_alive(pid)


NODE = """
import asyncio, sys
from functools import partial
from pathlib import Path
from oracle_node.node.shelf import Shelf
from oracle_node.workers.process import ProcessWorker
from tests.workers import faulty

async def main():
    worker = ProcessWorker(partial(Shelf.load, (Path(sys.argv[1]),), 1))
    await worker.start()
    print(worker.pid, flush=True)
    await worker.run(eval(sys.argv[2]))

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("work", ["faulty.Hang(Path({!r}))", "faulty.HangHoldingTheLock(Path({!r}))"])
def test_worker__its_node_is_killed__ends_with_it(
    toy_directory: Path, tmp_path: Path, repository: Path, work: str
) -> None:
    script, begun = tmp_path / "node.py", tmp_path / "begun"
    script.write_text(NODE)
    node = subprocess.Popen(
        [sys.executable, str(script), str(toy_directory), work.format(str(begun))],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(repository)},
        text=True,
    )
    assert node.stdout is not None
    worker = int(node.stdout.readline())
    wait_until(lambda: begun.exists() and begun.read_text() == str(worker))
    assert is_alive(worker)
    node.send_signal(signal.SIGKILL)
    node.wait()
    node.stdout.close()
    wait_until(lambda: not is_alive(worker))
