"""The `oracle-node` command: reads arguments, calls the library, prints. No logic that a library user would miss."""

from oracle_node.cli.app import main

__all__ = ["main"]
