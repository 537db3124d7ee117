"""Facts about reading request bodies."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.protocol.errors import SerializationError
from streamd.protocol.parse import parse_json_object, parser_for
from streamd.protocol.service import Service, load_service

_TOY = Service(
    "toy",
    {
        "metadata": {},
        "operations": {},
        "shapes": {
            "In": {
                "type": "structure",
                "members": {
                    "Text": {"shape": "String"},
                    "Count": {"shape": "Integer"},
                    "Total": {"shape": "Long"},
                    "Share": {"shape": "Float"},
                    "On": {"shape": "Boolean"},
                    "Data": {"shape": "Blob"},
                    "At": {"shape": "Timestamp"},
                    "Names": {"shape": "Strings"},
                    "Tags": {"shape": "Map"},
                    "Inner": {"shape": "In"},
                    "Renamed": {"shape": "String", "locationName": "wireName"},
                    "Header": {"shape": "String", "location": "header"},
                },
            },
            "String": {"type": "string"},
            "Integer": {"type": "integer"},
            "Long": {"type": "long"},
            "Float": {"type": "float"},
            "Boolean": {"type": "boolean"},
            "Blob": {"type": "blob"},
            "Timestamp": {"type": "timestamp"},
            "Strings": {"type": "list", "member": {"shape": "String"}},
            "Map": {"type": "map", "key": {"shape": "String"}, "value": {"shape": "String"}},
        },
    },
)


def parse(body: str | bytes) -> Any:
    data = body.encode() if isinstance(body, str) else body
    return parser_for(_TOY, "In")(parse_json_object(data))


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("", {}),
        (" \n", {}),
        ("{}", {}),
        ('{"Text": null, "Unknown": {"x": [1]}}', {}),
        ('{"Text": "ä\\u0041"}', {"Text": "äA"}),
        ('{"Count": -2147483648}', {"Count": -(2**31)}),
        ('{"Total": 9223372036854775807}', {"Total": 2**63 - 1}),
        ('{"Share": 80}', {"Share": 80.0}),
        ('{"Share": 1e-3}', {"Share": 0.001}),
        ('{"On": false}', {"On": False}),
        ('{"Data": "AAEC"}', {"Data": b"\x00\x01\x02"}),
        ('{"Data": ""}', {"Data": b""}),
        ('{"At": 1574421649.774}', {"At": datetime(2019, 11, 22, 11, 20, 49, 774000, UTC)}),
        ('{"At": "2019-11-22T11:20:49Z"}', {"At": datetime(2019, 11, 22, 11, 20, 49, 0, UTC)}),
        ('{"Names": ["a", null]}', {"Names": ["a", None]}),
        ('{"Tags": {"a": "b"}}', {"Tags": {"a": "b"}}),
        ('{"Inner": {"Inner": {"On": true}}}', {"Inner": {"Inner": {"On": True}}}),
        ('{"wireName": "x", "Renamed": "y"}', {"Renamed": "x"}),
        ('{"Header": "x"}', {}),
    ],
)
def test_bodies_that_can_be_read(body: str, value: dict[str, Any]) -> None:
    """Known members arrive as values; null and unknown members do not arrive."""
    assert parse(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b'{"Text": "a"',
        b"\xff\xfe{",
        b"not json",
        b'{"Share": NaN}',
        b'{"Share": Infinity}',
        b'{"Share": -Infinity}',
        b'{"Share": 1e400}',
        b'{"Share": ' + b"9" * 400 + b"}",
        b'{"Count": ' + b"9" * 5000 + b"}",
        b'{"Text": 1}',
        b'{"Text": ["a"]}',
        b'{"Text": {"a": 1}}',
        b'{"Text": "\\ud800"}',
        b'{"Count": true}',
        b'{"Count": 1.5}',
        b'{"Count": "1"}',
        b'{"Count": 2147483648}',
        b'{"Total": 9223372036854775808}',
        b'{"Share": "1"}',
        b'{"Share": true}',
        b'{"On": 1}',
        b'{"On": "true"}',
        b'{"Data": "a"}',
        b'{"Data": "!!!!"}',
        b'{"Data": "\xc3\xa4"}',
        b'{"Data": 1}',
        b'{"At": "yesterday"}',
        b'{"At": 1e300}',
        b'{"At": true}',
        b'{"Names": "a"}',
        b'{"Names": {"a": "b"}}',
        b'{"Names": [1]}',
        b'{"Tags": ["a"]}',
        b'{"Tags": {"a": 1}}',
        b'{"Inner": []}',
        b"[" * 100_000,
        b'{"Inner":' * 100_000,
    ],
    ids=range(41),
)
def test_bodies_that_cannot_be_read(body: bytes) -> None:
    """Anything but the model's JSON types is a SerializationException, never a crash."""
    with pytest.raises(SerializationError) as caught:
        parse(body)
    assert caught.value.code == "SerializationException"


def test_wrong_types_are_told_in_aws_words() -> None:
    """The text names the JSON token and the wanted type."""
    with pytest.raises(SerializationError) as caught:
        parse('{"Text": 1}')
    assert caught.value.message == "NUMBER_VALUE can not be converted to a String"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No body raises anything but SerializationError."""
    with contextlib.suppress(SerializationError):
        parse(data)


_KEYS = st.sampled_from(["Text", "Count", "Share", "On", "Data", "At", "Names", "Tags", "Inner"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(_KEYS, _JSON, max_size=5))
def test_any_object_is_read_or_refused(value: dict[str, Any]) -> None:
    """What is read holds only the model's members, none of them null."""
    try:
        result = parse(json.dumps(value))
    except SerializationError:
        return
    assert all(result[name] is not None for name in result)


def test_every_input_of_rekognition_compiles() -> None:
    """Every operation reads an empty body, or one of nothing but unknown members."""
    service = load_service("rekognition")
    for operation in service.operations.values():
        assert parser_for(service, operation.input_shape)({"NoSuchMember": 1}) == {}
