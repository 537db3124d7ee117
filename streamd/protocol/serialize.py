"""Answers: what an operation returns, as JSON in the form of the service description.

A member the model does not have, or of the wrong type, is a mistake of ours and an
assertion: what passes here is what every SDK can read.
"""

from __future__ import annotations

import base64
import functools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from streamd.protocol.service import Service

__all__ = ["Answer", "serialize_output"]

_Serializer = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An HTTP answer, before any web framework."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def serialize_output(service: Service, shape_name: str | None, output: Mapping[str, Any]) -> bytes:
    """Return an operation's output as a JSON object; members that are ``None`` are left out."""
    if shape_name is None:
        assert not output, f"the operation has no output, got {sorted(output)}"  # ours
        return b"{}"
    value = _compiled(service, shape_name)(output)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


@functools.cache
def _compiled(service: Service, name: str) -> _Serializer:
    shape = service.shapes[name]
    kind = shape["type"]
    if kind == "structure":
        return _structure(service, name)
    if kind == "list":
        return _list(service, shape["member"]["shape"])
    if kind == "map":
        return _map(service, shape["value"]["shape"])
    scalar: dict[str, _Serializer] = {
        "string": functools.partial(_of_type, name, str),
        "boolean": functools.partial(_of_type, name, bool),
        "integer": functools.partial(_of_type, name, int),
        "long": functools.partial(_of_type, name, int),
        "float": functools.partial(_number, name),
        "double": functools.partial(_number, name),
        "blob": lambda value: base64.b64encode(value).decode(),
        "timestamp": _timestamp,
    }
    return scalar[kind]


def _structure(service: Service, name: str) -> _Serializer:
    members = {
        member: (description.get("locationName", member), description["shape"])
        for member, description in service.shapes[name].get("members", {}).items()
        if "location" not in description
    }

    def serialize(value: Any) -> dict[str, Any]:
        unknown = set(value) - set(members)
        assert not unknown, f"{name} has no members {sorted(unknown)}"  # ours
        return {
            members[member][0]: _compiled(service, members[member][1])(item)
            for member, item in value.items()
            if item is not None
        }

    return serialize


def _list(service: Service, member: str) -> _Serializer:
    return lambda value: [_compiled(service, member)(item) for item in value]


def _map(service: Service, item: str) -> _Serializer:
    return lambda value: {str(k): _compiled(service, item)(v) for k, v in value.items()}


def _of_type(name: str, wanted: type, value: Any) -> Any:
    # Exactly: True is no integer. Enum strings are strings.
    fits = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
    assert fits, f"{name} must be {wanted.__name__}, got {type(value).__name__}"  # ours
    return value


def _number(name: str, value: Any) -> float:
    number = float(value)
    assert math.isfinite(number), f"{name} must be finite, got {number}"  # ours
    return number


def _timestamp(value: datetime) -> float:
    """Epoch seconds with milliseconds, as the service sends them (1574421649.774)."""
    return round(value.timestamp(), 3)
