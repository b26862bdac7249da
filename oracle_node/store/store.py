"""The node's memory. Chain-derived rows follow reorgs; answers, salts and signed transactions are kept for good.

All methods are quick and synchronous, and are called from the event loop's thread only: one writer, no locks.
"""

import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from oracle_node.chain.follow import Head, Step
from oracle_node.chain.journal import Call, SignedIntent
from oracle_node.errors import ConfigError
from oracle_node.store.migrations import migrate


@dataclass(frozen=True)
class StoredEvent:
    """A log of the contracts at its place in the chain, with its block's time and the ids it speaks of."""

    block: int
    log_index: int
    time: int
    name: str
    topics: tuple[bytes, ...]
    data: bytes = field(repr=False)
    listing_id: bytes | None = None
    request_id: bytes | None = None
    claim_id: bytes | None = None
    challenge_id: bytes | None = None


@dataclass(frozen=True)
class StoredAnswer:
    """This node's answer to a request and the salt that its commitment hides it with."""

    request_id: bytes
    model_id: bytes
    output: bytes = field(repr=False)
    witness: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    environment: str | None = None
    """What computed it, as JSON; for the record."""


class Store:
    """One SQLite file in WAL mode with full durability; also the journal of a `Sender`."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the file (None: memory only); ConfigError where it cannot be used."""
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            # autocommit: every statement is durable by itself, and `transaction` opens the others in the open
            connection = sqlite3.connect(path or ":memory:", isolation_level=None)
            self._database = Database(connection)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA foreign_keys = ON")
            migrate(self._database)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"cannot use {path} as the store: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is stored, or nothing."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def require_identity(self, **facts: str) -> None:
        """Bind the file to a chain and a deployment at first use; ConfigError where it belongs to another."""
        for key, value in facts.items():
            row = self._one("SELECT value FROM identity WHERE key = ?", key)
            if row is None:
                self._database.execute("INSERT INTO identity VALUES (?, ?)", (key, value))
            elif row[0] != value:
                raise ConfigError(f"the store belongs to {key} {row[0]}, not {value}: use another file")

    # What the chain said

    def checkpoints(self) -> tuple[Head, ...]:
        """Blocks followed so far, ascending: the cursor."""
        rows = self._database.execute("SELECT number, hash, timestamp FROM checkpoints ORDER BY number")
        return tuple(Head(*row) for row in rows)

    def apply(self, step: Step, events: Sequence[StoredEvent]) -> None:
        """Forget what the step rolled back, then keep its events and checkpoints, in one transaction."""
        with self.transaction():
            if step.rolled_back_to is not None:
                self._roll_back(step.rolled_back_to)
            self._database.execute("DELETE FROM checkpoints")
            for checkpoint in step.checkpoints:
                values = (checkpoint.number, checkpoint.hash, checkpoint.timestamp)
                self._database.execute("INSERT INTO checkpoints VALUES (?, ?, ?)", values)
            for event in events:
                self._insert_event(event)

    def _roll_back(self, block: int) -> None:
        for statement in (
            "DELETE FROM events WHERE block > ?",
            "DELETE FROM open_requests WHERE block > ?",
            "INSERT INTO open_requests SELECT request_id, listing_id, e.block FROM closed_requests c"
            " JOIN events e USING (request_id) WHERE name = 'Requested' AND c.block > ?",
            "DELETE FROM closed_requests WHERE block > ?",
        ):
            self._database.execute(statement, (block,))

    def _insert_event(self, event: StoredEvent) -> None:
        place = (event.block, event.log_index, event.time, event.name)
        ids = (event.listing_id, event.request_id, event.claim_id, event.challenge_id)
        # SAFETY: replace, because a block may be read again after a reorg that brought the same log back
        self._database.execute(
            "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*place, *ids, b"".join(event.topics), event.data),
        )
        if event.name == "Requested":
            opened = (event.request_id, event.listing_id, event.block)
            self._database.execute("INSERT OR REPLACE INTO open_requests VALUES (?, ?, ?)", opened)

    def events(self, *names: str, **ids: bytes) -> list[StoredEvent]:
        """Events in chain order, of any of the names and with the given listing_id, request_id or claim_id."""
        clauses, values = [f"{column} = ?" for column in ids], list[Any](ids.values())
        if names:
            clauses.append(f"name IN ({', '.join('?' * len(names))})")
            values += names
        return self._events(" AND ".join(clauses) or "1", values)

    def events_after(self, block: int) -> list[StoredEvent]:
        """Events of later blocks, in chain order."""
        return self._events("block > ?", [block])

    def _events(self, where: str, values: Sequence[Any]) -> list[StoredEvent]:
        rows = self._database.execute(
            "SELECT block, log_index, time, name, topics, data, listing_id, request_id, claim_id, challenge_id"
            f" FROM events WHERE {where} ORDER BY block, log_index",
            values,
        )
        return [StoredEvent(row[0], row[1], row[2], row[3], _topics(row[4]), *row[5:]) for row in rows]

    def open_listings(self) -> set[bytes]:
        """The listings that have requests which were not closed, of whatever model."""
        return {row[0] for row in self._database.execute("SELECT DISTINCT listing_id FROM open_requests")}

    def open_requests(self, listings: Collection[bytes]) -> list[bytes]:
        """Ids of the requests to these listings that were not closed, in chain order."""
        rows = self._database.execute(
            "SELECT request_id FROM events WHERE name = 'Requested' AND request_id IN"
            f" (SELECT request_id FROM open_requests WHERE listing_id IN ({', '.join('?' * len(listings))}))"
            " ORDER BY block, log_index",
            list(listings),
        )
        return [row[0] for row in rows]

    def close_requests(self, request_ids: Collection[bytes], block: int) -> None:
        """Note that nothing is left to do about requests as of a block; a reorg below that block opens them again."""
        with self.transaction():
            for request_id in request_ids:
                self._database.execute("DELETE FROM open_requests WHERE request_id = ?", (request_id,))
                closed = (request_id, block)
                self._database.execute("INSERT OR REPLACE INTO closed_requests VALUES (?, ?)", closed)

    # What only this node knows

    def keep_answer(self, answer: StoredAnswer) -> None:
        """Store an answer with its salt; must happen before the commitment is sent. The first one stays."""
        self._database.execute(
            "INSERT OR IGNORE INTO answers (request_id, model_id, output, witness, salt, environment, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*astuple(answer), time.time()),
        )

    def answer(self, request_id: bytes) -> StoredAnswer | None:
        """The kept answer to a request."""
        row = self._one(
            "SELECT request_id, model_id, output, witness, salt, environment FROM answers"
            " WHERE request_id = ?",
            request_id,
        )
        return None if row is None else StoredAnswer(*row)

    # Journal

    def intend(self, sender: str, call: Call) -> int:
        """Store what is about to be sent."""
        cursor = self._database.execute(
            "INSERT INTO intents (sender, label, target, data, value_wei, state, created_at)"
            " VALUES (?, ?, ?, ?, ?, 'intended', ?)",
            (sender, call.label, call.to, call.data, str(call.value_wei), time.time()),
        )
        return int(cursor.lastrowid or 0)

    def sign(self, intent: int, nonce: int, transaction_hash: bytes, raw: bytes) -> None:
        """Store the signed bytes."""
        with self.transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO signatures VALUES (?, ?, ?, ?)",
                (transaction_hash, intent, nonce, raw),
            )
            self._database.execute("UPDATE intents SET state = 'signed' WHERE id = ?", (intent,))

    def settle(self, intent: int, outcome: str) -> None:
        """Close an intent."""
        self._database.execute(
            "UPDATE intents SET state = ?, settled_at = ? WHERE id = ?", (outcome, time.time(), intent)
        )

    def drop_unsigned(self, sender: str) -> None:
        """Close what was intended and never signed."""
        self._database.execute(
            "UPDATE intents SET state = 'abandoned', settled_at = ? WHERE state = 'intended' AND sender = ?",
            (time.time(), sender),
        )

    def unsettled(self, sender: str) -> list[SignedIntent]:
        """The newest signature of every open intent, in nonce order."""
        rows = self._database.execute(
            "SELECT i.id, i.target, i.data, i.value_wei, i.label, s.nonce, s.transaction_hash, s.raw"
            " FROM intents i JOIN signatures s"
            " ON s.rowid = (SELECT max(rowid) FROM signatures WHERE intent = i.id)"
            " WHERE i.state = 'signed' AND i.sender = ? ORDER BY s.nonce",
            (sender,),
        )
        return [
            SignedIntent(row[0], Call(row[1], row[2], int(row[3]), row[4]), row[5], row[6], row[7])
            for row in rows
        ]

    def signed_with(self, sender: str, nonce: int) -> bytes | None:
        """What was signed last with a nonce."""
        row = self._database.execute(
            "SELECT s.raw FROM signatures s JOIN intents i ON i.id = s.intent"
            " WHERE i.sender = ? AND s.nonce = ? ORDER BY s.rowid DESC LIMIT 1",
            (sender, nonce),
        ).fetchone()
        return None if row is None else row[0]

    def intent_counts(self) -> dict[str, int]:
        """How many intents are in each state."""
        return dict(self._database.execute("SELECT state, count(*) FROM intents GROUP BY state").fetchall())

    def _one(self, sql: str, *parameters: Any) -> Any:
        return self._database.execute(sql, parameters).fetchone()


def _topics(joined: bytes) -> tuple[bytes, ...]:
    return tuple(joined[start : start + 32] for start in range(0, len(joined), 32))
