"""`model compare`: which source a model has, and how the two are compared."""

from pathlib import Path

import click

from oracle_node.cli.output import Output
from oracle_node.executors.base import Executor
from oracle_node.executors.choice import make_executor
from oracle_node.language.prompts import is_language
from oracle_node.model.model import Model


def compare_model(
    model: Model,
    directory: Path,
    source: Path,
    inputs: Path | None,
    limit: int | None,
    executor: str,
    out: Output,
) -> dict[str, float | int]:
    """How far the model's answers are from its source's."""
    engine = make_executor(model.tape, executor)
    if is_language(model):
        return _compare_language(model, directory, engine, source, inputs, limit, out)
    from oracle_node.bench.compare import compare_with_source, read_samples

    if inputs is None:
        raise click.UsageError("--inputs is needed for this model")
    samples = read_samples(inputs, limit)
    with out.progress("comparing", len(samples.values)) as advance:
        return compare_with_source(model, engine, source, samples, lambda: advance(1))


def _compare_language(
    model: Model,
    directory: Path,
    engine: Executor,
    source: Path,
    inputs: Path | None,
    limit: int | None,
    out: Output,
) -> dict[str, float | int]:
    from oracle_node.bench.agreement import compare_with_llama, read_prompts
    from oracle_node.language.drafts import LlamaWriter
    from oracle_node.language.prompts import load_language
    from oracle_node.language.tokenizer import Tokenizer

    language = load_language(model, directory)
    if inputs is None:
        prompts = [language.start()]
    else:
        with Tokenizer.open(source) as tokenizer:
            prompts = read_prompts(inputs, tokenizer)[:limit]
    with (
        LlamaWriter(source, language.limits.context) as writer,
        out.progress("comparing", len(prompts)) as advance,
    ):
        return compare_with_llama(model, engine, language, writer, prompts, lambda: advance(1))
