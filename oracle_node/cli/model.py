"""`oracle-node model`: models as files, and listing them on chain."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from oracle_node.cli.inputs import read_request
from oracle_node.cli.options import (
    ether,
    executor_option,
    existing_file,
    image_max_option,
    model_directory,
    parse_hash,
)
from oracle_node.cli.output import Output, json_option
from oracle_node.cli.session import Session, dry_run_option, session_options
from oracle_node.errors import ConfigError, ModelError


@click.group()
def model() -> None:
    """Import, inspect, run, check and register models."""


@model.command("import")
@click.argument("source", type=existing_file)
@click.option(
    "--out",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="New model directory.",
)
@click.option(
    "--weights",
    type=click.Choice(["8", "15"]),
    default="15",
    show_default=True,
    help="Bits of a weight: 15 is near lossless, 8 is faster.",
)
@click.option(
    "--input-range", type=(float, float), help="What inputs are clamped to [default: ±2^20 for floats]."
)
@click.option(
    "--outputs",
    multiple=True,
    metavar="NAME",
    help="Answer with these tensors [default: the network's outputs].",
)
@click.option(
    "--image-max", type=float, help="Value of a white pixel, where the input is an image [default: 255]."
)
@click.option(
    "--context",
    type=click.IntRange(1),
    help="Tokens of prompt and answer together [default: the file's, at most 1024].",
)
@click.option("--answer", type=click.IntRange(1), help="Tokens of an answer [default: half the context].")
@click.option("--force", is_flag=True, help="Replace the model that the directory holds.")
@json_option
def import_model(
    source: Path,
    directory: Path,
    weights: str,
    input_range: tuple[float, float] | None,
    outputs: tuple[str, ...],
    image_max: float | None,
    context: int | None,
    answer: int | None,
    force: bool,
    out: Output,
) -> None:
    """Lower an ONNX network or a GGUF language model to a tape and prove it total."""
    from oracle_node.cli.sources import ImportOptions, import_into

    options = ImportOptions(
        8 if weights == "8" else 15, input_range, outputs or None, image_max, context, answer
    )
    with out.progress(f"importing {source.name}", None) as advance:
        imported = import_into(directory, source, options, lambda done, total: advance(1), force)
    out.result({**_facts(imported.describe()), "directory": directory})


@model.command()
@click.argument("directory", metavar="DIR", type=model_directory)
@json_option
def inspect(directory: Path, out: Output) -> None:
    """What a model directory holds; its id is recomputed from the files."""
    from oracle_node.model.directory import load_model

    out.result(load_model(directory).describe())


@model.command()
@click.argument("directory", metavar="DIR", type=model_directory)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="HTML file to write [default: DIR with the ending .html].",
)
@json_option
def view(directory: Path, target: Path | None, out: Output) -> None:
    """The tape as one HTML page: every instruction, what it reads, who reads it, what one element costs to prove."""
    from oracle_node.model.directory import load_model
    from oracle_node.model.page import tape_page

    loaded = load_model(directory, verify_weights=False)
    path = target or directory.resolve().with_name(f"{directory.resolve().name}.html")
    try:
        path.write_text(tape_page(loaded), encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from None
    out.result({"file": path, "instructions": len(loaded.tape.instructions)})


@model.command()
@click.argument("directory", metavar="DIR", type=model_directory)
@click.option("--input", "input_file", type=existing_file, help=".npy, raw bytes or an image.")
@click.option("--text", help="A prompt, for language models; an empty one is the start token alone.")
@click.option("--chat", is_flag=True, help="Put the prompt into the model's own chat template.")
@click.option("--max-tokens", type=click.IntRange(1), help="Tokens of the answer at most.")
@click.option("--draft", type=existing_file, help="GGUF file with which llama.cpp drafts the answer.")
@click.option("--trace", "with_trace", is_flag=True, help="Also commit to every tensor of the run.")
@click.option(
    "--threads", type=click.IntRange(1), default=None, help="Threads of ONNX Runtime [default: all cores]."
)
@image_max_option
@executor_option
@json_option
def run(
    directory: Path,
    input_file: Path | None,
    text: str | None,
    chat: bool,
    max_tokens: int | None,
    draft: Path | None,
    with_trace: bool,
    threads: int | None,
    image_max: float | None,
    executor: str,
    out: Output,
) -> None:
    """The model's answer to one input, bit for bit what every other machine gets."""
    from oracle_node.cli.answers import present_answer
    from oracle_node.cli.prompting import drafting, prompt_request
    from oracle_node.commitments.trace import trace
    from oracle_node.executors.choice import make_executor
    from oracle_node.model.directory import load_model
    from oracle_node.model.solver import solve

    if (input_file is None) == (text is None):
        raise click.UsageError("give either --input or --text")
    loaded = load_model(directory)
    if input_file is not None:
        request = read_request(input_file, loaded, image_max)
    else:
        request = prompt_request(loaded, directory, text or "", chat=chat, max_tokens=max_tokens)
    engine = make_executor(loaded.tape, executor, threads)
    with drafting(loaded, directory, draft, threads or 0) as proposals:
        answer = solve(loaded, engine, request, proposals)
    values: dict[str, Any] = {"output": answer.output, "witness": answer.witness, "seconds": answer.seconds}
    if proposals is not None:
        values |= {"passes": answer.passes, "corrected_tokens": proposals.corrected_tokens}
    if with_trace:
        sources = loaded.sources(request, answer.output, answer.witness)
        with out.progress("tracing", len(loaded.tape.instructions)) as advance:
            known = zip(loaded.tape.weights, loaded.weight_roots, strict=True)
            made = trace(engine, loaded.symbols(sources), sources, lambda _: advance(1), known)
        values["trace_root"] = made.root
    out.result({**values, **present_answer(loaded, answer.output)})


