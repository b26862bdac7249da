"""A semaphore whose waiters go in the order of their deadlines, not of their arrival."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count


class Turns:
    """At most so many holders at a time; the next is the waiter with the least priority, then the longest waiting."""

    def __init__(self, places: int = 1) -> None:
        self._free = places
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @asynccontextmanager
    async def turn(self, priority: float) -> AsyncIterator[None]:
        """Hold a place for the length of the context."""
        await self._acquire(priority)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, priority: float) -> None:
        if self._free:
            self._free -= 1
            return
        called = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._arrivals), called))
        try:
            await called
        except asyncio.CancelledError:
            # SAFETY: a turn that was handed over just before the cancellation must go on to the next
            if called.done() and not called.cancelled():
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            *_, called = heapq.heappop(self._waiting)
            if not called.done():
                called.set_result(None)
                return
        self._free += 1
