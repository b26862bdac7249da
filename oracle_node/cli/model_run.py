"""`oracle-node model run | compare | selftest`: what a model answers, and whether that is right."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from oracle_node.cli.inputs import NamedPath, given, input_option, read_request, text_option
from oracle_node.cli.options import executor_option, existing_file, model_directory
from oracle_node.cli.output import Output, json_option


@click.command()
@click.argument("directory", metavar="DIR", type=model_directory)
@input_option
@text_option
@click.option("--chat", is_flag=True, help="Put the prompt into the model's own chat template.")
@click.option("--max-tokens", type=click.IntRange(1), help="Tokens of the answer at most.")
@click.option("--draft", type=existing_file, help="GGUF file with which llama.cpp drafts the answer.")
@click.option("--trace", "with_trace", is_flag=True, help="Also commit to every tensor of the run.")
@click.option(
    "--threads", type=click.IntRange(1), default=None, help="Threads of ONNX Runtime [default: all cores]."
)
@executor_option
@json_option
def run(
    directory: Path,
    inputs: tuple[NamedPath, ...],
    text: str | None,
    chat: bool,
    max_tokens: int | None,
    draft: Path | None,
    with_trace: bool,
    threads: int | None,
    executor: str,
    out: Output,
) -> None:
    """The model's answer to one input, bit for bit what every other machine gets."""
    from oracle_node.cli.prompting import drafting
    from oracle_node.codec.answer import read_answer
    from oracle_node.codec.request import request_bytes
    from oracle_node.commitments.trace import trace
    from oracle_node.executors.choice import make_executor
    from oracle_node.model.directory import load_model
    from oracle_node.model.solver import solve

    asked = given(inputs, text, chat=chat, max_tokens=max_tokens)
    loaded = load_model(directory)
    request = request_bytes(loaded, asked, directory)
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
    out.result({**values, **read_answer(loaded, answer.output)})


@click.command()
@click.argument("directory", metavar="DIR", type=model_directory)
@click.option("--source", type=existing_file, required=True, help="The file the model was imported from.")
@click.option(
    "--inputs",
    type=existing_file,
    help=(
        ".npz: an array of samples for every input, and perhaps `label`. Language models: a prompt a line, or .npz of "
        "token ids [default: random inputs, or the start token]."
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
    from oracle_node.model.directory import load_model, rewrite_card

    loaded = load_model(directory)
    found = compare_model(loaded, directory, source, inputs, limit, executor, out)
    if record:
        measured = {**loaded.card.measured, **found, "inputs": inputs.name if inputs else "random"}
        rewrite_card(directory, measured=measured)
    out.result(found)


@click.command()
@click.argument("directory", metavar="DIR", type=model_directory)
@click.option(
    "--elements", type=click.IntRange(1), default=2000, show_default=True, help="Elements to check."
)
@click.option(
    "--input",
    "input_file",
    type=existing_file,
    default=None,
    help="A real input besides the random ones, as in `run`.",
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
    engine = make_executor(loaded.tape, loops_after=0)
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
