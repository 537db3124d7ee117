"""Facts about the service descriptions the daemon answers from."""

from __future__ import annotations

import pytest

from streamd.protocol.service import load_service


def test_rekognition_has_its_75_operations() -> None:
    """The newest model of Rekognition has all operations of the compatibility table."""
    service = load_service("rekognition")
    assert service.target_prefix == "RekognitionService"
    assert len(service.operations) >= 75
    assert service.operations["StartStreamProcessor"].errors >= {
        "ResourceInUseException",
        "ResourceNotFoundException",
    }


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("rekognition", "ResourceNotFoundException", 400),
        ("rekognition", "InternalServerError", 500),
        ("rekognition", "ThrottlingException", 500),
        ("rekognition", "SerializationException", None),
        ("rekognition", "Face", None),
        ("kinesisvideo", "ResourceNotFoundException", 404),
        ("kinesisvideo", "NotAuthorizedException", 401),
        ("kinesisvideo", "InvalidArgumentException", 400),
        ("kinesis-video-media", "ClientLimitExceededException", 400),
    ],
)
def test_statuses_of_modelled_errors(service: str, code: str, status: int | None) -> None:
    """The raw model tells the HTTP status of its errors, and none of what is no error."""
    assert load_service(service).modelled_status(code) == status


def test_kinesis_video_operations_are_found_by_path() -> None:
    """A REST-JSON operation is named by its path."""
    service = load_service("kinesisvideo")
    assert service.by_path["/createStream"].name == "CreateStream"
    assert load_service("kinesis-video-media").by_path["/getMedia"].name == "GetMedia"


def test_a_service_is_read_once() -> None:
    """The description of a service is shared."""
    assert load_service("rekognition") is load_service("rekognition")
