"""Model directories: `model.json`, `tape.bin` (u16 length ‖ instruction, each) and `weights.bin` (memory-mapped)."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from pydantic import ValidationError

from oracle_node.commitments.model import commit, roots_of
from oracle_node.commitments.tensor import tensor_bytes
from oracle_node.errors import ModelError
from oracle_node.files import read_regular
from oracle_node.model.manifest import CardEntry, Manifest, WeightEntry, manifest_of, parse_manifest
from oracle_node.model.model import Card, Model
from oracle_node.tape.encoding import EncodingError, decode, encode
from oracle_node.tape.instruction import Instruction, Tape
from oracle_node.tape.types import Array, DType

MANIFEST, TAPE, WEIGHTS = "model.json", "tape.bin", "weights.bin"
TOKENIZER, TEXT_TOKENIZER = "tokenizer.gguf", "tokenizer.json"
"""The vocabulary of a language model, and of an encoder: for clients; no part of the model's id."""
_FILES = (MANIFEST, TAPE, WEIGHTS, TOKENIZER, TEXT_TOKENIZER)
_ALIGNMENT = 64
_MAPPED_BYTES = 1 << 20
_MAX_BYTES = 1 << 26
"""Of a manifest or a tape: a hundred thousand instructions at 670 bytes each, encoded and named."""


class ModelWriter:
    """Writes a model directory, the manifest last: what was not finished is not a model.

    Weights are written as they are made, in the order in which the tape takes them; what `stream` writes comes back as
    a view of the mapped file. As a context it takes away what it wrote if the import fails.
    """

    def __init__(self, directory: Path, replace: bool = False) -> None:
        """ModelError where the directory holds anything but a model, or one that is not to be replaced."""
        directory.mkdir(parents=True, exist_ok=True)
        foreign = {path.name for path in directory.iterdir()} - {*_FILES}
        if foreign:
            raise ModelError(
                f"{directory} is not empty ({min(foreign)}): choose another directory for the model"
            )
        if (directory / MANIFEST).exists() and not replace:
            raise ModelError(
                f"{directory} holds a model already: choose another directory, or --force to replace it"
            )
        self.directory = directory
        for name in (MANIFEST, TOKENIZER, TEXT_TOKENIZER):
            (directory / name).unlink(missing_ok=True)
        # a new file: what an earlier model of this directory has mapped stays as it was
        (directory / WEIGHTS).unlink(missing_ok=True)
        self._file = (directory / WEIGHTS).open("wb")
        self._offsets: list[int] = []
        self._streamed: Array | None = None

    def __enter__(self) -> "ModelWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if error is not None:
            for name in _FILES:
                (self.directory / name).unlink(missing_ok=True)

    def __call__(self, array: Array) -> Array:
        """Write the next weight, unless `stream` has just written it."""
        if array is not self._streamed:
            self._begin()
            self._file.write(tensor_bytes(array))
        self._streamed = None
        return array

    def stream(self, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterable[Array]) -> Array:
        """The next weight from blocks of its rows: a view of the mapped file, or in memory where it is small."""
        if prod(shape) * dtype.itemsize < _MAPPED_BYTES:
            return np.concatenate(list(blocks)).reshape(shape)
        start = self._begin()
        for block in blocks:
            self._file.write(tensor_bytes(block))
        self._file.flush()
        self._streamed = np.memmap(self.directory / WEIGHTS, dtype, "r", start, shape)
        return self._streamed

    def finish(self, model: Model) -> None:
        """Write the rest."""
        self._file.close()
        with (self.directory / TAPE).open("wb") as file:
            for encoded in map(encode, model.tape.instructions):
                file.write(len(encoded).to_bytes(2, "big") + encoded)
        text = manifest_of(model, self._offsets).model_dump_json(indent=1)
        (self.directory / MANIFEST).write_text(text + "\n", encoding="utf-8")

    def _begin(self) -> int:
        self._file.write(bytes(-self._file.tell() % _ALIGNMENT))
        self._offsets.append(self._file.tell())
        return self._offsets[-1]


def save_model(model: Model, directory: Path, replace: bool = False) -> None:
    """Write a model that is in memory; ModelError as `ModelWriter`."""
    with ModelWriter(directory, replace) as writer:
        for weight in model.tape.weights:
            writer(weight)
        writer.finish(model)


