"""Building the last move: the wrong element of a posted chunk, and every operand chunk it reads, opened."""

from collections.abc import Mapping, Sequence

import numpy as np

from oracle_node.commitments.hashing import CHUNK_BYTES, pad_chunk
from oracle_node.commitments.merkle import depth, fold, multiproof, multiproof_root
from oracle_node.errors import ProtocolError
from oracle_node.game.footprint import chunks_read
from oracle_node.game.geometry import NO_LENGTH, Place, children_count, levels_opened
from oracle_node.game.knowledge import Knowledge
from oracle_node.game.moves import InstructionProof, Opening, Proof
from oracle_node.game.state import ClaimState, NodeKey
from oracle_node.tape.instruction import Opcode


def prove_chunk(claim: ClaimState, knowledge: Knowledge, tensor: int, position: int, chunk: bytes) -> Proof:
    """The proof against a posted chunk (as given) of a tensor that all earlier tensors of the claim agree on.

    DeterminismError where our executor and the reference disagree on the chunk; ProtocolError where the posted chunk
    is ours.
    """
    knowledge.require_sound(tensor, position)
    instruction = knowledge.instruction(tensor)
    width = instruction.dtype.width
    slot = first_wrong_slot(pad_chunk(chunk), knowledge.chunk(tensor, position), width)
    if slot is None:
        raise ProtocolError(
            f"chunk {position} of tensor {tensor} is what we compute: there is nothing to prove"
        )
    element = position * (CHUNK_BYTES // width) + slot
    named = InstructionProof(*knowledge.encoded(tensor))
    if element >= instruction.count(knowledge.symbols):
        return Proof(named, chunk, slot)
    openings, siblings = _open_operands(knowledge, tensor, element)
    refs = [opening.ref for opening in openings]
    return Proof(named, chunk, slot, openings, siblings, _root_siblings(claim, knowledge, tensor, refs))


def first_wrong_slot(theirs: bytes, ours: bytes, width: int) -> int | None:
    """The first element, in elements of `width` bytes, at which two chunks differ."""
    differing = np.flatnonzero(np.frombuffer(theirs, np.uint8) != np.frombuffer(ours, np.uint8))
    return int(differing[0]) // width if len(differing) else None


def _open_operands(
    knowledge: Knowledge, tensor: int, element: int
) -> tuple[tuple[Opening, ...], tuple[tuple[bytes, ...], ...]]:
    """Openings of the operands the element reads, and the chunks' multiproof for each."""
    instruction = knowledge.instruction(tensor)
    reads = chunks_read(instruction, knowledge.symbols, knowledge.operands(tensor), element)
    openings, siblings = [], []
    for ref, positions in reads.items():
        if positions:
            tree = knowledge.operand_tree(instruction.opcode, ref)
            openings.append(Opening(ref, tuple(positions), b"".join(map(tree.chunk, positions))))
            siblings.append(tuple(multiproof(positions, tree.depth, tree.node)))
    return tuple(openings), tuple(siblings)


def _root_siblings(
    claim: ClaimState, knowledge: Knowledge, tensor: int, refs: Sequence[int]
) -> tuple[bytes, ...]:
    """The operands' multiproof: none for sources, in the weights tree for CONST, else in the claim's own trace tree."""
    opcode = knowledge.instruction(tensor).opcode
    if opcode is Opcode.INPUT or not refs:
        return ()
    if opcode is Opcode.CONST:
        weights = knowledge.weights_tree
        return tuple(multiproof(refs, weights.depth, weights.node))
    assert claim.trace_root is not None
    ours, theirs = knowledge.trace.tree, revealed_nodes(claim, len(knowledge.tape.instructions), tensor)

    # Left of the disputed tensor both trees agree. Any other sibling is on the way down to it, where all was revealed.
    def claimed(level: int, place: int) -> bytes:
        return theirs[level, place] if (level, place) in theirs else ours.node(level, place)

    siblings = multiproof(refs, ours.depth, claimed)
    root = multiproof_root({ref: knowledge.trace.roots[ref] for ref in refs}, ours.depth, siblings)
    if root != claim.trace_root:
        raise ProtocolError(
            f"the claim's operands of tensor {tensor} are not ours (root {root.hex()}, not {claim.trace_root.hex()}): "
            "the dispute did not go to the first difference"
        )
    return tuple(siblings)


def revealed_nodes(claim: ClaimState, instruction_count: int, tensor: int) -> Mapping[tuple[int, int], bytes]:
    """(level, position) → hash of every node of the claim's trace tree that the descent to a tensor has shown."""
    assert claim.trace_root is not None
    node, place = claim.trace_root, Place(None, depth(instruction_count), 0)
    known = {(place.level, place.position): node}
    while not place.is_leaf:
        record = claim.records.get(NodeKey(node, NO_LENGTH, children_count(place.level)))
        if record is None:
            raise ProtocolError(
                f"claim {claim.claim_id.hex()}: {node.hex()} above tensor {tensor} was not revealed"
            )
        known |= _nodes_of(place, record.children)
        levels = levels_opened(place.level)
        index = (tensor >> place.level - levels) - (place.position << levels)
        node, place = record.children[index], place.child(index)
    return known


def _nodes_of(place: Place, children: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    """The children of a reveal and every node between them and the revealed one."""
    nodes: dict[tuple[int, int], bytes] = {}
    first = place.child(0)
    for above in range(levels_opened(place.level)):
        for k in range(len(children) >> above):
            nodes[first.level + above, (first.position >> above) + k] = fold(
                children[k << above : k + 1 << above]
            )
    return nodes
