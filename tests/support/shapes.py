"""AWS's service descriptions as a judge: what fits a shape, and what breaks one rule of it.

Written against botocore's JSON documents alone, so that it shares no line with the daemon's
own parser, validator and serializer.
"""

from __future__ import annotations

import base64
import copy
import functools
import math
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import regex
from botocore.loaders import Loader

__all__ = ["Break", "Model", "breaks", "full_request", "load_model", "problems"]

Path = tuple[str | int, ...]

_EXAMPLES = (
    "abc",
    "5",
    "1.0",
    str(uuid.UUID(int=7)),
    "arn:aws:kinesisvideo:us-east-1:000000000000:stream/cam/1700000000000",
    "arn:aws:kinesis:us-east-1:000000000000:stream/out",
    "arn:aws:iam::000000000000:role/streamd",
    "arn:aws:sns:us-east-1:000000000000:topic",
    "arn:aws:rekognition:us-east-1:000000000000:collection/abc",
    "video/h264",
    "https://example.com/a",
    "abcdefghijklmnopqrstuvwxyz",
)
"""One of them keeps every length and pattern an input has."""
_NOT_MATCHING = (" ", "!", "é", "aws:x", "a b", "/", "_", "\n", "<>")
_SCALARS = {"string", "boolean", "integer", "long", "float", "double", "blob", "timestamp"}
_NUMBERS = {"integer", "long", "float", "double"}
_MAX_DEPTH = 8


class Model:
    """One service's description."""

    def __init__(self, name: str) -> None:
        self.name = name
        document = Loader().load_service_model(name, "service-2")
        self.shapes: Mapping[str, Mapping[str, Any]] = document["shapes"]
        self.operations: Mapping[str, Mapping[str, Any]] = document["operations"]
        self.target_prefix: str | None = document["metadata"].get("targetPrefix")

    def input_shape(self, operation: str) -> str | None:
        """Return the name of an operation's input shape."""
        return self._shape(operation, "input")

    def output_shape(self, operation: str) -> str | None:
        """Return the name of an operation's output shape."""
        return self._shape(operation, "output")

    def _shape(self, operation: str, side: str) -> str | None:
        described = self.operations[operation].get(side)
        return None if described is None else str(described["shape"])


@functools.cache
def load_model(name: str) -> Model:
    """Return the newest description of a service, read once."""
    return Model(name)


def problems(model: Model, shape_name: str | None, value: Any, path: str = "") -> list[str]:
    """Return what a JSON value does not have as the shape says; nothing is tolerated."""
    if shape_name is None:
        return [] if value == {} else [f"{path}: the operation has no output, got {value!r}"]
    shape = model.shapes[shape_name]
    kind = shape["type"]
    if not _has_type(kind, value):
        return [f"{path}: {shape_name} is a {kind}, got {value!r}"]
    found = [f"{path}: {text}, got {value!r}" for text in _broken_rules(shape, value)]
    if kind == "structure":
        members = shape.get("members", {})
        names = {member.get("locationName", name): name for name, member in members.items()}
        found += [f"{path}: {shape_name} has no member {key}" for key in value.keys() - names]
        required = {members[name].get("locationName", name) for name in shape.get("required", ())}
        found += [f"{path}.{key}: is required" for key in required - value.keys()]
        for key in value.keys() & names:
            found += problems(model, members[names[key]]["shape"], value[key], f"{path}.{key}")
    elif kind == "list":
        for number, item in enumerate(value):
            found += problems(model, shape["member"]["shape"], item, f"{path}[{number}]")
    elif kind == "map":
        for key, item in value.items():
            found += problems(model, shape["key"]["shape"], key, f"{path}<key>")
            found += problems(model, shape["value"]["shape"], item, f"{path}[{key}]")
    return found


def full_request(model: Model, operation: str) -> dict[str, Any]:
    """Return a request with every member the input has, each within its own constraints.

    It need not make sense: members that exclude each other are all there.
    """
    shape = model.input_shape(operation)
    return {} if shape is None else dict(_example(model, shape, ()))


@dataclass(frozen=True, kw_only=True)
class Break:
    """A request with one constraint broken."""

    name: str
    """``Input.KinesisVideoStream.Arn-pattern``."""
    request: Any
    path: str | None
    """Where AWS says the violation is; ``None`` where the request cannot be read at all."""
    rule: str
    """Text of the rule in the answer."""
    shape: str
    """Name of the broken member's shape."""


def breaks(model: Model, operation: str) -> Iterator[Break]:
    """Return the full request of an operation once for every constraint, that one broken."""
    shape = model.input_shape(operation)
    if shape is None:
        return
    whole = full_request(model, operation)
    for name in model.shapes[shape].get("required", ()):
        yield _null(whole, (name,), model.shapes[shape]["members"][name]["shape"], absent=True)
    for place, member_shape, required in _members(model, shape, ()):
        yield from _breaks_of(model, whole, place, member_shape, required=required)


