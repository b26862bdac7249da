"""`oracle-node model import`: files of other formats into model directories."""

from pathlib import Path

import click

from oracle_node.cli.options import existing_file
from oracle_node.cli.output import Output, json_option

_REPORTED = (
    "model_id", "instructions", "ops", "max_step_bytes", "weights_bytes", "inputs", "answer", "measured",
)  # fmt: skip
"""The part of a description that an import reports."""


@click.command("import")
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
    type=click.Choice(["8", "15", "21"]),
    default="15",
    show_default=True,
    help="Bits of a weight: 15 is near lossless, 8 is smaller; 21 (ONNX only) is as near to the network as float32.",
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
    "--tokenizer",
    type=existing_file,
    help="Of a network that reads text: its tokenizer.json, or BERT's vocab.txt (in lower case).",
)
@click.option(
    "--context",
    type=click.IntRange(1),
    help="Tokens of prompt and answer together [default: the file's, at most 1024]; "
    "of an ONNX input of free length the most elements [default: 256].",
)
@click.option("--answer", type=click.IntRange(1), help="Tokens of an answer [default: half the context].")
@click.option(
    "--measure/--no-measure",
    default=True,
    show_default=True,
    help="Write into the card how far the answers to a few random inputs are from the source's, and the times.",
)
@click.option("--force", is_flag=True, help="Replace the model that the directory holds.")
@json_option
def import_model(
    source: Path,
    directory: Path,
    weights: str,
    input_range: tuple[float, float] | None,
    outputs: tuple[str, ...],
    image_max: float | None,
    tokenizer: Path | None,
    context: int | None,
    answer: int | None,
    measure: bool,
    force: bool,
    out: Output,
) -> None:
    """Lower an ONNX network or a GGUF language model to a tape and prove it total."""
    from oracle_node.cli.comparing import measure_import
    from oracle_node.cli.sources import WEIGHT_BITS, ImportOptions, import_into

    options = ImportOptions(
        WEIGHT_BITS[weights], input_range, outputs or None, image_max, tokenizer, context, answer
    )
    with out.progress(f"importing {source.name}", None) as advance:
        imported = import_into(directory, source, options, lambda done, total: advance(1), force)
    described = imported.describe()
    if measure:
        described["measured"] = measure_import(imported, directory, source, out)
    out.result({**{key: described[key] for key in _REPORTED}, "directory": directory})
