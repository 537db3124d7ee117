"""What is made of the chart's ``values.yaml`` and of streamd's settings.

``values.schema.json``, the table in the chart's README, and the copies of the rules and dashboards
that a chart must carry inside. ``python -m tests.support.chart --write`` makes them; a test
compares.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.settings_schema import settings_definitions
from tests.support.written_table import ROOT, WrittenTable

__all__ = ["CHART", "VALUES_TABLE", "Value", "carried_files", "schema", "undocumented", "values"]

CHART = ROOT / "helm" / "streamd"
_QUANTITIES = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
_DEFINITIONS: dict[str, Any] = {
    "strings": {"type": "object", "additionalProperties": {"type": "string"}},
    # What Kubernetes defines; its API checks it.
    "any": {"type": "object"},
    "objects": {"type": "array", "items": {"type": "object"}},
    "named": {
        "type": "object",
        "properties": {"name": {"type": "string", "minLength": 1}},
        "required": ["name"],
        "additionalProperties": False,
    },
    "resources": {
        "type": "object",
        "properties": {
            "requests": _QUANTITIES,
            "limits": _QUANTITIES,
            "claims": {"type": "array", "items": {"type": "object"}},
        },
        "additionalProperties": False,
    },
    "countOrPercent": {
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": "^([0-9]+%)?$"},
        ]
    },
}
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z][A-Za-z0-9]*):(?P<rest>.*)$")


@dataclass(frozen=True, kw_only=True)
class Value:
    """One value that ``values.yaml`` describes."""

    path: tuple[str, ...]
    section: str
    description: str
    default: Any
    schema: Mapping[str, Any] = field(default_factory=dict)
    """What its default does not tell."""

    @property
    def name(self) -> str:
        """As ``--set`` spells it."""
        return ".".join(self.path)


def _defaults() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return loaded


@functools.cache
def values() -> tuple[Value, ...]:
    """Return every described value, in the order of the file."""
    found: list[Value] = []
    defaults = _defaults()
    section, comments = "", list[str]()
    path: list[tuple[int, str]] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        text = line.strip()
        if text.startswith("# @section "):
            section = text.removeprefix("# @section ")
        elif text.startswith("#"):
            comments.append(text)
        elif match := _KEY.match(line):
            indent = len(match["indent"])
            path = [(depth, key) for depth, key in path if depth < indent]
            path.append((indent, match["key"]))
            keys = tuple(key for _, key in path)
            if described := _described(comments):
                description, extra = described
                found.append(
                    Value(
                        path=keys,
                        section=section,
                        description=description,
                        default=_at(defaults, keys),
                        schema=extra,
                    )
                )
            comments = []
        else:
            comments = []
    return tuple(found)


def _described(comments: list[str]) -> tuple[str, dict[str, Any]] | None:
    starts = [number for number, text in enumerate(comments) if text.startswith("# -- ")]
    if not starts:
        return None
    words, extra = list[str](), dict[str, Any]()
    for text in comments[starts[-1] :]:
        if text.startswith("# @schema "):
            extra |= json.loads(text.removeprefix("# @schema "))
        else:
            words.append(text.removeprefix("# -- ").removeprefix("#").strip())
    return " ".join(words), extra


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        values = values[key]
    return values


def undocumented() -> list[str]:
    """Return the values that neither have a description nor lie in one that has."""
    described = {value.path for value in values()}

    def missing(value: Any, path: tuple[str, ...]) -> Iterator[str]:
        if path in described:
            return
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from missing(inner, (*path, key))
        else:
            yield ".".join(path)

    return list(missing(_defaults(), ()))


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the values; draft 7, which every Helm 3 reads."""
    root: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the streamd chart",
        "type": "object",
        "properties": {
            "global": {
                "description": "What a parent chart shares with all; not read here.",
                "type": "object",
            }
        },
        "additionalProperties": False,
        "definitions": {**_DEFINITIONS, **settings_definitions()},
    }
    whole: list[tuple[str, ...]] = []
    for value in values():
        if any(value.path[: len(path)] == path for path in whole):
            continue  # inside a value whose schema is a whole of its own
        if "$ref" in value.schema:
            whole.append(value.path)
        place = root
        for key in value.path[:-1]:
            place = place["properties"].setdefault(
                key, {"type": "object", "properties": {}, "additionalProperties": False}
            )
        place["properties"][value.path[-1]] = {
            "description": value.description,
            **({} if "$ref" in value.schema else {"type": _type(value.default)}),
            **value.schema,
        }
    return root


def _type(default: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string"}
    names |= {list: "array", dict: "object"}
    return names[type(default)]


def _table() -> str:
    lines: list[str] = []
    section = None
    for value in values():
        if value.section != section:
            section = value.section
            head = ["| value | meaning | default |", "| --- | --- | --- |"]
            lines += ["", f"### {section}", "", *head]
        default = json.dumps(value.default)
        if isinstance(value.default, dict) and any(
            other.path[:-1] == value.path for other in values()
        ):
            default = "see below"
        meaning = value.description.replace("|", "\\|")
        shown = default.replace("|", "\\|")
        lines.append(f"| `{value.name}` | {meaning} | `{shown}` |")
    return "\n".join(lines).strip()


VALUES_TABLE = WrittenTable(
    document=CHART / "README.md",
    begin="<!-- values: made by tests.support.chart -->",
    make=_table,
)


def carried_files() -> dict[Path, str]:
    """Return what the chart carries of ``deploy/``: rules and dashboards, by their place in it."""
    carried: dict[Path, str] = {}
    for source in sorted((ROOT / "deploy" / "prometheus").rglob("*.y*ml")):
        document = yaml.safe_load(source.read_text())
        # A file of rules; tests of rules and the scrape configuration stay where they are.
        if isinstance(document, dict) and document.keys() == {"groups"}:
            carried[CHART / "files" / "prometheus" / f"{source.stem}.yml"] = source.read_text()
    for source in sorted((ROOT / "deploy" / "grafana").rglob("*.json")):
        carried[CHART / "files" / "grafana" / source.name] = source.read_text()
    return carried


def _write() -> None:
    text = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    (CHART / "values.schema.json").write_text(text)
    VALUES_TABLE.write()
    carried = carried_files()
    for folder in ("prometheus", "grafana"):
        for path in (CHART / "files" / folder).glob("*"):
            if path not in carried:
                path.unlink()
    for path, content in carried.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


if __name__ == "__main__":
    if "--write" in sys.argv:
        _write()
    else:
        print(json.dumps(schema(), indent=2, ensure_ascii=False))
