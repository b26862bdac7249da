"""Vocabularies: every token says, and ends, what llama.cpp says it does."""

import ctypes
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gguf", reason="needs the extra llm")
pytest.importorskip("llama_cpp", reason="needs the extra llm")

import llama_cpp

from oracle_node.errors import ModelError
from oracle_node.importers.gguf.file import GgufFile
from oracle_node.importers.gguf.vocabulary import Role, Vocabulary, read_vocabulary
from tests.importers.gguf.files import written

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = (int(role) for role in list(Role)[1:])
LLAMA_NAMES: list[tuple[str | bytes, int]] = [
    ("<unk>", UNKNOWN),
    ("<s>", CONTROL),
    ("</s>", CONTROL),
    ("<0x0A>", BYTE),
    ("<0xfF>", BYTE),
    ("\u2581the", NORMAL),
    ("\u2581\u2581", NORMAL),
    ("a\u2581b", NORMAL),
    (b"\xf0\x9f", NORMAL),
    ("", NORMAL),
    ("\u2581user", USER),
    ("spare", UNUSED),
    ("<|unused_5|>", CONTROL),
    ("odd", 0),
    ("odder", 77),
]
GPT2_NAMES: list[tuple[str | bytes, int]] = [
    ("hello", NORMAL),
    ("\u0120world", NORMAL),
    ("\u010a\u0100\u0143", NORMAL),
    ("\u00e4\u00bd\u0142", NORMAL),
    ("strange\u4f60\u0120", NORMAL),
    ("", NORMAL),
    ("<0x41>", BYTE),
    ("user \u0120", USER),
    ("<|x|>", CONTROL),
    ("spare", UNUSED),
    ("unknown", UNKNOWN),
    ("end of text", CONTROL),
]
ENDS = [
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|flush|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>",
    "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>", "[e~[",
]  # fmt: skip


@pytest.fixture
def vocabulary(tmp_path: Path) -> Callable[..., Path]:
    """vocabulary(kind, names and roles, more metadata): a file of nothing else."""

    def write(kind: str, names: list[tuple[str | bytes, int]], **metadata: Any) -> Path:
        return written(
            tmp_path / "vocabulary.gguf",
            {
                "general.architecture": "llama",
                "tokenizer.ggml.model": kind,
                "tokenizer.ggml.pre": metadata.pop("pre", "default" if kind == "llama" else "gpt-2"),
                "tokenizer.ggml.tokens": [n for n, _ in names],
                "tokenizer.ggml.token_type": [r for _, r in names],
                "tokenizer.ggml.scores": [-float(i) for i in range(len(names))],
                "tokenizer.ggml.merges": ["a b"],
            }
            | {f"tokenizer.ggml.{key}": content for key, content in metadata.items()},
        )

    return write


def read(path: Path) -> Vocabulary:
    with GgufFile.open(path) as file:
        return read_vocabulary(file)


def require_as_llama_cpp(path: Path) -> Vocabulary:
    """Asserts that every token of the file says and ends what it does in llama.cpp; the vocabulary."""
    logging.getLogger("llama-cpp-python").setLevel(logging.CRITICAL)
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    assert model, "llama.cpp does not open it"
    try:
        theirs = llama_cpp.llama_model_get_vocab(model)
        tokens = range(llama_cpp.llama_vocab_n_tokens(theirs))
        buffer = ctypes.create_string_buffer(1 << 12)
        pieces = []
        for token in tokens:
            length = llama_cpp.llama_token_to_piece(theirs, token, buffer, len(buffer), 0, False)
            pieces.append(buffer.raw[:length])
        ours = read(path)
        assert ours.pieces == tuple(pieces)
        assert ours.end == {token for token in tokens if llama_cpp.llama_vocab_is_eog(theirs, token)}
        start = llama_cpp.llama_vocab_bos(theirs)
        assert ours.start == (None if start < 0 else start)
        assert ours.adds_start == llama_cpp.llama_vocab_get_add_bos(theirs)
        hidden = {token for token in tokens if llama_cpp.llama_vocab_get_attr(theirs, token) & (1 | 1 << 3)}
        assert {token for token, _ in ours.controls} >= hidden
        return ours
    finally:
        llama_cpp.llama_model_free(model)


