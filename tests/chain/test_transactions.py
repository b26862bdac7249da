"""Sending: nonces, refusals, and what survives a crash."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.crypto import keccak
from web3.types import RPCEndpoint

from oracle_node.chain.embedded import DevChain
from oracle_node.chain.fees import FeePolicy
from oracle_node.chain.journal import Call, NoJournal, SignedIntent
from oracle_node.chain.revert import RevertDecoder, RevertError
from oracle_node.chain.rpc import connect
from oracle_node.chain.transactions import Sender
from oracle_node.errors import ConfigError, TransientError
from oracle_node.store.store import Store


class CrashError(Exception):
    """The process died here."""


class MemoryJournal(NoJournal):
    """Keeps intents; dies after storing the signature when told to."""

    def __init__(self, crash_after_sign: bool = False) -> None:
        self.signed: list[SignedIntent] = []
        self.settled: list[str] = []
        self.crash_after_sign = crash_after_sign

    def intend(self, sender: str, call: Call) -> int:
        self.call = call
        return len(self.signed) + 1

    def sign(self, intent: int, nonce: int, transaction_hash: bytes, raw: bytes) -> None:
        self.signed.append(SignedIntent(intent, self.call, nonce, transaction_hash, raw))
        if self.crash_after_sign:
            raise CrashError

    def settle(self, intent: int, outcome: str) -> None:
        self.settled.append(outcome)

    def unsettled(self, sender: str) -> list[SignedIntent]:
        return [] if self.settled else self.signed


async def test_send__to_a_contract__mined_with_its_log(sender: Sender, echo: str) -> None:
    receipt = await sender.send(Call(echo, b"", label="echo"))
    assert [bytes(log["topics"][0])[-1] for log in receipt.logs] == [1]
    assert receipt.gas_used > 21_000
    assert receipt.fee_wei > 0


async def test_send__five_at_once__five_nonces(chain: DevChain, sender: Sender, echo: str) -> None:
    receipts = await asyncio.gather(*(sender.send(Call(echo, b"", label=f"echo {n}")) for n in range(5)))
    assert len({receipt.transaction_hash for receipt in receipts}) == 5
    assert await chain.web3.eth.get_transaction_count(chain.accounts[0].address) == 6


async def test_send__refused__names_the_error_and_both_values(sender: Sender, echo: str) -> None:
    data = keccak(text="TooLow(uint256,uint256)")[:4] + encode(["uint256", "uint256"], [5, 10])
    with pytest.raises(RevertError, match=r"post bond: .*TooLow \(given 5, needed 10\)") as caught:
        await sender.send(Call(echo, data, label="post bond"))
    assert caught.value.arguments == {"given": 5, "needed": 10}


async def test_send__unknown_error__keeps_its_bytes(sender: Sender, echo: str) -> None:
    with pytest.raises(RevertError, match="0xdeadbeef"):
        await sender.send(Call(echo, bytes.fromhex("deadbeef"), label="x"))


async def test_send__crash_after_the_signature__resume_sends_it_once(
    chain: DevChain, decoder: RevertDecoder, echo: str
) -> None:
    key = chain.accounts[1]
    journal = MemoryJournal(crash_after_sign=True)
    with pytest.raises(CrashError):
        await Sender(chain.web3, key, decoder, journal).send(Call(echo, b"", label="echo"))
    assert await chain.web3.eth.get_transaction_count(key.address) == 0
    journal.crash_after_sign = False
    assert await Sender(chain.web3, key, decoder, journal).resume() == 1
    assert journal.settled == ["mined"]
    assert await Sender(chain.web3, key, decoder, journal).resume() == 0
    assert await chain.web3.eth.get_transaction_count(key.address) == 1


async def test_resume__no_longer_accepted__dropped_unsent(
    chain: DevChain, decoder: RevertDecoder, echo: str
) -> None:
    key = chain.accounts[1]
    journal = MemoryJournal(crash_after_sign=True)
    with pytest.raises(CrashError):
        await Sender(chain.web3, key, decoder, journal).send(Call(echo, b"", label="echo"))
    journal.signed = [replace(journal.signed[0], call=Call(echo, b"refused by now", label="echo"))]
    assert await Sender(chain.web3, key, decoder, journal).resume() == 1
    assert journal.settled == ["abandoned"]
    assert await chain.web3.eth.get_transaction_count(key.address) == 0


async def test_resume__account_can_no_longer_pay__abandoned(
    chain: DevChain, decoder: RevertDecoder, tmp_path: Path, echo: str
) -> None:
    """It is decided on anew, and waits for money like anything else: a helper's empty purse must not end the node."""
    store, key = Store(tmp_path / "node.db"), Account.create()
    intent = store.intend(key.address, Call(echo, b"", value_wei=5, label="echo"))
    unsigned = {"type": 2, "chainId": await chain.web3.eth.chain_id, "nonce": 0, "to": echo, "value": 5}
    fees = {"gas": 90_000, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1}
    signed = key.sign_transaction(unsigned | fees)
    store.sign(intent, 0, bytes(signed.hash), bytes(signed.raw_transaction))
    assert await Sender(chain.web3, key, decoder, store, FeePolicy(retry_within_s=0.1)).resume() == 1
    assert store.intent_counts() == {"abandoned": 1}
    store.close()


