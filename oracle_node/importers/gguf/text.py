"""From tokens to the answer: the proof that the output is the text of the witness's tokens, and that it ends rightly.

The request is i32: the most tokens wanted, then the prompt's token ids. The witness is the answer's token ids, an end
token included; the output their pieces one after another. Not here: which tokens the model chooses (`transformer`).
"""

from dataclasses import dataclass

import numpy as np

from oracle_node.importers.gguf.vocabulary import Vocabulary
from oracle_node.tape.affine import Affine
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.expression import Scalar
from oracle_node.tape.instruction import Inequality, Reducer, Source
from oracle_node.tape.types import Array, DType, SourceKind
from oracle_node.tape.view import View

MAX_TEXT_BYTES = 1 << 16
"""An answer has to fit one transaction."""


@dataclass(frozen=True)
class Limits:
    """`context`: tokens of prompt and answer together, but for the answer's last; `answer`: tokens of an answer."""

    context: int
    answer: int

    def sources(self, vocabulary: Vocabulary) -> tuple[Source, Source, Source]:
        """Request, output and witness."""
        longest = max(map(len, vocabulary.pieces))
        text = min(self.answer * longest, MAX_TEXT_BYTES)
        return (
            Source(DType.I32, 2, self.context + 1),
            Source(DType.U8, 0, text),
            Source(DType.I32, 1, self.answer),
        )

    @property
    def inequality(self) -> Inequality:
        """Header, prompt and answer: the answer's last token is never read."""
        return Inequality((1, 0, 1), self.context + 2)


REQUEST, TEXT, ANSWER = (Affine.symbol(kind) for kind in SourceKind)
"""Lengths: of the request (one more than the prompt's), the output in bytes, and the witness."""
LENGTH = REQUEST + ANSWER - 2
"""Tokens that the model reads."""


class Tokens:
    """The tokens of prompt and claim, and what they say; emits into a builder."""

    def __init__(self, b: TapeBuilder, vocabulary: Vocabulary, limits: Limits) -> None:
        self._b, self._vocabulary, self._limits = b, vocabulary, limits
        last = len(vocabulary.pieces) - 1
        with b.scope("tokens"):
            self.request = b.input(SourceKind.REQUEST, (REQUEST,), 0, max(last, limits.answer))
            self.claimed = b.input(SourceKind.WITNESS, (ANSWER,), 0, last)
            prompt = self.request.slice(0, 1, REQUEST - 1)
            self.read = b.concat([prompt, self.claimed.slice(0, 0, ANSWER - 1)], 0)
            """All but the answer's last, (LENGTH,)."""
            self._lengths = self._piece_lengths()
            self._starts = self._piece_starts()

    def _table(self, values: Array) -> View:
        """A constant with one entry a token."""
        return self._b.const(np.ascontiguousarray(values))

    def _of_claimed(self, values: Array) -> View:
        return self._b.gather(self.claimed, self._table(values))

    def _piece_lengths(self) -> View:
        """Bytes of every claimed token's piece, (ANSWER,) i16."""
        self._dropped = self._first_space()
        lengths = np.asarray([len(piece) for piece in self._vocabulary.pieces], np.int16)
        found = self._of_claimed(lengths)
        if self._dropped is None:
            return found
        return self._b.map(lambda n, d: n - d, found, self._dropped, dtype=DType.I16)

    def _first_space(self) -> View | None:
        """1 where a piece loses its leading space, (ANSWER,) u8: only the first of a whole text does."""
        vocabulary = self._vocabulary
        start = vocabulary.start
        if not vocabulary.drops_leading_space or start is None:
            return None
        spaces = np.asarray([piece.startswith(b" ") for piece in vocabulary.pieces], np.uint8)
        before = self.request.slice(0, REQUEST - 1, 1)
        return self._b.map(
            lambda space, number, token: space & number.equals(0) & token.equals(start),
            self._of_claimed(spaces), self._counting(self._limits.answer).slice(0, 0, ANSWER), before,
            dtype=DType.U8,
        )  # fmt: skip

    def _piece_starts(self) -> View:
        """Where every claimed token's piece starts in the text, (ANSWER,) i32."""
        limit = self._limits.answer
        earlier = self._b.const(np.tri(limit, limit, -1, dtype=np.uint8))
        window = earlier.slice(0, 0, ANSWER).slice(1, 0, ANSWER)
        return self._b.contract(window, self._lengths.unsqueeze(0), 1, DType.I32)

    def _counting(self, most: int) -> View:
        """0, 1, 2, … `most`."""
        return self._b.const(np.arange(most + 1, dtype=np.int32))

    def text(self) -> View:
        """The pieces of the claimed tokens, cut off or repeated at the claimed length: (TEXT,) u8."""
        b, pieces = self._b, self._vocabulary.pieces
        width = max(map(len, pieces))
        table = np.frombuffer(b"".join(piece.ljust(width, b"\0") for piece in pieces), np.uint8)
        with b.scope("text"):
            place = self._counting(self._text_limit).slice(0, 0, TEXT)
            begun = b.map(
                lambda start, at: start <= at,
                self._starts.unsqueeze(0), place.unsqueeze(1), dtype=DType.U8,
            )  # fmt: skip
            passed = b.reduce(Reducer.SUM, begun, dtype=DType.I32)
            which = b.map(lambda n: n - 1, passed, dtype=DType.I32)
            token, start = b.gather(which, self.claimed), b.gather(which, self._starts)
            terms = [place, token, start]
            if self._dropped is not None:
                terms.append(b.gather(which, self._dropped))

            def index(at: Scalar, token: Scalar, start: Scalar, dropped: Scalar | int = 0) -> Scalar:
                return token * width + (at - start + dropped).clamp(0, width - 1)

            return b.gather(b.map(index, *terms, dtype=DType.I32), self._table(table))

    def ok(self) -> View:
        """1 where the answer ends at its first end token or at the length asked for, and the text is all of it."""
        b, limits, vocabulary = self._b, self._limits, self._vocabulary
        ends = np.zeros(len(vocabulary.pieces), np.uint8)
        ends[sorted(vocabulary.end)] = 1
        with b.scope("ok"):
            is_end = self._of_claimed(ends)
            last = ANSWER - 1
            early = b.reduce(Reducer.SUM, is_end.slice(0, 0, ANSWER), dtype=DType.I32)
            length = b.map(
                lambda start, n: start + n, self._starts.slice(0, last, 1), self._lengths.slice(0, last, 1)
            )
            counting = self._counting(max(limits.answer, limits.context + 1))
            wanted = b.map(
                lambda most, request: most.clamp(1, limits.answer).minimum(limits.context + 2 - request),
                self.request.slice(0, 0, 1), counting.slice(0, REQUEST, 1), dtype=DType.I32,
            )  # fmt: skip

            def judge(
                ends: Scalar, end: Scalar, tokens: Scalar, wanted: Scalar, length: Scalar, bytes_: Scalar
            ) -> Scalar:
                stops = end | tokens.equals(wanted)
                return ends.equals(end) & stops & (tokens <= wanted) & length.equals(bytes_)

            return b.map(
                judge,
                early.reshape(1),
                is_end.slice(0, last, 1),
                counting.slice(0, ANSWER, 1),
                wanted,
                length,
                self._counting(self._text_limit).slice(0, TEXT, 1),
                dtype=DType.U8,
            )

    @property
    def _text_limit(self) -> int:
        return self._limits.sources(self._vocabulary)[SourceKind.OUTPUT].max_elements
