"""What operators load into Prometheus and Grafana, held against the code it speaks of."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from streamd.access import CLIENT_GONE, OK
from streamd.protocol.errors import http_status, internal_error_code
from streamd.protocol.service import load_service
from tests.support.dashboards import DASHBOARDS, FOLDER, queries
from tests.support.grafana import Dashboard, text_of
from tests.support.metrics_table import instruments, name_of
from tests.support.written_table import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "rules" / "streamd.yml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
_SERVICES = ("rekognition", "kinesisvideo", "kinesis-video-media", "kinesis-video-archived-media")


def _unknown(expression: str) -> set[str]:
    """Return the metrics of an expression that nothing exports or records."""
    known = set(RECORDED)
    for one in instruments():
        name = name_of(one)
        known |= {name} if one._type != "histogram" else {f"{name}_{end}" for end in _HISTOGRAM}
    without_strings = re.sub(r'"[^"]*"', '""', expression)
    used = set(re.findall(r"\b(?:\w+:)?streamd_\w+(?::\w+)?", without_strings))
    return used - known


_HISTOGRAM = ("bucket", "sum", "count")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_ask_for_metrics_that_exist(rule: dict[str, Any]) -> None:
    """A rule over a metric that was renamed would never fire."""
    assert "streamd" in rule["expr"]
    assert _unknown(rule["expr"]) == set()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_is_wrong_and_where_to_read_on(name: str) -> None:
    """Each has a severity, a sentence, figures, and a section in deploy/OPERATIONS.md."""
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"deploy/OPERATIONS.md#{name.lower()}"
    section = (ROOT / "deploy" / "OPERATIONS.md").read_text().partition(f"\n### {name}\n")[2]
    assert len(section.partition("\n#")[0].split()) > 10


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_proved_to_fire_and_to_be_silent(name: str) -> None:
    """The unit tests have a case for both."""
    cases = [
        case
        for path in (PROMETHEUS / "tests").glob("*.yml")
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == name
    ]
    assert {bool(case["exp_alerts"]) for case in cases} == {True, False}


def test_sections_of_the_runbook_have_an_alert() -> None:
    """Nothing is explained that cannot fire."""
    text = (ROOT / "deploy" / "OPERATIONS.md").read_text()
    assert set(re.findall(r"(?m)^### (Streamd\w+)$", text)) == ALERTS.keys()


def test_the_error_budget_counts_what_answers_5xx() -> None:
    """The codes the rules call faults are those, and all those, with such a status."""
    (pattern,) = {found for rule in RULES for found in re.findall(r'code=~"([^"]+)"', rule["expr"])}
    for name in _SERVICES:
        service = load_service(name)
        codes = {code for operation in service.operations.values() for code in operation.errors}
        codes |= {internal_error_code(service), "ServiceUnavailable", "SerializationException"}
        # AWS's model has 500 for a client that asks too often; that is no fault of ours.
        codes -= {"ThrottlingException"}
        faults = {code for code in codes if http_status(service, code) >= 500}
        assert {code for code in codes if re.fullmatch(pattern, code)} == faults
    assert not re.fullmatch(pattern, OK)
    assert not re.fullmatch(pattern, CLIENT_GONE)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda d: d.name)
def test_dashboards_are_those_of_the_description(dashboard: Dashboard) -> None:
    """The files are what `python -m tests.support.dashboards --write` makes."""
    assert (FOLDER / f"{dashboard.name}.json").read_text() == text_of(dashboard)


def test_dashboards_ask_for_metrics_that_exist() -> None:
    """A panel over a metric that was renamed would stay empty."""
    assert [(name, p.title, _unknown(e)) for name, p, e in queries() if _unknown(e)] == []


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda d: d.name)
def test_panels_lie_side_by_side_and_say_what_they_show(dashboard: Dashboard) -> None:
    """No panel covers another or leaves the grid; each has a title, a text and a unit."""
    document = json.loads(text_of(dashboard))
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
    assert len({panel["title"] for panel in document["panels"]}) == len(document["panels"])
