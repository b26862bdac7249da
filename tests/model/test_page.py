"""The page of a tape: complete, self-contained, and safe whatever the names say."""

import re
from dataclasses import replace

import pytest

from oracle_node.cli.sources import import_digits
from oracle_node.model.model import Model
from oracle_node.model.page import tape_page
from oracle_node.tape.region import Region
from oracle_node.tape.step import step_bytes, step_gas

HOSTILE = "</td></script><script>alert(1)</script><img src=//x onerror='a' title=\"&"


@pytest.fixture(scope="module")
def digits() -> Model:
    return import_digits()


def _rows(page: str) -> list[str]:
    return re.findall(r"<tr id=.*?</tr>", page, re.DOTALL)


def test_page__of_a_model__has_every_instruction_with_its_cost(digits: Model) -> None:
    tape, rows = digits.tape, _rows(tape_page(digits))
    region = Region(tape.sources, tape.inequalities, tape.derived)
    assert len(rows) == len(tape.instructions)
    for index, (row, i) in enumerate(zip(rows, tape.instructions, strict=True)):
        assert f'id="i{index}"' in row and i.opcode.name in row
        assert f">{step_bytes(i, region, len(rows)):,}<" in row and f">{step_gas(i, region):,}<" in row


def test_page__links__lead_to_instructions_and_back(digits: Model) -> None:
    page = tape_page(digits)
    rows = _rows(page)
    assert set(re.findall(r'href="#(\w+)"', page)) <= set(re.findall(r'id="(\w+)"', page))
    for index, i in enumerate(digits.tape.instructions):
        if i.opcode.name in ("INPUT", "CONST"):
            continue
        for operand in i.operands:
            assert f'href="#i{operand.ref}"' in rows[index]
            assert f'href="#i{index}"' in rows[operand.ref]


def test_page__hostile_names__stay_text(digits: Model) -> None:
    names = (HOSTILE,) * len(digits.tape.instructions)
    card = replace(
        digits.card,
        name=HOSTILE,
        description=HOSTILE,
        license=HOSTILE,
        origin=HOSTILE,
        input={HOSTILE: HOSTILE},
        answer={"labels": [HOSTILE], HOSTILE: {HOSTILE: HOSTILE}},
    )
    page = tape_page(replace(digits, tape=replace(digits.tape, names=names), card=card))
    assert page.count("<script>") == page.count("</script>") == 1
    assert "<img" not in page and HOSTILE not in page
    assert "&lt;img src=//x onerror=&#x27;a&#x27; title=&quot;&amp;" in page


def test_page__loads__nothing(digits: Model) -> None:
    page = tape_page(digits)
    assert "default-src 'none'" in page
    assert re.findall(r"(?:src|href)\s*=\s*['\"]?(?!['\"]?#)", page) == []
    assert "http:" not in page and "https:" not in page
