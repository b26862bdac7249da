"""A model as nodes use it: the tape, what its id commits to, and a card for people."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from oracle_node.commitments.model import ModelCommitment, commit, roots_of
from oracle_node.errors import ModelError
from oracle_node.tape.affine import Symbols
from oracle_node.tape.instruction import Opcode, Source, Tape
from oracle_node.tape.region import Region
from oracle_node.tape.step import step_bytes
from oracle_node.tape.types import SourceKind


class RequestRefusedError(ModelError):
    """The model has no answer for this request: its length, its content, or no claim that satisfies `ok`."""


@dataclass(frozen=True)
class Card:
    """What people and tools should know of a model; no part of its id.

    `input` and `answer` are JSON objects that say what the bytes mean (`codec.description`); `measured` is what an
    import or a comparison found out about the model beside its source.
    """

    name: str
    description: str = ""
    license: str = ""
    origin: str = ""
    input: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A tape with its commitment and card; built by `Model.of` or read by `load_model`."""

    tape: Tape
    commitment: ModelCommitment
    card: Card
    weight_roots: tuple[bytes, ...]

    @classmethod
    def of(cls, tape: Tape, card: Card) -> "Model":
        """The model of a tape that the builder finished; hashes every weight."""
        roots = roots_of(tape.weights)
        return cls(tape, commit(tape, roots), card, roots)

    @cached_property
    def model_id(self) -> bytes:
        return self.commitment.model_id

    @cached_property
    def reads_claim(self) -> bool:
        """Whether any instruction reads the claim; if none does, one run is the answer."""
        return any(
            i.opcode is Opcode.INPUT and i.operands[0].ref != SourceKind.REQUEST
            for i in self.tape.instructions
        )

    def source(self, kind: SourceKind, data: bytes) -> np.ndarray:
        """A source's bytes as its registered type, (n,); RequestRefusedError where they split an element."""
        dtype = self.tape.sources[kind].dtype
        if len(data) % dtype.width:
            names = kind.name.lower(), dtype.name.lower()
            raise RequestRefusedError(
                f"the {names[0]}'s {len(data)} bytes are no whole number of {names[1]} elements"
            )
        return np.frombuffer(data, dtype.numpy)

    def sources(
        self, request: bytes, output: bytes, witness: bytes = b""
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What executors and traces run on: the request and a claim, (n,) each."""
        return (
            self.source(SourceKind.REQUEST, request),
            self.source(SourceKind.OUTPUT, output),
            self.source(SourceKind.WITNESS, witness),
        )

    def symbols(self, sources: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Symbols:
        """The symbols for these sources' lengths; RequestRefusedError outside the model's limits."""
        try:
            return self.tape.symbols((len(sources[0]), len(sources[1]), len(sources[2])))
        except ValueError as error:
            raise RequestRefusedError(str(error)) from None

    def describe(self) -> dict[str, Any]:
        """Facts for `model inspect`, as JSON values."""
        tape, commitment = self.tape, self.commitment
        region = Region(tape.sources, tape.inequalities, tape.derived)
        return {
            "name": self.card.name,
            "description": self.card.description,
            "license": self.card.license,
            "origin": self.card.origin,
            "model_id": "0x" + self.model_id.hex(),
            "tape_root": "0x" + commitment.program_root.hex(),
            "weights_root": "0x" + commitment.weights_root.hex(),
            "weights_bytes": sum(weight.nbytes for weight in tape.weights),
            "instructions": commitment.instruction_count,
            "ops": dict(sorted(Counter(i.opcode.name for i in tape.instructions).items())),
            "max_step_bytes": max(
                step_bytes(i, region, commitment.instruction_count) for i in tape.instructions
            ),
            "step_bound": tape.step_bound,
            "trace_work": commitment.trace_work,
            "trace_seconds": commitment.trace_seconds,
            "inputs": {**_limits(tape.sources[SourceKind.REQUEST]), **self.card.input},
            "answer": {**_limits(tape.sources[SourceKind.OUTPUT]), **self.card.answer},
            "measured": dict(self.card.measured),
            "witness": None if tape.witness is None else _limits(tape.sources[SourceKind.WITNESS]),
        }


def _limits(source: Source) -> dict[str, Any]:
    return {
        "dtype": source.dtype.name.lower(),
        "min_elements": source.min_elements,
        "max_elements": source.max_elements,
        "max_bytes": source.max_elements * source.dtype.width,
    }
