"""Stream processors in the store, over both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from streamd.lifecycle import Event, Status, TransitionError
from streamd.resources import StartRequest, StreamProcessorDefinition
from streamd.store import LimitError, NameInUseError, NotFoundError, Store
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT, FACE_SEARCH, LABELS, create_processor


@pytest.mark.parametrize("definition", [FACE_SEARCH, LABELS], ids=["faces", "labels"])
def test_created_processor_is_read_back_as_it_was(
    store: Store, clock: ManualClock, definition: StreamProcessorDefinition
) -> None:
    """A new stream processor is STOPPED and keeps its definition and times."""
    created = create_processor(store, "door", definition)
    found = store.stream_processor(ACCOUNT, "door")
    assert found == created
    assert found.status is Status.STOPPED
    assert found.definition == definition
    assert found.created_at == found.last_updated_at == clock.now()


def test_name_is_unique_in_its_account_alone(store: Store) -> None:
    """A second one of the same name is refused, in another account it is fine."""
    create_processor(store, "door")
    with pytest.raises(NameInUseError, match="stream processor 'door' already exists"):
        create_processor(store, "door")
    other = store.create_stream_processor(
        account_id="444455556666",
        name="door",
        arn="arn:aws:rekognition:us-east-1:444455556666:streamprocessor/door",
        definition=FACE_SEARCH,
        tags={},
        limit=1,
    )
    assert store.stream_processor("444455556666", "door") == other


def test_one_over_the_limit_is_refused(store: Store) -> None:
    """The limit counts the account's stream processors."""
    create_processor(store, "one")
    with pytest.raises(LimitError) as refused:
        store.create_stream_processor(
            account_id=ACCOUNT, name="two", arn="a2", definition=FACE_SEARCH, tags={}, limit=1
        )
    assert refused.value.limit == 1
    assert [p.name for p in store.list_stream_processors(ACCOUNT, after=None, limit=9)] == ["one"]


def test_list_is_in_byte_order_and_continues_after_a_name(store: Store) -> None:
    """Pages follow the bytes of the names, whatever the locale."""
    for name in ("b", "B", "a-1", "a_1", "a.1", "10", "9"):
        create_processor(store, name)
    first = store.list_stream_processors(ACCOUNT, after=None, limit=4)
    rest = store.list_stream_processors(ACCOUNT, after=first[-1].name, limit=4)
    assert [p.name for p in first] == ["10", "9", "B", "a-1"]
    assert [p.name for p in rest] == ["a.1", "a_1", "b"]


def test_absent_processor_is_not_found(store: Store) -> None:
    """Every operation says which stream processor is missing."""
    for call in (
        lambda: store.stream_processor(ACCOUNT, "gone"),
        lambda: store.transition(ACCOUNT, "gone", Event.DELETE_REQUESTED),
        lambda: store.update_stream_processor(ACCOUNT, "gone", lambda d: d),
        lambda: store.delete_stream_processor(ACCOUNT, "gone"),
        lambda: store.request_stop(ACCOUNT, "gone"),
        lambda: store.start_session(ACCOUNT, "gone", StartRequest(), limit=1),
    ):
        with pytest.raises(NotFoundError) as missing:
            call()
        assert (missing.value.kind, missing.value.name) == ("stream processor", "gone")


def test_stop_asks_the_session_to_end(store: Store, clock: ManualClock) -> None:
    """Stop turns it STOPPING, marks the session and moves the time of the last update."""
    create_processor(store, "door")
    store.start_session(ACCOUNT, "door", StartRequest(), limit=1)
    clock.advance(5)
    stopping = store.request_stop(ACCOUNT, "door")
    session = store.session(ACCOUNT, "door")
    assert stopping.status is Status.STOPPING
    assert stopping.last_updated_at - stopping.created_at == timedelta(seconds=5)
    assert session is not None
    assert session.stop_requested


