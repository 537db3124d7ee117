"""A dashboard as Grafana's JSON, from panels that are one sentence, one unit and some queries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    nothing: str = ""
    """What it says where a daemon that is well has nothing to show."""
    stacked: bool = False
    maximum: float | None = None
    at_least: float | None = None
    """How far the axis reaches, however small the values; else 0 alone is drawn up to 100."""
    states: Sequence[tuple[int, str, str]] = ()
    """Of a ``state-timeline``: value, its name and its colour."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Of a ``table``: labels in their order, and their headings."""

    @property
    def may_be_empty(self) -> bool:
        """Whether a daemon that is well has nothing to show."""
        return bool(self.nothing)


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
    is_now = panel.kind not in ("timeseries", "state-timeline")
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
    found: dict[str, Any] = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }
    if panel.kind == "table":
        found |= _table(panel)
    return found


def _defaults(panel: Panel) -> dict[str, Any]:
    found: dict[str, Any] = {"unit": panel.unit}
    if panel.nothing:
        found["noValue"] = panel.nothing
    if panel.kind == "timeseries":
        custom: dict[str, Any] = {"fillOpacity": 10, "lineWidth": 2, "showPoints": "never"}
        if panel.stacked:
            custom["stacking"] = {"mode": "normal"}
        if panel.at_least is not None:
            custom["axisSoftMax"] = panel.at_least
        found |= {"min": 0, "custom": custom}
    if panel.maximum is not None:
        found["max"] = panel.maximum
    if panel.states:
        named = {
            str(value): {"text": name, "color": colour, "index": index}
            for index, (value, name, colour) in enumerate(panel.states)
        }
        found |= {
            "mappings": [{"type": "value", "options": named}],
            "custom": {"fillOpacity": 70, "lineWidth": 0},
        }
    if panel.steps:
        steps = [
            {"value": None if number == 0 else value, "color": color}
            for number, (value, color) in enumerate(panel.steps)
        ]
        found |= {
            "color": {"mode": "thresholds"},
            "thresholds": {"mode": "absolute", "steps": steps},
        }
    return found


def _table(panel: Panel) -> dict[str, Any]:
    """Return what puts labels into columns; those that an alert lacks are a dash in its row."""
    hidden = dict.fromkeys(("Time", "Value", "__name__", "alertstate", "job"), True)
    dash = {"id": "noValue", "value": "-"}
    return {
        "fieldConfig": {
            "defaults": _defaults(panel),
            "overrides": [{"matcher": {"id": "byType", "options": "string"}, "properties": [dash]}],
        },
        "transformations": [
            {
                "id": "organize",
                "options": {
                    "excludeByName": hidden,
                    "indexByName": {name: index for index, name in enumerate(panel.columns)},
                    "renameByName": dict(panel.columns),
                },
            }
        ],
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        return {"tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.kind == "state-timeline":
        return {
            "mergeValues": True,
            "showValue": "auto",
            "alignValue": "center",
            "rowHeight": 0.8,
            "legend": {"showLegend": False},
        }
    if panel.kind == "stat":
        named = any(legend for _, legend in panel.queries)
        return {
            "colorMode": "value",
            "graphMode": "none",
            "textMode": "auto" if named else "value",
            "reduceOptions": {"calcs": ["lastNotNull"]},
        }
    return {}