def rewrite_card(directory: Path, **changed: Any) -> Card:
    """Change fields of a model's card, as JSON values; the model, and its id, stay the same."""
    path = directory / MANIFEST
    manifest = parse_manifest(_read(path).decode("utf-8", "replace"), str(path))
    try:
        entry = CardEntry.model_validate({**manifest.card.model_dump(), **changed})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise ModelError(f"the card: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    text = manifest.model_copy(update={"card": entry}).model_dump_json(indent=1)
    new = path.with_suffix(".new")
    new.write_text(text + "\n", encoding="utf-8")
    new.replace(path)
    return Card(**entry.model_dump())


def load_model(directory: Path, verify_weights: bool = True) -> Model:
    """Read a model and check it against its id; any corruption is a ModelError of one line.

    `verify_weights=False` trusts the weights' recorded roots (the id still covers those) and reads no weight.
    """
    manifest = parse_manifest(
        _read(directory / MANIFEST).decode("utf-8", "replace"), str(directory / MANIFEST)
    )
    weights = tuple(_weights(directory / WEIGHTS, manifest))
    roots = tuple(bytes.fromhex(entry.root[2:]) for entry in manifest.weights)
    if verify_weights:
        for index, (root, recorded) in enumerate(zip(roots_of(weights), roots, strict=True)):
            if root != recorded:
                at = directory / WEIGHTS
                raise ModelError(f"{at}: weight {index} is corrupt: root {root.hex()}, not {recorded.hex()}")
    tape = Tape(
        instructions=_instructions(directory / TAPE, manifest.instructions),
        weights=weights,
        sources=(manifest.sources[0].value, manifest.sources[1].value, manifest.sources[2].value),
        output=manifest.output,
        witness=manifest.witness,
        ok=manifest.ok,
        inequalities=tuple(entry.value for entry in manifest.inequalities),
        derived=tuple(entry.value for entry in manifest.derived),
        step_bound=manifest.step_bound,
        names=tuple(manifest.names),
    )
    model = Model(tape, commit(tape, roots), Card(**manifest.card.model_dump()), roots)
    if "0x" + model.model_id.hex() != manifest.model_id:
        raise ModelError(
            f"{directory}: the files make up model 0x{model.model_id.hex()}, not {manifest.model_id}"
        )
    return model


def _read(path: Path, most: int = _MAX_BYTES) -> bytes:
    try:
        return read_regular(path, most)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}: not a model directory") from None


def _instructions(path: Path, count: int) -> tuple[Instruction, ...]:
    data, at = _read(path), 0
    instructions: list[Instruction] = []
    while at < len(data):
        start, at = at + 2, at + 2 + int.from_bytes(data[at : at + 2], "big")
        try:
            if at > len(data):
                raise EncodingError("the file ends inside it")
            instructions.append(decode(data[start:at]))
        except EncodingError as error:
            raise ModelError(f"{path}: instruction {len(instructions)} is corrupt: {error}") from None
    if len(instructions) != count:
        raise ModelError(f"{path}: {len(instructions)} instructions, the manifest has {count}")
    return tuple(instructions)


def _weights(path: Path, manifest: Manifest) -> Iterator[np.ndarray]:
    """The constants as views of the mapped file; ModelError unless they fill it, with zeros between them."""
    try:
        size = path.stat().st_size
        data = np.memmap(path, np.uint8, "r") if size else np.zeros(0, np.uint8)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}: not a model directory") from None
    spans = [(entry.offset, entry.offset + _byte_length(entry)) for entry in manifest.weights]
    for (_, end), (start, _) in pairwise([(0, 0), *spans, (size, size)]):
        if start < end or start > size or data[end:start].any():
            raise ModelError(f"{path}: {size} bytes do not hold the weights as the manifest places them")
    for entry, (start, end) in zip(manifest.weights, spans, strict=True):
        yield data[start:end].view(DType[entry.dtype.upper()].numpy).reshape(entry.shape)


def weights_bytes(manifest: Manifest) -> int:
    """The size that `weights.bin` has to have."""
    return max((entry.offset + _byte_length(entry) for entry in manifest.weights), default=0)


def _byte_length(entry: WeightEntry) -> int:
    return prod(entry.shape) * DType[entry.dtype.upper()].width
