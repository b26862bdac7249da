"""What an account asks of its chain about transactions. Every question is asked again while the RPC is away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Literal, TypeVar

from eth_utils.address import to_checksum_address
from hexbytes import HexBytes
from web3.exceptions import TransactionNotFound
from web3.types import TxParams, TxReceipt, Wei

from oracle_node.chain.fees import FeePolicy
from oracle_node.chain.journal import Call
from oracle_node.chain.revert import RevertDecoder, RevertError
from oracle_node.chain.rpc import RefusedError, Web3, patiently, translated
from oracle_node.errors import OracleError

T = TypeVar("T")
_GAS_MARGIN_PERCENT = 20
_MARKET_S = 1.0
"""How long fees and time of the latest block are believed: less than a block."""
_KNOWN = ("already known", "already imported", "known transaction")
_NONCE_USED = ("nonce too low", "nonce is too low", "invalid transaction nonce")


class NonceUsedError(OracleError):
    """The account has spent this nonce on another transaction."""


@dataclass(frozen=True)
class Market:
    """What the chain asks for at the moment."""

    chain_id: int
    base_fee_wei: int
    tip_wei: int
    gas_limit: int
    time: int


class AccountLine:
    """One account's questions. TransientError where the RPC stays away for `fees.retry_within_s`."""

    def __init__(self, web3: Web3, address: str, decoder: RevertDecoder, fees: FeePolicy) -> None:
        self._web3, self._decoder, self._fees = web3, decoder, fees
        self._address = to_checksum_address(address)
        self._chain_id: int | None = None
        self._market: tuple[float, Market] | None = None
        self._counting, self._counted = asyncio.Lock(), (-inf, 0)

    async def simulate(self, call: Call) -> int:
        """The gas to give the call, a fifth more than it takes now; RevertError where it would be refused."""
        estimate = await self._patiently(partial(self._estimate, call))
        return estimate + estimate * _GAS_MARGIN_PERCENT // 100

    async def market(self, label: str) -> Market:
        """Fees and time of the latest block, or of one at most a second before it."""
        now = time.monotonic()
        if self._market is None or now >= self._market[0] + _MARKET_S:
            self._market = now, await self._patiently(partial(self._read_market, label))
        return self._market[1]

    async def count(self, tag: Literal["latest", "pending"]) -> int:
        """The account's transactions that are mined, or mined and in the mempool."""
        return await self._patiently(partial(self._count, tag))

    async def mined_lately(self) -> int:
        """`count("latest")` as of at most one poll ago: all that wait for receipts look at the same number."""
        async with self._counting:
            if time.monotonic() >= self._counted[0] + self._fees.poll_s:
                self._counted = time.monotonic(), await self.count("latest")
            return self._counted[1]

    async def broadcast(self, raw: bytes, label: str) -> None:
        """Send signed bytes, known or new; NonceUsedError where another transaction was mined in their place."""
        await self._patiently(partial(self._broadcast, raw, label))
        self._counted = -inf, 0

    async def receipt(self, transaction_hash: bytes, label: str) -> TxReceipt | None:
        """None where it is not mined."""
        return await self._patiently(partial(self._receipt, transaction_hash, label))

    async def is_known(self, transaction_hash: bytes, label: str) -> bool:
        """Whether it is mined or in the mempool."""
        return await self._patiently(partial(self._is_known, transaction_hash, label))

    async def explain(self, receipt: TxReceipt, call: Call) -> Exception:
        """Why a mined transaction failed: run it again on the state it met."""
        block = receipt["blockNumber"]
        try:
            async with translated(self._decoder, call.label):
                await self._web3.eth.call(self._request(call), block)
        except Exception as error:
            return error
        return self._decoder.decode(b"", call.label, f"mined in block {block} and reverted")

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await patiently(ask, within_s=self._fees.retry_within_s)

    async def _estimate(self, call: Call) -> int:
        request = self._request(call)
        try:
            async with translated(self._decoder, call.label):
                return await self._web3.eth.estimate_gas(request)
        except (RevertError, RefusedError):
            # only a call is sure to say why: of a refused estimate some RPCs give no reason
            async with translated(self._decoder, call.label):
                await self._web3.eth.call(request)
            raise

    def _request(self, call: Call) -> TxParams:
        data, value = HexBytes(call.data), Wei(call.value_wei)
        request: TxParams = {"from": self._address, "data": data, "value": value}
        return {**request, "to": to_checksum_address(call.to)} if call.to else request

    async def _read_market(self, label: str) -> Market:
        async with translated(self._decoder, label):
            head, tip = await asyncio.gather(
                self._web3.eth.get_block("latest"), self._web3.eth.max_priority_fee
            )
            if self._chain_id is None:
                self._chain_id = await self._web3.eth.chain_id
            return Market(self._chain_id, head["baseFeePerGas"], tip, head["gasLimit"], head["timestamp"])

    async def _count(self, tag: Literal["latest", "pending"]) -> int:
        async with translated(self._decoder, "count transactions"):
            return int(await self._web3.eth.get_transaction_count(self._address, tag))

    async def _broadcast(self, raw: bytes, label: str) -> None:
        try:
            async with translated(self._decoder, label):
                await self._web3.eth.send_raw_transaction(HexBytes(raw))
        except RefusedError as error:
            text = str(error).lower()
            if any(hint in text for hint in _NONCE_USED):
                raise NonceUsedError(str(error)) from error
            if not any(hint in text for hint in _KNOWN):
                raise

    async def _receipt(self, transaction_hash: bytes, label: str) -> TxReceipt | None:
        async with translated(self._decoder, label):
            try:
                return await self._web3.eth.get_transaction_receipt(HexBytes(transaction_hash))
            except TransactionNotFound:
                return None

    async def _is_known(self, transaction_hash: bytes, label: str) -> bool:
        async with translated(self._decoder, label):
            try:
                await self._web3.eth.get_transaction(HexBytes(transaction_hash))
            except TransactionNotFound:
                return False
        return True