def _members(model: Model, shape_name: str, base: Path) -> Iterator[tuple[Path, str, bool]]:
    """Return every member of the full request, its shape, and whether null breaks a rule."""
    shape = model.shapes[shape_name]
    if len(base) > _MAX_DEPTH:
        return
    if shape["type"] == "structure":
        required = shape.get("required", ())
        for name, described in shape.get("members", {}).items():
            if "location" in described:
                continue
            yield (*base, name), described["shape"], name in required
            yield from _members(model, described["shape"], (*base, name))
    elif shape["type"] == "list":
        item = shape["member"]["shape"]
        yield (*base, 0), item, True
        yield from _members(model, item, (*base, 0))
    elif shape["type"] == "map":
        item = shape["value"]["shape"]
        key = _Key(_example(model, shape["key"]["shape"], base))
        yield (*base, key), item, True
        yield from _members(model, item, (*base, key))


def _breaks_of(
    model: Model, whole: Any, place: Path, shape_name: str, *, required: bool
) -> Iterator[Break]:
    shape = model.shapes[shape_name]
    kind = shape["type"]
    if required:
        yield _null(whole, place, shape_name, absent=False)
    for wrong in _wrong_types(kind):
        yield _broken(whole, place, wrong, f"type {_named(wrong)}", None, "", shape_name)
    for rule, value, text in _violations(model, shape_name, place):
        path = _shown(_reported_place(place, kind))
        yield _broken(whole, place, value, rule, path, text, shape_name)
    if kind == "map":
        yield from _key_breaks(model, whole, place, shape)


def _key_breaks(model: Model, whole: Any, place: Path, shape: Mapping[str, Any]) -> Iterator[Break]:
    key_shape = shape["key"]["shape"]
    item = _example(model, shape["value"]["shape"], place)
    for rule, key, text in _violations(model, key_shape, place):
        yield _broken(whole, place, {key: item}, f"key {rule}", _shown(place), text, key_shape)


def _violations(model: Model, shape_name: str, place: Path) -> Iterator[tuple[str, Any, str]]:
    shape = model.shapes[shape_name]
    kind = shape["type"]
    low, high = shape.get("min"), shape.get("max")
    if kind in _NUMBERS:
        if low is not None:
            yield "below", low - 1, f"greater than or equal to {low}"
        if high is not None and high < 2**31 - 1:
            yield "above", high + 1, f"less than or equal to {high}"
        return
    if low and kind in {"string", "blob", "list", "map"}:
        yield (
            "short",
            _sized(model, shape_name, low - 1, place),
            f"length greater than or equal to {low}",
        )
    if high is not None and kind in {"string", "blob", "list", "map"}:
        yield (
            "long",
            _sized(model, shape_name, high + 1, place),
            f"length less than or equal to {high}",
        )
    if "pattern" in shape and (bad := _not_matching(shape)) is not None:
        yield "pattern", bad, "regular expression pattern: "
    if "enum" in shape:
        yield "enum", "NOT_A_VALUE", "enum value set: ["


def _sized(model: Model, shape_name: str, size: int, place: Path) -> Any:
    shape = model.shapes[shape_name]
    kind = shape["type"]
    if kind == "blob":
        return base64.b64encode(bytes(size)).decode()
    if kind == "string":
        example = str(_example(model, shape_name, place))
        return example[:size] if size < len(example) else example + "1" * (size - len(example))
    if kind == "list":
        return [_example(model, shape["member"]["shape"], place)] * size
    key = str(_example(model, shape["key"]["shape"], place))
    item = _example(model, shape["value"]["shape"], place)
    return {f"{key}{number}": item for number in range(size)}


def _not_matching(shape: Mapping[str, Any]) -> str | None:
    for text in _NOT_MATCHING:
        padded: str = text * math.ceil(max(shape.get("min", 1), 1) / len(text))
        if len(padded) <= shape.get("max", 10_000) and not _matches(shape["pattern"], padded):
            return padded
    return None


def _wrong_types(kind: str) -> tuple[Any, ...]:
    not_finite = (math.nan, math.inf, -math.inf)
    return {
        "structure": ("text", [], 5),
        "list": ("text", {}, 5),
        "map": ("text", [], 5),
        "string": (5, True, [], {}),
        "boolean": ("true", 1, {}),
        "integer": ("5", True, 1.5, 2**31, [], math.nan),
        "long": ("5", True, 1.5, 2**63, [], math.nan),
        "float": ("5", True, {}, *not_finite),
        "double": ("5", True, {}, *not_finite),
        "blob": (5, "%%%%", "abc", {}),
        "timestamp": (True, [], {}, "yesterday", math.nan),
    }[kind]


