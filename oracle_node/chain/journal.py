"""What is sent, as data, and the journal in which it is written before it leaves."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Call:
    """A contract call as data: what to send, where, with how much, and what people call it."""

    to: str
    data: bytes
    value_wei: int = 0
    label: str = "call"


@dataclass(frozen=True)
class SignedIntent:
    """An intent with the latest transaction signed for it."""

    intent: int
    call: Call
    nonce: int
    transaction_hash: bytes
    raw: bytes = field(repr=False)


class Journal(Protocol):
    """Where intents are written before anything is sent, so that a crash loses none and repeats none."""

    def intend(self, sender: str, call: Call) -> int:
        """Store what is about to be sent; returns the intent's number."""
        ...

    def sign(self, intent: int, nonce: int, transaction_hash: bytes, raw: bytes) -> None:
        """Store the signed bytes (again for a replacement) before they are broadcast."""
        ...

    def settle(self, intent: int, outcome: str) -> None:
        """Close an intent: `mined`, `reverted`, `refused` or `abandoned`."""
        ...

    def drop_unsigned(self, sender: str) -> None:
        """Close what a crash left intended and never signed: it cannot have been sent, and is decided on anew."""
        ...

    def unsettled(self, sender: str) -> list[SignedIntent]:
        """Signed and not known to be mined, in nonce order."""
        ...

    def signed_with(self, sender: str, nonce: int) -> bytes | None:
        """What was signed last with that nonce, whatever became of it: a reorg may have taken it back."""
        ...


class NoJournal:
    """For one-off commands and development chains: remembers nothing."""

    def intend(self, sender: str, call: Call) -> int:
        return 0

    def sign(self, intent: int, nonce: int, transaction_hash: bytes, raw: bytes) -> None:
        return None

    def settle(self, intent: int, outcome: str) -> None:
        return None

    def drop_unsigned(self, sender: str) -> None:
        return None

    def unsettled(self, sender: str) -> list[SignedIntent]:
        return []

    def signed_with(self, sender: str, nonce: int) -> bytes | None:
        return None
