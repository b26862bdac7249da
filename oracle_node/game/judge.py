"""Is a claim right? One pass of the tape on the claim's own bytes, doubted by the reference before it is believed."""

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from oracle_node.commitments.hashing import CHUNK_BYTES
from oracle_node.commitments.tensor import chunk_count, tensor_bytes
from oracle_node.game.knowledge import Knowledge
from oracle_node.tape.types import SourceKind


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the claim is the tape's own answer to it; `reason` names the first difference for people."""

    is_right: bool
    reason: str = ""


def judge(knowledge: Knowledge) -> Verdict:
    """Compare the claim (the knowledge's sources) with what the tape answers to it; no trace is computed.

    DeterminismError where the reference contradicts the executor on the chunk that decides (DESIGN §6, rule 13).
    """
    tape = knowledge.tape
    claimed: dict[str, tuple[int, np.ndarray | bytes]] = {
        "ok": (tape.ok, b"\x01"),
        "output": (tape.output, knowledge.sources[SourceKind.OUTPUT]),
    }
    if tape.witness is not None:
        claimed["witness"] = (tape.witness, knowledge.sources[SourceKind.WITNESS])
    computed = knowledge.tensors(index for index, _ in claimed.values())
    for name, (index, value) in claimed.items():
        theirs, ours = tensor_bytes(value).tobytes(), tensor_bytes(computed[index]).tobytes()
        if theirs != ours:
            byte = next(i for i, (a, b) in enumerate(zip_longest(theirs, ours)) if a != b)
            knowledge.require_sound(index, min(byte // CHUNK_BYTES, chunk_count(len(ours)) - 1))
            difference = f"{_excerpt(theirs, byte)} claimed, {_excerpt(ours, byte)} computed"
            return Verdict(False, f"{name} differs at byte {byte}: {difference}")
    return Verdict(True)


def _excerpt(data: bytes, byte: int) -> str:
    """A few bytes from there on, in hexadecimal, of how many in all."""
    return f"{data[byte : byte + 8].hex() or 'nothing'} (of {len(data)} bytes)"
