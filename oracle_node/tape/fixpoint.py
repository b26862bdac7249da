"""A model has at most one answer: admission of what a tape answers, on the proofs of `causality`."""

from oracle_node.errors import AdmissionError
from oracle_node.tape.causality import FREE, Causality, Dependence
from oracle_node.tape.instruction import Tape
from oracle_node.tape.types import SourceKind


def require_one_answer(tape: Tape, causality: Causality) -> None:
    """AdmissionError unless at most one claim of any given lengths can be its own answer, and `ok` looks at those.

    A length counts as given by the tape where the answer's shapes do not hang on it: then the claim has that length or
    is wrong. Both shapes count for both lengths: an output as long as the witness, beside a witness as long as the
    output, leaves them free.
    """
    _require_witness_type(tape)
    output, ok = causality.results[tape.output], causality.results[tape.ok]
    witness = FREE if tape.witness is None else causality.results[tape.witness]
    if (
        output.output
        or SourceKind.OUTPUT in output.lengths
        or (tape.witness is None and (output.rows != () or output.lengths))
    ):
        raise AdmissionError(
            f"the output {tape.output} depends on the claim itself: it may have several fixpoints"
        )
    if witness.output or not _is_causal(witness, causality):
        raise AdmissionError(
            f"element i of the witness {tape.witness} is not proved to depend only on witness elements before i: "
            "it may have several fixpoints"
        )
    answers = [index for index in (tape.output, tape.witness) if index is not None]
    dimensions = [dimension for index in answers for dimension in tape.instructions[index].shape]
    for source in (SourceKind.OUTPUT, SourceKind.WITNESS):
        if causality.is_own_length(source, dimensions) and source not in ok.lengths:
            name = source.name.lower()
            raise AdmissionError(
                f"the {name} may have any length and ok does not look at it: it may have several fixpoints"
            )


def _require_witness_type(tape: Tape) -> None:
    """AdmissionError unless the witness's elements are the claim's, so that "before i" means the same of both."""
    claimed = tape.sources[SourceKind.WITNESS]
    if tape.witness is None:
        if claimed.max_elements:
            raise AdmissionError("nothing answers the witness: it would be anybody's to choose")
    elif (dtype := tape.instructions[tape.witness].dtype) is not claimed.dtype:
        raise AdmissionError(
            f"the witness {tape.witness} is {dtype.name.lower()}, claims have {claimed.dtype.name.lower()}: "
            "it may have several fixpoints"
        )


def _is_causal(witness: Dependence, causality: Causality) -> bool:
    if witness.rows is None or witness.lengths:
        return False
    return all(axis == 0 and causality.region.bounds(bound)[1] <= 0 for axis, bound in witness.rows)
