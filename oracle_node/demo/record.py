"""What was sent to a development chain, read back from its blocks: who, which function, how much gas."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from eth_utils.abi import collapse_if_tuple
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from oracle_node.chain.revert import RevertDecoder
from oracle_node.chain.rpc import Web3, translated
from oracle_node.contracts import artifact_names, load_artifact

GAME = frozenset({"open", "postTrace", "reveal", "pick", "postChunk", "prove", "timeout", "close"})
"""The functions that are moves of a dispute."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction that was mined; `function` is its Solidity name, or what was deployed."""

    sender: str
    function: str
    gas_used: int


async def sent_since(web3: Web3, first_block: int) -> list[Sent]:
    """Every transaction of the blocks from there on, in order."""
    names = _selectors()
    found: list[Sent] = []
    async with translated(RevertDecoder([]), "read back the chain"):
        for number in range(first_block, await web3.eth.block_number + 1):
            for entry in (await web3.eth.get_block(number))["transactions"]:
                transaction_hash = HexBytes(entry if isinstance(entry, bytes | str) else entry["hash"])
                transaction = await web3.eth.get_transaction(transaction_hash)
                receipt = await web3.eth.get_transaction_receipt(transaction_hash)
                function = names.get(bytes(HexBytes(transaction["input"]))[:4], "unknown")
                name = "deploy" if receipt["contractAddress"] else function
                found.append(Sent(str(receipt["from"]), name, int(receipt["gasUsed"])))
    return found


def gas_by_function(sent: Iterable[Sent]) -> dict[str, int]:
    """Gas summed over the transactions of each function, in order of appearance."""
    total: dict[str, int] = {}
    for transaction in sent:
        total[transaction.function] = total.get(transaction.function, 0) + transaction.gas_used
    return total


def _selectors() -> Mapping[bytes, str]:
    entries: list[Any] = [entry for name in artifact_names() for entry in load_artifact(name).abi]
    functions = [entry for entry in entries if entry["type"] == "function"]
    return {
        bytes(keccak(text=f"{f['name']}({','.join(collapse_if_tuple(i) for i in f['inputs'])})")[:4]): f[
            "name"
        ]
        for f in functions
    }
