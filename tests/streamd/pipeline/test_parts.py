"""What the worker hands to every session."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from streamd.config import Settings
from streamd.lifecycle import Status
from streamd.pipeline.parts import SessionParts
from streamd.resources import StreamProcessor
from tests.support.store import FACE_SEARCH

ROLE = FACE_SEARCH.role_arn


def parts(**sections: Any) -> SessionParts:
    unused = cast(Any, None)
    rest = dict.fromkeys(
        ("store", "run_blocking", "run_outbox", "engine", "feeds", "client", "sinks", "search"),
        unused,
    )
    return SessionParts(
        settings=Settings.model_validate(sections), metrics=unused, clock=unused, **rest
    )


@pytest.mark.parametrize(
    ("sections", "role"),
    [
        ({}, None),
        ({"kinesis_video": {"endpoint_url": "aws"}}, ROLE),
        ({"kinesis_video": {"endpoint_url": "aws"}, "aws": {"assume_roles": False}}, None),
        ({"aws": {"assume_roles": True}}, ROLE),
    ],
    ids=["embedded", "aws", "aws without roles", "embedded with roles"],
)
def test_a_role_is_assumed_where_the_settings_say_so(
    sections: dict[str, Any], role: str | None
) -> None:
    """By default with AWS's video alone: the embedded endpoint knows no roles."""
    now = datetime.now(UTC)
    made = StreamProcessor(
        account_id="1" * 12,
        name="door",
        arn="arn",
        definition=FACE_SEARCH,
        status=Status.STARTING,
        created_at=now,
        last_updated_at=now,
        version=1,
    )
    assert parts(**sections).role_of(made) == role
