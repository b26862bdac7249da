"""Every claim about a tiny language model, counted: just one is right, whatever is asked, and the solver finds it."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from oracle_node.executors.reference import ReferenceExecutor, evaluate_all, operand_tensors
from oracle_node.importers.gguf import import_gguf
from oracle_node.language.drafts import LookupWriter, ProposedText
from oracle_node.language.prompts import Language, card_input
from oracle_node.model.model import Card, Model
from oracle_node.model.solver import solve
from oracle_node.tape.affine import Symbols
from oracle_node.tape.instruction import Opcode, Tape
from tests.importers.gguf.files import f32, llama_metadata, written

pytest.importorskip("gguf")
CONTEXT, ANSWER, WIDTH = 4, 3, 16
NORMAL, CONTROL = 1, 3
HUGE = 2**31 - 1


def tiny(path: Path, seed: int, start: int, end: int) -> tuple[Model, Language]:
    """Five tokens: two with a leading space, one that says nothing, one that is only a space."""
    rng = np.random.default_rng(seed)
    tokens = {"\u2581ab": NORMAL, "\u2581": NORMAL, "c": NORMAL, "<end>": CONTROL, "\u2581d": NORMAL}
    metadata = llama_metadata(block_count=1, context_length=CONTEXT) | {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": [*tokens],
        "tokenizer.ggml.token_type": [*tokens.values()], "tokenizer.ggml.bos_token_id": start,
        "tokenizer.ggml.eos_token_id": end,
    }  # fmt: skip
    shapes = {
        "token_embd": (5, WIDTH), "blk.0.attn_norm": (WIDTH,), "blk.0.attn_q": (16, WIDTH), "blk.0.attn_k": (8, WIDTH),
        "blk.0.attn_v": (8, WIDTH), "blk.0.attn_output": (WIDTH, 16), "blk.0.ffn_norm": (WIDTH,),
        "blk.0.ffn_gate": (24, WIDTH), "blk.0.ffn_up": (24, WIDTH), "blk.0.ffn_down": (WIDTH, 24),
        "output_norm": (WIDTH,), "output": (5, WIDTH),
    }  # fmt: skip
    tensors = {f"{name}.weight": f32(rng.normal(size=shape)) for name, shape in shapes.items()}
    imported = import_gguf(written(path, metadata, tensors), context=CONTEXT, answer=ANSWER)
    model = Model.of(imported.tape, Card("tiny", input=card_input(imported.limits)))
    return model, Language(imported.vocabulary, imported.limits)


def computed(
    tape: Tape, wanted: set[int], symbols: Symbols, sources: list[np.ndarray]
) -> dict[int, np.ndarray]:
    """The wanted tensors, and nothing that they do not need."""
    needed = set(wanted)
    for index in range(len(tape.instructions) - 1, -1, -1):
        if index in needed and tape.instructions[index].opcode not in (Opcode.INPUT, Opcode.CONST):
            needed |= {operand.ref for operand in tape.instructions[index].operands}
    tensors: dict[int, np.ndarray] = {}
    for index in sorted(needed):
        instruction = tape.instructions[index]
        tensors[index] = evaluate_all(
            instruction, symbols, operand_tensors(tape, instruction, sources, tensors)
        )
    return tensors


def answers(tape: Tape, request: np.ndarray, tokens: int) -> list[tuple[bytes, bytes]]:
    """All claims (output, witness) that are their own answer with ok 1; the tape itself reads no output."""
    assert tape.witness is not None
    found = []
    lengths = range(tape.sources[1].max_elements + 1)
    for length in range(1, min(ANSWER, CONTEXT + 2 - len(request)) + 1):
        for claimed in product(range(tokens), repeat=length):
            witness = np.asarray(claimed, np.int32)
            sources = [request, np.zeros(0, np.uint8), witness]
            symbols = tape.symbols((len(request), 0, length))
            if computed(tape, {tape.witness}, symbols, sources)[tape.witness].tobytes() != witness.tobytes():
                continue
            for size in lengths:
                sources[1] = np.zeros(size, np.uint8)
                said = computed(
                    tape, {tape.output, tape.ok}, tape.symbols((len(request), size, length)), sources
                )
                if said[tape.ok].item() == 1:
                    found.append((said[tape.output].tobytes(), witness.tobytes()))
    return found


@pytest.mark.parametrize(
    ("start", "end", "request_"),
    [
        (1, 3, [0, 1]),
        (1, 3, [-5, 2]),
        (1, 3, [HUGE, 1]),
        (1, 3, [3, 4, 1]),
        (1, 3, [3, 0, 1, 2, 4]),
        (1, 3, [2, 3, 3]),
        (1, 4, [3, 2]),
        (1, 0, [3, 2, 1]),
        (1, 2, [3, 4]),
        (0, 3, [3, 2, -1]),
        (4, 3, [3, 2, 9]),
        (1, 3, [3, 99]),
        (1, 3, [3, -HUGE, HUGE]),
    ],
)
@pytest.mark.parametrize("seed", range(2))
def test_claims__of_a_tiny_model__are_right_once_and_found(
    tmp_path: Path, seed: int, start: int, end: int, request_: list[int]
) -> None:
    model, language = tiny(tmp_path / "tiny.gguf", seed, start, end)
    request = np.asarray(request_, np.int32)
    found = answers(model.tape, request, 5)
    assert len(found) == 1
    answer = solve(
        model, ReferenceExecutor(model.tape), request.tobytes(), ProposedText(language, LookupWriter(), 2)
    )
    assert (answer.output, answer.witness) == found[0]
