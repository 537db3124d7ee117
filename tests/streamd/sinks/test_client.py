"""A sink's clients: its own, and those for roles."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from streamd.aws import AwsDeniedError, AwsError, AwsUnavailableError, fixed_key
from streamd.roles import AssumedRoles
from streamd.sinks import SinkGoneError, SinkUnavailableError
from streamd.sinks.client import ClientSink

ROLE = "arn:aws:iam::123456789012:role/writer"


class FakeRoles:
    """Gives keys, or the error it was told."""

    def __init__(self) -> None:
        self.error: AwsError | None = None
        self.number = 1

    def key(self, role_arn: str, *, expired: Any = None) -> Any:
        assert role_arn == ROLE
        if self.error is not None:
            raise self.error
        if expired is not None:
            self.number += 1
        return fixed_key(f"ASIA{self.number}", "secret")

    def credentials(self, role_arn: str) -> Any:
        return f"credentials of {role_arn}"


class FakeSink(ClientSink):
    NAME = "kinesis"
    THREADS = 1

    async def client(self) -> Any:
        return await self.run(lambda: self._client)

    async def fail(self, code: str) -> None:
        def refuse() -> None:
            raise SinkUnavailableError("no") from AwsUnavailableError("no", code=code)

        await self.run(refuse)


@pytest.fixture
def roles() -> FakeRoles:
    return FakeRoles()


@pytest.fixture
async def sink(roles: FakeRoles) -> AsyncIterator[FakeSink]:
    made = FakeSink(
        lambda credentials=None: (credentials, threading.current_thread().name),
        threads=1,
        roles=cast(AssumedRoles, roles),
    )
    await made.open()
    yield made
    await made.aclose()


async def test_each_role_has_a_client(sink: FakeSink) -> None:
    """Made once, in a thread of the sink; the sink's own client is not touched."""
    by_role = sink.of_role(ROLE)
    assert sink.of_role(ROLE) is by_role
    first = await by_role.client()
    assert first == (f"credentials of {ROLE}", "sink-kinesis_0")
    assert await by_role.client() is first
    assert await sink.client() == (None, "sink-kinesis_0")


async def test_without_roles_the_sink_is_its_own() -> None:
    """A section with a key of its own keeps it."""
    plain = FakeSink(lambda: "client")
    assert plain.of_role(ROLE) is plain
    await plain.aclose()


async def test_role_denied_is_told_from_the_target(sink: FakeSink, roles: FakeRoles) -> None:
    """Denied ends the session in AWS's words; away does not."""
    by_role = sink.of_role(ROLE)
    roles.error = AwsDeniedError("no")
    with pytest.raises(SinkGoneError, match=r"^Access denied to Role$"):
        await by_role.client()
    roles.error = AwsUnavailableError("busy")
    with pytest.raises(SinkUnavailableError, match="cannot be assumed now: busy"):
        await by_role.client()


async def test_key_refused_as_expired_is_replaced_before_the_next_call(
    sink: FakeSink, roles: FakeRoles
) -> None:
    """Whatever its age says here."""
    by_role = sink.of_role(ROLE)
    with pytest.raises(SinkUnavailableError):
        await by_role.fail("SlowDown")
    await by_role.client()
    assert roles.number == 1
    with pytest.raises(SinkUnavailableError):
        await by_role.fail("ExpiredTokenException")
    await by_role.client()
    await by_role.client()
    assert roles.number == 2