async def test_resume__nonce_spent_elsewhere__abandoned(
    chain: DevChain, decoder: RevertDecoder, echo: str
) -> None:
    key = chain.accounts[1]
    journal = MemoryJournal(crash_after_sign=True)
    with pytest.raises(CrashError):
        await Sender(chain.web3, key, decoder, journal).send(Call(echo, b"", label="echo"))
    await Sender(chain.web3, key, decoder).send(Call(chain.accounts[2].address, b"", label="another"))
    journal.crash_after_sign = False
    await Sender(chain.web3, key, decoder, journal).resume()
    assert journal.settled == ["abandoned"]


async def test_send__account_without_money__one_clear_line(
    chain: DevChain, decoder: RevertDecoder, echo: str
) -> None:
    pauper = Account.from_key(b"\x09" * 32)
    with pytest.raises(ConfigError, match=r"echo: the account cannot pay for it .*send it some ether"):
        await Sender(chain.web3, pauper, decoder).send(Call(echo, b"", label="echo"))


async def test_send__not_mined_for_long__replaced_with_more_fee(
    chain: DevChain, decoder: RevertDecoder, echo: str
) -> None:
    if chain.engine != "anvil":
        pytest.skip("py-evm mines every transaction at once")
    await chain.web3.provider.make_request(RPCEndpoint("evm_setAutomine"), [False])
    journal = MemoryJournal()
    fees = FeePolicy(replace_after_s=0.2, poll_s=0.02)
    sender = Sender(chain.web3, chain.accounts[1], decoder, journal, fees)
    sending = [asyncio.create_task(sender.send(Call(echo, b"", label=f"echo {n}"))) for n in range(2)]
    while len(journal.signed) < 5:
        await asyncio.sleep(0.02)
    await chain.mine()
    receipts = await asyncio.gather(*sending)
    assert {r.transaction_hash for r in receipts} <= {signed.transaction_hash for signed in journal.signed}
    assert sorted({signed.nonce for signed in journal.signed}) == [0, 1]
    assert journal.settled == ["mined", "mined"]


async def test_send__key_used_by_another_program__says_so(
    chain: DevChain, decoder: RevertDecoder, echo: str
) -> None:
    if chain.engine != "anvil":
        pytest.skip("py-evm mines every transaction at once")
    await chain.web3.provider.make_request(RPCEndpoint("evm_setAutomine"), [False])
    fees = FeePolicy(replace_after_s=0.2, poll_s=0.02, max_fee_per_gas_wei=3 * 10**9)
    here = asyncio.create_task(
        Sender(chain.web3, chain.accounts[1], decoder, fees=fees).send(Call(echo, b""))
    )
    await asyncio.sleep(0.1)
    transaction = {
        "type": 2,
        "chainId": 31337,
        "nonce": 0,
        "to": echo,
        "gas": 60_000,
        "value": 0,
        "data": "0x",
    }
    transaction |= {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**10}
    raw = chain.accounts[1].sign_transaction(transaction).raw_transaction
    await chain.web3.eth.send_raw_transaction(raw)
    await chain.mine()
    with pytest.raises(TransientError, match="nonce 0 went to another transaction"):
        await here


