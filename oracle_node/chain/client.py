"""A typed view of one oracle on one chain: reads, ids, logs. `calls` builds what changes it, a `Sender` sends that."""

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any, TypeVar

from eth_abi.abi import encode
from eth_account.signers.local import LocalAccount
from eth_utils.address import is_address, to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from web3.types import BlockIdentifier, LogReceipt

from oracle_node.chain.abi import Functions, build
from oracle_node.chain.calls import Calls
from oracle_node.chain.events import EventDecoder, Logged
from oracle_node.chain.fees import FeePolicy
from oracle_node.chain.follow import Head, LogFollower
from oracle_node.chain.journal import Journal
from oracle_node.chain.lens import Lens
from oracle_node.chain.revert import RevertDecoder
from oracle_node.chain.rpc import Web3, sensible, translated
from oracle_node.chain.transactions import Sender
from oracle_node.chain.types import (
    Address,
    ChallengeId,
    ChallengeKey,
    ChallengeView,
    ClaimId,
    ClaimView,
    Limits,
    Listing,
    ListingId,
    Policy,
    RequestId,
    RequestView,
)
from oracle_node.contracts import artifact_names, load_artifact
from oracle_node.errors import ConfigError

ORACLE = "InferenceOracle"
T = TypeVar("T")
_TIMES_KEPT = 10_000


