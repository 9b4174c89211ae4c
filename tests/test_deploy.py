"""The files under deploy/: what they name exists, and what they say parses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.core import Metric

from bridge.cli.main import cli
from bridge.journal import jobs
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.metrics import Numbers
from tests.documents import command_faults
from tests.factories import opened_journal

ROOT = Path(__file__).parents[1]
RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((ROOT / "deploy/grafana/asaas-clint-bridge.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")


def alerts() -> list[dict[str, Any]]:
    """Return every alert rule."""
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Return every panel that shows something."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    """Return every expression of the rules and of the dashboard, its variables filled in."""
    yield from (rule["expr"] for rule in alerts())
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m").replace("$destination", ".*")
    yield "bridge_destination_up"  # of the variable


def samples(metric: Metric) -> set[str]:
    """Return the names of a metric's series."""
    if metric.type == "histogram":
        return {f"{metric.name}_{part}" for part in ("bucket", "sum", "count")}
    return {f"{metric.name}_total" if metric.type == "counter" else metric.name}


@pytest.fixture
def exposed(sqlite_url: str) -> Iterator[list[Metric]]:
    """Give every metric that the web shows."""
    with opened_journal(sqlite_url) as journal:
        with journal.database.write() as connection:
            jobs.note_result(connection, "reconcile:default", {"behind": 0})
        runtime = Runtime(Settings.from_env({"DATABASE_URL": sqlite_url, "ASAAS_API_KEY": "$aact_hmlg_x"}))
        yield list(Numbers(runtime).collect())
        runtime.close()


def test_the_rules_and_the_dashboard_name_what_is_there(exposed: list[Metric]) -> None:
    """A metric that was renamed would leave an alert that never comes."""
    there = {name for metric in exposed for name in samples(metric)}
    named = {name for text in expressions() for name in re.findall(r"\bbridge_[a-z_]+\b", text)}

    assert named - there == set()


def test_every_metric_is_documented(exposed: list[Metric]) -> None:
    """docs/monitoring.md has a row for each, and none for what is gone."""
    rows = dict(re.findall(r"^\| `(bridge_[a-z_]+)` \| ([a-z_, ]*) \|", PAGE, re.MULTILINE))
    shown = {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in exposed}

    assert set(rows) == shown


@pytest.mark.parametrize("text", sorted(set(expressions())))
def test_expressions_parse(text: str) -> None:
    """As Prometheus's own grammar has it."""
    assert promql_parser.parse(text) is not None


def test_an_expression_that_is_none_is_found() -> None:
    """The check is not blind."""
    with pytest.raises(ValueError, match="parenthesis"):
        promql_parser.parse("sum by (rate(bridge_events_received_total[5m])")


def test_each_alert_says_what_and_what_to_do() -> None:
    """A name of its own, a severity, a summary and a description."""
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}


def test_commands_in_alerts_exist() -> None:
    """Whoever is woken by an alert gets commands that run."""
    said = [words for rule in alerts() for words in re.findall("`([^`]+)`", rule["annotations"]["description"])]
    fences = "\n".join(f"```bash\n{words}\n```" for words in said)

    assert len(said) > 5
    assert command_faults(fences, "rules.yaml", cli, "") == []


def test_panels_lie_beside_each_other() -> None:
    """No panel covers another, each has an id of its own and a title."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells

    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["title"] for panel in DASHBOARD["panels"])
