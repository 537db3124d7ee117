"""Tags in the store, over both databases."""

from __future__ import annotations

import pytest

from streamd.store import LimitError, NotFoundError, Store
from tests.support.store import ACCOUNT, FACE_SEARCH, create_collection, create_processor


@pytest.fixture(params=["stream processor", "collection", "video stream"])
def arn(request: pytest.FixtureRequest, store: Store) -> str:
    """ARN of a resource with the tag ``team=night``."""
    if request.param == "stream processor":
        return create_processor(store, "door", team="night").arn
    if request.param == "collection":
        return create_collection(store, team="night").arn
    arn = f"arn:aws:kinesisvideo:us-east-1:{ACCOUNT}:stream/cam/1"
    return store.create_video_stream(
        account_id=ACCOUNT, name="cam", arn=arn, tags={"team": "night"}, limit=1
    ).arn


def test_tags_merge_by_key(store: Store, arn: str) -> None:
    """New keys are added, known ones get the new value."""
    store.add_tags(arn, {"team": "day", "Ünï": ""})
    assert store.tags(arn) == {"team": "day", "Ünï": ""}


def test_removing_an_absent_key_is_no_error(store: Store, arn: str) -> None:
    """Only the keys that are there go."""
    store.remove_tags(arn, ["team", "nothing"])
    assert store.tags(arn) == {}


def test_unknown_resource_has_no_tags(store: Store, arn: str) -> None:
    """An ARN of nothing is not found, whatever is asked."""
    for call in (
        lambda: store.tags(arn + "x"),
        lambda: store.add_tags(arn + "x", {"a": "b"}),
        lambda: store.add_tags(arn + "x", {}),
        lambda: store.remove_tags(arn + "x", ["a"]),
    ):
        with pytest.raises(NotFoundError) as missing:
            call()
        assert missing.value.kind == "resource"


def test_fifty_tags_and_no_more(store: Store, arn: str) -> None:
    """The fifty-first is refused with all that came along."""
    store.add_tags(arn, {f"key-{n}": "v" for n in range(49)})
    with pytest.raises(LimitError, match="limit of 50"):
        store.add_tags(arn, {"key-0": "changed", "one-more": "v"})
    tags = store.tags(arn)
    assert len(tags) == 50
    assert tags["key-0"] == "v"


def test_too_many_tags_create_nothing(store: Store) -> None:
    """Creation with 51 tags is refused as a whole."""
    with pytest.raises(LimitError):
        store.create_stream_processor(
            account_id=ACCOUNT,
            name="door",
            arn="arn:aws:rekognition:us-east-1:111122223333:streamprocessor/door",
            definition=FACE_SEARCH,
            tags={f"key-{n}": "v" for n in range(51)},
            limit=1,
        )
    with pytest.raises(NotFoundError):
        store.stream_processor(ACCOUNT, "door")
