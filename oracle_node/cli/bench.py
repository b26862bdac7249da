"""`oracle-node bench`: measured beside a baseline in the same run; quoted numbers are marked as quoted."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from oracle_node.chain.embedded import Engine
from oracle_node.cli.inputs import read_request
from oracle_node.cli.options import engine_option, existing_file, model_directory
from oracle_node.cli.output import Output, json_option
from oracle_node.errors import ConfigError
from oracle_node.model.model import Model
from oracle_node.tape.types import SourceKind


@click.group()
def bench() -> None:
    """Speed and gas beside their baselines, in one run."""


@bench.command()
@click.option(
    "--mebibytes", type=click.IntRange(1, 4096), default=128, show_default=True, help="Size of the tensor."
)
@click.option(
    "--rounds", type=click.IntRange(1), default=5, show_default=True, help="Rounds; the median counts."
)
@json_option
def commit(mebibytes: int, rounds: int, out: Output) -> None:
    """Trace hashing, beside bare hashlib over the same 1 KiB chunks."""
    from oracle_node.bench.commit import bench_commit

    out.result(bench_commit(mebibytes, rounds))


@bench.command()
@click.option(
    "--model", "directory", type=model_directory, help="Model directory [default: the shipped digits model]."
)
@click.option(
    "--source", type=existing_file, help="The float network it was imported from; needed with --model."
)
@click.option("--input", "input_file", type=existing_file, help="Input; needed with --model.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of all three.")
@click.option(
    "--rounds", type=click.IntRange(1), default=50, show_default=True, help="Rounds; the median counts."
)
@click.option("--profile", is_flag=True, help="Show where the time goes, layer by layer.")
@click.option(
    "--layers",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Layers that --profile shows, the slowest first.",
)
@json_option
def exact(
    directory: Path | None,
    source: Path | None,
    input_file: Path | None,
    threads: int,
    rounds: int,
    profile: bool,
    layers: int,
    out: Output,
) -> None:
    """One exact answer, beside ONNX Runtime float32 and dynamic int8 on the same network."""
    from oracle_node.bench.exact import bench_exact
    from oracle_node.bench.profile import profile_exact
    from oracle_node.cli.profile import profile_table
    from oracle_node.cli.sources import model_or_digits
    from oracle_node.executors.choice import make_executor
    from oracle_node.shipped import shipped

    if directory is not None and (source is None or input_file is None):
        raise click.UsageError("--model needs --source and --input beside it")
    loaded = model_or_digits(directory)
    request = read_request(input_file or shipped().sample(7), loaded)
    values = loaded.source(SourceKind.REQUEST, request)
    source = source or shipped().source
    if profile:
        found = profile_exact(loaded, source, values, threads, rounds)
        found["layers"] = found["layers"][:layers]
        out.result(found, profile_table(found))
        return
    engine = make_executor(loaded.tape, threads=threads)
    out.result(bench_exact(loaded, engine, source, values, threads, rounds))


@bench.command()
@click.option(
    "--model", "directory", type=model_directory, help="Model directory [default: the shipped digits model]."
)
@click.option(
    "--input", "input_file", type=existing_file, help="Input [default: a sample, or with --model zeros]."
)
@click.option(
    "--text", help="A prompt or a sentence, for models of text [default: the start token alone, zeros]."
)
@click.option(
    "--max-tokens", type=click.IntRange(1), default=16, show_default=True, help="Of an answer to --text."
)
@click.option("--draft", type=existing_file, help="GGUF file with which llama.cpp drafts the answer.")
@click.option(
    "--tensor",
    type=click.IntRange(0),
    help="Where to lie [default: where one element is costliest to prove].",
)
@click.option("--each-kind", is_flag=True, help="Lie once about every kind of instruction.")
@click.option(
    "--each-lie",
    is_flag=True,
    help="Language models: a wrong token, byte and stop, an answer too short and too long, and text cut off.",
)
@engine_option
@json_option
def dispute(
    directory: Path | None,
    input_file: Path | None,
    text: str | None,
    max_tokens: int,
    draft: Path | None,
    tensor: int | None,
    each_kind: bool,
    each_lie: bool,
    engine: Engine,
    out: Output,
) -> None:
    """Refute a wrong element on a development chain: rounds and gas of both sides, beside a quoted reference."""
    from oracle_node.bench import dispute as disputes
    from oracle_node.cli.disputes import cost_table
    from oracle_node.cli.prompting import drafting, wrong_claims
    from oracle_node.cli.sources import model_or_digits
    from oracle_node.executors.choice import make_executor
    from oracle_node.language.lies import LIES

    if sum((tensor is not None, each_kind, each_lie)) > 1:
        raise click.UsageError("give one of --tensor, --each-kind and --each-lie")
    loaded = model_or_digits(directory)
    tensors = disputes.each_kind(loaded) if each_kind else None if tensor is None else [tensor]
    _require_tensors(loaded, tensors or [], disputes.answers(loaded))
    request = _dispute_request(loaded, directory, input_file, text, max_tokens)
    executor = make_executor(loaded.tape)
    with (
        drafting(loaded, directory or Path(), draft) as proposals,
        out.progress("playing", len(LIES) if each_lie else len(tensors or [0])) as advance,
    ):
        if each_lie:
            claims = wrong_claims(loaded, directory or Path(), executor, request, proposals)
            played = disputes.bench_claims(loaded, executor, request, claims, engine, lambda: advance(1))
        else:
            played = disputes.bench_dispute(
                loaded, executor, request, tensors, engine, proposals, lambda: advance(1)
            )
        found = asyncio.run(played)
    out.result(found, cost_table(found))


def _require_tensors(model: Model, tensors: Sequence[int], answers: set[int]) -> None:
    count = len(model.tape.instructions)
    for tensor in tensors:
        if tensor >= count:
            raise ConfigError(f"--tensor {tensor}: the model has instructions 0…{count - 1}")
        if tensor in answers:
            raise ConfigError(f"--tensor {tensor}: this is the answer itself; choose a tensor behind it")


def _dispute_request(
    model: Model, directory: Path | None, input_file: Path | None, text: str | None, max_tokens: int
) -> bytes:
    """What is asked in `bench dispute`."""
    from oracle_node.codec.request import Given, request_bytes
    from oracle_node.language.prompts import is_language, prompt_request
    from oracle_node.shipped import shipped

    if input_file is not None:
        return read_request(input_file, model)
    if text is not None and not is_language(model):
        return request_bytes(model, Given(text=text), directory)
    if directory is None:
        return read_request(shipped().sample(7), model)
    if is_language(model):
        return prompt_request(model, directory, text or "", max_tokens=max_tokens)
    source = model.tape.sources[SourceKind.REQUEST]
    return bytes(source.min_elements * source.dtype.width)


@bench.command()
@click.option(
    "--model", "directory", type=model_directory, required=True, help="Directory of a language model."
)
@click.option("--draft", type=existing_file, required=True, help="The GGUF file it was imported from.")
@click.option(
    "--prompt-tokens", type=click.IntRange(1), default=32, show_default=True, help="Length of the prompt."
)
@click.option(
    "--tokens", type=click.IntRange(1), default=128, show_default=True, help="Length of the answer."
)
@click.option("--threads", type=click.IntRange(1), default=None, help="Threads of both [default: all cores].")
@click.option(
    "--rounds", type=click.IntRange(1), default=3, show_default=True, help="Rounds; the median counts."
)
@json_option
def llm(
    directory: Path,
    draft: Path,
    prompt_tokens: int,
    tokens: int,
    threads: int | None,
    rounds: int,
    out: Output,
) -> None:
    """llama.cpp alone, draft and check together, the check alone, and a trace: seconds and ratios in one run."""
    from oracle_node.bench.llm import bench_llm
    from oracle_node.model.directory import load_model

    loaded = load_model(directory)
    with out.progress("measuring", rounds + 1) as advance:
        found = bench_llm(
            loaded, directory, draft, prompt_tokens, tokens, threads or 0, rounds, lambda: advance(1)
        )
    out.result(found)
