"""What the in-process chain answers, in the JSON that Ethereum clients expect."""

from dataclasses import dataclass
from typing import Any

from eth_utils.address import to_checksum_address

Json = Any


@dataclass(frozen=True)
class Block:
    """A mined block of at most one transaction."""

    header: Any
    transaction: Any | None
    receipt: dict[str, Json] | None


def hex_bytes(data: bytes) -> str:
    """0x and two digits a byte."""
    return "0x" + data.hex()


def block_json(block: Block) -> dict[str, Json]:
    header = block.header
    return {
        "number": hex(header.block_number),
        "hash": hex_bytes(header.hash),
        "parentHash": hex_bytes(header.parent_hash),
        "timestamp": hex(header.timestamp),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "miner": to_checksum_address(header.coinbase),
        "stateRoot": hex_bytes(header.state_root),
        "transactions": [hex_bytes(block.transaction.hash)] if block.transaction else [],
    }


def transaction_json(block: Block) -> dict[str, Json]:
    transaction, receipt = block.transaction, block.receipt
    assert transaction is not None and receipt is not None
    return {
        "hash": receipt["transactionHash"],
        "blockHash": receipt["blockHash"],
        "blockNumber": receipt["blockNumber"],
        "transactionIndex": "0x0",
        "from": receipt["from"],
        "to": receipt["to"],
        "nonce": hex(transaction.nonce),
        "value": hex(transaction.value),
        "input": hex_bytes(transaction.data),
        "gas": hex(transaction.gas),
        "type": receipt["type"],
        "chainId": hex(transaction.chain_id or 0),
    }


def receipt_json(header: Any, transaction: Any, receipt: Any, computation: Any) -> dict[str, Json]:
    place = {
        "blockHash": hex_bytes(header.hash),
        "blockNumber": hex(header.block_number),
        "transactionHash": hex_bytes(transaction.hash),
        "transactionIndex": "0x0",
    }
    created = None if transaction.to else to_checksum_address(computation.msg.storage_address)
    tip = min(transaction.max_priority_fee_per_gas, transaction.max_fee_per_gas - header.base_fee_per_gas)
    return place | {
        "from": to_checksum_address(transaction.sender),
        "to": to_checksum_address(transaction.to) if transaction.to else None,
        "contractAddress": created,
        "status": hex(int(computation.is_success)),
        "gasUsed": hex(receipt.gas_used),
        "cumulativeGasUsed": hex(receipt.gas_used),
        "effectiveGasPrice": hex(header.base_fee_per_gas + tip),
        "type": hex(getattr(transaction, "type_id", None) or 0),
        "logsBloom": "0x" + "00" * 256,
        "logs": [
            place
            | {
                "address": to_checksum_address(log.address),
                "topics": [hex_bytes(topic.to_bytes(32, "big")) for topic in log.topics],
                "data": hex_bytes(log.data),
                "logIndex": hex(position),
                "removed": False,
            }
            for position, log in enumerate(receipt.logs)
        ],
    }
