"""GGUF files written byte by byte, so that tests can have them any way they like, malformed too."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

F32, IQ4_NL = 0, 20
ALIGNMENT = 32

Tensor = tuple[tuple[int, ...], int, bytes]
"""Shape in numpy's order, type number, data."""


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def value(content: Any) -> bytes:
    """Type and value: int → u32, float → f32, bool, str or bytes → string, lists → arrays of i32, f32 or strings."""
    if isinstance(content, list):
        first = content[0]
        if isinstance(first, int | float):
            kind, layout = (5, "i") if isinstance(first, int) else (6, "f")
            data = struct.pack(f"<{len(content)}{layout}", *content)
        else:
            kind, data = 8, b"".join(map(string, content))
        return struct.pack("<IIQ", 9, kind, len(content)) + data
    if isinstance(content, bool):
        return struct.pack("<I?", 7, content)
    if isinstance(content, int):
        return struct.pack("<II", 4, content)
    if isinstance(content, float):
        return struct.pack("<If", 6, content)
    return struct.pack("<I", 8) + string(content)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)


def f32(values: Any) -> Tensor:
    array = np.asarray(values, "<f4")
    return array.shape, F32, array.tobytes()


def gguf_bytes(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor], version: int = 3) -> bytes:
    """A whole file."""
    header = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    header += b"".join(string(key) + value(content) for key, content in metadata.items())
    data = b""
    for name, (shape, kind, content) in tensors.items():
        header += string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape[::-1])
        header += struct.pack("<IQ", kind, len(data))
        data += padded(content)
    return padded(header) + data


def llama_metadata(**changes: Any) -> dict[str, Any]:
    """Of a llama of 2 layers, width 16, 4 heads over 2, ffn 24, 8 tokens; `a__b` stands for the key llama.a.b."""
    sizes = {
        "block_count": 2,
        "context_length": 64,
        "embedding_length": 16,
        "feed_forward_length": 24,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }
    sizes |= {key.replace("__", "."): content for key, content in changes.items()}
    tokens = [f"token{i}" for i in range(8)]
    return {
        "general.architecture": "llama",
        **{f"llama.{key}": content for key, content in sizes.items() if content is not None},
        "tokenizer.ggml.tokens": tokens,
    }


def llama_tensors() -> dict[str, Tensor]:
    """Those of the model above, all ones."""
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (8, 16)}
    for layer in range(2):
        shapes |= {
            f"blk.{layer}.attn_norm.weight": (16,),
            f"blk.{layer}.attn_q.weight": (16, 16),
            f"blk.{layer}.attn_k.weight": (8, 16),
            f"blk.{layer}.attn_v.weight": (8, 16),
            f"blk.{layer}.attn_output.weight": (16, 16),
            f"blk.{layer}.ffn_norm.weight": (16,),
            f"blk.{layer}.ffn_gate.weight": (24, 16),
            f"blk.{layer}.ffn_up.weight": (24, 16),
            f"blk.{layer}.ffn_down.weight": (16, 24),
        }
    shapes |= {"output_norm.weight": (16,), "output.weight": (8, 16)}
    return {name: f32(np.ones(shape)) for name, shape in shapes.items()}


def written(path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> Path:
    path.write_bytes(gguf_bytes(metadata, tensors or {}))
    return path
