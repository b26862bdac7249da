#!/usr/bin/env python3
"""Write a language model of random weights as a GGUF file that llama.cpp runs: for tests and timings, with no download.

Matrices have a standard deviation of about 1/sqrt(inputs), norms are 1, and the token embedding is as large as what all
layers add to it. Unless it is tied, the output matrix is the embedding with its rows moved on: every token has another
one that follows it most likely, as clearly as in a trained model. Weights are written a block of rows at a time, so
that memory stays under 1 GiB whatever the size of the model. The same arguments give the same bytes.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import count, islice, product
from math import sqrt
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

import numpy as np  # noqa: E402

from oracle_node.errors import OracleError  # noqa: E402
from oracle_node.importers.gguf.file import GgufFile, gguf_package  # noqa: E402
from oracle_node.importers.gguf.hyperparameters import PAIRINGS, Hyperparameters, Rope, tensors  # noqa: E402

SHAPES = {  # layers, width, heads, kv heads, ffn width, vocabulary, context
    "tiny": (2, 64, 4, 2, 192, 512, 256),
    "tinyllama-1.1b": (22, 2048, 32, 4, 5632, 32000, 2048),
    "llama-2-7b": (32, 4096, 32, 32, 11008, 32000, 4096),
}
BLOCK_ELEMENTS = 1 << 24
"""Weights made and written at once."""
Q8_0_ELEMENTS = 32
UNIFORM_BYTE_DEVIATION = 73.6
"""Of integers spread evenly over -127…127."""
BIAS_DEVIATION = 0.1
FIRST_WORD = 3 + 256
"""After <unk>, <s>, </s> and one token for every byte."""
LAYER_DEVIATION = 0.6
"""Of what a layer adds to the residual, about."""
STRIDE = 7919
"""What follows a word is the word so many places further on."""
EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"


def main() -> int:
    arguments = parse_arguments()
    began = time.perf_counter()
    try:
        h = hyperparameters(arguments)
        write(arguments.target, h, arguments.type, arguments.seed, arguments.vocabulary)
    except OracleError as error:
        print(error, file=sys.stderr)
        return 1
    size = arguments.target.stat().st_size
    print(f"{arguments.target}: {size:,} bytes in {time.perf_counter() - began:.1f} s")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", type=Path, help="the file to write")
    parser.add_argument("--shape", choices=SHAPES, default="tiny", help="how large (default: tiny)")
    parser.add_argument("--type", choices=("Q8_0", "F16", "F32"), default="Q8_0", help="of the matrices")
    parser.add_argument("--architecture", choices=tuple(PAIRINGS), default="llama")
    parser.add_argument("--kv-heads", type=int, help="heads of keys and values (default: the shape's)")
    parser.add_argument("--tied", action="store_true", help="the output matrix is the token embedding")
    parser.add_argument(
        "--vocabulary", type=Path, metavar="FILE.gguf", help="copy this tokenizer (default: made-up words)"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def hyperparameters(arguments: argparse.Namespace) -> Hyperparameters:
    layers, width, heads, kv_heads, ffn_width, vocabulary_size, context = SHAPES[arguments.shape]
    kv_heads = arguments.kv_heads or kv_heads
    if arguments.vocabulary:
        with GgufFile.open(arguments.vocabulary) as file:
            vocabulary_size = len(file.strings("tokenizer.ggml.tokens"))
    return Hyperparameters(
        architecture=arguments.architecture,
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        head_width=width // heads,
        ffn_width=ffn_width,
        context=context,
        vocabulary_size=vocabulary_size,
        rms_epsilon=1e-5,
        rope=Rope(10000.0, width // heads, PAIRINGS[arguments.architecture]),
        tied_output=arguments.tied,
        has_attention_bias=arguments.architecture == "qwen2",
    )


def write(target: Path, h: Hyperparameters, kind: str, seed: int, vocabulary: Path | None) -> None:
    """The whole file: metadata, then every tensor in blocks of rows."""
    gguf = gguf_package()
    writer = gguf.GGUFWriter(target, h.architecture)
    add_sizes(writer, h, kind)
    if vocabulary:
        copy_vocabulary(writer, vocabulary)
    else:
        add_vocabulary(writer, h.vocabulary_size)
    shapes = tensors(h)
    for name, shape in shapes.items():
        stored = gguf.GGMLQuantizationType[kind if len(shape) == 2 else "F32"]
        block, block_bytes = gguf.GGML_QUANT_SIZES[stored]
        elements = int(np.prod(shape))
        writer.add_tensor_info(name, shape, np.dtype(np.float32), elements // block * block_bytes, stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    (out,) = writer.fout
    writer.write_padding(out, out.tell())
    rng = np.random.Generator(np.random.SFC64(seed))
    deviation = LAYER_DEVIATION * sqrt(h.layers)
    for name, shape in shapes.items():
        size = 0
        if name in (EMBEDDING, OUTPUT):
            drawn = np.random.Generator(np.random.SFC64([seed, 1]))  # the same twice
            made = matrix(drawn, shape, kind, deviation if name == EMBEDDING else None)
            data_blocks = made if name == EMBEDDING else moved_on(b"".join(made), shape[0])
        else:
            data_blocks = blocks(rng, name, shape, kind)
        for data in data_blocks:
            size += out.write(data)
        writer.write_padding(out, size)
    writer.close()


def add_sizes(writer: Any, h: Hyperparameters, kind: str) -> None:
    gguf = gguf_package()
    writer.add_name(f"random {h.architecture}, {h.layers} layers of {h.width}")
    writer.add_file_type(
        gguf.LlamaFileType[{"F32": "ALL_F32", "F16": "MOSTLY_F16", "Q8_0": "MOSTLY_Q8_0"}[kind]]
    )
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(h.context)
    writer.add_embedding_length(h.width)
    writer.add_block_count(h.layers)
    writer.add_feed_forward_length(h.ffn_width)
    writer.add_head_count(h.heads)
    writer.add_head_count_kv(h.kv_heads)
    writer.add_layer_norm_rms_eps(h.rms_epsilon)
    writer.add_rope_dimension_count(h.rope.dimensions)
    writer.add_rope_freq_base(h.rope.base)
    writer.add_vocab_size(h.vocabulary_size)


def copy_vocabulary(writer: Any, source: Path) -> None:
    for key, field in gguf_package().GGUFReader(source).fields.items():
        if key.startswith("tokenizer."):
            writer.add_key_value(key, field.contents(), field.types[0], field.types[-1])


def add_vocabulary(writer: Any, size: int) -> None:
    """A SentencePiece vocabulary of made-up words, the shorter ones preferred, every one reachable by merges."""
    kinds = gguf_package().TokenType
    byte_names = [f"<0x{byte:02X}>" for byte in range(256)]
    written = list(islice(words(), size - FIRST_WORD))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(["<unk>", "<s>", "</s>", *byte_names, *written])
    writer.add_token_scores([0.0] * FIRST_WORD + [-float(rank) for rank in range(len(written))])
    roles = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL, *[kinds.BYTE] * 256, *[kinds.NORMAL] * len(written)]
    writer.add_token_types([int(role) for role in roles])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)


def words() -> Iterator[str]:
    """Distinct pieces without end: signs, then consonants and vowels in turn, inside words and at their beginning."""
    consonants, vowels = "bcdfghjklmnpqrstvwxyz", "aeiou"
    space = "\u2581"
    yield from (space, *consonants, *vowels, *"0123456789.,:;!?'-")
    yield from (space + letter for letter in consonants)
    for length in count(2):
        for letters in product(*[(consonants, vowels)[place % 2] for place in range(length)]):
            yield "".join(letters)
            yield space + "".join(letters)


def blocks(rng: np.random.Generator, name: str, shape: tuple[int, ...], kind: str) -> Iterator[bytes]:
    """The data of one tensor."""
    if name.endswith("norm.weight"):
        yield np.ones(shape, "<f4").tobytes()
    elif name.endswith(".bias"):
        yield uniform(rng, shape, BIAS_DEVIATION).tobytes()
    else:
        yield from matrix(rng, shape, kind)


def matrix(
    rng: np.random.Generator, shape: tuple[int, ...], kind: str, deviation: float | None = None
) -> Iterator[bytes]:
    """Rows in blocks; the standard deviation is 1/sqrt(columns) unless told otherwise."""
    rows, columns = shape
    step, deviation = max(1, BLOCK_ELEMENTS // columns), deviation or 1 / sqrt(columns)
    for start in range(0, rows, step):
        part = (min(step, rows - start), columns)
        if kind == "Q8_0":
            yield q8_0(rng, part, deviation)
        else:
            yield uniform(rng, part, deviation).astype({"F32": "<f4", "F16": "<f2"}[kind]).tobytes()


def moved_on(data: bytes, rows: int) -> Iterator[bytes]:
    """Rows of a matrix such that words follow words; what comes before them follows nothing."""
    width = len(data) // rows
    words = rows - FIRST_WORD
    yield bytes(FIRST_WORD * width)
    for place in range(words):
        source = FIRST_WORD + (place - STRIDE) % words
        yield data[source * width : (source + 1) * width]


def uniform(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> np.ndarray[Any, Any]:
    """Spread evenly around 0, f32."""
    values = rng.random(shape, np.float32)
    values -= np.float32(0.5)
    values *= np.float32(deviation * sqrt(12))
    return values


def q8_0(rng: np.random.Generator, shape: tuple[int, int], deviation: float) -> bytes:
    """Rows of random blocks: a scale of 0.5 to 1.5 times the usual, and integers spread evenly."""
    rows, columns = shape
    data = np.empty(rows * columns // Q8_0_ELEMENTS, [("scale", "<f2"), ("q", "i1", Q8_0_ELEMENTS)])
    usual = deviation / UNIFORM_BYTE_DEVIATION
    data["scale"] = (rng.random(len(data), np.float32) + np.float32(0.5)) * np.float32(usual)
    integers = np.frombuffer(rng.bytes(rows * columns), np.int8).reshape(data["q"].shape)
    np.maximum(integers, -127, out=data["q"])
    return data.tobytes()


if __name__ == "__main__":
    sys.exit(main())
