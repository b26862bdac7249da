"""What kind of model a GGUF file holds: its sizes, its rotary embedding, and the tensors it has to have.

Refused, each in one line: whatever llama.cpp would compute differently from the plain model that these numbers
describe. A key of the architecture, or a tensor, that is not known here is refused too: ignored, it would be a wrong
model. Not here: the tokenizer (`vocabulary`), the tables of the rotary embedding (`rope`).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from oracle_node.errors import ModelError
from oracle_node.importers.gguf.file import GgufFile

Pairing = Literal["adjacent", "halves"]

PAIRINGS: Mapping[str, Pairing] = {"llama": "adjacent", "qwen2": "halves"}
"""Supported architectures → which elements of a head rotate together (llama.cpp's rope types "norm" and "neox")."""
FREQUENCY_FACTORS = "rope_freqs.weight"
MAX_LAYERS = 512
_MAX_SIZE = 2**31 - 1

_SIZES = frozenset({
    "context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count",
    "attention.head_count_kv", "attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon",
    "attention.sliding_window", "rope.dimension_count", "rope.freq_base", "rope.scaling.type", "rope.scaling.factor",
    "rope.scale_linear",
})  # fmt: skip
"""Keys, after the architecture's name and a dot, that are read below."""
_WITHOUT_EFFECT = frozenset({
    "vocab_size", "tensor_data_layout", "rope.scaling.original_context_length", "rope.scaling.finetuned",
})  # fmt: skip
_NEUTRAL: Mapping[str, tuple[float, ...]] = {
    "expert_count": (0,), "expert_used_count": (0,), "expert_shared_count": (0,), "nextn_predict_layers": (0,),
    "attention.causal": (True,), "use_parallel_residual": (False,),
    "attention.clamp_kqv": (0,), "attention.max_alibi_bias": (0,), "attention.scale": (0,),
    "attn_logit_softcapping": (0,), "final_logit_softcapping": (0,), "router_logit_softcapping": (0,),
    "logit_scale": (0, 1), "residual_scale": (0, 1), "embedding_scale": (0, 1), "rope.scaling.attn_factor": (0, 1),
}  # fmt: skip
"""Keys that are accepted with these values only, which change nothing."""


@dataclass(frozen=True)
class Rope:
    """A rotary embedding: pair i turns by position · base**(−2i / dimensions) / linear_factor / frequency_factors[i].

    Every number is exactly the binary32 of the file. Pairs are elements (2i, 2i + 1) of a head where "adjacent",
    (i, i + dimensions / 2) where "halves".
    """

    base: float
    dimensions: int
    pairing: Pairing
    linear_factor: float = 1.0
    frequency_factors: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Hyperparameters:
    """The sizes of a decoder of RMS norms, grouped-query attention and a gated SiLU.

    `width` is the residual's; `head_width` that of queries, keys and values alike; `context` the longest sequence it
    was made for, in tokens. Tied: the output matrix is the token embedding.
    """

    architecture: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    ffn_width: int
    context: int
    vocabulary_size: int
    rms_epsilon: float
    rope: Rope
    tied_output: bool
    has_attention_bias: bool


def read_hyperparameters(file: GgufFile) -> Hyperparameters:
    """The model's sizes; ModelError in one line if they are missing, absurd, or of a model that is not supported."""
    architecture = file.metadata("general.architecture", str)
    if architecture not in PAIRINGS:
        raise ModelError(
            f"{file.path}: architecture {architecture[:40]!r} is not supported; supported are {', '.join(PAIRINGS)}"
        )
    if (parts := file.metadata("split.count", int, 1)) > 1:
        raise ModelError(f"{file.path}: is one of {parts} parts: merge them with llama-gguf-split first")
    _linear_factor(file, architecture)  # first: it names the scaling that other unknown keys belong to
    _require_plain(file, architecture)
    size = _sizes_of(file, architecture)
    width, heads = size("embedding_length"), size("attention.head_count")
    kv_heads = size("attention.head_count_kv", heads)
    head_width = size("attention.key_length", width // heads)
    _require(
        file, heads % kv_heads == 0, f"{heads} heads do not divide among {kv_heads} heads of keys and values"
    )
    values = size("attention.value_length", head_width)
    _require(file, values == head_width, f"values of width {values} beside keys of width {head_width}")
    context = size("context_length")
    window = file.metadata(f"{architecture}.attention.sliding_window", int, 0)
    _require(
        file, window == 0 or window >= context, f"a sliding window of {window} in a context of {context}"
    )
    layers = size("block_count")
    _require(file, layers <= MAX_LAYERS, f"{layers} layers, more than {MAX_LAYERS}")
    return Hyperparameters(
        architecture=architecture,
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        head_width=head_width,
        ffn_width=size("feed_forward_length"),
        context=context,
        vocabulary_size=len(file.strings("tokenizer.ggml.tokens")),
        rms_epsilon=_positive(file, f"{architecture}.attention.layer_norm_rms_epsilon"),
        rope=_rope(file, architecture, size("rope.dimension_count", head_width), head_width),
        tied_output="output.weight" not in file.names,
        has_attention_bias="blk.0.attn_q.bias" in file.names,
    )


def layer_tensors(h: Hyperparameters, layer: int) -> dict[str, tuple[int, ...]]:
    """The tensors of one layer → their shapes; matrices are (outputs, inputs)."""
    queries, keys = h.heads * h.head_width, h.kv_heads * h.head_width
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm.weight": (h.width,),
        "attn_q.weight": (queries, h.width),
        "attn_k.weight": (keys, h.width),
        "attn_v.weight": (keys, h.width),
        "attn_output.weight": (h.width, queries),
        "ffn_norm.weight": (h.width,),
        "ffn_gate.weight": (h.ffn_width, h.width),
        "ffn_up.weight": (h.ffn_width, h.width),
        "ffn_down.weight": (h.width, h.ffn_width),
    }
    if h.has_attention_bias:
        shapes |= {"attn_q.bias": (queries,), "attn_k.bias": (keys,), "attn_v.bias": (keys,)}
    return {f"blk.{layer}.{name}": shape for name, shape in shapes.items()}


def tensors(h: Hyperparameters) -> dict[str, tuple[int, ...]]:
    """Every tensor of the model → its shape."""
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (h.vocabulary_size, h.width)}
    for layer in range(h.layers):
        shapes |= layer_tensors(h, layer)
    shapes["output_norm.weight"] = (h.width,)
    if not h.tied_output:
        shapes["output.weight"] = (h.vocabulary_size, h.width)
    if h.rope.frequency_factors is not None:
        shapes[FREQUENCY_FACTORS] = (h.rope.dimensions // 2,)
    return shapes


def require_tensors(file: GgufFile, h: Hyperparameters) -> None:
    """ModelError unless the file has every tensor of the model, in its shape and a supported type, and no other."""
    wanted = tensors(h)
    if unknown := [name for name in file.names if name not in wanted]:
        raise ModelError(
            f"{file.path}: tensor {unknown[0]!r} has no place in a {h.architecture} model of {h.layers} layers: "
            "without it the model would be another one"
        )
    for name, shape in wanted.items():
        file.require(name, shape)


def _require(file: GgufFile, holds: bool, what: str) -> None:
    if not holds:
        raise ModelError(f"{file.path}: {what}: not supported")


def _require_plain(file: GgufFile, architecture: str) -> None:
    """ModelError for metadata that are not known, or that ask for more than the plain model."""
    prefix = architecture + "."
    for key in (k.removeprefix(prefix) for k in file.keys if k.startswith(prefix)):
        if key in _SIZES or key in _WITHOUT_EFFECT:
            continue
        if key not in _NEUTRAL:
            raise ModelError(
                f"{file.path}: {prefix}{key[:80]} is not known: without it the model would be another one"
            )
        value = file.number(prefix + key)
        _require(file, value in _NEUTRAL[key], f"{prefix}{key} = {value}")


def _rope(file: GgufFile, architecture: str, dimensions: int, head_width: int) -> Rope:
    _require(
        file,
        dimensions == head_width and dimensions % 2 == 0,
        f"a rotary embedding of {dimensions} of the {head_width} elements of a head",
    )
    factors = None
    if architecture == "llama" and FREQUENCY_FACTORS in file.names:
        file.require(FREQUENCY_FACTORS, (dimensions // 2,))
        factors = tuple(file.vector(FREQUENCY_FACTORS).tolist())
        _require(file, min(factors) > 0, f"{FREQUENCY_FACTORS} with {min(factors)}")
    return Rope(
        base=_positive(file, f"{architecture}.rope.freq_base", 10000.0),
        dimensions=dimensions,
        pairing=PAIRINGS[architecture],
        linear_factor=_linear_factor(file, architecture),
        frequency_factors=factors,
    )


def _linear_factor(file: GgufFile, architecture: str) -> float:
    """What positions are divided by: 1 unless the file says otherwise, under the key of today or an older one."""
    prefix = f"{architecture}.rope."
    kind = file.metadata(prefix + "scaling.type", str, "linear")
    _require(file, kind in ("none", "linear"), f"{prefix}scaling.type = {kind[:40]!r}")
    if kind == "none":
        return 1.0
    factor = file.metadata(prefix + "scaling.factor", float, None)
    if factor is None:
        factor = file.metadata(prefix + "scale_linear", float, 0.0)
    _require(file, math.isfinite(factor) and factor >= 0, f"{prefix}scaling.factor = {factor}")
    return factor or 1.0  # llama.cpp reads 0 as not set


def _sizes_of(file: GgufFile, architecture: str) -> Callable[..., int]:
    """size(key, default): a positive integer of the architecture's metadata."""

    def size(key: str, default: int | None = None) -> int:
        full = f"{architecture}.{key}"
        if file.is_array(full):
            raise ModelError(f"{file.path}: {full} differs by layer: not supported")
        value = file.metadata(full, int) if default is None else file.metadata(full, int, default)
        if not 1 <= value <= _MAX_SIZE:
            raise ModelError(f"{file.path}: {full} is {value}, expected 1 to {_MAX_SIZE}")
        return value

    return size


def _positive(file: GgufFile, key: str, default: float | None = None) -> float:
    value = file.metadata(key, float) if default is None else file.metadata(key, float, default)
    if not (math.isfinite(value) and value > 0):
        raise ModelError(f"{file.path}: {key} is {value}, expected a positive number")
    return value
