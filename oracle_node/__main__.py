"""`python -m oracle_node` is the `oracle-node` command."""

from oracle_node.cli import main

main()
