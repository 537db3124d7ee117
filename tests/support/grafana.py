"""A dashboard as Grafana's JSON, from panels that are one sentence, one unit and some queries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["AT", "Dashboard", "Panel", "text_of"]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
AT = 'job=~".*streamd.*", instance=~"$instance"'
"""The labels that the variables of every dashboard choose."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel."""

    title: str
    text: str
    """What one sees, and what is good."""
    queries: Sequence[tuple[str, str]]
    """Expression and legend."""
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 7
    steps: Sequence[tuple[float, str]] = ()
    """From which value on which colour."""
    may_be_empty: bool = False
    """Whether a daemon that is well has nothing to show."""
    stacked: bool = False
    maximum: float | None = None


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """One dashboard."""

    name: str
    title: str
    text: str
    panels: Sequence[Panel]
    has_processor: bool = False
    """Whether one chooses a stream processor."""


def text_of(dashboard: Dashboard) -> str:
    """Return the file."""
    document = {
        "uid": f"streamd-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": ["streamd"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "title": "streamd",
                "tags": ["streamd"],
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "templating": {"list": _variables(dashboard)},
        "annotations": {"list": []},
        "panels": _laid_out(dashboard.panels),
    }
    return json.dumps(document, indent=2) + "\n"


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        _choice("instance", "Replica", 'label_values(up{job=~".*streamd.*"}, instance)'),
    ]
    if dashboard.has_processor:
        source = f"label_values(streamd_stream_processor_status{{{AT}}}, stream_processor)"
        found.append(_choice("stream_processor", "Stream processor", source))
    return found


def _choice(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _laid_out(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """Put panels side by side, row by row."""
    found, x, y, height = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS:
            x, y, height = 0, y + height, 0
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        found.append({"id": number, "gridPos": place, **_panel(panel)})
        x, height = x + panel.width, max(height, panel.height)
    return found


def _panel(panel: Panel) -> dict[str, Any]:
    is_now = panel.kind != "timeseries"
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "expr": expression,
            "legendFormat": legend or "__auto",
            **({"instant": True, "range": False} if is_now else {"range": True}),
            **({"format": "table"} if panel.kind == "table" else {}),
        }
        for number, (expression, legend) in enumerate(panel.queries)
    ]
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.kind == "timeseries":
        defaults |= {"min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}}
        if panel.stacked:
            defaults["custom"]["stacking"] = {"mode": "normal"}
    if panel.maximum is not None:
        defaults["max"] = panel.maximum
    if panel.steps:
        steps = [
            {"value": None if number == 0 else value, "color": color}
            for number, (value, color) in enumerate(panel.steps)
        ]
        defaults |= {
            "color": {"mode": "thresholds"},
            "thresholds": {"mode": "absolute", "steps": steps},
        }
    options: dict[str, Any] = {"tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.kind == "stat":
        named = any(legend for _, legend in panel.queries)
        options = {
            "colorMode": "value",
            "graphMode": "none",
            "textMode": "name" if "status" in panel.queries[0][1] else "auto" if named else "value",
            "reduceOptions": {"calcs": ["lastNotNull"]},
        }
    found: dict[str, Any] = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options if panel.kind != "table" else {},
    }
    if panel.kind == "table":
        hidden = dict.fromkeys(("Time", "Value", "__name__", "alertstate", "job"), True)
        found["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
    return found
