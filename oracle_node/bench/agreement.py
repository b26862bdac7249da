"""A language model beside llama.cpp on the file it came from: greedy tokens and logits."""

from collections.abc import Callable, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from oracle_node.errors import ConfigError
from oracle_node.executors.base import Executor
from oracle_node.language.drafts import LlamaWriter
from oracle_node.language.prompts import Language
from oracle_node.language.tokenizer import Tokenizer
from oracle_node.model.model import Model
from oracle_node.tape.affine import Symbols

TOKENS = 32
"""Of every prompt's continuation."""


def read_prompts(path: Path, tokenizer: Tokenizer) -> list[list[int]]:
    """Token ids: the lines of a text file, or the rows of a .npz file's one array; ConfigError otherwise."""
    if path.suffix != ".npz":
        lines = path.read_text("utf-8", "replace").splitlines()
        return [tokenizer.encode(line) for line in lines if line]
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = [np.asarray(archive[name]) for name in archive.files]
    except (ValueError, OSError, BadZipFile, AttributeError, TypeError):
        raise ConfigError(f"{path}: not a numpy .npz archive") from None
    if len(arrays) != 1 or arrays[0].ndim != 2 or arrays[0].dtype.kind not in "iu":
        raise ConfigError(f"{path}: one array of token ids is needed, (prompts, tokens)")
    return [row.tolist() for row in arrays[0]]


def compare_with_llama(
    model: Model,
    executor: Executor,
    language: Language,
    writer: LlamaWriter,
    prompts: Sequence[Sequence[int]],
    progress: Callable[[], None] = lambda: None,
) -> dict[str, float | int]:
    """llama.cpp continues every prompt greedily; the tape runs once over what it wrote.

    Errors are of the logits, over all tokens; the relative one against the largest logit. `top1_agreement` is the share
    of tokens that the tape would have chosen too, given those before.
    """
    worst_abs, largest, agreed, tokens = 0.0, 1e-30, 0, 0
    for prompt in prompts:
        room = min(TOKENS, language.limits.answer, language.limits.context + 1 - len(prompt))
        request = language.request(prompt, room)
        said = writer.continued(prompt, room, frozenset())
        theirs = np.empty((len(said), len(language.vocabulary.pieces)), np.float32)
        for row in range(len(said)):
            writer.read([*prompt, *said[:row]])
            theirs[row] = writer.logits()
        claim = language.claim(request, said)
        sources = (request, claim.output, claim.witness)
        symbols = model.symbols(sources)
        assert model.tape.witness is not None
        logits = _logits(model, symbols, theirs.shape)
        found = executor.run(symbols, sources, [logits, model.tape.witness])
        worst_abs = max(worst_abs, float(np.abs(found[logits] - theirs).max()))
        largest = max(largest, float(np.abs(theirs).max()))
        agreed += int((found[model.tape.witness] == claim.witness).sum())
        tokens += len(said)
        progress()
    return {
        "samples": len(prompts),
        "tokens": tokens,
        "max_abs_error": worst_abs,
        "max_rel_error": worst_abs / largest,
        "top1_agreement": agreed / tokens,
    }


def _logits(model: Model, symbols: Symbols, shape: tuple[int, ...]) -> int:
    """The last float tensor of that shape."""
    return max(
        index
        for index, instruction in enumerate(model.tape.instructions)
        if instruction.dtype.kind == "float" and instruction.concrete_shape(symbols) == shape
    )
