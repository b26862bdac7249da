"""A model has at most one answer: admission of what a tape answers, on the proofs of `causality`."""

from oracle_node.errors import AdmissionError
from oracle_node.tape.causality import FREE, Causality, Dependence
from oracle_node.tape.instruction import Tape
from oracle_node.tape.types import SourceKind


def require_one_answer(tape: Tape, causality: Causality) -> None:
    """AdmissionError unless at most one claim of any given lengths can be its own answer, and `ok` looks at those.

    A length counts as given by the tape where the answer's shape does not hang on it: then the claim has that length or
    is wrong.
    """
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
    for source, index in {SourceKind.OUTPUT: tape.output, SourceKind.WITNESS: tape.witness}.items():
        shape = () if index is None else tape.instructions[index].shape
        if causality.is_own_length(source, shape) and source not in ok.lengths:
            name = source.name.lower()
            raise AdmissionError(
                f"the {name} may have any length and ok does not look at it: it may have several fixpoints"
            )


def _is_causal(witness: Dependence, causality: Causality) -> bool:
    if witness.rows is None or witness.lengths:
        return False
    return all(axis == 0 and causality.region.bounds(bound)[1] <= 0 for axis, bound in witness.rows)
