"""GGUF files that no honest converter writes; each builder returns the bytes of a file."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.importers.gguf.files import F32, f32, gguf_bytes, llama_metadata, llama_tensors, padded, string
from tests.importers.hostile_onnx import ESCAPES

TOKENS = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.add_bos_token": False}


def language_model(tensors: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """A tiny llama that would be imported, but for the changes to its metadata and tensors; None takes one away."""
    metadata = llama_metadata() | TOKENS | changes
    changed = llama_tensors() | (tensors or {})
    return gguf_bytes(
        {key: value for key, value in metadata.items() if value is not None},
        {name: tensor for name, tensor in changed.items() if tensor is not None},
    )


def _header(tensors: int, pairs: int, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + rest


def _pair(key: str, kind: int, value: bytes) -> bytes:
    return _header(0, 1, string(key) + struct.pack("<I", kind) + value)


def _tensor(*shape: int, kind: int = F32, start: int = 0, name: str | bytes = "w") -> bytes:
    entry = string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, start)
    return padded(_header(1, 0, entry)) + bytes(64)


def _nested_array(depth: int) -> bytes:
    return struct.pack("<IQ", 9, 1) * depth + bytes(64)


FILES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "the magic number alone": lambda: b"GGUF",
    "half a header": lambda: _header(1, 1)[:19],
    "cut short in its tensors": lambda: language_model()[:-2000],
    "cut short in its metadata": lambda: language_model()[:200],
    "an ONNX file": lambda: b"\x08\x08\x12\x04test" * 20,
    "version 2^31": lambda: b"GGUF" + struct.pack("<IQQ", 2**31, 0, 0),
    "2^60 tensors": lambda: _header(2**60, 0),
    "2^60 pairs": lambda: _header(0, 2**60),
    "65536 pairs that are not there": lambda: _header(0, 65536),
    "a key of 2^63 bytes": lambda: _header(0, 1, struct.pack("<Q", 2**63) + b"k"),
    "a string of 2^63 bytes": lambda: _pair("k", 8, struct.pack("<Q", 2**63)),
    "an array of 2^62 numbers": lambda: _pair("k", 9, struct.pack("<IQ", 10, 2**62)),
    "an array of 2^60 strings": lambda: _pair("k", 9, struct.pack("<IQ", 8, 2**60)),
    "an array of arrays": lambda: _pair("k", 9, _nested_array(1000)),
    "a type of 2^32": lambda: _pair("k", 2**32 - 1, bytes(8)),
    "alignment 0": lambda: _pair("general.alignment", 4, bytes(4)),
    "alignment 2^31": lambda: language_model(**{"general.alignment": 2**31}),
    "alignment that is text": lambda: _pair("general.alignment", 8, string("32")),
    "a tensor of 2^124 elements": lambda: _tensor(2**62, 2**62),
    "a tensor of no elements": lambda: _tensor(0, 4),
    "a tensor of 2^32 dimensions": lambda: (
        _header(1, 0, string("w") + struct.pack("<I", 2**32 - 1)) + bytes(64)
    ),
    "a tensor of an unknown type": lambda: _tensor(2, 32, kind=10**9),
    "a tensor beyond the file": lambda: _tensor(4, start=2**60),
    "a tensor that begins at 2^64 - 32": lambda: _tensor(4, start=2**64 - 32),
    "a tensor's name of 2^40 bytes": lambda: _header(1, 0, struct.pack("<Q", 2**40)),
    "a tensor's name that steers the terminal": lambda: _tensor(0, name=ESCAPES),
    "two tensors of one name": lambda: language_model().replace(
        b"blk.1.attn_k.weight", b"blk.1.attn_q.weight"
    ),
    "an architecture that steers the terminal": lambda: language_model(**{"general.architecture": ESCAPES}),
    "no architecture": lambda: language_model(**{"general.architecture": None}),
    "an architecture that is a number": lambda: language_model(**{"general.architecture": 7}),
    "no heads": lambda: language_model(**{"llama.attention.head_count": 0}),
    "2^31 heads": lambda: language_model(**{"llama.attention.head_count": 2**31}),
    "2^31 layers": lambda: language_model(**{"llama.block_count": 2**31}),
    "a context of 2^31": lambda: language_model(**{"llama.context_length": 2**31}),
    "a width of 2^31 - 1": lambda: language_model(**{"llama.embedding_length": 2**31 - 1}),
    "an epsilon that is not a number": lambda: language_model(
        **{"llama.attention.layer_norm_rms_epsilon": float("nan")}
    ),
    "a rotary base of zero": lambda: language_model(**{"llama.rope.freq_base": 0.0}),
    "a rotary base that is infinite": lambda: language_model(**{"llama.rope.freq_base": float("inf")}),
    "no vocabulary": lambda: language_model(**{"tokenizer.ggml.tokens": None}),
    "a vocabulary of numbers": lambda: language_model(**{"tokenizer.ggml.tokens": [1, 2, 3]}),
    "one token many times": lambda: language_model(**{"tokenizer.ggml.tokens": ["same"] * 8}),
    "an unknown tokenizer": lambda: language_model(**{"tokenizer.ggml.model": ESCAPES}),
    "a tensor missing": lambda: language_model({"output_norm.weight": None}),
    "a tensor of another shape": lambda: language_model({"output_norm.weight": f32(np.ones((4, 4)))}),
    "weights that are not numbers": lambda: language_model(
        {"blk.0.attn_q.weight": f32(np.full((16, 16), np.nan))}
    ),
    "weights that are infinite": lambda: language_model({"blk.0.attn_norm.weight": f32(np.full(16, np.inf))}),
}
