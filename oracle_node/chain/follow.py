"""Following a contract's logs: resumable, in bounded requests, and safe under reorgs by checking block hashes.

The follower keeps a short list of checkpoints (block number and hash). Each step first finds the newest checkpoint that
is still part of the chain; everything above it is to be forgotten, and reading goes on from there.

What an RPC says of a range of blocks may be of another fork, or lack the newest logs, where it has several servers or
is in the midst of a reorg. So a few blocks are asked for by their hashes, each the parent of the next, which a server
answers for that very block or not at all; and of a longer range every log's block is compared with the chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hexbytes import HexBytes
from web3.exceptions import BlockNotFound
from web3.types import FilterParams, LogReceipt

from oracle_node.chain.revert import RevertDecoder
from oracle_node.chain.rpc import RefusedError, Web3, sensible, translated
from oracle_node.errors import TransientError

CHECKPOINTS_KEPT = 64
_FEW = 4
"""Blocks that are read by their hashes: two calls each."""


@dataclass(frozen=True)
class Head:
    """A block: its number, hash and timestamp in seconds."""

    number: int
    hash: bytes
    timestamp: int


@dataclass(frozen=True)
class Step:
    """What one step of following found.

    Forget everything from blocks above `rolled_back_to` (None: nothing to forget), then take `logs`, then store
    `checkpoints`, all in one transaction.
    """

    rolled_back_to: int | None
    logs: tuple[LogReceipt, ...]
    checkpoints: tuple[Head, ...]
    head: Head

    @property
    def caught_up(self) -> bool:
        """Whether the newest checkpoint is the head."""
        return bool(self.checkpoints) and self.checkpoints[-1].number == self.head.number


class LogFollower:
    """Reads the logs of some addresses from a start block on. It holds no state: checkpoints come in and go out."""

    def __init__(
        self,
        web3: Web3,
        addresses: Sequence[str],
        start_block: int,
        decoder: RevertDecoder,
        *,
        chunk_blocks: int = 2_000,
        confirmations: int = 0,
    ) -> None:
        self._web3, self._addresses, self._start = web3, list(addresses), start_block
        self._decoder, self._chunk, self._confirmations = decoder, chunk_blocks, confirmations

    async def step(self, checkpoints: Sequence[Head]) -> Step:
        """Read at most one chunk of blocks beyond the checkpoints.

        TransientError when the chain moved meanwhile, or where the RPC is behind: it shows less of the same chain, as
        one of several behind an address may. That is waited for, and nothing is forgotten.
        """
        async with translated(self._decoder, "follow the chain"):
            newest = await self._head("latest")
            await self._require_not_behind(newest, checkpoints)
            head = newest
            if self._confirmations:
                head = await self._head(max(newest.number - self._confirmations, 0))
            kept = await self._canonical(checkpoints)
        rolled_back_to = None
        if len(kept) < len(checkpoints):
            rolled_back_to = kept[-1].number if kept else self._start - 1
        first = kept[-1].number + 1 if kept else self._start
        if first > head.number:
            return Step(rolled_back_to, (), tuple(kept), head)
        if head.number - first < _FEW:
            logs, last = await self._read_few(first, head, kept[-1] if kept else None), head
        else:
            logs, last = await self._read(first, head)
            await self._require_unmoved([*kept[-1:], *_blocks_of(logs), last])
        return Step(rolled_back_to, logs, (*kept, last)[-CHECKPOINTS_KEPT:], head)

    async def _require_not_behind(self, newest: Head, checkpoints: Sequence[Head]) -> None:
        if not checkpoints or newest.number >= checkpoints[-1].number:
            return
        shown = [checkpoint for checkpoint in checkpoints if checkpoint.number <= newest.number]
        if shown and await self._is_canonical(shown[-1]):
            raise TransientError(
                f"the RPC is at block {newest.number}, behind block {checkpoints[-1].number} that it showed before"
            )

    async def _canonical(self, checkpoints: Sequence[Head]) -> list[Head]:
        kept = list(checkpoints)
        while kept and not await self._is_canonical(kept[-1]):
            kept.pop()
        return kept

    async def _is_canonical(self, checkpoint: Head) -> bool:
        try:
            return (await self._head(checkpoint.number)).hash == checkpoint.hash
        except BlockNotFound:
            return False

    async def _read_few(self, first: int, head: Head, before: Head | None) -> tuple[LogReceipt, ...]:
        """Logs from block `first` on, whose parent has to be `before` where there is one."""
        found: list[Sequence[LogReceipt]] = []
        block_hash = HexBytes(head.hash)
        async with translated(self._decoder, f"read logs of blocks {first}…{head.number}"):
            for number in range(head.number, first - 1, -1):
                query: FilterParams = {"blockHash": block_hash, "address": self._addresses}  # type: ignore[typeddict-item]
                found.append(await self._web3.eth.get_logs(query))
                if number > first or before is not None:
                    block_hash = (await self._web3.eth.get_block(block_hash))["parentHash"]
        if before is not None and bytes(block_hash) != before.hash:
            raise _moved(before)
        return tuple(log for logs in reversed(found) for log in logs)

    async def _read(self, first: int, head: Head) -> tuple[tuple[LogReceipt, ...], Head]:
        """Logs from block `first` on, and the last block covered; the span halves where the RPC finds it too wide."""
        while True:
            last = min(first + self._chunk - 1, head.number)
            try:
                async with translated(self._decoder, f"read logs of blocks {first}…{last}"):
                    end = head if last == head.number else await self._head(last)
                    query: FilterParams = {"fromBlock": first, "toBlock": last, "address": self._addresses}  # type: ignore[typeddict-item]
                    logs = await self._web3.eth.get_logs(query)
                return tuple(logs), end
            except RefusedError:
                if self._chunk == 1 or last == first:
                    raise
                self._chunk = max((last - first + 1) // 2, 1)

    async def _require_unmoved(self, blocks: Sequence[Head]) -> None:
        # INVARIANT: logs are only taken where their blocks and both ends of their span are of the chain afterwards.
        async with translated(self._decoder, "follow the chain"):
            for block in blocks:
                if not await self._is_canonical(block):
                    raise _moved(block)

    async def _head(self, number: int | str) -> Head:
        block = await self._web3.eth.get_block(number)  # type: ignore[arg-type]
        return Head(block["number"], bytes(block["hash"]), block["timestamp"])


def _blocks_of(logs: Sequence[LogReceipt]) -> list[Head]:
    """The blocks that logs name, without their times."""
    with sensible("read logs"):
        found = {(int(log["blockNumber"]), bytes(log["blockHash"])) for log in logs}
    return [Head(number, block_hash, 0) for number, block_hash in sorted(found)]


def _moved(block: Head) -> TransientError:
    return TransientError(f"block {block.number} was replaced while its logs were read; reading again")
