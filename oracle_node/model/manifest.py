"""`model.json`: everything of a model directory but the instructions and the weights' bytes."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from oracle_node.errors import ModelError
from oracle_node.model.model import Card, Model
from oracle_node.tape.instruction import MAX_AXES, DerivedSymbol, Inequality, Source
from oracle_node.tape.types import DType

FORMAT = 1

Count = Annotated[int, Field(ge=0, lt=1 << 32)]
Hash = Annotated[str, Field(pattern="^0x[0-9a-f]{64}$")]
TypeName = Literal["u8", "i8", "i16", "i32", "i64", "f32"]
I64 = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CardEntry(_Strict):
    """The card, as `Card` has it."""

    name: str
    description: str
    license: str
    origin: str
    input: dict[str, Any]
    answer: dict[str, Any]
    measured: dict[str, Any] = {}


class SourceEntry(_Strict):
    """Type and limits of a source, in elements."""

    dtype: TypeName
    min_elements: Count
    max_elements: Count

    @property
    def value(self) -> Source:
        return Source(DType[self.dtype.upper()], self.min_elements, self.max_elements)


class InequalityEntry(_Strict):
    """coefficients · (n0, n1, n2) ≤ bound."""

    coefficients: list[I64] = Field(min_length=3, max_length=3)
    bound: I64

    @property
    def value(self) -> Inequality:
        a, b, c = self.coefficients
        return Inequality((a, b, c), self.bound)


class DerivedEntry(_Strict):
    """ceil(n_source / divisor)."""

    source: Annotated[int, Field(ge=0, le=2)]
    divisor: Annotated[int, Field(ge=1, lt=1 << 32)]

    @property
    def value(self) -> DerivedSymbol:
        return DerivedSymbol(self.source, self.divisor)


class WeightEntry(_Strict):
    """A constant in `weights.bin`: where it starts (bytes) and the root of its tensor."""

    dtype: TypeName
    shape: list[Annotated[int, Field(ge=0)]] = Field(max_length=MAX_AXES)
    offset: Annotated[int, Field(ge=0)]
    root: Hash


class Manifest(_Strict):
    """The whole file."""

    format: Literal[1]
    model_id: Hash
    card: CardEntry
    instructions: Count
    output: Count
    witness: Count | None
    ok: Count
    sources: list[SourceEntry] = Field(min_length=3, max_length=3)
    inequalities: list[InequalityEntry] = Field(max_length=4)
    derived: list[DerivedEntry] = Field(max_length=5)
    step_bound: Count
    weights: list[WeightEntry]
    names: list[str]


def manifest_of(model: Model, offsets: list[int]) -> Manifest:
    """The manifest of a model whose weights start at the offsets."""
    tape = model.tape
    weights = [
        {
            "dtype": DType.of(w).name.lower(),
            "shape": list(w.shape),
            "offset": offset,
            "root": "0x" + root.hex(),
        }
        for w, offset, root in zip(tape.weights, offsets, model.weight_roots, strict=True)
    ]
    sources = [
        {"dtype": s.dtype.name.lower(), "min_elements": s.min_elements, "max_elements": s.max_elements}
        for s in tape.sources
    ]
    return Manifest.model_validate(
        {
            "format": FORMAT,
            "model_id": "0x" + model.model_id.hex(),
            "card": card_entry(model.card),
            "instructions": len(tape.instructions),
            "output": tape.output,
            "witness": tape.witness,
            "ok": tape.ok,
            "sources": sources,
            "inequalities": [
                {"coefficients": list(r.coefficients), "bound": r.bound} for r in tape.inequalities
            ],
            "derived": [{"source": d.source, "divisor": d.divisor} for d in tape.derived],
            "step_bound": tape.step_bound,
            "weights": weights,
            "names": list(tape.names),
        }
    )


def card_entry(card: Card) -> dict[str, Any]:
    """The card as JSON values."""
    texts = {key: getattr(card, key) for key in ("name", "description", "license", "origin")}
    objects = {key: dict(getattr(card, key)) for key in ("input", "answer", "measured")}
    return {**texts, **objects}


def parse_manifest(text: str, where: str) -> Manifest:
    """Strict: unknown keys and wrong types are a ModelError of one line that names the first fault."""
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(map(str, fault["loc"])) or "the file"
        raise ModelError(f"{where}: {key}: {fault['msg']}") from None
