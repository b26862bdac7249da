"""The numbered steps that build the schema. A released step is never edited; the next change is a new one."""

from sqlite_utils import Database

from oracle_node.errors import ConfigError

MIGRATIONS = (
    # 1: what was read from the chain (dropped on reorgs), and what only this node knows (never dropped)
    """
    CREATE TABLE checkpoints (
        number INTEGER PRIMARY KEY,
        hash BLOB NOT NULL,
        timestamp INTEGER NOT NULL
    );
    CREATE TABLE events (
        block INTEGER NOT NULL,
        log_index INTEGER NOT NULL,
        time INTEGER NOT NULL,
        name TEXT NOT NULL,
        listing_id BLOB,
        request_id BLOB,
        claim_id BLOB,
        challenge_id BLOB,
        topics BLOB NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (block, log_index)
    );
    CREATE INDEX events_by_request ON events (request_id, name);
    CREATE INDEX events_by_claim ON events (claim_id, name);
    CREATE INDEX events_by_challenge ON events (challenge_id, name);
    CREATE INDEX events_by_name ON events (name, block);
    CREATE TABLE closed_requests (
        request_id BLOB PRIMARY KEY,
        block INTEGER NOT NULL
    );
    CREATE TABLE answers (
        request_id BLOB PRIMARY KEY,
        model_id BLOB NOT NULL,
        output BLOB NOT NULL,
        witness BLOB NOT NULL,
        salt BLOB NOT NULL,
        claim_id BLOB,
        created_at REAL NOT NULL
    );
    CREATE TABLE intents (
        id INTEGER PRIMARY KEY,
        sender TEXT NOT NULL,
        label TEXT NOT NULL,
        target TEXT NOT NULL,
        data BLOB NOT NULL,
        value_wei TEXT NOT NULL,
        state TEXT NOT NULL,
        created_at REAL NOT NULL,
        settled_at REAL
    );
    CREATE INDEX intents_by_state ON intents (state, sender);
    CREATE TABLE signatures (
        transaction_hash BLOB PRIMARY KEY,
        intent INTEGER NOT NULL REFERENCES intents (id),
        nonce INTEGER NOT NULL,
        raw BLOB NOT NULL
    );
    CREATE TABLE identity (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    );
    """,
    # 2: what an answer was computed with, for the record; and finding a transaction by its nonce
    """
    ALTER TABLE answers ADD COLUMN environment TEXT;
    CREATE INDEX signatures_by_nonce ON signatures (nonce);
    """,
    # 3: what is open is looked at with every block, and must not take longer as the past grows
    """
    CREATE TABLE open_requests (
        request_id BLOB PRIMARY KEY,
        listing_id BLOB NOT NULL,
        block INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX open_requests_by_listing ON open_requests (listing_id);
    CREATE INDEX closed_requests_by_block ON closed_requests (block);
    INSERT INTO open_requests SELECT request_id, listing_id, block FROM events
        WHERE name = 'Requested' AND request_id NOT IN (SELECT request_id FROM closed_requests);
    """,
)


def migrate(database: Database) -> None:
    """Bring the file to the newest schema, each step in a transaction; ConfigError where it is from a newer version."""
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise ConfigError(
            f"the store has schema {version}, this version knows {len(MIGRATIONS)}: upgrade oracle-node"
        )
    for number in range(version, len(MIGRATIONS)):
        # executescript would commit an open transaction, so the script carries its own
        database.conn.executescript(
            f"BEGIN; {MIGRATIONS[number]}; PRAGMA user_version = {number + 1}; COMMIT;"
        )
