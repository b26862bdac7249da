"""A model beside its source: which one it has, and how the two are compared."""

from pathlib import Path
from typing import Any

from oracle_node.cli.output import Output
from oracle_node.errors import ConfigError
from oracle_node.executors.base import Executor
from oracle_node.executors.choice import make_executor
from oracle_node.language.prompts import is_language
from oracle_node.model.directory import rewrite_card
from oracle_node.model.model import Model, RequestRefusedError

_MOST_ELEMENTS = 1 << 27
"""An import measures no model with a larger tensor: half a GiB of f32."""
RANDOM, MEASURED, TIMED = 10, 4, 5
"""Random inputs of a comparison, and of an import's; rounds of its timing."""


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
    from oracle_node.bench.compare import compare_with_source, random_samples, read_samples

    samples = random_samples(model, limit or RANDOM) if inputs is None else read_samples(inputs, model, limit)
    with out.progress("comparing", len(samples.requests)) as advance:
        return compare_with_source(model, engine, source, samples, lambda: advance(1))


def measure_import(model: Model, directory: Path, source: Path, out: Output) -> dict[str, Any]:
    """Agreement on a few random inputs and the time of one by one thread, written into the card.

    Nothing, with a warning, where the source cannot be run; nothing for language models, which `compare` takes longer
    to judge.
    """
    from oracle_node.bench.compare import compare_with_source, random_samples, time_beside_source

    if is_language(model):
        return {}
    request, output, witness = (source.min_elements for source in model.tape.sources)
    symbols = model.tape.symbols((request, output, witness))
    largest = max(instruction.count(symbols) for instruction in model.tape.instructions)
    if largest > _MOST_ELEMENTS:
        out.warn(f"not measured: one of its tensors has {largest} elements")
        return {}
    samples = random_samples(model, MEASURED)
    engine = make_executor(model.tape, threads=1)
    try:
        with out.progress("measuring", MEASURED) as advance:
            found = compare_with_source(model, engine, source, samples, lambda: advance(1))
        timed = time_beside_source(model, engine, source, samples.requests[0], TIMED)
    except (ConfigError, RequestRefusedError) as error:
        out.warn(f"not measured: {error}")
        return {}
    measured = {**found, **timed, "inputs": "random", "threads": 1}
    rewrite_card(directory, measured=measured)
    return measured


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