async def test_send__no_rpc__one_clear_line(chain: DevChain, decoder: RevertDecoder) -> None:
    async with connect("http://127.0.0.1:1") as web3:
        sender = Sender(web3, chain.accounts[0], decoder, fees=FeePolicy(retry_within_s=0.1))
        with pytest.raises(TransientError, match=r"^echo: no answer from the RPC .*is the chain running\?$"):
            await sender.send(Call(chain.accounts[1].address, b"", label="echo"))


async def _paused(chain: DevChain) -> None:
    if chain.engine != "anvil":
        pytest.skip("py-evm mines every transaction at once")
    await chain.web3.provider.make_request(RPCEndpoint("evm_setAutomine"), [False])


async def test_send__with_a_near_deadline__pays_more_and_is_replaced_sooner(
    chain: DevChain, decoder: RevertDecoder, echo: str
) -> None:
    await _paused(chain)
    journal = MemoryJournal()
    sender = Sender(chain.web3, chain.accounts[1], decoder, journal, FeePolicy(poll_s=0.02))
    now = (await chain.web3.eth.get_block("latest"))["timestamp"]
    calm = asyncio.create_task(sender.send(Call(echo, b"", label="calm")))
    while len(journal.signed) < 1:
        await asyncio.sleep(0.02)
    urgent = asyncio.create_task(sender.send(Call(echo, b"", label="urgent"), now + 4))
    while len(journal.signed) < 3:
        await asyncio.sleep(0.02)
    assert [signed.nonce for signed in journal.signed] == [0, 1, 1]
    sent = [await chain.web3.eth.get_transaction(signed.transaction_hash) for signed in journal.signed[::2]]
    assert sent[1]["maxPriorityFeePerGas"] >= 10 * sent[0]["maxPriorityFeePerGas"]
    await chain.mine()
    await asyncio.gather(calm, urgent)


