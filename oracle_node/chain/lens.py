"""Reads of one contract: those that are asked for together share one `eth_call`."""

import asyncio
from dataclasses import dataclass

from eth_abi.abi import decode
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes
from web3.types import BlockIdentifier, TxParams

from oracle_node.chain.abi import Functions
from oracle_node.chain.revert import RevertDecoder
from oracle_node.chain.rpc import Web3, translated
from oracle_node.chain.types import Address
from oracle_node.contracts import load_artifact

_MOST_BYTES = 24_576 - 128
"""Of answers together: what code may have, less the array's own words."""
_FRAME_BYTES = 160
"""Around each answer: two places, a flag, a length, padding."""
_AT_ONCE = 8
"""Calls on their way to the RPC."""


@dataclass(frozen=True)
class _Read:
    data: bytes
    most_bytes: int
    action: str
    answer: "asyncio.Future[bytes]"


class Lens:
    """Reads a contract. What a running event loop asks for before it comes round again goes out together.

    A few hundred open requests are read in a dozen calls of the RPC instead of a thousand, each of one block.
    """

    def __init__(self, web3: Web3, target: Address, decoder: RevertDecoder) -> None:
        self._web3, self._target, self._decoder = web3, target, decoder
        artifact = load_artifact("Lens")
        self._code, self._functions = artifact.bytecode, Functions(artifact.abi)
        self._asked: dict[BlockIdentifier, list[_Read]] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, data: bytes, most_bytes: int, action: str, block: BlockIdentifier) -> bytes:
        """What the contract returns to this calldata at a block: so many bytes, or fewer.

        RevertError or TransientError, naming the action.
        """
        loop = asyncio.get_running_loop()
        read = _Read(data, most_bytes, action, loop.create_future())
        asked = self._asked.setdefault(block, [])
        asked.append(read)
        if len(asked) == 1:
            loop.call_soon(self._send, block)
        return await read.answer

    def _send(self, block: BlockIdentifier) -> None:
        for reads in _fitting(self._asked.pop(block)):
            task = asyncio.create_task(self._answer(reads, block))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, reads: list[_Read], block: BlockIdentifier) -> None:
        try:
            async with self._room:
                call = self._one if len(reads) == 1 else self._many
                answers = await call(reads, block)
        except Exception as error:  # whatever it is, it is for those who wait
            answers = [error] * len(reads)
        for read, answer in zip(reads, answers, strict=True):
            if read.answer.done():  # whoever asked has gone away
                continue
            if isinstance(answer, Exception):
                read.answer.set_exception(answer)
            else:
                read.answer.set_result(answer)

    async def _one(self, reads: list[_Read], block: BlockIdentifier) -> list[bytes | Exception]:
        (read,) = reads
        async with translated(self._decoder, read.action):
            request: TxParams = {"to": to_checksum_address(self._target), "data": HexBytes(read.data)}
            return [bytes(await self._web3.eth.call(request, block))]

    async def _many(self, reads: list[_Read], block: BlockIdentifier) -> list[bytes | Exception]:
        arguments = self._functions.encode_constructor([self._target, [read.data for read in reads]])
        async with translated(self._decoder, reads[0].action):
            raw = await self._web3.eth.call({"data": HexBytes(self._code + arguments)}, block)
            (answers,) = decode(["(bool,bytes)[]"], bytes(raw))
            return [
                data if success else self._decoder.decode(data, read.action)
                for read, (success, data) in zip(reads, answers, strict=True)
            ]


def _fitting(asked: list[_Read]) -> list[list[_Read]]:
    """In groups whose answers fit into one."""
    groups: list[list[_Read]] = []
    room = 0
    for read in asked:
        size = read.most_bytes + _FRAME_BYTES
        if size > room:
            groups.append([])
            room = _MOST_BYTES
        groups[-1].append(read)
        room -= size
    return groups
