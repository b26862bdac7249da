"""Importing language models from GGUF files: the tokens and text of `text` around the layers of `transformer`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oracle_node.errors import AdmissionError, ModelError
from oracle_node.importers.gguf.file import GgufFile
from oracle_node.importers.gguf.hyperparameters import Hyperparameters, read_hyperparameters, require_tensors
from oracle_node.importers.gguf.text import ANSWER, LENGTH, REQUEST, Limits, Tokens
from oracle_node.importers.gguf.transformer import Transformer
from oracle_node.importers.gguf.vocabulary import Vocabulary, read_vocabulary
from oracle_node.importers.gguf.weights import Keep, Weights
from oracle_node.importers.imported import Progress
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import DEFAULT_STEP_BOUND, Tape

DEFAULT_CONTEXT = 1024
"""What a model is imported with if it can take as much: attention reads all of it in one step of a proof."""


@dataclass(frozen=True)
class ImportedLanguageModel:
    """A tape and what it was made of."""

    tape: Tape
    hyperparameters: Hyperparameters
    vocabulary: Vocabulary
    limits: Limits
    source_sha256: str
    weights: int


def import_gguf(
    path: Path,
    *,
    weights: Literal[8, 15] = 15,
    context: int | None = None,
    answer: int | None = None,
    step_bound: int = DEFAULT_STEP_BOUND,
    keep: Keep | None = None,
    progress: Progress | None = None,
) -> ImportedLanguageModel:
    """The model in a GGUF file as a tape with `weights`-bit weights.

    `context` limits prompt and answer together (default: the file's, at most 1,024 tokens), `answer` the answer
    (default: half of it). `keep` stores weights where they take no memory. `progress(done, total)` is called after
    every layer. ModelError names the file's fault.
    """
    with GgufFile.open(path) as file:
        h = read_hyperparameters(file)
        require_tensors(file, h)
        vocabulary = read_vocabulary(file)
        limits = _limits(path, h, context, answer)
        source = Weights(file, weights, keep)
        b = TapeBuilder(
            *limits.sources(vocabulary),
            inequalities=[limits.inequality],
            step_bound=step_bound,
            keep=keep,
        )
        try:
            tape = _build(b, h, vocabulary, limits, source, progress)
        except AdmissionError as error:
            raise AdmissionError(f"{path}: {error}") from None
        return ImportedLanguageModel(tape, h, vocabulary, limits, file.sha256(), weights)


def _limits(path: Path, h: Hyperparameters, context: int | None, answer: int | None) -> Limits:
    context = min(h.context, DEFAULT_CONTEXT) if context is None else context
    answer = max(1, context // 2) if answer is None else answer
    if not 1 <= context <= h.context:
        raise ModelError(f"{path}: a context of {context} tokens: the model was made for 1…{h.context}")
    if not 1 <= answer <= context:
        raise ModelError(f"{path}: answers of {answer} tokens: the context allows 1…{context}")
    return Limits(context, answer)


def _build(
    b: TapeBuilder,
    h: Hyperparameters,
    vocabulary: Vocabulary,
    limits: Limits,
    source: Weights,
    progress: Progress | None,
) -> Tape:
    tokens = Tokens(b, vocabulary, limits)
    model = Transformer(b, h, source.matrix(b), source.vector, LENGTH, limits.context)
    with b.scope("embedding"):
        x = model.embed(tokens.read)
    for layer in range(h.layers):
        with b.scope(f"layer {layer}"):
            x = model.layer(x, layer)
        if progress is not None:
            progress(layer + 1, h.layers + 1)
    with b.scope("head"):
        # row t says what follows token t: the first answer follows the prompt's last token
        answer = model.choose(model.logits(x.slice(0, REQUEST - 2, ANSWER)))
    if progress is not None:
        progress(h.layers + 1, h.layers + 1)
    return b.finish(tokens.text(), tokens.ok(), answer)
