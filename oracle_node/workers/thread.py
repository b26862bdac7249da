"""A worker inside the node's own process: for models in memory, or where one process is wanted."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

from oracle_node.workers.bench import LoadShelf, Reply, Workbench, attempt
from oracle_node.workers.tasks import Task
from oracle_node.workers.worker import opened

T = TypeVar("T")


class ThreadWorker:
    """One thread; ONNX Runtime and SHA-256 release the interpreter lock, so the event loop goes on."""

    def __init__(self, load: LoadShelf) -> None:
        self._load = load
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="worker")
        self._bench: Workbench | None = None

    async def start(self) -> tuple[bytes, ...]:
        return cast("tuple[bytes, ...]", opened(await self._do(self._models)))

    async def run(self, task: Task[T]) -> T:
        return cast("T", opened(await self._do(lambda: task.run(self._opened_bench()))))

    def stop(self) -> None:
        """Take nothing over to the next task. A run cannot be interrupted: it ends by itself, unawaited."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._thread, self._bench = ThreadPoolExecutor(1, thread_name_prefix="worker"), None

    async def _do(self, work: Callable[[], object]) -> Reply:
        return await asyncio.get_running_loop().run_in_executor(self._thread, attempt, work)

    def _models(self) -> tuple[bytes, ...]:
        return self._opened_bench().models

    def _opened_bench(self) -> Workbench:
        if self._bench is None:
            self._bench = Workbench(self._load())
        return self._bench
