"""Sending transactions from one key: in nonce order, each stored before it leaves, each followed until it is mined."""

import asyncio
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any

import structlog
from eth_account.signers.local import LocalAccount
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from web3.types import LogReceipt, TxReceipt

from oracle_node.chain.fees import FeePolicy
from oracle_node.chain.journal import Call, Journal, NoJournal, SignedIntent
from oracle_node.chain.line import AccountLine, Market, NonceUsedError
from oracle_node.chain.revert import RevertDecoder, RevertError
from oracle_node.chain.rpc import RefusedError, Web3
from oracle_node.chain.turns import Turns
from oracle_node.errors import ConfigError, OracleError, TransientError

log = structlog.get_logger()
_BUMP_PERCENT = 25
"""How much a replacement pays more; nodes refuse less than 10 or 12.5 percent."""
_PLAIN_GAS = 21_000
_FORGOTTEN_AFTER_S = 3.0
_PRESSING_S = 120.0
"""With less time left than that a transaction waits for no place."""


@dataclass(frozen=True)
class Receipt:
    """A mined, successful transaction."""

    transaction_hash: bytes
    block_number: int
    gas_used: int
    fee_wei: int
    contract_address: str | None
    logs: tuple[LogReceipt, ...] = field(repr=False)


class Sender:
    """The only sender of one key. Calls may overlap: one at a time is signed and sent, many wait for their receipts.

    Those with the nearest deadlines (unix seconds) are sent first, pay more and are replaced sooner. How many wait for
    their receipts is limited, so that a flood of work neither overfills the mempool nor holds up a defence.
    """

    def __init__(
        self,
        web3: Web3,
        account: LocalAccount,
        decoder: RevertDecoder,
        journal: Journal | None = None,
        fees: FeePolicy | None = None,
    ) -> None:
        self._account, self._journal, self._fees = account, journal or NoJournal(), fees or FeePolicy()
        self._line = AccountLine(web3, account.address, decoder, self._fees)
        self._places, self._signing = Turns(self._fees.most_in_flight), Turns()
        self._in_flight: set[int] = set()
        self._filled: dict[int, float] = {}  # nonces of others that were sent again, and when
        self._resuming: dict[tuple[str, bytes], asyncio.Event] = {}

    @property
    def address(self) -> str:
        """The checksummed address that signs."""
        return str(self._account.address)

    @property
    def in_flight(self) -> int:
        """Transactions that were sent and are not known to be mined."""
        return len(self._in_flight)

    async def send(self, call: Call, deadline: int | None = None) -> Receipt:
        """Simulate, estimate, sign, send and wait until mined.

        RevertError where the contract refuses, in simulation or on chain; ConfigError where the account cannot pay;
        TransientError where the RPC stays away, or another program uses the same key.
        """
        priority = inf if deadline is None else deadline
        is_pressing = priority - (await self._line.market(call.label)).time < _PRESSING_S
        if not is_pressing and (resumed := self._resuming.get(_what(call))) is not None:
            await resumed.wait()
        async with nullcontext() if is_pressing else self._places.turn(priority):
            # only now: what waited long for its place may have become pointless, or dearer
            market, gas = await asyncio.gather(self._line.market(call.label), self._line.simulate(call))
            left_s = None if deadline is None else float(deadline - market.time)
            async with self._signing.turn(priority):
                intent = self._journal.intend(self.address, call)
                transaction = await self._compose(call, gas, market, left_s)
                nonce = int(transaction["nonce"])
                self._in_flight.add(nonce)
                try:
                    raw = self._sign(intent, transaction)
                    await self._line.broadcast(raw, call.label)
                except BaseException as error:
                    self._in_flight.discard(nonce)
                    if isinstance(error, NonceUsedError):
                        raise self._give_up(intent, call, nonce) from error
                    raise
            try:
                return await self._follow(intent, transaction, raw, call, self._fees.patience_s(left_s))
            finally:
                self._in_flight.discard(nonce)

    def _give_up(self, intent: int, call: Call, nonce: int) -> TransientError:
        self._journal.settle(intent, "abandoned")
        return TransientError(
            f"{call.label}: nonce {nonce} went to another transaction; does another program use the key?"
        )

    async def simulate(self, call: Call) -> int:
        """The gas the call would be given; RevertError where it would be refused. Sends nothing."""
        return await self._line.simulate(call)

    async def resume(self) -> int:
        """Bring to an end what an earlier run signed and never saw mined; returns how many were still open.

        The same bytes are broadcast again, so nothing is sent twice. What the contract would now refuse is dropped, and
        what was to come after it, too: without its nonce that would wait for ever. It is decided on anew. Until then a
        `send` of the same call waits, unless time presses, and finds it done.
        """
        self._journal.drop_unsigned(self.address)
        left = self._journal.unsettled(self.address)
        self._resuming = {_what(intent.call): asyncio.Event() for intent in left}
        async with self._signing.turn(-inf):
            while True:
                try:
                    waiting = await self._send_again()
                    break
                except TransientError as error:
                    log.warning("not_resumed_yet", reason=str(error))
                    await asyncio.sleep(self._fees.poll_s)
        await asyncio.gather(*(self._finish(intent) for intent in waiting))
        return len(left)

    async def _send_again(self) -> list[SignedIntent]:
        """All that is still open, until one can no longer be sent; the others are settled."""
        left = self._journal.unsettled(self.address)
        used = await self._line.count("latest") if left else 0
        ends = await asyncio.gather(*(self._end_of(intent, used) for intent in left))
        waiting: list[SignedIntent] = []
        is_gapless = True
        for intent, end in zip(left, ends, strict=True):
            if end is None and is_gapless and await self._sent_again(intent, used):
                waiting.append(intent)
                continue
            is_gapless = is_gapless and (intent.nonce < used or end in ("mined", "reverted"))
            self._journal.settle(intent.intent, end or "abandoned")
            self._resumed(intent)
        return waiting

    async def _end_of(self, intent: SignedIntent, used: int) -> str | None:
        """What became of a transaction, `used` being the first nonce that is free; None where it may still be sent."""
        receipt = await self._line.receipt(intent.transaction_hash, intent.call.label)
        if receipt is not None:
            return "mined" if receipt["status"] else "reverted"
        if intent.nonce < used:
            return "abandoned"
        try:
            await self._line.simulate(intent.call)
        except (RevertError, RefusedError, ConfigError) as error:
            log.info("not_resumed", call=intent.call.label, reason=str(error))
            return "abandoned"
        return None

    def _resumed(self, intent: SignedIntent) -> None:
        if (same := self._resuming.pop(_what(intent.call), None)) is not None:
            same.set()

    async def _fill_gaps(self, nonce: int, used: int) -> None:
        """What a reorg took back is sent again, for whatever comes after it waits: the same bytes, or nothing at all.

        Nonces from `used`, the first free one, on that nobody here follows any more were mined before a reorg; only
        their own bytes, or a transaction without effect, can take their place. (The count with the pending ones is no
        help: it may come from a pool that has not noticed the reorg.)
        """
        now = time.monotonic()
        lately = {one for one, at in self._filled.items() if now < at + _FORGOTTEN_AFTER_S}
        missing = set(range(used, nonce)) - self._in_flight - lately
        # before they are sent: all that wait behind them see the same gap
        self._filled = {one: self._filled[one] for one in lately} | dict.fromkeys(missing, now)
        for one in sorted(missing):
            raw = self._journal.signed_with(self.address, one) or await self._filler(one)
            with suppress(NonceUsedError, RefusedError):
                await self._line.broadcast(raw, f"fill nonce {one}")

    async def _filler(self, nonce: int) -> bytes:
        call = Call(self.address, b"", label=f"fill nonce {nonce}")
        market = await self._line.market(call.label)
        transaction = await self._compose(call, _PLAIN_GAS, market, None)
        return bytes(self._account.sign_transaction(transaction | {"nonce": nonce}).raw_transaction)

    async def _sent_again(self, intent: SignedIntent, used: int) -> bool:
        try:
            await self._fill_gaps(intent.nonce, used)
            await self._line.broadcast(intent.raw, intent.call.label)
        except (NonceUsedError, RefusedError, ConfigError) as error:
            log.info("not_resumed", call=intent.call.label, reason=str(error))
            return False
        self._in_flight.add(intent.nonce)
        return True

    async def _finish(self, intent: SignedIntent) -> None:
        """As if it had just been sent; whatever becomes of it, the chain shows."""
        try:
            transaction = _unsigned(intent.raw)
            await self._follow(
                intent.intent, transaction, intent.raw, intent.call, self._fees.replace_after_s
            )
        except OracleError as error:
            log.info("resumed_in_vain", call=intent.call.label, reason=str(error))
        finally:
            self._in_flight.discard(intent.nonce)
            self._resumed(intent)

    async def _compose(self, call: Call, gas: int, market: Market, left_s: float | None) -> dict[str, Any]:
        # the RPC is asked each time: of what is in flight here, the newest may be the first to be known as mined
        nonce = await self._line.count("pending")
        tip = self._fees.tip_wei(market.tip_wei, left_s)
        fee = min(2 * market.base_fee_wei + tip, self._fees.max_fee_per_gas_wei)
        if fee < market.base_fee_wei:
            raise TransientError(
                f"{call.label}: the base fee {market.base_fee_wei} wei is over the configured cap {fee} wei"
            )
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": market.chain_id,
            "nonce": max([nonce, *(used + 1 for used in self._in_flight)]),
            "to": call.to,
            "data": HexBytes(call.data),
            "value": call.value_wei,
            "gas": min(gas, market.gas_limit),
            "maxFeePerGas": fee,
            "maxPriorityFeePerGas": min(tip, fee),
        }
        if not call.to:
            del transaction["to"]
        return transaction

    def _sign(self, intent: int, transaction: dict[str, Any]) -> bytes:
        signed = self._account.sign_transaction(transaction)
        raw = bytes(signed.raw_transaction)
        # SAFETY: stored before it is sent, so that a crash in between can only rebroadcast, never send twice.
        self._journal.sign(intent, int(transaction["nonce"]), bytes(signed.hash), raw)
        return raw

    async def _follow(
        self, intent: int, transaction: dict[str, Any], raw: bytes, call: Call, patience_s: float
    ) -> Receipt:
        hashes = [keccak(raw)]
        nonce = int(transaction["nonce"])
        while (receipt := await self._await_receipt(hashes, raw, nonce, call.label, patience_s)) is None:
            if self._bump(transaction):
                raw = self._sign(intent, transaction)
                hashes.append(keccak(raw))
            try:
                await self._line.broadcast(raw, call.label)
            except NonceUsedError as error:
                receipt = await self._any_receipt(hashes, call.label)
                if receipt is None:
                    raise self._give_up(intent, call, nonce) from error
                break
        if not receipt["status"]:
            self._journal.settle(intent, "reverted")
            raise await self._line.explain(receipt, call)
        self._journal.settle(intent, "mined")
        return _receipt_of(receipt)

    def _bump(self, transaction: dict[str, Any]) -> bool:
        """Raise both fees for a replacement; False, and nothing changed, where that would go over the cap."""
        raised = {
            key: transaction[key] * (100 + _BUMP_PERCENT) // 100 + 1
            for key in ("maxFeePerGas", "maxPriorityFeePerGas")
        }
        if raised["maxFeePerGas"] > self._fees.max_fee_per_gas_wei:
            return False
        transaction |= raised
        return True

    async def _await_receipt(
        self, hashes: list[bytes], raw: bytes, nonce: int, label: str, patience_s: float
    ) -> TxReceipt | None:
        """The receipt of whichever replacement was mined; None after so many seconds.

        What the chain has forgotten, as after a reorg or in a full mempool, is broadcast again.
        """
        deadline = time.monotonic() + patience_s
        look_again = time.monotonic() + _FORGOTTEN_AFTER_S
        while time.monotonic() < deadline:
            is_used = nonce < await self._line.mined_lately()
            if is_used and (receipt := await self._any_receipt(hashes, label)) is not None:
                return receipt
            if time.monotonic() >= look_again:
                look_again = time.monotonic() + _FORGOTTEN_AFTER_S
                if not await self._line.is_known(hashes[-1], label):
                    with suppress(NonceUsedError):
                        await self._line.broadcast(raw, label)
                await self._fill_gaps(nonce, await self._line.count("latest"))
            await asyncio.sleep(self._fees.poll_s)
        return None

    async def _any_receipt(self, hashes: list[bytes], label: str) -> TxReceipt | None:
        for transaction_hash in reversed(hashes):
            receipt = await self._line.receipt(transaction_hash, label)
            if receipt is not None:
                return receipt
        return None


def _what(call: Call) -> tuple[str, bytes]:
    """Two calls of the same are one: whoever sent it, the other has nothing left to do."""
    return call.to.lower(), call.data


def _unsigned(raw: bytes) -> dict[str, Any]:
    """The transaction in its bytes, to be signed again with more fee."""
    found = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    kept = ("type", "chainId", "nonce", "value", "data", "gas", "maxFeePerGas", "maxPriorityFeePerGas")
    to = {"to": to_checksum_address(found["to"])} if found["to"] else {}
    return {name: found[name] for name in kept} | to


def _receipt_of(receipt: TxReceipt) -> Receipt:
    return Receipt(
        bytes(receipt["transactionHash"]),
        receipt["blockNumber"],
        receipt["gasUsed"],
        receipt["gasUsed"] * receipt["effectiveGasPrice"],
        receipt["contractAddress"],
        tuple(receipt["logs"]),
    )
