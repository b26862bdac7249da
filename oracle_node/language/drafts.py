"""Who writes an answer before the tape checks it. Only time depends on how good a draft is, never the answer.

A writer proposes a few tokens at a time: llama.cpp does, or what followed the same words before is copied;
more tokens while they are right, fewer after a correction.
"""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import structlog

from oracle_node.errors import ConfigError
from oracle_node.language.llama import llama_cpp_package
from oracle_node.language.prompts import Language
from oracle_node.model.solver import Claim

log = structlog.get_logger()
_FEWEST, _FIRST, _MOST = 8, 32, 256
LOOKUP_TOKENS = 8
"""What a lookup proposes at first."""
_LOOKUP = 3
"""Tokens that have to be the same for what followed them to be proposed."""


class Writer(Protocol):
    """Continues tokens."""

    def continued(self, tokens: Sequence[int], most: int, end: frozenset[int]) -> list[int]:
        """At most `most` further tokens, none after one of `end`."""
        ...


class ProposedText:
    """A `Draft` that asks a writer for a few tokens at a time, and counts what the tape accepted."""

    def __init__(self, language: Language, writer: Writer, first: int = _FIRST) -> None:
        self._language, self._writer = language, writer
        self._first = self._chunk = first
        self._proposed: list[int] = []
        self.proposed_tokens = self.corrected_tokens = 0

    def propose(self, request: np.ndarray, settled: np.ndarray) -> Claim:
        """The settled tokens and some more."""
        tokens = settled.tolist()
        self._learn(tokens)
        if not self._language.is_complete(request, tokens):
            room = self._language.wanted(request) - len(tokens)
            prompt = self._language.prompt(request)
            end = self._language.vocabulary.end
            tokens += self._continued(prompt + tokens, min(self._chunk, room), end)
            self.proposed_tokens += len(tokens) - len(settled)
        self._proposed = tokens
        return self._language.claim(request, tokens)

    def _continued(self, tokens: list[int], most: int, end: frozenset[int]) -> list[int]:
        """What the writer says, up to what is no token of the model; a lookup's word where the writer fails.

        SAFETY: a draft may be of another file, or out of memory: no request may end the node through it.
        """
        try:
            said = self._writer.continued(tokens, most, end)
        except (RuntimeError, ValueError, IndexError) as error:
            log.warning("draft_failed", reason=str(error))
            said = []
        size = len(self._language.vocabulary.pieces)
        known = list(takewhile(lambda token: 0 <= token < size, said[:most]))
        return known or LookupWriter().continued(tokens, most, end)

    def _learn(self, settled: list[int]) -> None:
        if not settled:
            self._chunk = self._first
        elif settled == self._proposed:
            self._chunk = min(2 * self._chunk, _MOST)
        else:
            self.corrected_tokens += 1
            self._chunk = max(self._chunk // 2, _FEWEST)


class LookupWriter:
    """Continues as the text went on the last time its latest tokens stood in it; else it repeats its last token."""

    def continued(self, tokens: Sequence[int], most: int, end: frozenset[int]) -> list[int]:
        found = list(tokens)
        for _ in range(most):
            found.append(_followed(found))
            if found[-1] in end:
                break
        return found[len(tokens) :]


def _followed(tokens: list[int]) -> int:
    for size in range(min(_LOOKUP, len(tokens) - 1), 0, -1):
        latest = tokens[-size:]
        for start in range(len(tokens) - size - 1, -1, -1):
            if tokens[start : start + size] == latest:
                return tokens[start + size]
    return tokens[-1]


class LlamaWriter:
    """llama.cpp with the same weights, greedy; what it has read stays read where the next tokens begin alike."""

    def __init__(self, path: Path, context: int, threads: int = 0, gpu_layers: int = 0) -> None:
        """`threads` 0 means one a core. ConfigError where llama-cpp-python or the file is missing."""
        llama_cpp = llama_cpp_package()
        if not path.is_file():
            raise ConfigError(f"{path}: there is no such file to draft with")
        options: dict[str, Any] = {"n_threads": threads or None, "n_threads_batch": threads or None}
        # float32 keys and values: what llama.cpp rounds to float16 by default, the tape does not
        options |= {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
        try:
            self._llama = llama_cpp.Llama(
                str(path), n_ctx=context, n_gpu_layers=gpu_layers, verbose=False, **options
            )
        except (ValueError, RuntimeError) as error:
            raise ConfigError(f"{path}: llama.cpp cannot load it ({error})") from None

    def __enter__(self) -> "LlamaWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._llama.close()

    def continued(self, tokens: Sequence[int], most: int, end: frozenset[int]) -> list[int]:
        self.read(list(tokens))
        found: list[int] = []
        while len(found) < most:
            found.append(int(self.logits().argmax()))
            if found[-1] in end or len(found) == most:
                break
            self._llama.eval(found[-1:])
        return found

    def forget(self) -> None:
        """Keep nothing of what was read."""
        self._llama.reset()

    def logits(self) -> np.ndarray:
        """What it makes of the tokens read so far, (vocabulary,) f32."""
        pointer = self._llama._ctx.get_logits_ith(-1)
        return np.ctypeslib.as_array(pointer, shape=(self._llama.n_vocab(),))

    def read(self, tokens: list[int]) -> None:
        """Have read exactly these tokens, the last of them just now."""
        known = self._llama.input_ids[: self._llama.n_tokens].tolist()
        same = next(
            (i for i, (a, b) in enumerate(zip(known, tokens, strict=False)) if a != b),
            min(len(known), len(tokens)),
        )
        self._llama.n_tokens = min(same, len(tokens) - 1)  # `eval` forgets what lies beyond
        self._llama.eval(tokens[self._llama.n_tokens :])
