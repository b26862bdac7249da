"""Metrics, alerts and the dashboard name the same families, and every alert has a section that says what to do."""

import json
import re
from pathlib import Path

import yaml

from oracle_node.node.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
NAME = re.compile(r"oracle_node_\w+")


def families() -> set[str]:
    """As /metrics shows them: counters end with _total."""
    found = Metrics().registry.collect()
    return {f.name + ("_total" if f.type == "counter" else "") for f in found}


def base(name: str) -> str:
    """A histogram's family."""
    return re.sub(r"_(bucket|count|sum)$", "", name)


def test_page__of_the_metrics__lists_every_family_and_no_other() -> None:
    assert set(re.findall(r"^\| `(oracle_node_\w+)`", PAGE, re.MULTILINE)) == families()


def test_alerts__every_expression__is_of_families_that_exist() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())["groups"][0]["rules"]
    for rule in rules:
        names = {base(name) for name in NAME.findall(rule["expr"])}
        assert names and names <= families(), rule["alert"]
    assert {rule["alert"] for rule in rules} == set(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE))


def test_dashboard__every_query__is_of_families_that_exist() -> None:
    panels = json.loads((ROOT / "deploy" / "grafana.json").read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    names = {base(name) for expression in expressions for name in NAME.findall(expression)}
    assert names <= families()
    assert len(names) >= 15
