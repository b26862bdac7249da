"""The vocabulary of a GGUF file: what every token says, and which tokens begin and end a text.

As llama.cpp has it (`llama_vocab::impl::load` and `token_to_piece` with `special = false`), quirks included: it tells
what a token is by its name where the file does not. Not here: turning text into tokens (`oracle_node.language`).
"""

import re
from dataclasses import dataclass
from enum import IntEnum

from oracle_node.errors import ModelError
from oracle_node.importers.gguf.file import GgufFile


@dataclass(frozen=True)
class Vocabulary:
    """What tokens say and do.

    `pieces`: the bytes of every token, none for control and unused ones; `end`: tokens that end a generation; `start`:
    the token that begins a text, which `adds_start` says a prompt needs; `drops_leading_space`: the first piece of a
    whole text loses one leading space, which the tokenizer put there; `kind`: `llama` (SentencePiece) or `gpt2`
    (byte-level BPE); `controls`: (token, name) of those that no text may ever become.
    """

    pieces: tuple[bytes, ...]
    end: frozenset[int]
    start: int | None
    adds_start: bool
    drops_leading_space: bool
    kind: str
    controls: tuple[tuple[int, bytes], ...]


class Role(IntEnum):
    """What a token is for, as numbered in the file."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


_KEY = "tokenizer.ggml."
_DEFAULT_START = {"llama": 1, "gpt2": 11}
_DEFAULT_END = {"llama": 2, "gpt2": 11}
_STARTING_PRE = frozenset({
    "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano", "tekken",
    "chameleon",
})  # fmt: skip
"""BPE pre-tokenizers whose prompts get a start token unless the file says otherwise."""
_SPACE_MARKING_PRE = frozenset({"gemma4", "granite-embed-multi-311m", "sarvam-moe"})
"""BPE pre-tokenizers that mark spaces as SentencePiece does: not supported."""

_ENDS = frozenset(name.encode() for name in (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>",
    "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[",
))  # fmt: skip
_INFILL = {  # keys of the file → names of the token where no key tells
    ("fim_pre_token_id", "prefix_token_id"): (
        "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
        "<|prefix|>",
    ),
    ("fim_suf_token_id", "suffix_token_id"): (
        "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>",
        "<|suffix|>",
    ),
    ("fim_mid_token_id", "middle_token_id"): (
        "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>",
        "<|middle|>",
    ),
    ("fim_pad_token_id",): ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    ("fim_rep_token_id",): ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    ("fim_sep_token_id",): ("<|file_sep|>",),
}  # fmt: skip
_ENDING_INFILL = ("fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id")
_SPOKEN = frozenset({b"<|channel|>", b"<|message|>", b"<|start|>", b"<|constrain|>"})
"""Tokens that say their name whatever the file calls them."""
_BYTE_NAME = re.compile(rb"<0x([0-9A-Fa-f]{2})>")


def read_vocabulary(file: GgufFile) -> Vocabulary:
    """The file's vocabulary; ModelError in one line for another kind of tokenizer, or one that contradicts itself."""
    kind = file.metadata(_KEY + "model", str)
    if kind not in _DEFAULT_START:
        raise ModelError(
            f"{file.path}: tokenizer {kind[:40]!r} is not supported; supported are llama and gpt2"
        )
    pre = file.metadata(_KEY + "pre", str, "")
    if kind == "gpt2" and pre in _SPACE_MARKING_PRE:
        raise ModelError(f"{file.path}: pre-tokenizer {pre!r} is not supported")
    names = _names(file)
    roles = _roles(file, len(names))
    controls = _controls(roles)
    start = _token(file, len(names), "bos_token_id", _DEFAULT_START[kind])
    adds_start = file.metadata(_KEY + "add_bos_token", bool, kind == "llama" or pre in _STARTING_PRE)
    if adds_start and start is None:
        raise ModelError(f"{file.path}: its texts begin with a start token, but it has none")
    end = _ends(file, names, roles, _DEFAULT_END[kind])
    controls |= _controls(roles)  # those that the file calls so, and those that llama.cpp does
    piece = _sentencepiece if kind == "llama" else _byte_level
    return Vocabulary(
        pieces=tuple(piece(file, names[i], roles[i], i) for i in range(len(names))),
        end=end,
        start=start,
        adds_start=adds_start,
        drops_leading_space=kind == "llama" and file.metadata(_KEY + "add_space_prefix", bool, True),
        kind=kind,
        controls=tuple((i, names[i]) for i in sorted(controls)),
    )


def _controls(roles: list[Role]) -> set[int]:
    return {token for token, role in enumerate(roles) if role in (Role.CONTROL, Role.UNKNOWN)}


