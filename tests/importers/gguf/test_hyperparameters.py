"""What a GGUF file says of its model, and the models that are refused because the plain one would be another."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gguf", reason="needs the extra llm")

from oracle_node.errors import ModelError
from oracle_node.importers.gguf.file import GgufFile
from oracle_node.importers.gguf.hyperparameters import (
    Hyperparameters,
    Rope,
    read_hyperparameters,
    require_tensors,
)
from tests.importers.gguf.files import IQ4_NL, Tensor, f32, llama_metadata, llama_tensors, written

PLAIN = Hyperparameters(
    architecture="llama",
    layers=2,
    width=16,
    heads=4,
    kv_heads=2,
    head_width=4,
    ffn_width=24,
    context=64,
    vocabulary_size=8,
    rms_epsilon=float(np.float32(1e-5)),
    rope=Rope(base=10000.0, dimensions=4, pairing="adjacent"),
    tied_output=False,
    has_attention_bias=False,
)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Hyperparameters]:
    """read(metadata, tensors): what such a file says, its tensors checked."""

    def hyperparameters(metadata: dict[str, Any], tensors: dict[str, Tensor]) -> Hyperparameters:
        with GgufFile.open(written(tmp_path / "model.gguf", metadata, tensors)) as file:
            h = read_hyperparameters(file)
            require_tensors(file, h)
            return h

    return hyperparameters


def qwen2_metadata() -> dict[str, Any]:
    return {key.replace("llama.", "qwen2."): content for key, content in llama_metadata().items()} | {
        "general.architecture": "qwen2"
    }


def biases(layers: range) -> dict[str, Tensor]:
    return {
        f"blk.{layer}.attn_{part}.bias": f32(np.ones(size))
        for layer in layers
        for part, size in (("q", 16), ("k", 8), ("v", 8))
    }


def test_read__a_plain_llama__has_its_sizes(read: Callable[..., Hyperparameters]) -> None:
    assert read(llama_metadata(), llama_tensors()) == PLAIN


def test_read__defaults__are_those_of_llama_cpp(read: Callable[..., Hyperparameters]) -> None:
    tensors = llama_tensors()
    for layer in range(2):
        for part in "kv":
            tensors[f"blk.{layer}.attn_{part}.weight"] = f32(np.ones((16, 16)))
    assert read(llama_metadata(attention__head_count_kv=None), tensors) == replace(PLAIN, kv_heads=4)


def test_read__without_an_output_matrix__is_tied(read: Callable[..., Hyperparameters]) -> None:
    tensors = llama_tensors()
    del tensors["output.weight"]
    assert read(llama_metadata(), tensors) == replace(PLAIN, tied_output=True)


def test_read__a_head_width_of_its_own__shapes_the_attention(read: Callable[..., Hyperparameters]) -> None:
    tensors = llama_tensors()
    for layer in range(2):
        tensors |= {
            f"blk.{layer}.attn_q.weight": f32(np.ones((24, 16))),
            f"blk.{layer}.attn_k.weight": f32(np.ones((12, 16))),
            f"blk.{layer}.attn_v.weight": f32(np.ones((12, 16))),
            f"blk.{layer}.attn_output.weight": f32(np.ones((16, 24))),
        }
    metadata = llama_metadata(attention__key_length=6, attention__value_length=6, rope__dimension_count=6)
    expected = replace(PLAIN, head_width=6, rope=replace(PLAIN.rope, dimensions=6))
    assert read(metadata, tensors) == expected


def test_read__qwen2__has_biases_and_pairs_halves(read: Callable[..., Hyperparameters]) -> None:
    h = read(qwen2_metadata(), llama_tensors() | biases(range(2)))
    assert h == replace(
        PLAIN, architecture="qwen2", has_attention_bias=True, rope=replace(PLAIN.rope, pairing="halves")
    )
    assert not read(qwen2_metadata(), llama_tensors()).has_attention_bias


@pytest.mark.parametrize(
    ("changes", "base", "factor"),
    [
        ({}, 10000.0, 1.0),
        ({"rope__freq_base": 500000.0}, 500000.0, 1.0),
        ({"rope__scaling__type": "linear", "rope__scaling__factor": 4.0}, 10000.0, 4.0),
        ({"rope__scaling__factor": 3.0}, 10000.0, 3.0),
        ({"rope__scaling__type": "linear", "rope__scaling__factor": 0.0}, 10000.0, 1.0),
        ({"rope__scaling__type": "none", "rope__scaling__factor": 4.0}, 10000.0, 1.0),
        ({"rope__scale_linear": 2.0}, 10000.0, 2.0),
    ],
)
def test_read__rope__is_as_llama_cpp_reads_it(
    read: Callable[..., Hyperparameters], changes: dict[str, Any], base: float, factor: float
) -> None:
    h = read(llama_metadata(**changes), llama_tensors())
    assert h.rope == Rope(base, 4, "adjacent", linear_factor=factor)


def test_read__frequency_factors__are_the_files(read: Callable[..., Hyperparameters]) -> None:
    h = read(llama_metadata(), llama_tensors() | {"rope_freqs.weight": f32([1, 8.25])})
    assert h.rope.frequency_factors == (1.0, 8.25)


@pytest.mark.parametrize(
    "changes",
    [
        {"expert_count": 0, "expert_used_count": 0},
        {"attention__sliding_window": 64},
        {"attention__sliding_window": 0},
        {"attn_logit_softcapping": 0.0, "attention__causal": True, "logit_scale": 1.0},
        {"vocab_size": 8, "rope__scaling__original_context_length": 32},
    ],
)
def test_read__neutral_metadata__change_nothing(
    read: Callable[..., Hyperparameters], changes: dict[str, Any]
) -> None:
    assert read(llama_metadata(**changes), llama_tensors()) == PLAIN


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expert_count": 8, "expert_used_count": 2}, "llama.expert_count = 8: not supported"),
        ({"attention__sliding_window": 63}, "a sliding window of 63 in a context of 64: not supported"),
        ({"attn_logit_softcapping": 50.0}, "llama.attn_logit_softcapping = 50.0: not supported"),
        ({"final_logit_softcapping": 30.0}, "llama.final_logit_softcapping = 30.0: not supported"),
        ({"attention__causal": False}, "llama.attention.causal = False: not supported"),
        ({"attention__head_count": [4, 4]}, "llama.attention.head_count differs by layer: not supported"),
        ({"attention__head_count_kv": [2, 2]}, "llama.attention.head_count_kv differs by layer: not supported"),
        ({"feed_forward_length": [24, 24]}, "llama.feed_forward_length differs by layer: not supported"),
        ({"attention__head_count_kv": 3}, "4 heads do not divide among 3 heads of keys and values"),
        ({"attention__value_length": 8}, "values of width 8 beside keys of width 4: not supported"),
        ({"rope__scaling__type": "yarn", "rope__scaling__yarn_log_multiplier": 0.1}, "scaling.type = 'yarn'"),
        ({"rope__scaling__type": "longrope"}, "llama.rope.scaling.type = 'longrope': not supported"),
        ({"rope__scaling__attn_factor": 1.5}, "llama.rope.scaling.attn_factor = 1.5: not supported"),
        ({"rope__scaling__factor": float("inf")}, "llama.rope.scaling.factor = inf: not supported"),
        ({"rope__dimension_count": 2}, "a rotary embedding of 2 of the 4 elements of a head: not supported"),
        ({"attention__head_count": 16, "attention__head_count_kv": 16}, "a rotary embedding of 1 of the 1 elements"),
        ({"rope__freq_base": -1.0}, "llama.rope.freq_base is -1.0, expected a positive number"),
        ({"block_count": 0}, "llama.block_count is 0, expected 1 to"),
        ({"block_count": 513}, "513 layers, more than 512"),
        ({"embedding_length": None}, "has no metadata llama.embedding_length"),
        ({"embedding_length": 16.0}, "llama.embedding_length is 16.0, expected an integer"),
        ({"attention__layer_norm_rms_epsilon": 0.0}, "layer_norm_rms_epsilon is 0.0, expected a positive number"),
        ({"some__thing__new": 1}, "llama.some.thing.new is not known"),
    ],
)  # fmt: skip
def test_read__another_model_than_the_plain_one__is_refused(
    read: Callable[..., Hyperparameters], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError) as refusal:
        read(llama_metadata(**changes), llama_tensors())
    assert message in str(refusal.value)
    assert "model.gguf: " in str(refusal.value)


def test_read__an_unknown_architecture__names_the_supported_ones(
    read: Callable[..., Hyperparameters],
) -> None:
    with pytest.raises(ModelError, match="architecture 'gemma' is not supported; supported are llama, qwen2"):
        read(llama_metadata() | {"general.architecture": "gemma"}, {})


def test_read__one_of_several_parts__is_refused(read: Callable[..., Hyperparameters]) -> None:
    with pytest.raises(ModelError, match="is one of 2 parts: merge them"):
        read(llama_metadata() | {"split.count": 2}, llama_tensors())


@pytest.mark.parametrize("name", sorted(llama_tensors().keys() - {"output.weight"}))
def test_require_tensors__each_missing_or_misshapen__is_named(
    read: Callable[..., Hyperparameters], name: str
) -> None:
    tensors = llama_tensors()
    shape = tensors.pop(name)[0]
    with pytest.raises(ModelError, match=f"has no tensor {name}$"):
        read(llama_metadata(), tensors)
    with pytest.raises(ModelError, match=f"tensor {name} has shape "):
        read(llama_metadata(), tensors | {name: f32(np.ones((*shape[:-1], shape[-1] + 1)))})


@pytest.mark.parametrize(
    "name", ["blk.0.attn_output.bias", "blk.0.ffn_up.bias", "blk.2.attn_norm.weight", "blk.1.attn_q_norm.weight",
             "output.bias", "blk.0.attn_q.scale"],
)  # fmt: skip
def test_require_tensors__one_without_a_place__is_refused(
    read: Callable[..., Hyperparameters], name: str
) -> None:
    with pytest.raises(ModelError, match=f"tensor '{name}' has no place in a llama model of 2 layers"):
        read(llama_metadata(), llama_tensors() | {name: f32(np.ones(16))})


def test_require_tensors__biases_in_some_layers__are_refused(read: Callable[..., Hyperparameters]) -> None:
    with pytest.raises(ModelError, match=r"has no tensor blk\.1\.attn_q\.bias"):
        read(qwen2_metadata(), llama_tensors() | biases(range(1)))
    with pytest.raises(ModelError, match=r"tensor 'blk\.1\.attn_q\.bias' has no place"):
        read(qwen2_metadata(), llama_tensors() | biases(range(1, 2)))


def test_require_tensors__frequency_factors_of_qwen2__are_refused(
    read: Callable[..., Hyperparameters],
) -> None:
    with pytest.raises(ModelError, match=r"tensor 'rope_freqs\.weight' has no place"):
        read(qwen2_metadata(), llama_tensors() | {"rope_freqs.weight": f32([1, 1])})


def test_require_tensors__an_unsupported_type__is_refused(read: Callable[..., Hyperparameters]) -> None:
    metadata = llama_metadata(feed_forward_length=32)
    tensors = llama_tensors()
    for layer in range(2):
        tensors |= {
            f"blk.{layer}.ffn_gate.weight": f32(np.ones((32, 16))),
            f"blk.{layer}.ffn_up.weight": f32(np.ones((32, 16))),
            f"blk.{layer}.ffn_down.weight": ((16, 32), IQ4_NL, bytes(16 * 18)),
        }
    with pytest.raises(ModelError, match=r"tensor blk\.0\.ffn_down\.weight is of type IQ4_NL"):
        read(metadata, tensors)


def test_read__a_published_model__is_known(shared_data: Callable[[str], Path]) -> None:
    for name in ("gguf/stories260K-f32.v3.gguf", "gguf/stories260K-q8_0.v3.gguf"):
        with GgufFile.open(shared_data(name)) as file:
            h = read_hyperparameters(file)
            require_tensors(file, h)
        assert (h.layers, h.width, h.heads, h.kv_heads, h.ffn_width, h.vocabulary_size) == (
            5,
            64,
            8,
            4,
            172,
            512,
        )
