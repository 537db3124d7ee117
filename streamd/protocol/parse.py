"""JSON bodies into the values a service description declares.

The result of :func:`parser_for` holds exactly the model's members: dicts, lists, str, int,
float, bool, bytes (blobs) and aware datetimes (timestamps). Unknown members are ignored, as
newer SDKs may send them, and null is the same as absent. Wrong JSON types are a
``SerializationException``; bounds are ``validate.py``'s business.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

from streamd.protocol.errors import SerializationError
from streamd.protocol.service import Service

__all__ = ["Parser", "parse_json_object", "parser_for"]

Parser = Callable[[Any], Any]

_INTEGER_BITS = {"integer": 32, "long": 64}


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body; an empty body is an empty object.

    Raises:
        SerializationError: If the body is not one JSON object.

    """
    if not body.strip():
        return {}
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise SerializationError("The request body is nested too deeply.") from None
    except ValueError:
        # Not UTF-8, not JSON, NaN or Infinity, or an integer of thousands of digits.
        raise SerializationError("The request body is not valid JSON.") from None
    if type(value) is not dict:
        raise SerializationError("The request body is not a JSON object.")
    return value


def parser_for(service: Service, shape_name: str | None) -> Parser:
    """Return the parser of a shape, compiled once; ``None`` stands for no input at all."""
    if shape_name is None:
        return _parse_nothing
    return _compiled(service, shape_name)


@functools.cache
def _compiled(service: Service, name: str) -> Parser:
    shape = service.shapes[name]
    kind = shape["type"]
    if kind == "structure":
        return _structure(service, name)
    if kind == "list":
        return _list(service, shape["member"]["shape"])
    if kind == "map":
        return _map(service, shape["key"]["shape"], shape["value"]["shape"])
    if kind in _INTEGER_BITS:
        return _integer(kind, _INTEGER_BITS[kind])
    scalar = {
        "string": _string,
        "boolean": _boolean,
        "float": _float,
        "double": _float,
        "blob": _blob,
        "timestamp": _timestamp,
    }
    return scalar[kind]


def _late(service: Service, name: str) -> Parser:
    # Shapes may contain themselves, so members are compiled at their first use.
    def parse(value: Any) -> Any:
        return _compiled(service, name)(value)

    return parse


def _structure(service: Service, name: str) -> Parser:
    parsers: dict[str, tuple[str, Parser]] = {
        description.get("locationName", member): (member, _late(service, description["shape"]))
        for member, description in service.shapes[name].get("members", {}).items()
        if "location" not in description
    }

    def parse(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            _refuse(value, "a structure")
        result: dict[str, Any] = {}
        for key, item in value.items():
            known = parsers.get(key)
            if known is not None and item is not None:
                result[known[0]] = known[1](item)
        return result

    return parse


def _list(service: Service, member: str) -> Parser:
    parse_member = _late(service, member)

    def parse(value: Any) -> list[Any]:
        if type(value) is not list:
            _refuse(value, "a list")
        # A null inside stays, for validate.py to say where it is.
        return [None if item is None else parse_member(item) for item in value]

    return parse


def _map(service: Service, key: str, item: str) -> Parser:
    parse_key, parse_item = _late(service, key), _late(service, item)

    def parse(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            _refuse(value, "a map")
        return {
            parse_key(k): None if item is None else parse_item(item) for k, item in value.items()
        }

    return parse


def _string(value: Any) -> str:
    if type(value) is not str:
        _refuse(value, "a String")
    text: str = value
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            # An escaped lone surrogate is legal JSON and no Unicode text.
            raise SerializationError("A string holds text that is not Unicode.") from None
    return text


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        _refuse(value, "a Boolean")
    return bool(value)


def _integer(kind: str, bits: int) -> Parser:
    bound = 1 << (bits - 1)
    noun = "an Integer" if kind == "integer" else "a Long"

    def parse(value: Any) -> int:
        # bool is an int in Python, and no number on the wire.
        if type(value) is not int or not -bound <= value < bound:
            _refuse(value, noun)
        return int(value)

    return parse


def _float(value: Any) -> float:
    if type(value) not in (int, float):
        _refuse(value, "a Float")
    try:
        number = float(value)
    except OverflowError:
        _refuse(value, "a Float")
    if not math.isfinite(number):  # 1e400
        _refuse(value, "a Float")
    return number


def _blob(value: Any) -> bytes:
    if type(value) is not str:
        _refuse(value, "a Blob")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise SerializationError("A blob is not valid base64.") from None


def _timestamp(value: Any) -> datetime:
    """Epoch seconds, or ISO 8601 as some clients send it."""
    try:
        if type(value) is str:
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if type(value) in (int, float):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise SerializationError("A timestamp is out of range or malformed.") from None
    return _refuse(value, "a Timestamp")


def _parse_nothing(_value: Any) -> dict[str, Any]:
    return {}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse(value: Any, wanted: str) -> NoReturn:
    if type(value) is dict:
        raise SerializationError("Start of structure or map found where not expected.")
    if type(value) is list:
        raise SerializationError("Start of list found where not expected.")
    token = {str: "STRING_VALUE", bool: f"{str(value).upper()}_VALUE"}.get(
        type(value), "NUMBER_VALUE"
    )
    raise SerializationError(f"{token} can not be converted to {wanted}")
