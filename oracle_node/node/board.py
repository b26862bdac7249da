"""Where the newest snapshot hangs: one writer, any number of readers that wait for the next one."""

import asyncio

from oracle_node.node.snapshot import Snapshot


class Board:
    """Holds the newest snapshot; a reader that is slow misses some, and never the newest."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._version = 0
        self.latest: Snapshot | None = None

    async def post(self, snapshot: Snapshot) -> None:
        """Hang a newer snapshot."""
        async with self._changed:
            self.latest, self._version = snapshot, self._version + 1
            self._changed.notify_all()

    async def newer_than(self, version: int) -> tuple[int, Snapshot]:
        """The newest snapshot and its version, as soon as that is greater than `version`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._version > version)
            assert self.latest is not None
            return self._version, self.latest

    async def at_block(self, number: int) -> None:
        """Return when a snapshot of that block or a later one hangs."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self.latest is not None and self.latest.head.number >= number
            )