def test_refused_event_changes_nothing(store: Store) -> None:
    """Stop while STOPPED is refused and leaves the stream processor as it was."""
    before = create_processor(store, "door")
    with pytest.raises(TransitionError):
        store.request_stop(ACCOUNT, "door")
    assert store.stream_processor(ACCOUNT, "door") == before


def test_start_without_a_session_is_a_mistake(store: Store) -> None:
    """A plain transition cannot start: nobody would run it."""
    create_processor(store, "door")
    with pytest.raises(ValueError, match="use start_session"):
        store.transition(ACCOUNT, "door", Event.START_REQUESTED)


def test_transition_ends_the_session_with_the_run(store: Store) -> None:
    """A failure applied from outside leaves no session behind, and says why."""
    create_processor(store, "door")
    store.start_session(ACCOUNT, "door", StartRequest(), limit=1)
    before, after = store.transition(
        ACCOUNT, "door", Event.SESSION_FAILED, status_message="Access denied to Role"
    )
    assert before is Status.STARTING
    assert after is not None
    assert (after.status, after.status_message) == (Status.FAILED, "Access denied to Role")
    assert store.session(ACCOUNT, "door") is None


def test_next_start_forgets_the_failure(store: Store) -> None:
    """The message of a failure is gone once the processor is STARTING again."""
    create_processor(store, "door")
    store.start_session(ACCOUNT, "door", StartRequest(), limit=1)
    store.transition(ACCOUNT, "door", Event.SESSION_FAILED, status_message="Collection not found")
    store.start_session(ACCOUNT, "door", StartRequest(), limit=1)
    assert store.stream_processor(ACCOUNT, "door").status_message is None


def test_update_changes_the_definition_and_ends_stopped(store: Store) -> None:
    """UPDATING and UPDATED both count as changes."""
    created = create_processor(store, "door", LABELS)
    updated = store.update_stream_processor(
        ACCOUNT, "door", lambda d: d.model_copy(update={"opt_in": True})
    )
    assert updated.definition.opt_in
    assert updated.status is Status.STOPPED
    assert updated.version == created.version + 2
    assert store.stream_processor(ACCOUNT, "door") == updated


def test_update_that_raises_changes_nothing(store: Store) -> None:
    """What the change function raises passes through, and nobody stays UPDATING."""
    before = create_processor(store, "door", LABELS)

    def refuse(definition: StreamProcessorDefinition) -> StreamProcessorDefinition:
        raise LookupError(definition.role_arn)

    with pytest.raises(LookupError):
        store.update_stream_processor(ACCOUNT, "door", refuse)
    assert store.stream_processor(ACCOUNT, "door") == before


def test_update_while_starting_is_refused(store: Store) -> None:
    """A running definition does not change."""
    create_processor(store, "door", LABELS)
    store.start_session(ACCOUNT, "door", StartRequest(), limit=1)
    with pytest.raises(TransitionError):
        store.update_stream_processor(ACCOUNT, "door", lambda d: d)
    assert store.stream_processor(ACCOUNT, "door").status is Status.STARTING


def test_delete_takes_tags_and_session_with_it(store: Store) -> None:
    """After a delete while STARTING nothing is left, and the name is free at once."""
    created = create_processor(store, "door", team="night")
    store.start_session(ACCOUNT, "door", StartRequest(), limit=1)
    assert store.delete_stream_processor(ACCOUNT, "door").status is Status.STARTING
    assert store.session(ACCOUNT, "door") is None
    create_processor(store, "door")
    assert store.tags(created.arn) == {}


def test_delete_while_stopping_is_refused(store: Store) -> None:
    """Delete has to wait for the end of the session."""
    create_processor(store, "door")
    store.start_session(ACCOUNT, "door", StartRequest(), limit=1)
    store.request_stop(ACCOUNT, "door")
    with pytest.raises(TransitionError):
        store.delete_stream_processor(ACCOUNT, "door")
    assert store.session(ACCOUNT, "door") is not None
