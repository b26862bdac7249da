"""A request's bytes from what people give: files by the names of a model's inputs, or a text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from oracle_node.codec.arrays import as_type, load_bytes, load_npy, load_npz, require_length
from oracle_node.codec.description import (
    Column,
    FilledPart,
    ImagePart,
    InputPart,
    PromptPart,
    TablePart,
    TextPart,
    input_parts,
)
from oracle_node.codec.images import IMAGE_SUFFIXES, image_numbers
from oracle_node.codec.tables import table_numbers
from oracle_node.codec.text import token_ids
from oracle_node.errors import ConfigError
from oracle_node.model.model import Model
from oracle_node.tape.instruction import Source
from oracle_node.tape.types import DType, SourceKind

_BY_NAME = (".npz", ".csv")
"""Files that hold several inputs, each under its name."""
_NO_DIRECTORY = "a text needs the model's directory, which holds its tokenizer"
WHOLE = ""
"""The name of a file that is all there is: of the only input, or of every one."""


@dataclass(frozen=True)
class Given:
    """What somebody asks with: files by input name, a text, or both."""

    files: Mapping[str, Path] = field(default_factory=dict)
    text: str | None = None
    is_chat: bool = False
    max_tokens: int | None = None


def request_bytes(model: Model, given: Given, directory: Path | None = None) -> bytes:
    """The request that a model takes, as it goes on chain; ConfigError says what is missing or does not fit.

    `directory` is the model's, where its tokenizer lies.
    """
    source = model.tape.sources[SourceKind.REQUEST]
    parts = input_parts(model.card.input, source.max_elements)
    if isinstance(parts[0], PromptPart):
        return _prompt(model, given, directory, source)
    if given.is_chat or given.max_tokens is not None:
        raise ConfigError(f"{model.card.name} is no language model: it has no chat and no tokens to count")
    return _Request(parts, source, given, directory).numbers().tobytes()


def _prompt(model: Model, given: Given, directory: Path | None, source: Source) -> bytes:
    from oracle_node.language.prompts import prompt_request

    if given.files:
        if given.text is not None or len(given.files) > 1:
            raise ConfigError(f"{model.card.name} takes a text, or one file of token ids")
        (path,) = given.files.values()
        return require_length(_plain(path, source.dtype), source, path).tobytes()
    if directory is None:
        raise ConfigError(_NO_DIRECTORY)
    return prompt_request(model, directory, given.text or "", chat=given.is_chat, max_tokens=given.max_tokens)


class _Request:
    """One request in the making: every part's numbers, one after another."""

    def __init__(
        self, parts: tuple[InputPart, ...], source: Source, given: Given, directory: Path | None
    ) -> None:
        self._parts = [part for part in parts if not isinstance(part, PromptPart)]
        self._source, self._given, self._directory = source, given, directory
        self._made: dict[str, np.ndarray] = {}

    def numbers(self) -> np.ndarray:
        """(n,) in the source's type."""
        self._require_known()
        whole = self._given.files.get(WHOLE)
        asked = [part for part in self._parts if not isinstance(part, FilledPart)]
        if whole is not None and len(asked) > 1 and whole.suffix.lower() not in _BY_NAME:
            return require_length(_plain(whole, self._source.dtype), self._source, whole)
        for part in self._parts:
            if not isinstance(part, FilledPart):
                self._made[part.name] = self._part(part)
        return require_length(
            np.concatenate([self._full(part) for part in self._parts]), self._source, "the input"
        )

    def _require_known(self) -> None:
        names = [part.name for part in self._parts]
        for name in self._given.files:
            if name not in (WHOLE, *names):
                raise ConfigError(f"there is no input {name!r}: the model takes {', '.join(names)}")
        if not self._given.files and self._given.text is None:
            raise ConfigError(f"no input is given: the model takes {', '.join(names)}")
        if self._given.text is not None and not any(isinstance(p, TextPart) for p in self._parts):
            raise ConfigError(f"the model takes no text, but {', '.join(names)}")

    def _part(self, part: InputPart) -> np.ndarray:
        assert not isinstance(part, PromptPart)
        if isinstance(part, TextPart) and self._given.text is not None:
            return self._tokens(self._given.text, part)
        path = self._given.files.get(part.name) or self._given.files.get(WHOLE)
        if path is None:
            raise ConfigError(f"no input {part.name!r} is given")
        numbers = self._from_file(path, part)
        if part.elements is not None and numbers.size != part.elements and not isinstance(part, TextPart):
            raise ConfigError(
                f"{path}: {numbers.size:,} elements, the model takes {part.elements:,} as {part.name or 'input'}"
            )
        return numbers

    def _from_file(self, path: Path, part: InputPart) -> np.ndarray:
        dtype, suffix = self._source.dtype, path.suffix.lower()
        assert not isinstance(part, PromptPart)
        if suffix == ".npz":
            arrays = load_npz(path)
            if part.name not in arrays:
                raise ConfigError(f"{path}: holds no array {part.name!r}, but {', '.join(arrays) or 'none'}")
            return as_type(arrays[part.name], dtype, path)
        if suffix == ".csv":
            row = part
            if not isinstance(row, TablePart):
                row = TablePart(kind="table", name=part.name, columns=(Column(name=part.name),))
            return as_type(table_numbers(path, row), dtype, path)
        if isinstance(part, ImagePart) and suffix in IMAGE_SUFFIXES:
            numbers = image_numbers(path, part)
            return as_type(numbers if dtype is DType.F32 else np.rint(numbers), dtype, path)
        if isinstance(part, TextPart) and suffix == ".txt":
            return self._tokens(path.read_text("utf-8", "replace"), part)
        return _plain(path, dtype)

    def _tokens(self, text: str, part: TextPart) -> np.ndarray:
        if self._directory is None:
            raise ConfigError(_NO_DIRECTORY)
        ids = token_ids(text, self._directory, part.elements or self._source.max_elements)
        return as_type(ids, self._source.dtype, "the text")

    def _full(self, part: InputPart) -> np.ndarray:
        """The part's numbers, filled up with zeros to its length where that is fixed."""
        assert not isinstance(part, PromptPart)
        numbers = (
            np.full(self._made[part.of].size, part.value, self._source.dtype.numpy)
            if isinstance(part, FilledPart)
            else self._made[part.name]
        )
        missing = 0 if part.elements is None else part.elements - numbers.size
        if missing < 0:
            raise ConfigError(f"{numbers.size:,} elements, the model takes {part.elements:,} as {part.name}")
        return np.concatenate([numbers, np.zeros(missing, numbers.dtype)])


def _plain(path: Path, dtype: DType) -> np.ndarray:
    return as_type(load_npy(path), dtype, path) if path.suffix == ".npy" else load_bytes(path, dtype)
