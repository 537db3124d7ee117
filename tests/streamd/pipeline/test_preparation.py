"""Where a session's results go, and where it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd.pipeline import preparation
from streamd.pipeline.outbox import Outbox
from streamd.pipeline.preparation import targets_of
from streamd.pipeline.progress import SessionProgress
from streamd.records import OutboxItem
from streamd.resources import Session
from tests.support.analysis import SESSION, position, processor_of
from tests.support.delivery import item
from tests.support.store import FACE_SEARCH, LABELS

TOPIC = "arn:aws:sns:us-east-1:111122223333:porch"


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = Outbox(tmp_path / "door.sqlite", max_bytes=1_000_000)
    yield made
    made.close()


def keep(outbox: Outbox, progress: SessionProgress, *items: OutboxItem) -> None:
    outbox.append(items, state=progress.model_dump_json().encode())


def go_on(
    outbox: Outbox, session: Session = SESSION, *, delivered: str | None = None
) -> SessionProgress:
    return preparation._progress(
        outbox, session.model_copy(update={"last_fragment_number": delivered})
    )


def test_targets_are_the_output_and_the_topic() -> None:
    """A stream or a bucket, and the topic where there is one."""
    stream = "arn:aws:kinesis:us-east-1:111122223333:stream/out"
    assert targets_of(processor_of(FACE_SEARCH)) == [("kinesis", stream)]
    both = targets_of(processor_of(LABELS, sns_topic_arn=TOPIC))
    assert both == [("s3", "bucket"), ("sns", TOPIC)]


def test_a_new_session_begins_at_the_beginning(outbox: Outbox) -> None:
    """Nothing was analysed before."""
    found = go_on(outbox)
    assert (found.session_id, found.position, found.last_fragment_number) == ("s-1", None, None)


def test_a_session_goes_on_where_its_outbox_is(outbox: Outbox) -> None:
    """Its state was written with the results it follows."""
    outbox.begin("s-1")
    kept = SessionProgress(session_id="s-1", position=position(5, 200), seen=["PET"])
    keep(outbox, kept, item("a"))
    assert go_on(outbox) == kept


def test_what_another_machine_delivered_is_not_done_again(outbox: Outbox) -> None:
    """The store knows how far that one came."""
    outbox.begin("s-1")
    keep(
        outbox,
        SessionProgress(session_id="s-1", last_fragment_number="5", position=position(6)),
        item("a"),
    )
    behind = go_on(outbox, delivered="9")
    assert (behind.last_fragment_number, behind.position) == ("9", None)


def test_what_is_here_and_newer_stays(outbox: Outbox) -> None:
    """Numbers are compared as numbers: 10 is after 9."""
    outbox.begin("s-1")
    kept = SessionProgress(session_id="s-1", last_fragment_number="10", position=position(11))
    keep(outbox, kept, item("a"))
    assert go_on(outbox, delivered="9") == kept


def test_a_state_that_cannot_be_read_costs_little(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The session goes on after what was delivered, and the log says so."""
    outbox.begin("s-1")
    outbox.append([item("a")], state=b"{}")
    assert go_on(outbox, delivered="3").last_fragment_number == "3"
    assert "cannot be read" in caplog.text
