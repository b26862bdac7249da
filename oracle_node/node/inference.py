"""Running models beside the event loop: in threads, since ONNX Runtime and SHA-256 release the interpreter lock."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class Inference:
    """A small pool. One model runs one thing at a time; different models run side by side."""

    def __init__(self, parallel: int = 1) -> None:
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="inference")
        self._locks: dict[bytes, Lock] = {}

    def __enter__(self) -> "Inference":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # SAFETY: a run cannot be interrupted; it ends by itself, and nothing waits for it
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(self, model_id: bytes, work: Callable[[], T]) -> T:
        """The work's result, computed off the loop."""
        lock = self._locks.setdefault(model_id, Lock())

        def locked() -> T:
            with lock:
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._pool, locked)
