"""Video streams in the store, over both databases."""

from __future__ import annotations

import pytest

from streamd.resources import VideoStream
from streamd.store import (
    LimitError,
    NameInUseError,
    NotFoundError,
    Store,
    VersionMismatchError,
)
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT


def arn_of(name: str) -> str:
    """Return an ARN."""
    return f"arn:aws:kinesisvideo:us-east-1:{ACCOUNT}:stream/{name}/1700000000000"


def create(store: Store, name: str, *, limit: int = 100, **values: str | int) -> VideoStream:
    """Create a video stream by name."""
    return store.create_video_stream(
        account_id=ACCOUNT,
        name=name,
        arn=arn_of(name),
        tags={},
        limit=limit,
        **values,  # type: ignore[arg-type]  # each test passes what it means
    )


def test_created_stream_is_found_by_name_and_arn(store: Store, clock: ManualClock) -> None:
    """Both lead to the same stream, with everything it was created with."""
    created = create(
        store, "cam", data_retention_hours=24, device_name="d", media_type="video/h264"
    )
    assert created.created_at == clock.now()
    assert (created.data_retention_hours, created.media_type) == (24, "video/h264")
    assert store.video_stream(ACCOUNT, name="cam") == created
    assert store.video_stream(ACCOUNT, arn=arn_of("cam")) == created
    assert store.video_stream(ACCOUNT, name="cam", arn=arn_of("cam")) == created


def test_name_and_arn_must_agree(store: Store) -> None:
    """A name with another stream's ARN, or another account, finds nothing."""
    create(store, "cam")
    create(store, "door")
    for account, name, arn in (
        (ACCOUNT, "cam", arn_of("door")),
        (ACCOUNT, "gone", None),
        ("444455556666", "cam", None),
    ):
        with pytest.raises(NotFoundError):
            store.video_stream(account, name=name, arn=arn)
    with pytest.raises(ValueError, match="by name or ARN"):
        store.video_stream(ACCOUNT)


def test_name_is_taken_once_and_streams_are_limited(store: Store) -> None:
    """The name comes before the limit in what is said."""
    create(store, "cam", limit=1)
    with pytest.raises(NameInUseError):
        create(store, "cam", limit=1)
    with pytest.raises(LimitError):
        create(store, "door", limit=1)


def test_list_filters_by_prefix_with_case(store: Store) -> None:
    """BEGINS_WITH takes every character as it is."""
    for name in ("cam_1", "cam-2", "Cam_3", "camera", "door"):
        create(store, name)

    def names(prefix: str, after: str | None = None) -> list[str]:
        found = store.list_video_streams(ACCOUNT, prefix=prefix, after=after, limit=3)
        return [stream.name for stream in found]

    assert names("cam") == ["cam-2", "cam_1", "camera"]
    assert names("cam_") == ["cam_1"]
    assert names("") == ["Cam_3", "cam-2", "cam_1"]
    assert names("", after="cam_1") == ["camera", "door"]


def test_update_needs_the_current_version(store: Store) -> None:
    """An update changes the version; with the old one the next is refused."""
    created = create(store, "cam")

    def keep_a_day(stream: VideoStream) -> VideoStream:
        return stream.model_copy(update={"data_retention_hours": 24})

    updated = store.update_video_stream(
        ACCOUNT, name="cam", expected_version=created.version, change=keep_a_day
    )
    assert updated.data_retention_hours == 24
    assert updated.version != created.version
    assert store.video_stream(ACCOUNT, name="cam") == updated
    with pytest.raises(VersionMismatchError):
        store.update_video_stream(
            ACCOUNT, arn=arn_of("cam"), expected_version=created.version, change=keep_a_day
        )


def test_update_that_raises_changes_nothing(store: Store) -> None:
    """What the change function raises passes through."""
    created = create(store, "cam")

    def refuse(stream: VideoStream) -> VideoStream:
        raise ArithmeticError(stream.name)

    with pytest.raises(ArithmeticError):
        store.update_video_stream(
            ACCOUNT, name="cam", expected_version=created.version, change=refuse
        )
    assert store.video_stream(ACCOUNT, name="cam") == created


def test_delete_checks_the_version_if_given(store: Store) -> None:
    """A wrong version deletes nothing, none at all deletes anyway."""
    created = create(store, "cam")
    with pytest.raises(VersionMismatchError):
        store.delete_video_stream(ACCOUNT, name="cam", expected_version="other")
    assert store.delete_video_stream(ACCOUNT, arn=arn_of("cam")) == created
    with pytest.raises(NotFoundError):
        store.delete_video_stream(ACCOUNT, name="cam")


def test_streams_of_all_accounts_are_listed_page_by_page(store: Store) -> None:
    """For the archive, which keeps the video of all of them."""
    arns = []
    for account_id in ("111111111111", "222222222222", ACCOUNT):
        arn = f"arn:aws:kinesisvideo:us-east-1:{account_id}:stream/cam/1700000000000"
        store.create_video_stream(account_id=account_id, name="cam", arn=arn, tags={}, limit=10)
        arns.append(arn)
    found: list[str] = []
    while page := store.all_video_streams(after=found[-1] if found else None, limit=2):
        found += [stream.arn for stream in page]
    assert found == sorted(arns)
