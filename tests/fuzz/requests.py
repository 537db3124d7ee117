"""Requests with every member, made from a service description; strings are only near valid."""

from __future__ import annotations

import base64
from typing import Any

from streamd.protocol.service import Service

__all__ = ["full_request"]

_MAX_DEPTH = 12


def full_request(service: Service, shape_name: str | None) -> Any:
    """Return a request with every member of a shape once."""
    return {} if shape_name is None else _value(service, shape_name, 0)


def _value(service: Service, name: str, depth: int) -> Any:
    shape = service.shapes[name]
    match shape["type"]:
        case "structure":
            members = shape.get("members", {}) if depth < _MAX_DEPTH else {}
            return {
                member.get("locationName", key): _value(service, member["shape"], depth + 1)
                for key, member in members.items()
            }
        case "list":
            return [_value(service, shape["member"]["shape"], depth + 1)]
        case "map":
            return {"key": _value(service, shape["value"]["shape"], depth + 1)}
        case "string":
            return shape["enum"][0] if "enum" in shape else "a" * max(1, shape.get("min", 1))
        case "blob":
            return base64.b64encode(b"blob").decode()
        case "boolean":
            return True
        case "timestamp":
            return 1_700_000_000.5
        case _:
            return shape.get("min", 1)