@pytest.mark.parametrize(
    "name",
    ["gguf/stories260K-f32.v3.gguf", "vocab/ggml-vocab-llama-spm.gguf", "vocab/ggml-vocab-gpt-2.gguf"],
)
def test_read__published_vocabularies__are_as_in_llama_cpp(
    shared_data: Callable[[str], Path], name: str
) -> None:
    require_as_llama_cpp(shared_data(name))


def test_read__sentencepiece_of_every_role__is_as_in_llama_cpp(vocabulary: Callable[..., Path]) -> None:
    v = require_as_llama_cpp(vocabulary("llama", LLAMA_NAMES))
    assert v.pieces[:10] == (b"", b"", b"", b"\n", b"\xff", b" the", b"  ", b"a b", b"\xf0\x9f", b"[EMPTY_9]")
    assert (v.start, v.end, v.adds_start, v.drops_leading_space, v.kind) == (1, {2}, True, True, "llama")
    assert v.controls == ((0, b"<unk>"), (1, b"<s>"), (2, b"</s>"), (12, b"<|unused_5|>"))


def test_read__byte_level_of_every_role__is_as_in_llama_cpp(vocabulary: Callable[..., Path]) -> None:
    v = require_as_llama_cpp(vocabulary("gpt2", GPT2_NAMES))
    assert v.pieces[:4] == (b"hello", b" world", b"\n\0\xad", "\u4f60".encode())
    assert (v.start, v.end, v.adds_start, v.drops_leading_space, v.kind) == (11, {11}, False, False, "gpt2")
    assert v.controls == ((8, b"<|x|>"), (10, b"unknown"), (11, b"end of text"))


@pytest.mark.parametrize(("kind", "names"), [("llama", LLAMA_NAMES), ("gpt2", GPT2_NAMES)])
@pytest.mark.parametrize("role", [NORMAL, CONTROL, USER])
def test_read__ends_known_by_name__are_as_in_llama_cpp(
    vocabulary: Callable[..., Path], kind: str, names: list[tuple[str | bytes, int]], role: int
) -> None:
    v = require_as_llama_cpp(vocabulary(kind, [*names, *((name, role) for name in ENDS)]))
    assert v.end == {11 if kind == "gpt2" else 2, *range(len(names), len(names) + len(ENDS))}
    assert set(v.pieces[len(names) :]) == {b""}


@pytest.mark.parametrize(
    "more",
    [
        ["<|return|>", "<|call|>", "<|end|>"],
        ["<|flush|>", "<|calls|>", "<|end|>"],
        ["<|flush|>", "<|return|>", "<|end|>"],
        ["<|tool_response>"],
        ["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"],
        [
            "<|fim_prefix|>",
            "<|fim_suffix|>",
            "<|fim_middle|>",
            "<|fim_pad|>",
            "<|repo_name|>",
            "<|file_sep|>",
        ],
        ["\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>", "[PAD]", "<reponame>"],
    ],
    ids=lambda names: names[0],
)
@pytest.mark.parametrize("role", [NORMAL, CONTROL])
def test_read__names_with_a_meaning__are_as_in_llama_cpp(
    vocabulary: Callable[..., Path], more: list[str], role: int
) -> None:
    v = require_as_llama_cpp(vocabulary("llama", [*LLAMA_NAMES, *((name, role) for name in more)]))
    if role == CONTROL:
        assert set(more) <= {name.decode() for _, name in v.controls}


