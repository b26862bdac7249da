"""Everything that touches an Ethereum chain: connections, calls, logs, transactions, keys, deployment."""
