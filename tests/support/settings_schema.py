"""JSON Schema of the settings as the chart takes them, made from the settings' own classes.

What the chart decides itself is left out; what is secret is apart, and so are names of files.
Descriptions are the comments of ``deploy/streamd.toml``.
"""

from __future__ import annotations

import re
from typing import Any

from streamd.config import Settings
from tests.support.written_table import ROOT

__all__ = ["comments", "settings_definitions"]

_CHARTS_OWN = {
    *(f"server.{key}" for key in ("listen", "data_dir", "tls_cert", "tls_key", "replica_url")),
    "models.dir",
}
# Not secret by themselves, but kept beside what is, or able to hold a password.
_MAY_BE_SECRET = {
    "store.url",
    "kafka.sasl_username",
    "models.mirror",
    *(f"{section}.access_key_id" for section in ("kinesis", "s3", "sns")),
}
_SECRET = {"$ref": "#/definitions/secretSource"}
_FILE = {"$ref": "#/definitions/fileSource"}
_CAMERA_NAME = {"pattern": "^[a-z0-9]+([._-][a-z0-9]+)*$"}
"""Part of a variable's name, which knows no upper case, and no two underscores."""


def settings_definitions() -> dict[str, Any]:
    """Return the definitions ``config``, ``secrets``, ``files``, ``credential`` and their parts."""
    whole = Settings.model_json_schema()
    config, secrets, files = _section({}), _section({}), _section({})
    told = comments()
    for name, reference in whole["properties"].items():
        if name == "auth":
            continue
        if name == "cameras":
            camera = whole["$defs"]["CameraSettings"]
            plain, hidden, _ = _split(camera, "cameras", told)
            config["properties"][name] = _named(_section(plain))
            secrets["properties"][name] = _named(_section(hidden))
            continue
        section = whole["$defs"][reference["$ref"].rpartition("/")[2]]
        plain, hidden, paths = _split(section, name, told)
        for target, keys in ((config, plain), (secrets, hidden), (files, paths)):
            if keys:
                target["properties"][name] = _section(keys)
    return {
        "config": config,
        "secrets": secrets,
        "files": files,
        "credential": _credential(whole["$defs"]["Credential"]),
        "secretSource": _one_of(
            {"value": _text()}, {"existingSecret": _object_name(), "key": _text()}
        ),
        "fileSource": _one_of(
            {"existingSecret": _object_name(), "key": _text()},
            {"existingConfigMap": _object_name(), "key": _text()},
        ),
    }


def comments() -> dict[str, str]:
    """Return what ``deploy/streamd.toml`` says above each setting, by ``section.key``."""
    found: dict[str, str] = {}
    section, words = "", list[str]()
    for line in (ROOT / "deploy" / "streamd.toml").read_text().splitlines():
        if match := re.match(r"^(?:# )?\[([a-z_]+)", line):
            section, words = match[1], []
        elif match := re.match(r"^(?:# )?([a-z_0-9]+) = ", line):
            found[f"{section}.{match[1]}"] = " ".join(words)
            words = []
        elif line.startswith("# "):
            words.append(line.removeprefix("# "))
        else:
            words = []
    return found


def _split(
    section: dict[str, Any], name: str, told: dict[str, str]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the plain keys of a section, the secret ones, and those that name a file."""
    plain, secrets, files = dict[str, Any](), dict[str, Any](), dict[str, Any]()
    for key, value in section["properties"].items():
        full = f"{name}.{key}"
        if full in _CHARTS_OWN:
            continue
        about = {"description": told[full]} if told.get(full) else {}
        kinds = {part.get("format") for part in (value, *value.get("anyOf", ()))}
        many = value.get("additionalProperties")
        if isinstance(many, dict) and many.get("format") == "password":
            secrets[key] = {**about, "type": "object", "additionalProperties": _SECRET}
        elif "password" in kinds:
            secrets[key] = {**about, **_SECRET}
        elif "path" in kinds:
            files[key] = {**about, **_FILE}
        else:
            plain[key] = {**about, **_plain(value)}
            if full in _MAY_BE_SECRET:
                secrets[key] = {**about, **_SECRET}
    return plain, secrets, files


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Return a property as Go's regular expressions bear it: they repeat 1000 times at most."""
    kept = {key: inner for key, inner in value.items() if key != "title"}
    if "pattern" in kept:
        kept["pattern"] = re.sub(r"\{1,\d{4,}\}", "+", kept["pattern"])
    if "items" in kept:
        kept["items"] = _plain(kept["items"])
    return kept


def _credential(section: dict[str, Any]) -> dict[str, Any]:
    keys = {key: _plain(value) for key, value in section["properties"].items()}
    return {**_section(keys), "required": section["required"]}


def _section(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _named(inner: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": _CAMERA_NAME, "additionalProperties": inner}


def _one_of(*choices: dict[str, Any]) -> dict[str, Any]:
    return {"oneOf": [{**_section(choice), "required": list(choice)} for choice in choices]}


def _text() -> dict[str, Any]:
    return {"type": "string", "minLength": 1}


def _object_name() -> dict[str, Any]:
    return {"type": "string", "pattern": "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", "maxLength": 253}