@model.command()
@click.argument("directory", metavar="DIR", type=model_directory)
@click.option("--source", type=existing_file, required=True, help="The file the model was imported from.")
@click.option(
    "--inputs",
    type=existing_file,
    help=(
        ".npz: one array of samples, and perhaps `label`. Language models: a prompt a line, or .npz of token ids "
        "[default: the start token]."
    ),
)
@click.option("--limit", type=click.IntRange(1), default=None, help="Compare the first samples only.")
@click.option("--record", is_flag=True, help="Write what was measured into the model's card.")
@executor_option
@json_option
def compare(
    directory: Path,
    source: Path,
    inputs: Path | None,
    limit: int | None,
    record: bool,
    executor: str,
    out: Output,
) -> None:
    """The model's answers beside those of its source: ONNX Runtime in float32, or llama.cpp."""
    from oracle_node.cli.comparing import compare_model
    from oracle_node.model.directory import load_model, record_in_card

    loaded = load_model(directory)
    found = compare_model(loaded, directory, source, inputs, limit, executor, out)
    if record:
        record_in_card(directory, {"agreement": {**found, "source": source.name}})
    out.result(found)


@model.command()
@click.argument("directory", metavar="DIR", type=model_directory)
@click.option(
    "--elements", type=click.IntRange(1), default=2000, show_default=True, help="Elements to check."
)
@click.option(
    "--input", "input_file", type=existing_file, default=None, help="A real input besides the random ones."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the random inputs and elements.")
@json_option
def selftest(directory: Path, elements: int, input_file: Path | None, seed: int, out: Output) -> None:
    """Check that numpy, ONNX Runtime and the EVM compute the same bits, on elements of every instruction."""
    from oracle_node.bench import selftest as checks
    from oracle_node.errors import DeterminismError
    from oracle_node.executors.choice import make_executor
    from oracle_node.model.directory import load_model

    loaded = load_model(directory)
    requests = checks.random_requests(loaded, 2, seed)
    if input_file is not None:
        requests.append(read_request(input_file, loaded))
    engine = make_executor(loaded.tape)
    with out.progress("checking", elements) as advance:
        found = checks.selftest(loaded, engine, requests, elements, seed, advance)
    out.result(
        {
            "elements_checked": found.elements_checked,
            "run_elements": found.run_elements,
            "padding_elements": found.padding_elements,
            "mismatches": len(found.mismatches),
            "by_opcode": found.by_opcode,
            "first_mismatch": asdict(found.mismatches[0]) if found.mismatches else None,
        }
    )
    if found.mismatches:
        raise DeterminismError(
            f"{len(found.mismatches)} of {found.elements_checked} elements differ; do not run a node here"
        )


@model.command()
@click.argument("model_id", metavar="ID")
@click.argument("directory", metavar="DIR", type=model_directory)
@json_option
def verify(model_id: str, directory: Path, out: Output) -> None:
    """Recompute a model's id from its files and compare it with ID."""
    from oracle_node.model.directory import load_model

    wanted = parse_hash(model_id, "model id")
    found = load_model(directory).model_id
    if found != wanted:
        raise ModelError(f"{directory} holds model 0x{found.hex()}, not 0x{wanted.hex()}")
    out.result({"model_id": found, "verified": True})


@model.command()
@click.argument("directory", metavar="DIR", type=model_directory)
@session_options
@click.option(
    "--window", type=click.IntRange(1), help="Seconds to challenge a claim [default: the contract's least]."
)
@click.option(
    "--clock", type=click.IntRange(1), help="Seconds of thinking time of each side [default: the least]."
)
@click.option("--claim-bond", type=ether, help="Ether a claim locks [default: the least].")
@click.option("--challenge-bond", type=ether, help="Ether a challenge locks [default: the least].")
@click.option("--min-fee", type=ether, default=0, show_default=True, help="Least ether a request pays.")
@click.option(
    "--commit-reveal/--open", default=True, show_default=True, help="Hide answers until claimants are bound."
)
@dry_run_option
@json_option
def register(directory: Path, session: Session, out: Output, **terms: Any) -> None:
    """List a model on chain under terms; anyone may, under any terms above the contract's floors."""
    from oracle_node.cli.listing import register_model
    from oracle_node.model.directory import load_model

    out.result(asyncio.run(register_model(session, load_model(directory), **terms)))


def _facts(description: dict[str, Any]) -> dict[str, Any]:
    """The part of a description that an import reports."""
    keys = ("model_id", "instructions", "ops", "max_step_bytes", "weights_bytes", "inputs", "answer")
    return {key: description[key] for key in keys}