@pytest.mark.parametrize(
    "metadata",
    [
        {"eos_token_id": 5, "eot_token_id": 6, "eom_token_id": 7, "bos_token_id": 8},
        {"eos_token_id": 999, "bos_token_id": 999},
        {"fim_pad_token_id": 5, "fim_rep_token_id": 6, "fim_sep_token_id": 7, "fim_pre_token_id": 8},
        {"prefix_token_id": 5, "suffix_token_id": 6, "middle_token_id": 7},
        {"add_bos_token": False, "add_eos_token": True},
        {"padding_token_id": 5, "unknown_token_id": 6},
    ],
    ids=lambda metadata: next(iter(metadata)),
)
@pytest.mark.parametrize(("kind", "names"), [("llama", LLAMA_NAMES), ("gpt2", GPT2_NAMES)])
def test_read__tokens_named_by_the_file__are_as_in_llama_cpp(
    vocabulary: Callable[..., Path],
    kind: str,
    names: list[tuple[str | bytes, int]],
    metadata: dict[str, Any],
) -> None:
    infill = [
        ("<|fim_prefix|>", NORMAL),
        ("<|fim_pad|>", NORMAL),
        ("<|fim_repo|>", NORMAL),
        ("<SUF>", NORMAL),
    ]
    require_as_llama_cpp(vocabulary(kind, [*names, *infill], **metadata))


@pytest.mark.parametrize("pre", ["llama-bpe", "qwen2", "tekken", "gpt-2", "chameleon"])
def test_read__pre_tokenizers__add_a_start_as_in_llama_cpp(vocabulary: Callable[..., Path], pre: str) -> None:
    v = require_as_llama_cpp(vocabulary("gpt2", GPT2_NAMES, pre=pre))
    assert v.adds_start == (pre in ("llama-bpe", "tekken", "chameleon"))


def test_read__a_small_vocabulary__has_no_default_tokens(vocabulary: Callable[..., Path]) -> None:
    v = require_as_llama_cpp(vocabulary("gpt2", GPT2_NAMES[:11]))
    assert (v.start, v.end) == (None, frozenset())


def test_read__no_space_prefix__keeps_the_first_space(vocabulary: Callable[..., Path]) -> None:
    assert not read(vocabulary("llama", LLAMA_NAMES, add_space_prefix=False)).drops_leading_space


def test_read__two_names_for_one_end__takes_the_lowest(vocabulary: Callable[..., Path]) -> None:
    names = [*LLAMA_NAMES, ("[PAD]", NORMAL), ("<PAD>", NORMAL)]
    assert read(vocabulary("llama", names)).end == {2, len(LLAMA_NAMES)}


@pytest.mark.parametrize(
    ("kind", "names", "metadata", "message"),
    [
        ("bert", LLAMA_NAMES, {}, "tokenizer 'bert' is not supported; supported are llama and gpt2"),
        ("t5", LLAMA_NAMES, {}, "tokenizer 't5' is not supported"),
        ("rwkv", LLAMA_NAMES, {}, "tokenizer 'rwkv' is not supported"),
        ("gpt2", GPT2_NAMES, {"pre": "gemma4"}, "pre-tokenizer 'gemma4' is not supported"),
        ("llama", [*LLAMA_NAMES, ("</s>", NORMAL)], {}, "tokens 2 and 15 of its vocabulary are both b'</s>'"),
        ("llama", [("<0x1>", BYTE), ("a", NORMAL)], {}, "token 0 should be a byte such as <0x0A>, but is b'<0x1>'"),
        ("gpt2", [("newline", BYTE)], {}, "token 0 should be a byte"),
        ("gpt2", [(b"\xff", NORMAL)], {}, "token 0 is not UTF-8"),
        ("llama", [("a", NORMAL)], {}, "its texts begin with a start token, but it has none"),
        ("llama", LLAMA_NAMES, {"token_type": [1, 1]}, "has types for 2 of its 15 tokens"),
        ("llama", LLAMA_NAMES, {"token_type": [1.5] * 15}, "or they are no integers"),
        ("llama", LLAMA_NAMES, {"eos_token_id": "2"}, "tokenizer.ggml.eos_token_id is b'2', expected an integer"),
    ],
)  # fmt: skip
def test_read__what_is_no_vocabulary__is_refused(
    vocabulary: Callable[..., Path],
    kind: str,
    names: list[tuple[str | bytes, int]],
    metadata: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ModelError) as refusal:
        read(vocabulary(kind, names, **metadata))
    assert message in str(refusal.value)
    assert "vocabulary.gguf: " in str(refusal.value)
