"""Every test that the threat model names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "threat-model.md").read_text())


def test_threat_model__tests_it_names__exist() -> None:
    sources = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "contracts" / "test").rglob("*.t.sol")]
    text = "\n".join(path.read_text() for path in sources)
    there = set(re.findall(r"(?:def|function) (test_\w+)", text))
    assert len(NAMED) > 40
    assert sorted(set(NAMED) - there) == []
