"""The values of the chart: described, checked by a schema, and the same as streamd's settings."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml

from streamd.config import Settings
from tests.support.chart import (
    CHART,
    VALUES_TABLE,
    carried_files,
    schema,
    undocumented,
    values,
)
from tests.support.settings_schema import comments
from tests.support.written_table import ROOT

MAKE = "run `make chart`"


def defaults() -> dict[str, object]:
    loaded: dict[str, object] = yaml.safe_load((CHART / "values.yaml").read_text())
    return loaded


def test_every_value_is_described() -> None:
    """Each value, or the one it lies in, has a description in a section."""
    assert undocumented() == []
    assert [value.name for value in values() if not value.section or not value.description] == []


def test_schema_is_the_one_made_from_values_and_settings() -> None:
    """values.schema.json is what values.yaml and streamd's settings say."""
    assert json.loads((CHART / "values.schema.json").read_text()) == schema(), MAKE


def test_table_in_the_readme_is_made_from_the_values() -> None:
    """The README lists every value as values.yaml has it."""
    assert VALUES_TABLE.written() == VALUES_TABLE.make(), MAKE


def test_rules_and_dashboards_are_those_of_deploy() -> None:
    """What the chart carries is equal to its source, and nothing is left over."""
    files = CHART / "files"
    carried = {
        path: path.read_text()
        for folder in ("prometheus", "grafana")
        for path in sorted((files / folder).glob("*"))
    }
    assert carried == carried_files(), MAKE


def test_defaults_are_valid() -> None:
    """The defaults pass the schema that users' values must pass."""
    jsonschema.Draft7Validator.check_schema(schema())
    jsonschema.Draft7Validator(schema()).validate(defaults())


def test_no_object_of_the_chart_takes_unknown_names() -> None:
    """Whatever lists its names lists all of them."""
    open_ones: list[str] = []

    def walk(part: object, path: str) -> None:
        if isinstance(part, dict):
            if "properties" in part and part.get("additionalProperties") is not False:
                open_ones.append(path)
            for key, inner in part.items():
                walk(inner, f"{path}/{key}")
        elif isinstance(part, list):
            for number, inner in enumerate(part):
                walk(inner, f"{path}/{number}")

    walk(schema(), "")
    assert open_ones == []


def test_every_setting_of_streamd_has_its_place() -> None:
    """A setting is in `config`, `secrets` or `files`, or the chart decides it itself."""
    definitions = schema()["definitions"]
    placed = {
        f"{section}.{key}"
        for part in ("config", "secrets", "files")
        for section, keys in definitions[part]["properties"].items()
        for key in _names(keys)
    }
    fields = Settings.model_fields
    every = {
        f"{section}.{key}"
        for section, field in fields.items()
        if section not in {"auth", "cameras"}
        for key in type(field.default).model_fields
    } | {
        f"cameras.{key}"
        for key in Settings.model_json_schema()["$defs"]["CameraSettings"]["properties"]
    }
    assert every - placed == {
        "server.listen",
        "server.data_dir",
        "server.tls_cert",
        "server.tls_key",
        "server.replica_url",
        "models.dir",
    }
    assert placed - every == set()


def _names(section: dict[str, dict[str, object]]) -> set[str]:
    inner = section.get("additionalProperties")
    names = inner["properties"] if isinstance(inner, dict) else section["properties"]
    assert isinstance(names, dict)
    return set(names)


def test_settings_are_explained_as_in_the_reference() -> None:
    """Descriptions are the comments of deploy/streamd.toml."""
    properties = schema()["definitions"]["config"]["properties"]
    assert properties["analysis"]["properties"]["fps"]["description"] == (
        "Analysed frames per second of video, up to 60."
    )
    assert len(comments()) > 80


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("kafka", "sasl_password"),
        ("s3", "secret_access_key"),
        ("webhook", "secret"),
        ("webhook", "url"),
        ("cameras", "url"),
    ],
)
def test_secrets_have_no_place_in_the_settings_file(section: str, key: str) -> None:
    """What is secret is refused in `config`, which becomes a ConfigMap."""
    definitions = schema()["definitions"]
    assert key not in _names(definitions["config"]["properties"][section])
    assert key in _names(definitions["secrets"]["properties"][section])


def test_version_is_streamds_own() -> None:
    """The chart installs the streamd it lies beside."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in project
