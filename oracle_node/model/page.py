"""A tape as one HTML page for people who would rather look: static, self-contained, nothing is loaded from elsewhere.

Names come from strangers' files: every text is escaped. Not here: the facts of `model inspect` (`Model.describe`).
"""

from collections.abc import Iterable, Mapping
from html import escape
from math import prod
from typing import Any

from oracle_node.model.model import Model
from oracle_node.tape.instruction import Instruction, Opcode, Operand
from oracle_node.tape.region import Region
from oracle_node.tape.step import step_bytes, step_gas
from oracle_node.tape.types import SourceKind

_STYLE = """
body{font:14px/1.4 system-ui,sans-serif;margin:1.5em;color:#222}
h1{font-size:1.3em;overflow-wrap:anywhere}
table{border-collapse:collapse}td,th{padding:.15em .7em;text-align:left;vertical-align:top}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em}dd{margin:0;overflow-wrap:anywhere}
#tape td{border-top:1px solid #ddd;font-variant-numeric:tabular-nums}#tape tr:target{background:#ffefb0}
#tape th{position:sticky;top:0;background:#fff}td.n{text-align:right}td.name{overflow-wrap:anywhere}
input,select{font:inherit;padding:.2em .4em;margin:0 .5em .5em 0}
"""
_SCRIPT = """
const words=document.getElementById('words'),op=document.getElementById('op');
const rows=[...document.querySelectorAll('#tape tbody tr')],shown=document.getElementById('shown');
function filter(){const w=words.value.toLowerCase();let n=0;for(const r of rows){
const y=(!op.value||r.dataset.op===op.value)&&r.textContent.toLowerCase().includes(w);r.hidden=!y;n+=y}
shown.textContent=n+' of '+rows.length}
words.oninput=op.onchange=filter;onhashchange=()=>{words.value=op.value='';filter()};filter();
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_MANY = 12
"""Uses of one tensor that are listed; the rest is counted."""


def tape_page(model: Model) -> str:
    """The page. Sizes are those of the longest request and claim; a step's cost is its upper bound."""
    title = escape(model.card.name or "model")
    codes = sorted({i.opcode.name for i in model.tape.instructions})
    options = "".join(f"<option>{code}</option>" for code in codes)
    heads = [
        "#",
        "name",
        "opcode",
        "dtype",
        "shape",
        "elements",
        "reads",
        "used by",
        "step bytes",
        "step gas",
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_STYLE}</style>'
        f"<h1>{title}</h1>{_summary(model)}"
        '<p><input id="words" type="search" placeholder="search"><select id="op"><option value="">every opcode'
        f'</option>{options}</select><span id="shown"></span></p>'
        f'<table id="tape"><thead><tr>{"".join(f"<th>{head}</th>" for head in heads)}</tr></thead>'
        f"<tbody>{''.join(_rows(model))}</tbody></table><script>{_SCRIPT}</script></html>\n"
    )


def _summary(model: Model) -> str:
    facts = model.describe()
    tape = model.tape
    region = Region(tape.sources, tape.inequalities, tape.derived)
    marks = {"answer": tape.output, "ok": tape.ok, "witness tensor": tape.witness}
    shown = {
        **{
            key: facts[key] for key in ("description", "license", "origin", "model_id", "instructions", "ops")
        },
        **{key: facts[key] for key in ("weights_bytes", "trace_work", "inputs", "answer")},
        "largest step, bytes": f"{facts['max_step_bytes']:,} of {tape.step_bound:,}",
        "largest step, gas": max(step_gas(i, region) for i in tape.instructions),
    }
    lines = [f"<dt>{escape(key.replace('_', ' '))}<dd>{escape(_text(v))}" for key, v in shown.items() if v]
    lines += [f"<dt>{name}<dd>{_link(index)}" for name, index in marks.items() if index is not None]
    return f"<dl>{''.join(lines)}</dl>"


def _rows(model: Model) -> Iterable[str]:
    tape = model.tape
    region = Region(tape.sources, tape.inequalities, tape.derived)
    uses: dict[int, list[int]] = {}
    for index, instruction in enumerate(tape.instructions):
        for ref in sorted({o.ref for o in instruction.operands if _reads_tensor(instruction)}):
            uses.setdefault(ref, []).append(index)
    for index, i in enumerate(tape.instructions):
        name = tape.names[index] if index < len(tape.names) else ""
        elements = prod(max(d.at(region.largest), 0) for d in i.shape)
        used = uses.get(index, [])
        more = f" and {len(used) - _MANY:,} more" if len(used) > _MANY else ""
        yield (
            f'<tr id="i{index}" data-op="{i.opcode.name}"><td class="n">{index}<td class="name">{escape(name)}'
            f"<td>{i.opcode.name}<td>{i.dtype.name.lower()}<td>{_shape(i)}"
            f'<td class="n">{elements:,}<td>{" ".join(dict.fromkeys(_operand(i, o) for o in i.operands))}'
            f"<td>{' '.join(map(_link, used[:_MANY]))}{more}"
            f'<td class="n">{step_bytes(i, region, len(tape.instructions)):,}'
            f'<td class="n">{step_gas(i, region):,}</tr>'
        )


def _reads_tensor(instruction: Instruction) -> bool:
    return instruction.opcode not in (Opcode.INPUT, Opcode.CONST)


def _operand(instruction: Instruction, operand: Operand) -> str:
    if instruction.opcode is Opcode.INPUT:
        return SourceKind(operand.ref).name.lower()
    if instruction.opcode is Opcode.CONST:
        return f"weight {operand.ref}"
    return _link(operand.ref)


def _link(index: int) -> str:
    return f'<a href="#i{index}">{index}</a>'


def _shape(instruction: Instruction) -> str:
    shape = " × ".join(map(str, instruction.shape)) or "1"
    over = " × ".join(map(str, instruction.reduce_shape))
    return escape(f"{shape} over {over}" if over else shape)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
