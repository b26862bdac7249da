"""Text to tokens and back, as llama.cpp does it with the vocabulary of a GGUF file.

A text never becomes a control token: only a chat template's own words do. Not here: what the tape knows of a vocabulary
(`oracle_node.importers.gguf.vocabulary`).
"""

import re
import struct
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from oracle_node.errors import ConfigError, ModelError
from oracle_node.importers.gguf.file import GgufFile
from oracle_node.importers.gguf.vocabulary import Vocabulary, read_vocabulary
from oracle_node.language.llama import llama_cpp_package

_TEMPLATE = "tokenizer.chat_template"


class Tokenizer:
    """The tokenizer of one file. Holds memory of llama.cpp until it is closed."""

    def __init__(self, path: Path, vocabulary: Vocabulary, template: str | None, model: Any) -> None:
        self.path = path
        self.vocabulary = vocabulary
        self._template = template
        self._controls = dict(vocabulary.controls)
        self._llama = llama_cpp_package()
        self._model = model
        self._tokens = self._llama.llama_model_get_vocab(model)

    @classmethod
    def open(cls, path: Path | str) -> "Tokenizer":
        """The tokenizer of a GGUF file, with or without weights; ModelError if llama.cpp cannot use it."""
        path = Path(path)
        # SAFETY: llama.cpp ends the process on a vocabulary that contradicts itself, so it is read here first
        with GgufFile.open(path) as file:
            vocabulary = read_vocabulary(file)
            _require_every_byte(file, vocabulary)
            template = file.metadata(_TEMPLATE, str, None)
        llama = llama_cpp_package()
        parameters = llama.llama_model_default_params()
        parameters.vocab_only = True
        model = llama.llama_model_load_from_file(str(path).encode(), parameters)
        if not model:
            raise ModelError(f"{path}: llama.cpp cannot use its tokenizer")
        return cls(path, vocabulary, template, model)

    def close(self) -> None:
        if self._model is not None:
            self._llama.llama_model_free(self._model)
        self._model = self._tokens = None

    def __enter__(self) -> "Tokenizer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def encode(self, text: str, add_start: bool = True) -> list[int]:
        """The tokens of a whole text, none of them a control token but the start that models with one expect."""
        return self._started(self._plain(text)) if add_start else self._plain(text)

    def pieces(self, tokens: Iterable[int]) -> bytes:
        """What the tokens say, one after another; as it stands, with the space that may begin a whole text."""
        return b"".join(self.vocabulary.pieces[token] for token in tokens)

    def chat(self, text: str, system: str | None = None) -> list[int]:
        """The tokens of a conversation's first message in the file's chat template, up to where the answer starts.

        ConfigError where the file has no template, or one that fails or has no place for a system message. Names of
        control tokens stand for them where they are the template's own, and are text in `text` and `system`.
        """
        fragments: list[int | str] = []
        for part, is_template in self._rendered(text, system):
            for fragment in self._split(part) if is_template else [part]:
                last = fragments[-1] if fragments else None
                if isinstance(fragment, str) and isinstance(last, str):
                    # one text to the tokenizer, which may begin each with a space
                    fragments[-1] = last + fragment
                else:
                    fragments.append(fragment)
        tokens: list[int] = []
        for fragment in fragments:
            tokens += self._plain(fragment) if isinstance(fragment, str) else [fragment]
        return self._started(tokens)

    def _started(self, tokens: list[int]) -> list[int]:
        """With the start token in front where the model expects it and it is not there yet."""
        start = self.vocabulary.start
        if not self.vocabulary.adds_start or start is None or tokens[:1] == [start]:
            return tokens
        return [start, *tokens]

    def _plain(self, text: str) -> list[int]:
        """A text's tokens; where pieces would merge into a control token they are left as single characters."""
        tokens: list[int] = []
        for token in self._tokenize(text):
            tokens += self._spelled(token) if token in self._controls else [token]
        return tokens

    def _tokenize(self, text: str) -> list[int]:
        """llama.cpp's tokens, names of control tokens not looked for."""
        if self._tokens is None:
            raise ValueError("the tokenizer is closed")
        try:
            data = text.encode()
        except UnicodeEncodeError:
            raise ConfigError("the text holds half of a surrogate pair, which no UTF-8 can express") from None
        room = 2 * len(data) + 2  # no token is empty, but there may be a space before each
        buffer = (self._llama.llama_token * room)()
        count = self._llama.llama_tokenize(self._tokens, data, len(data), buffer, room, False, False)
        if count < 0:
            raise ConfigError(f"llama.cpp cannot tokenize a text of {len(data)} bytes")
        return list(buffer[:count])

    @cached_property
    def _short(self) -> dict[bytes, int]:
        """Tokens by what they say, as far as that can be one character; text before bytes, which come first."""
        return {piece: token for token, piece in enumerate(self.vocabulary.pieces) if 0 < len(piece) <= 4}

    def _spelled(self, control: int) -> list[int]:
        """The characters of a control token's name, a token each; bytes where the vocabulary has no such character."""
        name = self._controls[control]
        if self.vocabulary.kind == "llama":
            name = name.replace("\u2581".encode(), b" ")
        single = self._short
        tokens: list[int] = []
        for character in name.decode(errors="surrogateescape"):
            data = character.encode(errors="surrogateescape")
            parts = [data] if data in single else [bytes([byte]) for byte in data]
            if not all(part in single for part in parts):
                raise ConfigError(
                    f"{self.path}: its vocabulary cannot spell {name!r} but as the control token"
                )
            tokens += [single[part] for part in parts]
        return tokens

    def _split(self, text: str) -> list[int | str]:
        """A template's words and control tokens: their longest names are looked for first, as llama.cpp does."""
        fragments: list[int | str] = [text] if text else []
        for token, name in sorted(self.vocabulary.controls, key=lambda control: -len(control[1])):
            known = name.decode(errors="replace")
            if known not in text:
                continue
            pieces: list[int | str] = []
            for fragment in fragments:
                if isinstance(fragment, int):
                    pieces.append(fragment)
                    continue
                for i, between in enumerate(fragment.split(known)):
                    pieces += [token] * (i > 0) + [between] * bool(between)
            fragments = pieces
        return fragments

    def _rendered(self, text: str, system: str | None) -> list[tuple[str, bool]]:
        """The conversation in parts: (words, whether they are the template's own)."""
        if self._template is None:
            raise ConfigError(f"{self.path}: has no chat template: send text, or tokens")
        mark = "TEXT"
        while mark in self._template:
            mark += "X"
        given = {f"{mark}1": text} if system is None else {f"{mark}0": system, f"{mark}1": text}
        roles = ["user"] if system is None else ["system", "user"]
        messages = [{"role": r, "content": m} for r, m in zip(roles, given, strict=True)]
        try:
            formatter = self._llama.llama_chat_format.Jinja2ChatFormatter(
                self._template, eos_token=self._name("eos"), bos_token=self._name("bos")
            )
            prompt = formatter(messages=messages).prompt
        except Exception as error:  # whatever a stranger's template does
            raise ConfigError(
                f"{self.path}: its chat template fails ({' '.join(str(error).split())})"
            ) from None
        for placeholder, role in zip(given, roles, strict=True):
            if placeholder not in prompt:
                raise ConfigError(f"{self.path}: its chat template has no place for a message of the {role}")
        parts = re.split("|".join(f"({placeholder})" for placeholder in given), prompt)
        return [(given.get(part, part), part not in given) for part in parts if part]

    def _name(self, which: str) -> str:
        token = getattr(self._llama, f"llama_vocab_{which}")(self._tokens)
        if token < 0:
            return ""
        name: bytes = self._llama.llama_vocab_get_text(self._tokens, token)
        return name.decode(errors="replace")


def write_vocabulary(source: Path | str, target: Path | str) -> None:
    """The tokenizer, the sizes and the general metadata of a GGUF file as one without tensors, for `Tokenizer.open`.

    The same source gives the same bytes. ModelError if it is no GGUF file.
    """
    with GgufFile.open(source) as file:
        kept = ("tokenizer.", "general.", file.metadata("general.architecture", str) + ".")
        pairs = [file.pair(key) for key in file.keys if key.startswith(kept)]
    Path(target).write_bytes(b"".join([struct.pack("<4sIQQ", b"GGUF", 3, 0, len(pairs)), *pairs]))


def _require_every_byte(file: GgufFile, vocabulary: Vocabulary) -> None:
    """ModelError where a SentencePiece vocabulary lacks a token for a byte, which llama.cpp would look for in vain."""
    if vocabulary.kind != "llama":
        return
    names = set(file.strings("tokenizer.ggml.tokens"))
    for byte in range(256):
        if b"<0x%02X>" % byte not in names and bytes([byte]) not in names:
            raise ModelError(f"{file.path}: its vocabulary has no token for the byte 0x{byte:02X}")
