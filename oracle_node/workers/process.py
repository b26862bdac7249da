"""A worker process: what a model does there (a crash, a hang, all memory) the node survives.

It is spawned, not forked, and shares with its siblings the pages of the weights, which are mapped files. It ends with
the node, however that ends.
"""

import asyncio
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar, cast

from oracle_node.workers.bench import LoadShelf, Reply, Workbench, attempt
from oracle_node.workers.tasks import Task
from oracle_node.workers.worker import WorkerError, opened

T = TypeVar("T")
Setup = Callable[[], None]
_PR_SET_PDEATHSIG = 1
_OOM_SCORE = 500
"""Where memory runs out, the kernel ends a worker before anything else of the node's."""


class ProcessWorker:
    """One process at a time, started when it is needed.

    `memory_bytes` bounds its private data (0: no limit); mapped weights do not count. `setup` prepares the process.
    """

    def __init__(self, load: LoadShelf, memory_bytes: int = 0, setup: Setup | None = None) -> None:
        self._arguments = (load, memory_bytes, setup)
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._line: ThreadPoolExecutor | None = None
        self._models: tuple[bytes, ...] = ()

    @property
    def pid(self) -> int | None:
        """Of the process; None where none runs."""
        return None if self._process is None else self._process.pid

    async def start(self) -> tuple[bytes, ...]:
        if self._process is None:
            context = get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(
                target=_serve, args=(theirs, os.getpid(), *self._arguments), name="worker", daemon=True
            )
            # SAFETY: on the loop's thread, since the kernel ends the child with the thread that started it
            self._process.start()
            theirs.close()
            self._line = ThreadPoolExecutor(1, thread_name_prefix="worker-line")
            try:
                self._models = cast("tuple[bytes, ...]", await self._receive(self._connection.recv))
            except BaseException:
                self.stop()
                raise
        return self._models

    async def run(self, task: Task[T]) -> T:
        await self.start()
        connection = self._connection
        assert connection is not None

        def exchange() -> Reply:
            connection.send(task)
            return cast("Reply", connection.recv())

        return cast("T", await self._receive(exchange))

    def stop(self) -> None:
        """Kill it; nothing of it stays."""
        if self._process is not None and self._connection is not None and self._line is not None:
            self._process.kill()
            self._process.join()
            self._line.shutdown(wait=True)  # the thread has seen the connection's end
            self._connection.close()
            self._process.close()
        self._process = self._connection = self._line = None

    async def _receive(self, exchange: Callable[[], Reply]) -> object:
        try:
            reply = await asyncio.get_running_loop().run_in_executor(self._line, exchange)
        except (EOFError, OSError):
            raise WorkerError(f"a worker {self._end()}") from None
        return opened(reply)

    def _end(self) -> str:
        """How the process ended."""
        assert self._process is not None
        self._process.join(1)
        code = self._process.exitcode
        if code is None:
            return "fell silent"
        if code < 0:
            name = signal.Signals(-code).name
            return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        return f"ended with exit code {code}"


def _serve(
    connection: Connection, parent: int, load: LoadShelf, memory_bytes: int, setup: Setup | None
) -> None:
    """The process: its models' ids, then a reply to each task, until the node closes the connection."""
    _depend_on(parent)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the node's standard output is not ours to write to
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    if setup is not None:
        setup()
    bench: Workbench | None = None

    def prepare() -> tuple[bytes, ...]:
        nonlocal bench
        bench = Workbench(load())
        return bench.models

    connection.send(attempt(prepare))
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while bench is not None:
            connection.send(attempt(partial(connection.recv().run, bench)))


def _depend_on(parent: int) -> None:
    """Leave signals from the terminal to the node, end when it ends, and be the first to go when memory is short."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(f"{_OOM_SCORE}\n")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it ended before the kernel knew
