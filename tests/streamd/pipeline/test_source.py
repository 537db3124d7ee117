"""Reading a stream over many GetMedia calls: no gap, no repeat of whole fragments."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from streamd.ingest.errors import (
    AccessDeniedError,
    MediaSourceError,
    MediaUnavailableError,
    RoleDeniedError,
    StreamNotFoundError,
)
from streamd.ingest.getmedia import KinesisVideoClient
from streamd.kvs.fragments import FragmentEnded, Packet
from streamd.kvs.numbers import previous_number
from streamd.pipeline.errors import SessionFailedError
from streamd.pipeline.source import MediaSource, Opened, ReadEnded, SourceEvent, stream_name_of
from streamd.resources import StartRequest
from tests.support.media import encode, get_media_fragments, moving_shapes

ARN = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/cam/1700000000000"
ROLE = "arn:aws:iam::111122223333:role/viewer"
LOG = {"stream_processor": "door", "session": "run-1"}
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class Answer:
    """One prepared answer of GetMedia."""

    body: bytes = b""
    error: MediaSourceError | None = None
    server_date: datetime = NOW

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        for start in range(0, len(self.body), 1000):
            yield self.body[start : start + 1000]


@dataclass
class FakeClient:
    """Answers GetMedia from a list and notes the selectors."""

    answers: list[Answer]
    selectors: list[dict[str, Any]] = field(default_factory=list)

    @asynccontextmanager
    async def get_media(
        self,
        stream: str,
        selector: Mapping[str, Any],
        *,
        account_id: str | None = None,
        role_arn: str | None = None,
    ) -> AsyncIterator[Answer]:
        assert stream == ARN
        assert account_id == "111122223333"
        assert role_arn == ROLE
        self.selectors.append(dict(selector))
        answer = self.answers.pop(0)
        if answer.error is not None:
            raise answer.error
        yield answer


def _fragments(count: int = 3) -> list[bytes]:
    video = encode(moving_shapes(count * 5), fps=10, gop=5)
    return list(get_media_fragments(video))


def _source(client: FakeClient, **start: Any) -> MediaSource:
    return MediaSource(
        client=cast(KinesisVideoClient, client),
        stream_arn=ARN,
        account_id="111122223333",
        role_arn=ROLE,
        start=StartRequest(**start),
        after_fragment=None,
        started_at=NOW,
        resumed=False,
        log=LOG,
    )


async def _read(source: MediaSource) -> list[SourceEvent]:
    return [event async for events in source.read() for event in events]


def _numbers(events: list[SourceEvent]) -> list[str]:
    return [event.fragment.number for event in events if isinstance(event, FragmentEnded)]


async def test_first_call_asks_for_now_and_the_next_goes_on_after_the_last_fragment() -> None:
    """A normal end is followed by FRAGMENT_NUMBER with the last whole fragment."""
    client = FakeClient([Answer(b"".join(_fragments())), Answer()])
    source = _source(client)
    events = await _read(source)
    assert isinstance(events[0], Opened)
    assert events[-1] == ReadEnded(fragments=3)
    await _read(source)
    assert client.selectors == [
        {"StartSelectorType": "NOW"},
        {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": _numbers(events)[-1]},
    ]


async def test_call_that_brought_nothing_leaves_no_hole() -> None:
    """After an empty answer the next call starts at the time of the first one."""
    client = FakeClient([Answer(), Answer()])
    source = _source(client)
    await _read(source)
    await _read(source)
    assert client.selectors[1] == {
        "StartSelectorType": "SERVER_TIMESTAMP",
        "StartTimestamp": NOW.timestamp(),
    }


async def test_fragment_that_was_cut_off_is_read_again() -> None:
    """A body that ends inside a fragment is no damage; the fragment comes again, whole."""
    first, second, third = _fragments()
    client = FakeClient([Answer(first + second[: len(second) // 2]), Answer(second + third)])
    source = _source(client)
    cut = await _read(source)
    assert _numbers(cut) == [_numbers(cut)[0]]
    end = cut[-1]
    assert isinstance(end, ReadEnded)
    assert end.error is not None
    assert not end.damaged
    again = await _read(source)
    assert client.selectors[1]["AfterFragmentNumber"] == _numbers(cut)[0]
    assert len(_numbers(again)) == 2
    assert len([e for e in again if isinstance(e, Packet)]) == 10


async def test_fragment_that_stays_damaged_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """The third failure of one fragment ends the tries; the next one is read. A line says so."""
    first, second, third = _fragments()
    damaged = second[:-200] + bytes(200)
    client = FakeClient([Answer(first), *[Answer(damaged) for _ in range(3)], Answer(third)])
    source = _source(client)
    ends = [(await _read(source))[-1] for _ in range(4)]
    assert [isinstance(e, ReadEnded) and e.error is not None for e in ends] == [False, *[True] * 3]
    await _read(source)
    after = [selector.get("AfterFragmentNumber") for selector in client.selectors]
    assert after[1] == after[2] == after[3]
    assert str(after[4]) > str(after[3])
    (line,) = [r.__dict__ for r in caplog.records if "passed over" in r.message]
    assert (line["stream_processor"], line["session"]) == ("door", "run-1")
    assert line["fragment"] == after[4]


async def test_network_faults_end_a_call_only() -> None:
    """A server that is away is no failure of the session."""
    client = FakeClient([Answer(error=MediaUnavailableError("away"))])
    assert await _read(_source(client)) == [ReadEnded(fragments=0, error="away")]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (StreamNotFoundError("x"), "Stream cam doesn't exist"),
        (AccessDeniedError("x"), "Access denied to Kinesis Video"),
        (RoleDeniedError("x"), "Access denied to Role"),
    ],
    ids=["missing", "denied", "role"],
)
async def test_missing_stream_and_rights_fail_in_awss_words(
    error: MediaSourceError, message: str
) -> None:
    """What no retry can mend becomes the StatusMessage AWS documents."""
    with pytest.raises(SessionFailedError, match=message):
        await _read(_source(FakeClient([Answer(error=error)])))


async def test_label_session_includes_the_fragment_it_is_told() -> None:
    """GetMedia starts after the number it is given, so the number before is asked for."""
    number = "91343852333181432392682062607102920146264812345"
    client = FakeClient([Answer()])
    await _read(_source(client, fragment_number=number))
    assert client.selectors == [
        {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": previous_number(number)}
    ]


async def test_producer_timestamp_is_passed_in_seconds() -> None:
    """StartStreamProcessor's milliseconds become GetMedia's seconds."""
    client = FakeClient([Answer()])
    await _read(_source(client, producer_timestamp_ms=1_700_000_000_123))
    assert client.selectors == [
        {"StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": 1_700_000_000.123}
    ]


def test_name_is_read_from_either_form_of_arn() -> None:
    """With and without the creation time."""
    assert stream_name_of(ARN) == "cam"
    assert stream_name_of(ARN.rpartition("/")[0]) == "cam"
