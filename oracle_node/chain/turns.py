"""A lock whose waiters go in the order of their deadlines, not of their arrival."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count


class Turns:
    """At most one holder at a time; the next is the waiter with the least priority value, then the longest waiting."""

    def __init__(self) -> None:
        self._is_held = False
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @asynccontextmanager
    async def turn(self, priority: float) -> AsyncIterator[None]:
        """Hold the lock for the length of the context."""
        await self._acquire(priority)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, priority: float) -> None:
        if not self._is_held:
            self._is_held = True
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
        self._is_held = False
