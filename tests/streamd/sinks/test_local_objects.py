"""Images from local files under S3 names."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.aws import AwsNotFoundError, AwsRejectedError, ObjectTooLargeError
from streamd.sinks.local_objects import LocalObjects


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    """A bucket with one object."""
    file = tmp_path / "photos" / "family" / "alice.jpg"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"jpeg")
    (tmp_path / "secret").write_bytes(b"secret")
    return LocalObjects(tmp_path)


def test_object_is_a_file_below_its_bucket(objects: LocalObjects) -> None:
    """BUCKET and KEY name the file."""
    assert objects.fetch_object("photos", "family/alice.jpg", max_bytes=4) == b"jpeg"


@pytest.mark.parametrize(
    "name", ["family/bob.jpg", "family", ""], ids=["missing", "folder", "none"]
)
def test_what_is_not_there_is_not_found(objects: LocalObjects, name: str) -> None:
    """A missing file, a folder or no name at all is refused by name."""
    with pytest.raises((AwsNotFoundError, AwsRejectedError)):
        objects.fetch_object("photos", name, max_bytes=10)


def test_version_is_not_found(objects: LocalObjects) -> None:
    """Files have no versions."""
    with pytest.raises(AwsNotFoundError):
        objects.fetch_object("photos", "family/alice.jpg", "v1", max_bytes=10)


@pytest.mark.parametrize("name", ["../secret", "family/../../secret", "/etc/passwd"])
def test_names_do_not_leave_the_bucket(objects: LocalObjects, name: str) -> None:
    """Path traversal is refused."""
    with pytest.raises(AwsRejectedError):
        objects.fetch_object("photos", name, max_bytes=10)


def test_object_that_is_too_long_is_refused(objects: LocalObjects) -> None:
    """The limit holds before the bytes are all read."""
    with pytest.raises(ObjectTooLargeError):
        objects.fetch_object("photos", "family/alice.jpg", max_bytes=3)