async def test_send__forgotten_by_the_chain__is_broadcast_again(
    chain: DevChain, decoder: RevertDecoder, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _paused(chain)
    monkeypatch.setattr("oracle_node.chain.transactions._FORGOTTEN_AFTER_S", 0.1)
    journal = MemoryJournal()
    sender = Sender(chain.web3, chain.accounts[1], decoder, journal, FeePolicy(poll_s=0.02))
    sending = asyncio.create_task(sender.send(Call(echo, b"", label="echo")))
    while not journal.signed:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    await chain.web3.provider.make_request(RPCEndpoint("anvil_dropAllTransactions"), [])
    await asyncio.sleep(0.4)
    await chain.mine()
    assert (await sending).transaction_hash == journal.signed[0].transaction_hash
    assert len(journal.signed) == 1


async def test_resume__intended_and_never_signed__is_closed(
    chain: DevChain, decoder: RevertDecoder, tmp_path: Path, echo: str
) -> None:
    store = Store(tmp_path / "node.db")
    sender = Sender(chain.web3, chain.accounts[1], decoder, store)
    store.intend(sender.address, Call(echo, b"", label="echo"))
    assert await sender.resume() == 0
    assert store.intent_counts() == {"abandoned": 1}
    store.close()


async def test_resume__one_no_longer_accepted__does_not_wait_for_those_after_it(
    chain: DevChain, decoder: RevertDecoder, tmp_path: Path, echo: str
) -> None:
    """Without the nonce of the first the others can never be mined."""
    store, key = Store(tmp_path / "node.db"), chain.accounts[1]
    await _paused(chain)
    sender = Sender(chain.web3, key, decoder, store, FeePolicy(poll_s=0.02))
    calls = [Call(echo, b"", label=f"echo {n}") for n in range(3)]
    sending = [asyncio.create_task(sender.send(call)) for call in calls]
    while len(store.unsettled(sender.address)) < 3:
        await asyncio.sleep(0.02)
    for task in sending:
        task.cancel()
    await asyncio.gather(*sending, return_exceptions=True)
    await chain.web3.provider.make_request(RPCEndpoint("anvil_dropAllTransactions"), [])
    store._database.execute("UPDATE intents SET data = ? WHERE id = 2", (b"refused by now",))
    resuming = asyncio.create_task(sender.resume())
    await asyncio.sleep(0.3)
    await chain.mine()
    async with asyncio.timeout(5):
        assert await resuming == 3
    assert store.intent_counts() == {"mined": 1, "abandoned": 2}
    assert await chain.web3.eth.get_transaction_count(key.address, "pending") == 1
    store.close()


@pytest.mark.parametrize("forgets", [False, True], ids=["journal", "no journal"])
async def test_send__a_reorg_took_back_what_was_mined_before__it_is_sent_again(
    chain: DevChain,
    decoder: RevertDecoder,
    tmp_path: Path,
    echo: str,
    monkeypatch: pytest.MonkeyPatch,
    forgets: bool,
) -> None:
    """Nothing of the account can be mined behind a nonce that nobody sends any more."""
    await _paused(chain)
    monkeypatch.setattr("oracle_node.chain.transactions._FORGOTTEN_AFTER_S", 0.1)
    store, key = Store(tmp_path / "node.db"), chain.accounts[1]
    sender = Sender(chain.web3, key, decoder, NoJournal() if forgets else store, FeePolicy(poll_s=0.02))
    fork = await chain.snapshot()

    async def queued(count: int) -> None:
        while len(await _raw_pool(chain, key.address)) < count:
            await asyncio.sleep(0.02)

    first = [asyncio.create_task(sender.send(Call(echo, b"", label=f"first {n}"))) for n in range(2)]
    await queued(2)
    await chain.mine()
    await asyncio.gather(*first)
    second = asyncio.create_task(sender.send(Call(echo, b"", label="second")))
    await queued(1)
    await chain.revert(fork)
    await _paused(chain)
    await queued(3)
    async with asyncio.timeout(30):
        while not second.done():  # anvil may leave for the next block what became minable only in this one
            await chain.mine()
            await asyncio.sleep(0.05)
    await second
    assert await chain.web3.eth.get_transaction_count(key.address) == 3
    if not forgets:
        assert len(await chain.web3.eth.get_logs({"address": echo, "fromBlock": 0})) == 3  # type: ignore[typeddict-item]
    store.close()


async def test_send__a_flood__only_so_many_wait_and_what_presses_goes_by(
    chain: DevChain, decoder: RevertDecoder, echo: str
) -> None:
    await _paused(chain)
    key, fees = chain.accounts[1], FeePolicy(poll_s=0.02, most_in_flight=2)
    sender = Sender(chain.web3, key, decoder, fees=fees)
    flood = [asyncio.create_task(sender.send(Call(echo, b"", label=f"work {n}"))) for n in range(5)]
    await _pool_is(chain, key.address, ["0", "1"])
    now = int((await chain.web3.eth.get_block("latest"))["timestamp"])
    pressing = asyncio.create_task(sender.send(Call(echo, b"", label="defence"), now + 30))
    await _pool_is(chain, key.address, ["0", "1", "2"])
    async with asyncio.timeout(30):
        while not all(task.done() for task in [*flood, pressing]):
            await chain.mine()
            await asyncio.sleep(0.05)
    assert len({(await task).transaction_hash for task in [*flood, pressing]}) == 6


async def test_send__what_is_being_resumed__waits_unless_time_presses(
    chain: DevChain, decoder: RevertDecoder, tmp_path: Path, echo: str
) -> None:
    """What was signed before is most of what a node that starts again asks for."""
    await _paused(chain)
    store, key = Store(tmp_path / "node.db"), chain.accounts[1]
    earlier = asyncio.create_task(
        Sender(chain.web3, key, decoder, store).send(Call(echo, b"", label="earlier"))
    )
    while not store.unsettled(key.address):
        await asyncio.sleep(0.02)
    earlier.cancel()
    await asyncio.gather(earlier, return_exceptions=True)
    sender = Sender(chain.web3, key, decoder, store, FeePolicy(poll_s=0.02))
    resuming = asyncio.create_task(sender.resume())
    await asyncio.sleep(0)
    now = int((await chain.web3.eth.get_block("latest"))["timestamp"])
    calm = asyncio.create_task(sender.send(Call(echo, b"", label="calm"), now + 1000))
    other = asyncio.create_task(sender.send(Call(key.address, b"", label="other"), now + 1000))
    pressing = asyncio.create_task(sender.send(Call(echo, b"", label="pressing"), now + 30))
    await _pool_is(chain, key.address, ["0", "1", "2"])
    async with asyncio.timeout(30):
        while not calm.done():
            await chain.mine()
            await asyncio.sleep(0.05)
    assert await resuming == 1
    assert max((await pressing).block_number, (await other).block_number) < (await calm).block_number
    store.close()


async def test_send__many_wait_behind_what_a_reorg_took_back__it_is_sent_once(
    chain: DevChain, decoder: RevertDecoder, tmp_path: Path, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _paused(chain)
    monkeypatch.setattr("oracle_node.chain.transactions._FORGOTTEN_AFTER_S", 1.0)
    store, key = Store(tmp_path / "node.db"), chain.accounts[1]
    sender = Sender(chain.web3, key, decoder, store, FeePolicy(poll_s=0.02))
    sent: list[str] = []
    broadcast = sender._line.broadcast

    async def counted(raw: bytes, label: str) -> None:
        sent.append(label)
        await broadcast(raw, label)

    monkeypatch.setattr(sender._line, "broadcast", counted)

    async def queued(count: int) -> None:
        while len(await _raw_pool(chain, key.address)) < count:
            await asyncio.sleep(0.02)

    fork = await chain.snapshot()
    first = [asyncio.create_task(sender.send(Call(echo, b"", label=f"first {n}"))) for n in range(6)]
    await queued(6)
    await chain.mine()
    await asyncio.gather(*first)
    second = [asyncio.create_task(sender.send(Call(echo, b"", label=f"second {n}"))) for n in range(6)]
    await queued(6)
    await chain.revert(fork)
    await _paused(chain)
    await queued(12)
    assert sorted(label for label in sent if label.startswith("fill")) == [
        f"fill nonce {n}" for n in range(6)
    ]
    async with asyncio.timeout(30):
        while not all(task.done() for task in second):
            await chain.mine()
            await asyncio.sleep(0.05)
    store.close()


async def test_resume__a_nonce_before_it_is_missing__filled_and_ended(
    chain: DevChain, decoder: RevertDecoder, tmp_path: Path, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, key = Store(tmp_path / "node.db"), chain.accounts[1]
    sender = Sender(chain.web3, key, decoder, store, FeePolicy(poll_s=0.02))
    sender._in_flight.add(1)
    # signed with nonce 2 and gone before it was sent; nothing was sent with nonce 1
    monkeypatch.setattr(sender._line, "broadcast", _killed)
    with pytest.raises(asyncio.CancelledError):
        await sender.send(Call(echo, b"", label="echo"))
    assert [left.nonce for left in store.unsettled(key.address)] == [2]
    async with asyncio.timeout(30):
        assert await Sender(chain.web3, key, decoder, store, FeePolicy(poll_s=0.02)).resume() == 1
    assert store.intent_counts() == {"mined": 1}
    assert await chain.web3.eth.get_transaction_count(key.address) == 3
    store.close()


async def test_resume__not_mined_for_long__replaced_with_more_fee(
    chain: DevChain, decoder: RevertDecoder, tmp_path: Path, echo: str
) -> None:
    await _paused(chain)
    store, key = Store(tmp_path / "node.db"), chain.accounts[1]
    fees = FeePolicy(poll_s=0.02, replace_after_s=0.2)
    sending = asyncio.create_task(
        Sender(chain.web3, key, decoder, store, fees).send(Call(echo, b"", label="echo"))
    )
    while not (left := store.unsettled(key.address)):
        await asyncio.sleep(0.02)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    resuming = asyncio.create_task(Sender(chain.web3, key, decoder, store, fees).resume())
    while store.unsettled(key.address)[0].transaction_hash == left[0].transaction_hash:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    await chain.mine()
    async with asyncio.timeout(30):
        assert await resuming == 1
    assert store.intent_counts() == {"mined": 1}
    store.close()


async def _killed(raw: bytes, label: str) -> None:
    raise asyncio.CancelledError


async def _pool_is(chain: DevChain, address: str, nonces: list[str]) -> None:
    """It becomes that, and stays it for a while."""
    async with asyncio.timeout(20):
        while await _raw_pool(chain, address) != nonces:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    assert await _raw_pool(chain, address) == nonces


async def _raw_pool(chain: DevChain, address: str) -> list[str]:
    content = await chain._request("txpool_content")
    found = [content[part].get(address.lower(), {}) for part in ("pending", "queued")]
    return [nonce for part in found for nonce in part]
