"""A development chain inside this process: py-evm behind the dozen JSON-RPC methods that the client and people use.

One block a transaction, no mempool, no fork choice. It is there so that a demo and the tests need no installed
program; `anvil` is faster and is preferred where it is found.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from eth.chains.base import MiningChain
from eth.consensus.applier import ConsensusApplier
from eth.consensus.noproof import NoProofConsensus
from eth.db.atomic import AtomicDB
from eth.exceptions import Revert
from eth.vm.forks.prague import PragueVM
from eth.vm.spoof import SpoofTransaction
from eth_utils.address import to_canonical_address
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError
from hexbytes import HexBytes

from oracle_node.chain.pyevm_json import Block, Json, block_json, hex_bytes, receipt_json, transaction_json

GAS_LIMIT = 60_000_000
_GENESIS_BASE_FEE_WEI = 10**9
_EMPTY = b"\x00" * 32
_CREATE = b""
_HASH_DIGITS = 66


class RpcError(Exception):
    """A JSON-RPC error answer; `data` holds the revert bytes."""

    def __init__(self, code: int, message: str, data: bytes | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


class PyEvmChain:
    """The ledger: state is content-addressed in one database, so going back is dropping blocks from a list."""

    def __init__(self, chain_id: int, funded: Sequence[str], balance_wei: int) -> None:
        configuration = ConsensusApplier(NoProofConsensus).amend_vm_configuration(((0, PragueVM),))
        chain_type: Any = type(
            "DevChain", (MiningChain,), {"chain_id": chain_id, "vm_configuration": configuration}
        )
        account = {"balance": balance_wei, "nonce": 0, "code": b"", "storage": {}}
        genesis = {
            "coinbase": b"\x00" * 20,
            "difficulty": 0,
            "extra_data": b"",
            "gas_limit": GAS_LIMIT,
            "mix_hash": _EMPTY,
            "nonce": b"\x00" * 8,
            "timestamp": int(time.time()) - 1,
        }
        state = {to_canonical_address(address): account for address in funded}
        self._chain = chain_type.from_genesis(AtomicDB(), genesis, state)
        header = self._chain.get_canonical_block_header_by_number(0)
        self._blocks = [Block(header.copy(base_fee_per_gas=_GENESIS_BASE_FEE_WEI), None, None)]
        self._found: dict[bytes, int] = {}
        self._snapshots: list[tuple[int, int]] = []
        self._clock_offset_s = 0
        self.chain_id = chain_id

    def request(self, method: str, params: Sequence[Json]) -> Json:
        """The result of one JSON-RPC call, ready for JSON; RpcError where the call fails."""
        handler = self._methods.get(method)
        if handler is None:
            raise RpcError(-32601, f"the development chain has no method {method}")
        try:
            return handler(self, *params)
        except ValidationError as error:
            raise RpcError(-32000, str(error)) from error

    # Reading

    def _number(self, tag: Json = "latest") -> int:
        if tag in ("latest", "pending", "safe", "finalized", None):
            return len(self._blocks) - 1
        if len(tag) == _HASH_DIGITS:
            found = (n for n, block in enumerate(self._blocks) if hex_bytes(block.header.hash) == tag.lower())
            return next(found, len(self._blocks))
        return 0 if tag == "earliest" else int(tag, 16)

    def _block(self, tag: Json) -> Block | None:
        number = self._number(tag)
        return self._blocks[number] if number < len(self._blocks) else None

    def _state(self, tag: Json = "latest") -> Any:
        return self._chain.get_vm(self._header(tag)).state

    def _header(self, tag: Json) -> Any:
        block = self._block(tag)
        if block is None:
            raise RpcError(-32000, f"no block {tag}: the head is {len(self._blocks) - 1}")
        return block.header

    def _get_block(self, tag: Json, full: bool = False) -> Json:
        block = self._block(tag)
        return None if block is None else block_json(block)

    def _get_block_by_hash(self, block_hash: str, full: bool = False) -> Json:
        return self._get_block(block_hash, full)

    def _get_receipt(self, transaction_hash: str) -> Json:
        number = self._found.get(bytes(HexBytes(transaction_hash)))
        return None if number is None else self._blocks[number].receipt

    def _get_transaction(self, transaction_hash: str) -> Json:
        number = self._found.get(bytes(HexBytes(transaction_hash)))
        return None if number is None else transaction_json(self._blocks[number])

    def _get_logs(self, query: dict[str, Json]) -> Json:
        if "blockHash" in query:
            first = last = self._header(query["blockHash"]).block_number
        else:
            first, last = self._number(query.get("fromBlock")), self._number(query.get("toBlock"))
        receipts = (block.receipt for block in self._blocks[first : last + 1] if block.receipt)
        return [log for receipt in receipts for log in receipt["logs"] if _matches(log, query)]

    # Executing

    def _next_header(self, tag: Json = "latest") -> Any:
        """Of the block that would follow; after an older one it bears the time that it would have now."""
        parent = self._header(tag)
        now = int(time.time()) + self._clock_offset_s
        return self._chain.create_header_from_parent(
            parent, gas_limit=GAS_LIMIT, timestamp=max(now, parent.timestamp + 1)
        )

    def _simulate(self, call: dict[str, Json], gas: int, tag: Json = "latest") -> Any:
        """The computation of a call on top of a block, with fees nobody has to pay."""
        header = self._next_header(tag)
        vm = self._chain.get_vm(header)
        sender = to_canonical_address(call.get("from") or "0x" + "00" * 20)
        value = int(call.get("value") or "0x0", 16)
        vm.state.set_balance(sender, vm.state.get_balance(sender) + gas * header.base_fee_per_gas + value)
        unsigned = vm.get_transaction_builder().new_unsigned_dynamic_fee_transaction(
            chain_id=self.chain_id,
            nonce=vm.state.get_nonce(sender),
            max_priority_fee_per_gas=0,
            max_fee_per_gas=header.base_fee_per_gas,
            gas=gas,
            to=to_canonical_address(call["to"]) if call.get("to") else _CREATE,
            value=value,
            data=bytes(HexBytes(call.get("data") or call.get("input") or "0x")),
            access_list=(),
        )
        return vm.state.apply_transaction(SpoofTransaction(unsigned, from_=sender))

    def _call(self, call: dict[str, Json], tag: Json = "latest", *_: Json) -> str:
        gas = min(int(call.get("gas") or hex(GAS_LIMIT), 16), GAS_LIMIT)
        computation = self._simulate(call, gas, tag)
        _raise_if_failed(computation)
        return hex_bytes(computation.output)

    def _estimate_gas(self, call: dict[str, Json], *_: Json) -> str:
        computation = self._simulate(call, GAS_LIMIT)
        _raise_if_failed(computation)
        gas = GAS_LIMIT - computation.get_gas_remaining() + computation.data_floor_gas
        while self._simulate(
            call, min(gas, GAS_LIMIT)
        ).is_error:  # inner calls keep 1/64 back: some limits fail
            gas = gas * 5 // 4
        return hex(min(gas, GAS_LIMIT))

    def _send_raw(self, raw: str) -> str:
        header = self._next_header()
        vm = self._chain.get_vm(header)
        transaction = vm.get_transaction_builder().decode(bytes(HexBytes(raw)))
        receipt, computation = vm.apply_transaction(header, transaction)
        vm.state.persist()
        mined = vm.add_receipt_to_header(header, receipt).copy(
            state_root=vm.state.state_root, transaction_root=keccak(transaction.hash)
        )
        answer = receipt_json(mined, transaction, receipt, computation)
        self._found[transaction.hash] = len(self._blocks)
        self._blocks.append(Block(mined, transaction, answer))
        return hex_bytes(transaction.hash)

    # Development

    def _mine(self, count: str = "0x1") -> str:
        for _ in range(int(count, 16)):
            self._blocks.append(Block(self._next_header(), None, None))
        return "0x0"

    def _increase_time(self, seconds: Json) -> str:
        # blocks made in one second are a second apart, so the head may be ahead of the clock
        ahead_s = self._blocks[-1].header.timestamp - int(time.time())
        step_s = int(seconds, 16) if isinstance(seconds, str) else int(seconds)
        self._clock_offset_s = max(self._clock_offset_s, ahead_s) + step_s
        return hex(self._clock_offset_s)

    def _snapshot(self) -> str:
        self._snapshots.append((len(self._blocks), self._clock_offset_s))
        return hex(len(self._snapshots))

    def _revert(self, snapshot: str) -> bool:
        position = int(snapshot, 16) - 1
        if not 0 <= position < len(self._snapshots):
            return False
        height, self._clock_offset_s = self._snapshots[position]
        del self._snapshots[position:], self._blocks[height:]
        self._found = {found: number for found, number in self._found.items() if number < height}
        return True

    def _fee_history(self, count: Json, newest: Json, percentiles: Sequence[float] = ()) -> Json:
        fees = [hex(block.header.base_fee_per_gas) for block in self._blocks[-int(count, 16) :]]
        return {
            "oldestBlock": hex(len(self._blocks) - len(fees)),
            "baseFeePerGas": [*fees, hex(self._next_header().base_fee_per_gas)],
            "gasUsedRatio": [0.0] * len(fees),
            "reward": [[hex(10**9)] * len(percentiles) for _ in fees],
        }

    _methods: ClassVar[dict[str, Callable[..., Json]]] = {
        "web3_clientVersion": lambda self: "oracle-node/py-evm",
        "net_version": lambda self: str(self.chain_id),
        "eth_chainId": lambda self: hex(self.chain_id),
        "eth_blockNumber": lambda self: hex(len(self._blocks) - 1),
        "eth_gasPrice": lambda self: hex(self._blocks[-1].header.base_fee_per_gas + 10**9),
        "eth_maxPriorityFeePerGas": lambda self: hex(10**9),
        "eth_feeHistory": _fee_history,
        "eth_getBalance": lambda self, address, tag="latest": hex(
            self._state(tag).get_balance(to_canonical_address(address))
        ),
        "eth_getCode": lambda self, address, tag="latest": hex_bytes(
            self._state(tag).get_code(to_canonical_address(address))
        ),
        "eth_getTransactionCount": lambda self, address, tag="latest": hex(
            self._state(tag).get_nonce(to_canonical_address(address))
        ),
        "eth_getBlockByNumber": _get_block,
        "eth_getBlockByHash": _get_block_by_hash,
        "eth_getTransactionReceipt": _get_receipt,
        "eth_getTransactionByHash": _get_transaction,
        "eth_getLogs": _get_logs,
        "eth_call": _call,
        "eth_estimateGas": _estimate_gas,
        "eth_sendRawTransaction": _send_raw,
        "evm_mine": _mine,
        "evm_increaseTime": _increase_time,
        "evm_snapshot": _snapshot,
        "evm_revert": _revert,
    }


def _raise_if_failed(computation: Any) -> None:
    if not computation.is_error:
        return
    error = computation.error
    data = bytes(computation.output) if isinstance(error, Revert) else b""
    raise RpcError(
        3, "execution reverted" if isinstance(error, Revert) else f"execution failed: {error}", data
    )


def _matches(log: dict[str, Json], query: dict[str, Json]) -> bool:
    addresses = query.get("address")
    wanted = [addresses] if isinstance(addresses, str) else addresses
    if wanted and log["address"].lower() not in [address.lower() for address in wanted]:
        return False
    for position, topic in enumerate(query.get("topics") or []):
        choices = [topic] if isinstance(topic, str) else topic
        if choices and (position >= len(log["topics"]) or log["topics"][position] not in choices):
            return False
    return True
