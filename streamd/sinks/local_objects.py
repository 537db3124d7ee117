"""Images from the local stand-in for S3: a file in ``outputs/s3/BUCKET/KEY`` is an S3 object."""

from __future__ import annotations

from pathlib import Path

from streamd.aws import AwsNotFoundError, AwsRejectedError, ObjectTooLargeError
from streamd.sinks.errors import SinkGoneError
from streamd.sinks.local import object_path

__all__ = ["LocalObjects"]


class LocalObjects:
    """Reads what the local S3 output holds, or what was copied there. Blocking."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def fetch_object(
        self, bucket: str, name: str, version: str | None = None, *, max_bytes: int
    ) -> bytes:
        """Return an object's bytes.

        Raises:
            ObjectTooLargeError: If it is longer than ``max_bytes``.
            AwsNotFoundError: If there is no such object; files have no versions.
            AwsRejectedError: If the name cannot be a file below its bucket.

        """
        if version is not None:
            raise AwsNotFoundError("local objects have no versions", code="NoSuchVersion")
        try:
            path = object_path(self._directory, bucket, name)
            with path.open("rb") as file:
                data = file.read(max_bytes + 1)
        except (SinkGoneError, OSError) as error:
            raise AwsNotFoundError(f"no object {name!r} in {bucket!r}", code="NoSuchKey") from error
        except ValueError as error:
            raise AwsRejectedError(str(error), code="InvalidArgument") from error
        if len(data) > max_bytes:
            raise ObjectTooLargeError(f"object {name!r} is longer than {max_bytes} bytes")
        return data