def _null(whole: Any, place: Path, shape_name: str, *, absent: bool) -> Break:
    request = copy.deepcopy(whole)
    parent = _parent(request, place)
    if absent:
        del parent[place[-1]]
    else:
        parent[place[-1]] = None
    return Break(
        name=f"{_dotted(place)}-{'missing' if absent else 'null'}",
        request=request,
        path=_shown(place),
        rule="Member must not be null",
        shape=shape_name,
    )


def _broken(
    whole: Any, place: Path, value: Any, rule: str, path: str | None, text: str, shape_name: str
) -> Break:
    request = copy.deepcopy(whole)
    _parent(request, place)[place[-1]] = value
    return Break(
        name=f"{_dotted(place)}-{rule}", request=request, path=path, rule=text, shape=shape_name
    )


def _parent(request: Any, place: Path) -> Any:
    return functools.reduce(lambda value, step: value[step], place[:-1], request)


def _reported_place(place: Path, kind: str) -> Path:
    """AWS names the list or map, not the element, where a scalar inside breaks a rule."""
    is_element = len(place) > 1 and isinstance(place[-1], (int, _Key))
    return place[:-1] if is_element and kind in _SCALARS else place


class _Key(str):
    """A key of a map, as against a member of a structure."""

    __slots__ = ()


def _example(model: Model, shape_name: str, base: Path) -> Any:
    shape = model.shapes[shape_name]
    kind = shape["type"]
    if kind == "structure":
        assert len(base) < _MAX_DEPTH, f"{shape_name} contains itself"
        return {
            name: _example(model, described["shape"], (*base, name))
            for name, described in shape.get("members", {}).items()
            if "location" not in described
        }
    if kind == "list":
        item = shape["member"]["shape"]
        return [_example(model, item, (*base, 0)) for _ in range(max(shape.get("min", 1), 1))]
    if kind == "map":
        key = _Key(_example(model, shape["key"]["shape"], base))
        return {key: _example(model, shape["value"]["shape"], (*base, key))}
    return _scalar_example(shape, shape_name)


def _scalar_example(shape: Mapping[str, Any], shape_name: str) -> Any:
    kind = shape["type"]
    if kind == "string":
        candidates = (*shape.get("enum", ()), *_EXAMPLES)
        good = (text for text in candidates if not _broken_rules(shape, text))
        example = next(good, None)
        assert example is not None, f"no example of {shape_name} is known: {dict(shape)}"
        return example
    if kind == "blob":
        return base64.b64encode(b"x" * max(shape.get("min", 1), 1)).decode()
    if kind == "boolean":
        return True
    if kind == "timestamp":
        return 1_700_000_000.5
    number = max(shape.get("min", 1), 0)
    return float(number) if kind in {"float", "double"} else int(number)


def _has_type(kind: str, value: Any) -> bool:
    if kind in {"float", "double", "timestamp"}:
        return type(value) in (int, float) and math.isfinite(value)
    wanted: dict[str, type] = {
        "structure": dict,
        "list": list,
        "map": dict,
        "string": str,
        "blob": str,
        "boolean": bool,
        "integer": int,
        "long": int,
    }
    return type(value) is wanted[kind] or (kind == "string" and isinstance(value, str))


def _broken_rules(shape: Mapping[str, Any], value: Any) -> list[str]:
    kind = shape["type"]
    if kind in {"boolean", "timestamp", "structure"}:
        return []
    size = value if kind in _NUMBERS else len(value)
    if kind == "blob":
        size = len(base64.b64decode(value))
    found = []
    if (low := shape.get("min")) is not None and size < low:
        found.append(f"at least {low}")
    if (high := shape.get("max")) is not None and size > high:
        found.append(f"at most {high}")
    if "pattern" in shape and not _matches(shape["pattern"], value):
        found.append(f"pattern {shape['pattern']}")
    if "enum" in shape and value not in shape["enum"]:
        found.append(f"one of {shape['enum']}")
    return found


@functools.cache
def _compiled(pattern: str) -> Any:
    return regex.compile(pattern, 0 if r"\p" in pattern else regex.ASCII)


def _matches(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text, timeout=1.0) is not None


def _named(value: Any) -> str:
    return repr(value) if not isinstance(value, (list, dict)) else type(value).__name__


def _dotted(place: Path) -> str:
    return ".".join(str(step) for step in place)


def _shown(place: Path) -> str:
    """AWS's spelling: ``regionsOfInterest.1.member.boundingBox``."""
    steps = []
    for step in place:
        if isinstance(step, int):
            steps += [str(step + 1), "member"]
        elif isinstance(step, _Key):
            steps += [str(step), "member"]
        else:
            steps.append(step[:1].lower() + step[1:])
    return ".".join(steps)