def _names(file: GgufFile) -> list[bytes]:
    """What the file calls its tokens, all different; llama.cpp gives the nameless one."""
    names = [name or b"[EMPTY_%d]" % i for i, name in enumerate(file.strings(_KEY + "tokens"))]
    if not names:
        raise ModelError(f"{file.path}: its vocabulary is empty")
    seen: dict[bytes, int] = {}
    for i, name in enumerate(names):
        if seen.setdefault(name, i) != i:
            raise ModelError(
                f"{file.path}: tokens {seen[name]} and {i} of its vocabulary are both {name[:40]!r}"
            )
    return names


def _roles(file: GgufFile, count: int) -> list[Role]:
    array = file.array(_KEY + "token_type", None)
    if array is None:
        return [Role.NORMAL] * count
    if len(array) < count or array.dtype.kind not in "iu":
        raise ModelError(
            f"{file.path}: has types for {len(array)} of its {count} tokens, or they are no integers"
        )
    return [Role(n) if 0 <= n <= Role.BYTE else Role.UNDEFINED for n in array[:count].tolist()]


def _token(file: GgufFile, count: int, key: str, default: int | None) -> int | None:
    """The token that the file names under `key`, or the default if that exists."""
    token = file.metadata(_KEY + key, int, None)
    if token is not None and 0 <= token < count:
        return token
    return default if default is not None and default < count else None


def _ends(file: GgufFile, names: list[bytes], roles: list[Role], default: int) -> frozenset[int]:
    """Tokens that end a generation; makes those that llama.cpp knows by name control tokens in `roles`."""
    tokens = {name: i for i, name in enumerate(names)}
    ends: set[int] = set()
    for keys, known in _INFILL.items():
        named = [t for key in keys if (t := _token(file, len(names), key, None)) is not None]
        # of several candidates llama.cpp takes whichever its hash table has first: here the lowest
        found = sorted(tokens[name.encode()] for name in known if name.encode() in tokens)
        if not named and found:
            roles[found[0]] = Role.CONTROL
        if keys[0] in _ENDING_INFILL:
            ends.update(named or found[:1])
    for name in _ENDS & tokens.keys():
        ends.add(tokens[name])
        roles[tokens[name]] = Role.CONTROL
    for name in _SPOKEN & tokens.keys():
        roles[tokens[name]] = Role.USER_DEFINED
    for key, otherwise in (("eos_token_id", default), ("eot_token_id", None), ("eom_token_id", None)):
        if (token := _token(file, len(names), key, otherwise)) is not None:
            ends.add(token)
    _exempt(tokens, ends, roles)
    return frozenset(ends)


def _exempt(tokens: dict[bytes, int], ends: set[int], roles: list[Role]) -> None:
    """Takes back what is no end in the few vocabularies that use its name otherwise."""
    found = {name for name, i in tokens.items() if i in ends}
    calls = found & {b"<|call|>", b"<|calls|>"}
    if b"<|end|>" in found and calls and found & {b"<|return|>", b"<|flush|>"}:
        ends.remove(tokens[b"<|end|>"])
        roles[tokens[b"<|end|>"]] = Role.USER_DEFINED
    if b"</s>" in found and found & {b"<|tool_response>", b"<|plamo:eos|>"}:
        ends.remove(tokens[b"</s>"])
        roles[tokens[b"</s>"]] = Role.NORMAL


def _byte(file: GgufFile, name: bytes, token: int) -> bytes:
    match = _BYTE_NAME.fullmatch(name)
    if match is None:
        raise ModelError(f"{file.path}: token {token} should be a byte such as <0x0A>, but is {name[:40]!r}")
    return bytes([int(match[1], 16)])


def _sentencepiece(file: GgufFile, name: bytes, role: Role, token: int) -> bytes:
    if role is Role.NORMAL:
        return name.replace("\u2581".encode(), b" ")
    if role is Role.BYTE:
        return _byte(file, name, token)
    return name if role is Role.USER_DEFINED else b""


def _byte_level(file: GgufFile, name: bytes, role: Role, token: int) -> bytes:
    if role is Role.BYTE:
        return _byte(file, name, token)
    if role is not Role.NORMAL:
        return name if role is Role.USER_DEFINED else b""
    try:
        characters = name.decode()
    except UnicodeDecodeError:
        raise ModelError(f"{file.path}: token {token} is not UTF-8: {name[:40]!r}") from None
    return b"".join(
        bytes([_BYTE_OF[c]]) if c in _BYTE_OF else b"[UNK_BYTE_0x%s%s]" % (c.encode().hex().encode(), name)
        for c in characters
    )


def _gpt2_bytes() -> dict[str, int]:
    """GPT-2's character for every byte, inverted: printable ones stand for themselves, others for U+0100 onwards."""
    themselves = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in themselves]
    return {chr(b): b for b in themselves} | {chr(256 + n): b for n, b in enumerate(others)}


_BYTE_OF = _gpt2_bytes()
