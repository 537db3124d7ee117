r"""The constraints of a service description: required, min, max, pattern, enum.

botocore's own validator knows types, required and min only. Each shape is compiled once into
a function that appends what it finds wrong. Texts and paths are those of AWS's front ends::

    1 validation error detected: Value 'a b' at 'name' failed to satisfy constraint:
    Member must satisfy regular expression pattern: [a-zA-Z0-9_.\-]+
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import regex

from streamd.protocol.errors import Violation
from streamd.protocol.service import Service, ShapeDescription

__all__ = ["compile_pattern", "violations"]

_PATTERN_SECONDS = 0.5
"""Longest time one pattern may take: no client can make a pattern backtrack for longer."""
_MAX_VIOLATIONS = 20

_Found = list[Violation]
_Check = Callable[[Any, str, _Found], None]
_Rule = tuple[str, str, Callable[[Any], bool]]
"""(rule, text of the constraint, whether a value keeps it)."""


def violations(service: Service, shape_name: str | None, value: Any) -> list[Violation]:
    """Return every constraint a parsed value breaks, at most a fixed number."""
    if shape_name is None:
        return []
    found: _Found = []
    _compiled(service, shape_name)(value, "", found)
    return found[:_MAX_VIOLATIONS]


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Return a test for a pattern of the model: Java syntax, applied to the whole string."""
    # Java's \d and \w are ASCII; the flag would make \p{L} ASCII too, so not with those.
    flags = 0 if r"\p" in pattern else regex.ASCII
    compiled = regex.compile(pattern, flags)

    def matches(text: str) -> bool:
        try:
            return compiled.fullmatch(text, timeout=_PATTERN_SECONDS) is not None
        except TimeoutError:
            return False

    return matches


@functools.cache
def _compiled(service: Service, name: str) -> _Check:
    shape = service.shapes[name]
    kind = shape["type"]
    if kind == "structure":
        return _structure(service, name)
    if kind == "list":
        return _list(service, name)
    if kind == "map":
        return _map(service, name)
    return _scalar(name, _rules(shape))


def _structure(service: Service, name: str) -> _Check:
    shape = service.shapes[name]
    required = [(member, _decapitalized(member)) for member in shape.get("required", ())]
    members = {
        member: (_decapitalized(member), description["shape"])
        for member, description in shape.get("members", {}).items()
    }

    def check(value: Any, path: str, found: _Found) -> None:
        for member, shown in required:
            if value.get(member) is None:
                found.append(_null(_joined(path, shown), members[member][1]))
        for member, item in value.items():
            shown, member_shape = members[member]
            _compiled(service, member_shape)(item, _joined(path, shown), found)

    return check


def _list(service: Service, name: str) -> _Check:
    shape = service.shapes[name]
    member = shape["member"]["shape"]
    own = _scalar(name, _rules(shape))
    scalar_rules = _scalar_rules(service, member)

    def check(value: Any, path: str, found: _Found) -> None:
        own(value, path, found)
        for number, item in enumerate(value, start=1):
            if len(found) > _MAX_VIOLATIONS:
                return
            if item is None:
                found.append(_null(f"{path}.{number}.member", member))
            elif scalar_rules is None:
                _compiled(service, member)(item, f"{path}.{number}.member", found)
            elif rule := _broken(scalar_rules, item):
                # AWS shows the whole list and every rule its members have.
                text = f"Member must satisfy constraint: [{_texts(scalar_rules)}]"
                found.append(_violation(path, member, rule, value, text))
                return

    return check


def _map(service: Service, name: str) -> _Check:
    shape = service.shapes[name]
    key, item = shape["key"]["shape"], shape["value"]["shape"]
    own = _scalar(name, _rules(shape))
    key_rules = _scalar_rules(service, key) or ()
    item_rules = _scalar_rules(service, item)

    def check(value: Any, path: str, found: _Found) -> None:
        own(value, path, found)
        for k, v in value.items():
            if len(found) > _MAX_VIOLATIONS:
                return
            if rule := _broken(key_rules, k):
                text = f"Map keys must satisfy constraint: [{_texts(key_rules)}]"
                found.append(_violation(path, key, rule, value, text))
            if v is None:
                found.append(_null(f"{path}.{k}.member", item))
            elif item_rules is None:
                _compiled(service, item)(v, f"{path}.{k}.member", found)
            elif rule := _broken(item_rules, v):
                text = f"Map value must satisfy constraint: [{_texts(item_rules)}]"
                found.append(_violation(path, item, rule, value, text))

    return check


def _scalar(name: str, rules: tuple[_Rule, ...]) -> _Check:
    def check(value: Any, path: str, found: _Found) -> None:
        for rule, text, keeps in rules:
            if not keeps(value):
                found.append(_violation(path, name, rule, value, text))

    return check


def _scalar_rules(service: Service, name: str) -> tuple[_Rule, ...] | None:
    """Return the rules of a scalar shape, ``None`` for one with members of its own."""
    shape = service.shapes[name]
    return None if shape["type"] in {"structure", "list", "map"} else _rules(shape)


def _rules(shape: ShapeDescription) -> tuple[_Rule, ...]:
    kind = shape["type"]
    if kind in {"boolean", "timestamp"}:
        return ()
    rules: list[_Rule] = []
    is_number = kind in {"integer", "long", "float", "double"}
    what, measure = ("value", _itself) if is_number else ("length", len)
    if (high := shape.get("max")) is not None:
        text = f"Member must have {what} less than or equal to {high}"
        rules.append(("max", text, lambda value: measure(value) <= high))
    if (low := shape.get("min")) is not None:
        text = f"Member must have {what} greater than or equal to {low}"
        rules.append(("min", text, lambda value: measure(value) >= low))
    if "pattern" in shape:
        text = f"Member must satisfy regular expression pattern: {shape['pattern']}"
        rules.append(("pattern", text, compile_pattern(shape["pattern"])))
    if "enum" in shape:
        allowed = frozenset(shape["enum"])
        text = f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]"
        rules.append(("enum", text, allowed.__contains__))
    return tuple(rules)


def _itself(value: Any) -> Any:
    return value


def _broken(rules: tuple[_Rule, ...], value: Any) -> str | None:
    return next((rule for rule, _text, keeps in rules if not keeps(value)), None)


def _texts(rules: tuple[_Rule, ...]) -> str:
    return ", ".join(text for _rule, text, _keeps in rules)


def _violation(path: str, shape: str, rule: str, value: Any, text: str) -> Violation:
    return Violation(path=path, shape=shape, rule=rule, value=_shown(value), constraint=text)


def _null(path: str, shape: str) -> Violation:
    return Violation(
        path=path, shape=shape, rule="required", value=None, constraint="Member must not be null"
    )


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(item) for item in value[:20]) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}={_shown(v)}" for k, v in list(value.items())[:20]) + "}"
    return str(value)


def _joined(path: str, member: str) -> str:
    return f"{path}.{member}" if path else member


def _decapitalized(member: str) -> str:
    return member[:1].lower() + member[1:]
