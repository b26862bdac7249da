"""The vectors that forge checks the evaluator against are those of the reference executor."""

import runpy
from pathlib import Path


def test_vectors__made_again__are_those_in_the_repository(repository: Path) -> None:
    script = runpy.run_path(str(repository / "scripts" / "evaluator_vectors.py"))
    assert script["VECTORS"].read_text() == script["vectors"](), "run scripts/evaluator_vectors.py"
