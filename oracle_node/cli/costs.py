"""The worst case of refuting a claim, from the shape of its tree: no run, no chain."""

from typing import Any

from oracle_node.commitments.merkle import depth
from oracle_node.commitments.tensor import chunk_count
from oracle_node.game.geometry import reveals_needed
from oracle_node.model.model import Model
from oracle_node.tape.affine import Symbols
from oracle_node.tape.step import step_bytes

GAS_BYTE = 40
"""A calldata byte that is not zero, at the floor of EIP-7623."""
GAS_OPEN, GAS_TRACE, GAS_REVEAL, GAS_PICK, GAS_CHUNK = 60_000, 80_000, 70_000, 90_000, 80_000
GAS_NAMING, GAS_PROVE = 60_000, 100_000
"""Rounded up from `bench dispute`; the proof's calldata comes on top."""


def worst_case(model: Model, symbols: Symbols) -> dict[str, Any]:
    """Rounds and gas of both sides for the tensor with the deepest tree and the costliest step.

    A bound for planning, not a quote: prices of moves are those of the shipped contracts, rounded up.
    """
    instructions = model.tape.instructions
    in_trace = reveals_needed(depth(len(instructions)))
    in_tensor = max(
        reveals_needed(depth(chunk_count(i.count(symbols) * i.dtype.width))) for i in instructions
    )
    largest = max(step_bytes(i, symbols, len(instructions)) for i in instructions)
    reveals = in_trace + in_tensor
    challenger = GAS_OPEN + reveals * GAS_PICK + GAS_NAMING + GAS_PROVE + largest * GAS_BYTE
    defender = GAS_TRACE + reveals * GAS_REVEAL + GAS_CHUNK
    return {
        "rounds": reveals + 2,
        "step_bytes": largest,
        "challenger_gas": challenger,
        "defender_gas": defender,
        "trace_work": model.commitment.trace_work,
    }
