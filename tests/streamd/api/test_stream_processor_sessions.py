"""Facts about starting and stopping stream processors, seen through boto3."""

from __future__ import annotations

from typing import Any

import pytest

from processors.errors import PackFileError
from streamd.lifecycle import Event
from tests.support.rekognition import ACCOUNT, Endpoint
from tests.support.stream_processors import FACE, GENERIC, LABEL, START, create, refusal


def test_the_life_of_a_face_search(endpoint: Endpoint) -> None:
    """STOPPED, STARTING, RUNNING, STOPPING, STOPPED; each conflict has its text."""
    client = endpoint.client
    name = create(client, FACE)
    in_use = ("ResourceInUseException", "Specified resource is in use.")
    not_stoppable = (
        "ResourceInUseException",
        "Processor not available for stopping stream.",
    )

    def status() -> str:
        return str(client.describe_stream_processor(Name=name)["Status"])

    assert refusal(client.stop_stream_processor, Name=name) == not_stoppable
    session = client.start_stream_processor(Name=name)["SessionId"]
    assert len(session) == 36
    assert status() == "STARTING"
    assert refusal(client.start_stream_processor, Name=name) == in_use
    assert refusal(client.update_stream_processor, Name=name) == in_use
    endpoint.bring_to_running(name)
    assert status() == "RUNNING"
    assert refusal(client.delete_stream_processor, Name=name) == (
        "ResourceInUseException",
        "Cannot delete stream processor.",
    )
    assert client.stop_stream_processor(Name=name)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert status() == "STOPPING"
    assert refusal(client.stop_stream_processor, Name=name) == not_stoppable
    endpoint.end_session(name)
    assert status() == "STOPPED"
    client.delete_stream_processor(Name=name)
    assert refusal(client.describe_stream_processor, Name=name)[0] == "ResourceNotFoundException"


def test_a_failed_processor_tells_why_and_starts_again(endpoint: Endpoint) -> None:
    """FAILED carries a StatusMessage, can be started and deleted."""
    client = endpoint.client
    name = create(client, FACE)
    client.start_stream_processor(Name=name)
    endpoint.end_session(name, failure="Collection not found")
    described = client.describe_stream_processor(Name=name)
    assert described["Status"] == "FAILED"
    assert described["StatusMessage"] == "Collection not found"
    client.start_stream_processor(Name=name)
    assert client.describe_stream_processor(Name=name)["Status"] == "STARTING"
    # "stuck in STARTING" may be deleted
    client.delete_stream_processor(Name=name)


def test_a_label_session_is_started_with_selectors(endpoint: Endpoint) -> None:
    """The selectors reach the session; the duration is 10 seconds by default."""
    client = endpoint.client
    name = create(client, LABEL)
    client.start_stream_processor(Name=name, **START)
    session = endpoint.store.session(ACCOUNT, name)
    assert session is not None
    assert session.start.producer_timestamp_ms == 1655930623123
    assert session.start.max_duration_seconds == 5
    endpoint.end_session(name)
    by_fragment = {"KVSStreamStartSelector": {"FragmentNumber": "123"}}
    client.start_stream_processor(Name=name, StartSelector=by_fragment)
    session = endpoint.store.session(ACCOUNT, name)
    assert session is not None
    assert session.start.fragment_number == "123"
    assert session.start.max_duration_seconds == 10
    client.stop_stream_processor(Name=name)
    endpoint.end_session(name)


SELECTOR = (
    GENERIC + "Label detection needs a StartSelector with exactly one of ProducerTimestamp and "
    "FragmentNumber."
)


@pytest.mark.parametrize(
    ("base", "params", "message"),
    [
        (LABEL, {}, SELECTOR),
        (LABEL, {"StartSelector": {}}, SELECTOR),
        (LABEL, {"StartSelector": {"KVSStreamStartSelector": {}}}, SELECTOR),
        (
            LABEL,
            {
                "StartSelector": {
                    "KVSStreamStartSelector": {"ProducerTimestamp": 1, "FragmentNumber": "1"}
                }
            },
            SELECTOR,
        ),
        (FACE, START, GENERIC + "StartSelector can not be used for face search."),
        (
            FACE,
            {"StopSelector": START["StopSelector"]},
            GENERIC + "StopSelector can not be used for face search.",
        ),
        (
            LABEL,
            {**START, "StopSelector": {"MaxDurationInSeconds": 121}},
            "1 validation error detected: Value '121' at 'stopSelector.maxDurationInSeconds' "
            "failed to satisfy constraint: Member must have value less than or equal to 120",
        ),
    ],
    ids=["none", "empty", "no choice", "both", "face start", "face stop", "too long"],
)
def test_selectors_that_are_refused(
    client: Any, base: dict[str, Any], params: dict[str, Any], message: str
) -> None:
    """Selectors are label detection's, with exactly one start."""
    name = create(client, base)
    assert refusal(client.start_stream_processor, Name=name, **params) == (
        "InvalidParameterException",
        message,
    )
    assert client.describe_stream_processor(Name=name)["Status"] == "STOPPED"


def test_labels_nobody_can_tell_are_refused_at_start(endpoint: Endpoint) -> None:
    """Start fails where the loaded models cannot tell a label, and says what to do."""
    name = create(endpoint.client, LABEL)
    endpoint.missing_labels["ALL"] = "PACKAGE needs a pack; run: streamd models pull x"
    try:
        assert refusal(endpoint.client.start_stream_processor, Name=name, **START) == (
            "InvalidParameterException",
            GENERIC + "PACKAGE needs a pack; run: streamd models pull x",
        )
    finally:
        endpoint.missing_labels.clear()


def test_ten_face_searches_run_at_once(endpoint: Endpoint) -> None:
    """The eleventh face search is refused with the limit."""
    client = endpoint.client
    names = [create(client, FACE) for _ in range(11)]
    running = names[:10]
    for name in running:
        client.start_stream_processor(Name=name)
    try:
        assert refusal(client.start_stream_processor, Name=names[10]) == (
            "LimitExceededException",
            "Stream processor limit exceeded for account, limit - 10.",
        )
        assert client.describe_stream_processor(Name=names[10])["Status"] == "STOPPED"
    finally:
        for name in running:
            client.delete_stream_processor(Name=name)


def test_stopping_is_seen_by_the_worker(endpoint: Endpoint) -> None:
    """Stop reaches the session that is to end."""
    name = create(endpoint.client, FACE)
    endpoint.client.start_stream_processor(Name=name)
    endpoint.client.stop_stream_processor(Name=name)
    session = endpoint.store.session(ACCOUNT, name)
    assert session is not None
    assert session.stop_requested
    assert endpoint.store.transition(ACCOUNT, name, Event.SESSION_ENDED)[1] is not None


def test_a_label_pack_that_cannot_be_loaded(endpoint: Endpoint) -> None:
    """Start with a damaged label pack is an answer that says so, not a server fault."""
    name = create(endpoint.client, LABEL)
    endpoint.model_errors.append(
        PackFileError("nanodet", ["a.onnx"], "damaged", advice="streamd models pull nanodet")
    )
    try:
        code, message = refusal(endpoint.client.start_stream_processor, Name=name, **START)
    finally:
        endpoint.model_errors.clear()
    assert code == "ResourceNotReadyException"
    assert message.endswith("damaged: a.onnx; run: streamd models pull nanodet")