class OracleClient:
    """One deployment. Reads are not retried here: they raise TransientError, and the caller knows when to try again."""

    def __init__(self, web3: Web3, oracle: Address, chain_id: int) -> None:
        """Use `OracleClient.open`, which checks that the oracle is there."""
        artifacts = [load_artifact(name) for name in artifact_names()]
        abi = load_artifact(ORACLE).abi
        self.web3, self.oracle, self.chain_id = web3, oracle, chain_id
        self.decoder = RevertDecoder(artifact.abi for artifact in artifacts)
        self.events = EventDecoder(abi)
        self._functions = Functions(abi)
        self.calls = Calls(oracle, self._functions)
        self._lens = Lens(web3, oracle, self.decoder)
        self._times: dict[bytes, int] = {}  # by block hash, so that a reorg cannot make them wrong
        self._block: BlockIdentifier = "latest"

    @classmethod
    async def open(cls, web3: Web3, oracle: str, *, chain_id: int | None = None) -> "OracleClient":
        """A client of a deployed oracle.

        ConfigError where the chain is another one or no contract lies at the address, TransientError where the RPC is
        silent.
        """
        if not is_address(oracle):
            raise ConfigError(f"{oracle!r} is not an address")
        address = to_checksum_address(oracle)
        async with translated(RevertDecoder([]), "connect"):
            actual = await web3.eth.chain_id
            code = await web3.eth.get_code(address)
        if chain_id is not None and actual != chain_id:
            raise ConfigError(f"the RPC serves chain {actual}, the configuration names chain {chain_id}")
        if not code:
            raise ConfigError(f"there is no contract at {address} on chain {actual}")
        return cls(web3, Address(str(address)), actual)

    def sender(
        self, account: LocalAccount, journal: Journal | None = None, fees: FeePolicy | None = None
    ) -> Sender:
        """A sender of a key's transactions; keep one a key."""
        return Sender(self.web3, account, self.decoder, journal, fees)

    def follower(self, start_block: int, *, chunk_blocks: int = 2_000, confirmations: int = 0) -> LogFollower:
        """A follower of the oracle's logs."""
        return LogFollower(
            self.web3,
            [self.oracle],
            start_block,
            self.decoder,
            chunk_blocks=chunk_blocks,
            confirmations=confirmations,
        )

    # Reading

    def at(self, block_hash: bytes) -> "OracleClient":
        """The same deployment, read as of a block, which the RPC must still have the state of.

        By its hash, for after a reorg its number would be another block's: reads raise RefusedError then.
        """
        client = copy(self)
        client._block = HexBytes(block_hash)
        return client

    async def head(self) -> Head:
        """The latest block."""
        async with translated(self.decoder, "read the head"):
            block = await self.web3.eth.get_block("latest")
            return Head(block["number"], bytes(block["hash"]), block["timestamp"])

    async def limits(self) -> Limits:
        """Floors and caps of the deployment."""
        return await self._view(Limits, "limits")

    async def listing(self, listing_id: ListingId) -> Listing:
        """A model's terms; RevertError UnknownListing."""
        model_id, policy, trace_seconds = await self._read("getListing", listing_id)
        with sensible("read getListing"):
            return Listing(model_id, build(Policy, policy), trace_seconds)

    async def quote(self, listing_id: ListingId, callback_gas: int = 0) -> int:
        """What a request costs at least, in wei."""
        return int((await self._read("quote", listing_id, callback_gas))[0])

    async def request(self, request_id: RequestId) -> RequestView:
        """A request's state."""
        return await self._view(RequestView, "getRequest", request_id)

    async def claim(self, claim_id: ClaimId) -> ClaimView:
        """A claim's state."""
        return await self._view(ClaimView, "getClaim", claim_id)

    async def final_at(self, claim_id: ClaimId) -> int:
        """First time at which `finalize` succeeds if nobody moves; 0 for a claim that is not proposed."""
        return int((await self._read("finalAt", claim_id))[0])

    async def challenge(self, key: ChallengeKey) -> ChallengeView:
        """A challenge's state."""
        return await self._view(ChallengeView, "getChallenge", key)

    async def revealed_at(self, claim_id: ClaimId, node: bytes, length_tag: int, child_count: int) -> int:
        """When a node was revealed, or its chunk posted (`child_count` 0); 0 if never."""
        return int((await self._read("revealedAt", claim_id, node, length_tag, child_count))[0])

    async def balance(self, account: str) -> int:
        """Free balance inside the oracle, in wei."""
        return int((await self._read("balanceOf", account))[0])

    async def wallet(self, account: str) -> int:
        """What an account holds outside the oracle, in wei."""
        async with translated(self.decoder, "read a balance"):
            return int(await self.web3.eth.get_balance(to_checksum_address(account), self._block))

    async def gas_price(self) -> int:
        """The block's base fee per gas, in wei."""
        async with translated(self.decoder, "read a block"):
            return int((await self.web3.eth.get_block(self._block))["baseFeePerGas"])

    async def burned(self) -> int:
        """Wei out of circulation."""
        return int((await self._read("burned"))[0])

    async def _view(self, cls: type[T], name: str, *arguments: Any) -> T:
        """What a function returns as one struct."""
        (values,) = await self._read(name, *arguments)
        with sensible(f"read {name}"):
            return build(cls, values)

    async def _read(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        data = self._functions.encode(name, arguments)
        most_bytes = self._functions.answer_bytes(name)
        answer = await self._lens.read(data, most_bytes, f"read {name}", self._block)
        with sensible(f"read {name}"):
            return self._functions.decode(name, answer)

    # Ids

    def listing_id(self, model_id: bytes, policy: Policy) -> ListingId:
        """The id of a model under terms, listed or not."""
        terms = (policy.window, policy.challenger_clock, policy.defender_clock, policy.reveal_timeout)
        money = (policy.claim_bond, policy.challenge_bond, policy.min_fee)
        return ListingId(
            _hash(
                ["bytes32", "(uint32,uint32,uint32,uint32,uint96,uint96,uint96,bool)"],
                [model_id, (*terms, *money, policy.commit_reveal)],
            )
        )

    def request_id(self, listing_id: ListingId, requester: str, nonce: int, input_root: bytes) -> RequestId:
        """The id of a request."""
        types = ["uint256", "address", "bytes32", "address", "uint256", "bytes32"]
        return RequestId(_hash(types, [self.chain_id, self.oracle, listing_id, requester, nonce, input_root]))

    def claim_id(self, request_id: RequestId, claimant: str, nonce: int, commitment: bytes) -> ClaimId:
        """The id of a claim; without commit–reveal the commitment is `open_commitment`."""
        types = ["uint256", "address", "bytes32", "address", "uint256", "bytes32"]
        return ClaimId(_hash(types, [self.chain_id, self.oracle, request_id, claimant, nonce, commitment]))

    def challenge_id(self, key: ChallengeKey) -> ChallengeId:
        """The id of a challenge."""
        types = ["uint256", "address", "bytes32", "address", "uint256"]
        return ChallengeId(
            _hash(types, [self.chain_id, self.oracle, key.claim_id, key.challenger, key.nonce])
        )

    def commitment(
        self,
        request_id: RequestId,
        claimant: str,
        salt: bytes,
        roots: tuple[bytes, bytes],
        lengths_bytes: tuple[int, int],
    ) -> bytes:
        """What hides an answer until its reveal; roots and lengths of output and witness."""
        types = [
            "uint256",
            "address",
            "bytes32",
            "address",
            "bytes32",
            "bytes32",
            "bytes32",
            "uint256",
            "uint256",
        ]
        head = [self.chain_id, self.oracle, request_id, claimant, salt]
        return _hash(types, [*head, *roots, *lengths_bytes])

    # Logs

    async def logged(self, logs: Iterable[LogReceipt]) -> list[Logged]:
        """The events of logs, with their blocks' times; logs that this version does not know are left out."""
        result = []
        for log in logs:
            with sensible("read a log"):
                event = self.events.decode([bytes(topic) for topic in log["topics"]], bytes(log["data"]))
                place = bytes(log["blockHash"]), int(log["blockNumber"]), int(log["logIndex"])
            if event is not None:
                block_hash, block, index = place
                result.append(Logged(event, block, index, await self._block_time(block_hash)))
        return result

    async def past_events(
        self,
        names: Sequence[str],
        *,
        first_block: int = 0,
        last_block: int | None = None,
        topic: bytes | None = None,
    ) -> list[Logged]:
        """Events of some names in chain order; `topic` is the first indexed value. For tools: a node follows."""
        topics: list[Any] = [self.events.topics_of(*names)]
        query: dict[str, Any] = {
            "fromBlock": first_block,
            "toBlock": "latest" if last_block is None else last_block,
            "address": self.oracle,
            "topics": [*topics, topic] if topic else topics,
        }
        async with translated(self.decoder, f"read {', '.join(names)} events"):
            return await self.logged(await self.web3.eth.get_logs(query))  # type: ignore[arg-type]

    async def _block_time(self, block_hash: bytes) -> int:
        if block_hash not in self._times:
            if len(self._times) >= _TIMES_KEPT:
                self._times.clear()
            async with translated(self.decoder, "read a block"):
                block = await self.web3.eth.get_block(HexBytes(block_hash))
                self._times[block_hash] = int(block["timestamp"])
        return self._times[block_hash]


def open_commitment(output_root: bytes, witness_root: bytes) -> bytes:
    """What stands for the commitment in the id of a claim that was never hidden."""
    return _hash(["bytes32", "bytes32"], [output_root, witness_root])


def _hash(types: Sequence[str], values: Sequence[Any]) -> bytes:
    return bytes(keccak(encode(types, values)))
