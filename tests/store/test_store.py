"""What the store keeps, forgets and survives."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from oracle_node.chain.follow import Head, Step
from oracle_node.chain.journal import Call
from oracle_node.errors import ConfigError
from oracle_node.store.migrations import MIGRATIONS
from oracle_node.store.store import Store, StoredAnswer, StoredEvent

REQUEST, LISTING = b"\x01" * 32, b"\x02" * 32


def head(number: int) -> Head:
    return Head(number, number.to_bytes(32, "big"), 1000 + number)


def event(block: int, name: str = "Requested") -> StoredEvent:
    topics, ids = (b"t" * 32, REQUEST), {"listing_id": LISTING, "request_id": REQUEST}
    return StoredEvent(block, 0, 1000 + block, name, topics, b"data", **ids)


def test_apply__step_with_rollback__drops_newer_events_only(tmp_path: Path) -> None:
    store = Store(tmp_path / "node.db")
    store.apply(Step(None, (), (head(1), head(3)), head(3)), [event(1), event(3)])
    store.apply(Step(1, (), (head(1), head(4)), head(4)), [event(2)])
    assert [e.block for e in store.events("Requested", request_id=REQUEST)] == [1, 2]
    assert store.checkpoints() == (head(1), head(4))


def test_apply__failure_inside__nothing_changed(tmp_path: Path) -> None:
    store = Store(tmp_path / "node.db")
    store.apply(Step(None, (), (head(1),), head(1)), [event(1)])
    unstorable = StoredEvent(2, 0, 1002, "Requested", (), object())  # type: ignore[arg-type]
    with pytest.raises(sqlite3.Error):
        store.apply(Step(0, (), (head(2),), head(2)), [unstorable])
    assert store.events() == [event(1)]
    assert store.checkpoints() == (head(1),)


def test_migrate__a_store_of_the_first_schema__keeps_its_answers(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "node.db") as old:
        old.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1;")
        old.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", (REQUEST, b"m", b"o", b"w", b"s", None, 1.0)
        )
    store = Store(tmp_path / "node.db")
    assert store.answer(REQUEST) == StoredAnswer(REQUEST, b"m", b"o", b"w", b"s")
    newer = StoredAnswer(b"\x03" * 32, b"m", b"o", b"w", b"s", environment='{"executor": "onnx"}')
    store.keep_answer(newer)
    assert store.answer(newer.request_id) == newer


def test_events__names_and_ids__only_those(tmp_path: Path) -> None:
    store = Store(tmp_path / "node.db")
    other = StoredEvent(2, 0, 1002, "Requested", (), b"", listing_id=LISTING, request_id=b"\x09" * 32)
    store.apply(Step(None, (), (head(3),), head(3)), [event(1), other, event(3, "RequestExpired")])
    assert store.events("Requested") == [event(1), other]
    assert store.events(request_id=REQUEST) == [event(1), event(3, "RequestExpired")]
    assert store.events("Requested", "Delivered", request_id=b"\x09" * 32) == [other]


def test_close_request__reorg_below__open_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "node.db")
    store.apply(Step(None, (), (head(1), head(5)), head(5)), [event(1)])
    assert store.open_requests([LISTING]) == [REQUEST]
    store.close_requests([REQUEST], 5)
    assert store.open_requests([LISTING]) == []
    store.apply(Step(4, (), (head(1),), head(5)), [])
    assert store.open_requests([LISTING]) == [REQUEST]
    store.apply(Step(0, (), (), head(5)), [])
    assert store.open_requests([LISTING]) == []


def test_open_requests__to_several_listings__only_those_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path / "node.db")
    foreign = replace(event(2), listing_id=b"\x08" * 32, request_id=b"\x09" * 32)
    store.apply(Step(None, (), (head(2),), head(2)), [event(1), foreign])
    assert store.open_listings() == {LISTING, b"\x08" * 32}
    assert store.open_requests([b"\x08" * 32]) == [foreign.request_id]
    assert store.open_requests([]) == []


def test_migrate__a_store_of_the_second_schema__open_requests_are_still_open(tmp_path: Path) -> None:
    path, other = tmp_path / "node.db", b"\x09" * 32
    with sqlite3.connect(path) as old:
        old.executescript(f"{MIGRATIONS[0]}; {MIGRATIONS[1]}; PRAGMA user_version = 2;")
        for block, request_id in enumerate((REQUEST, other)):
            row = (block, 0, 0, "Requested", LISTING, request_id, None, None, b"", b"")
            old.execute(f"INSERT INTO events VALUES ({', '.join('?' * len(row))})", row)
        old.execute("INSERT INTO closed_requests VALUES (?, 7)", (other,))
    assert Store(path).open_requests([LISTING]) == [REQUEST]


def test_keep_answer__reopened_after_a_second_answer__first_salt_is_still_there(tmp_path: Path) -> None:
    store = Store(tmp_path / "node.db")
    first = StoredAnswer(REQUEST, b"m" * 32, b"out", b"wit", b"s" * 32)
    store.keep_answer(first)
    store.keep_answer(StoredAnswer(REQUEST, b"m" * 32, b"out", b"wit", b"t" * 32))
    store.close()
    assert Store(tmp_path / "node.db").answer(REQUEST) == first


def test_unsettled__replaced_and_settled_intents__newest_signature_of_the_open_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "node.db")
    call = Call("0x" + "ab" * 20, b"\x01", 5, "reveal")
    done, open_, unsent = (store.intend("me", call) for _ in range(3))
    store.sign(done, 0, b"a" * 32, b"raw0")
    store.settle(done, "mined")
    store.sign(open_, 1, b"b" * 32, b"raw1")
    store.sign(open_, 1, b"c" * 32, b"raw1 with more fee")
    assert unsent == 3
    assert [(i.intent, i.nonce, i.raw) for i in store.unsettled("me")] == [(open_, 1, b"raw1 with more fee")]
    assert store.unsettled("me")[0].call == call
    assert store.unsettled("other") == []
    assert store.intent_counts() == {"mined": 1, "signed": 1, "intended": 1}


def test_store__opened_twice__migrated_once(tmp_path: Path) -> None:
    Store(tmp_path / "node.db").close()
    Store(tmp_path / "node.db").close()
    version = sqlite3.connect(tmp_path / "node.db").execute("PRAGMA user_version").fetchone()[0]
    assert version == len(MIGRATIONS)


def test_store__newer_schema__refused(tmp_path: Path) -> None:
    Store(tmp_path / "node.db").close()
    sqlite3.connect(tmp_path / "node.db").execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(ConfigError, match="upgrade"):
        Store(tmp_path / "node.db")


def test_store__not_a_database__refused(tmp_path: Path) -> None:
    (tmp_path / "node.db").write_text("no database at all, only some text of a hundred bytes" * 3)
    with pytest.raises(ConfigError, match=r"node\.db"):
        Store(tmp_path / "node.db")


def test_require_identity__another_chain__refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "node.db")
    store.require_identity(chain_id="1", oracle="0xaa")
    store.require_identity(chain_id="1", oracle="0xaa")
    with pytest.raises(ConfigError, match="chain_id 1, not 2"):
        store.require_identity(chain_id="2", oracle="0xaa")
