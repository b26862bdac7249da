"""Who computes what: tasks wait for workers, urgent ones first; a worker that is lost is replaced, its task retried."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import TypeVar

import structlog

from oracle_node.config import Config
from oracle_node.errors import OracleError
from oracle_node.node.shelf import Shelf
from oracle_node.workers.bench import Content, LoadShelf
from oracle_node.workers.cluster import RayWorker
from oracle_node.workers.process import ProcessWorker, Setup
from oracle_node.workers.tasks import Task
from oracle_node.workers.thread import ThreadWorker
from oracle_node.workers.worker import UnexpectedError, Worker, WorkerError

T = TypeVar("T")
log = structlog.get_logger()
_REMEMBERED = 4


@dataclass(eq=False)
class _Desk:
    """A worker, and what it did last."""

    worker: Worker
    takes_all: bool
    is_busy: bool = False
    latest: deque[Content] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


@dataclass(eq=False)
class _Ticket:
    """A task that waits."""

    task: Task[object]
    desk: asyncio.Future[_Desk]


class Inference:
    """Workers for any task, and one more that is kept for urgent ones. Results are plain values."""

    def __init__(
        self,
        workers: Sequence[Worker],
        urgent: Sequence[Worker] = (),
        *,
        timeout_s: float | None = None,
        retries: int = 0,
    ) -> None:
        """`timeout_s` bounds one attempt at a task; `retries` are attempts after the first."""
        self._desks = [_Desk(worker, True) for worker in workers] + [
            _Desk(worker, False) for worker in urgent
        ]
        self._timeout_s, self._retries = timeout_s, retries
        self._waiting: list[_Ticket] = []
        self.lost = 0
        """Attempts that ended with their worker."""

    async def __aenter__(self) -> "Inference":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for desk in self._desks:
            desk.worker.stop()

    @property
    def waiting(self) -> int:
        """Tasks that no worker has begun."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """Workers at work."""
        return sum(desk.is_busy for desk in self._desks)

    async def start(self) -> tuple[bytes, ...]:
        """Start the first worker: the ids of the models, verified and proved. Errors as `Worker.start`."""
        return await self._desks[0].worker.start()

    async def run(self, task: Task[T]) -> T:
        """The task's result, or its own error; WorkerError where every attempt at it lost its worker."""
        for attempt in range(self._retries + 1):
            desk = await self._take(task)
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await desk.worker.run(task)
            except (WorkerError, TimeoutError) as error:
                desk.worker.stop()
                self.lost += 1
                failure = self._lost(task, error, attempt)
            except OracleError:
                raise
            except BaseException:
                desk.worker.stop()  # nobody waits for its reply any more
                raise
            finally:
                self._give(desk)
        raise failure

    def _lost(self, task: Task[T], error: WorkerError | TimeoutError, attempt: int) -> WorkerError:
        failure = (
            error
            if isinstance(error, WorkerError)
            else WorkerError(f"a worker took longer than inference.timeout_s ({self._timeout_s:g})")
        )
        log.warning(
            "worker_lost",
            task=type(task).__name__,
            reason=str(failure),
            attempt=attempt + 1,
            of=self._retries + 1,
            **({"traceback": error.where} if isinstance(error, UnexpectedError) else {}),
        )
        return failure

    async def _take(self, task: Task[T]) -> _Desk:
        ticket = _Ticket(task, asyncio.get_running_loop().create_future())
        self._waiting.append(ticket)
        self._call_next()
        try:
            desk = await ticket.desk
        except asyncio.CancelledError:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            elif not ticket.desk.cancelled():
                self._give(ticket.desk.result())
            raise
        if task.content is not None:
            desk.latest.append(task.content)
        return desk

    def _give(self, desk: _Desk) -> None:
        desk.is_busy = False
        self._call_next()

    def _call_next(self) -> None:
        """Give free desks to who waits, urgent tasks first, each to where its claim is known already."""
        for ticket in sorted(self._waiting, key=lambda t: not t.task.is_urgent):
            free = [d for d in self._desks if not d.is_busy and (d.takes_all or ticket.task.is_urgent)]
            if free and not ticket.desk.done():
                desk = max(free, key=lambda d: ticket.task.content in d.latest)
                desk.is_busy = True
                self._waiting.remove(ticket)
                ticket.desk.set_result(desk)


def inference_of(config: Config, shelf: Shelf | None = None, setup: Setup | None = None) -> Inference:
    """As configured; models that are in memory already run in a thread of this process.

    `setup` prepares worker processes; it has to be picklable. ConfigError where the executor is not installed.
    """
    chosen = config.inference
    if shelf is not None:
        return Inference([ThreadWorker(lambda: shelf)])
    load: LoadShelf = partial(Shelf.load, config.directories, chosen.threads, config.llama)
    if chosen.executor == "thread":
        return Inference([ThreadWorker(load)])

    def worker() -> Worker:
        memory_bytes = chosen.memory_mb << 20
        if chosen.executor == "ray":
            return RayWorker(
                load, memory_bytes, setup, address=chosen.ray_address, cpus=max(chosen.threads, 1)
            )
        return ProcessWorker(load, memory_bytes, setup)

    workers = [worker() for _ in range(chosen.parallel)]
    return Inference(workers, [worker()], timeout_s=chosen.timeout_s, retries=chosen.retries)
