"""An event loop in a thread of its own, so that commands can run beside what they talk to."""

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Runs coroutines elsewhere; use as a context manager."""

    def __enter__(self) -> "Background":
        self._loop = asyncio.new_event_loop()
        self._stop: list[tuple[asyncio.Event, Any]] = []
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for stop, done in reversed(self._stop):
            self._loop.call_soon_threadsafe(stop.set)
            done.result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = 60) -> T:
        """The result of a coroutine."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def start(self, work: Coroutine[Any, Any, T]) -> Any:
        """A future of it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def open(self, manager: AbstractAsyncContextManager[T]) -> T:
        """Enter a context; it is left at the end, in the task that entered it."""
        entered, stop = self._loop.create_future(), asyncio.Event()

        async def hold() -> None:
            async with manager as value:
                entered.set_result(value)
                await stop.wait()

        async def wait() -> T:
            done, _ = await asyncio.wait([entered, held], return_when=asyncio.FIRST_COMPLETED)
            return (await entered) if entered in done else await held

        async def begin() -> asyncio.Task[None]:
            return asyncio.create_task(hold())

        held = self.run(begin())
        value: T = self.run(wait())
        self._stop.append((stop, self.start(_finished(held))))
        return value


async def _finished(task: "asyncio.Task[None]") -> None:
    await task
