"""Objects of S3 by a client of :mod:`streamd.aws`: written, read, listed and deleted.

Everything here blocks and raises ``AwsError``.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamd.aws import AwsError, AwsNotFoundError, AwsRejectedError, aws_errors

__all__ = ["MULTIPART_BYTES", "Bucket", "ListedObject", "put_object"]

logger = logging.getLogger(__name__)

MULTIPART_BYTES: Final = 8 * 1024 * 1024
"""Longer objects go in parts of this length (S3 wants 5 MiB or more)."""
DELETED_AT_ONCE: Final = 1000
"""Keys in a DeleteObjects request (API reference)."""
_READ_BYTES: Final = 1024 * 1024
_ENCRYPTED: Final = ("aws:kms", "aws:kms:dsse")


def put_object(
    client: Any,
    *,
    bucket: str,
    key: str,
    body: bytes,
    content_type: str,
    kms_key_id: str | None = None,
) -> None:
    """Write an object, in one request or, where it is long, in parts.

    Parts of an upload that fails are removed; those of a process that dies stay until the
    bucket's lifecycle rule for incomplete uploads takes them.

    Args:
        client: Of S3.
        bucket: Where to.
        key: Of the object.
        body: Its bytes.
        content_type: Its type.
        kms_key_id: Key to encrypt it with; a store that does not is told from the answer, and
            nothing stays there.

    Raises:
        AwsError: If it is not written; ``AwsRejectedError`` with the code ``NotImplemented``
            where the store cannot encrypt.

    """
    place = {"Bucket": bucket, "Key": key}
    more: dict[str, str] = {"ContentType": content_type}
    if kms_key_id is not None:
        more |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id}
    with aws_errors():
        if len(body) > MULTIPART_BYTES:
            _put_in_parts(client, place, body, more)
            return
        answer = client.put_object(**place, Body=body, **more)
    try:
        _check_encrypted(answer, more, bucket)
    except AwsRejectedError:
        with aws_errors():
            client.delete_object(**place)
        raise


def _put_in_parts(client: Any, place: dict[str, str], body: bytes, more: dict[str, str]) -> None:
    # By hand: boto3's own transfer does not show the answer that tells of the encryption.
    begun = client.create_multipart_upload(**place, **more)
    upload = {**place, "UploadId": begun["UploadId"]}
    try:
        _check_encrypted(begun, more, place["Bucket"])
        parts = []
        for number, offset in enumerate(range(0, len(body), MULTIPART_BYTES), start=1):
            piece = body[offset : offset + MULTIPART_BYTES]
            answer = client.upload_part(**upload, PartNumber=number, Body=piece)
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    except BaseException:
        try:
            with aws_errors():
                client.abort_multipart_upload(**upload)
        except AwsError as error:
            logger.warning("parts of an upload stay in S3", extra={**place, "error": str(error)})
        raise


def _check_encrypted(answer: Any, more: dict[str, str], bucket: str) -> None:
    # Stores that know no keys take the header, ignore it and answer 200.
    wanted = "SSEKMSKeyId" in more
    if wanted and (answer or {}).get("ServerSideEncryption") not in _ENCRYPTED:
        raise AwsRejectedError(
            f"NotImplemented: bucket {bucket} does not encrypt with a KMS key",
            code="NotImplemented",
        )


@dataclass(frozen=True, slots=True)
class ListedObject:
    """A line of a listing."""

    key: str
    size: int


class Bucket:
    """One bucket; thread-safe as its client is."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.name = name
        self._deletes_many = True  # until the store says that it does not know how

    def check(self) -> None:
        """Return if the bucket is there and may be listed."""
        with aws_errors():
            self._client.list_objects_v2(Bucket=self.name, MaxKeys=1)

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Write an object; a repeat replaces it."""
        put_object(self._client, bucket=self.name, key=key, body=body, content_type=content_type)

    def read(self, key: str, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset``, none behind the end.

        Raises:
            AwsNotFoundError: With the code ``NoSuchKey`` where the object is not there.

        """
        if size <= 0:
            return b""
        span = f"bytes={offset}-{offset + size - 1}"
        try:
            with aws_errors():
                answer = self._client.get_object(Bucket=self.name, Key=key, Range=span)
                with contextlib.closing(answer["Body"]) as body:
                    data: bytes = body.read(size)
        except AwsRejectedError as error:
            if error.code == "InvalidRange":
                return b""
            raise
        return data

    def stream(self, key: str) -> Iterator[bytes]:
        """Yield an object's bytes, piece by piece."""
        with aws_errors():
            answer = self._client.get_object(Bucket=self.name, Key=key)
            with contextlib.closing(answer["Body"]) as body:
                yield from body.iter_chunks(_READ_BYTES)

    def list(self, prefix: str, *, after: str = "") -> Iterator[list[ListedObject]]:
        """Yield the objects below a prefix behind a key, in order of key, page by page."""
        more = {"StartAfter": after} if after else {}
        while True:
            with aws_errors():
                page = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix, **more)
            found = [ListedObject(item["Key"], item["Size"]) for item in page.get("Contents", [])]
            if found:
                yield found
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there are no error.

        Raises:
            AwsError: If one of them may still be there.

        """
        for start in range(0, len(keys), DELETED_AT_ONCE):
            batch = keys[start : start + DELETED_AT_ONCE]
            if self._deletes_many and self._delete_many(batch):
                continue
            for key in batch:
                with aws_errors(), contextlib.suppress(AwsNotFoundError):
                    self._client.delete_object(Bucket=self.name, Key=key)

    def _delete_many(self, keys: Sequence[str]) -> bool:
        """Delete in one request; returns False where the store does not know it."""
        try:
            with aws_errors():
                answer = self._client.delete_objects(
                    Bucket=self.name,
                    Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
                )
        except AwsRejectedError as error:
            # Older stores want a Content-MD5, which boto3 no longer sends; Google's have none.
            logger.info("objects are deleted one by one", extra={"error": str(error)})
            self._deletes_many = False
            return False
        for failed in answer.get("Errors", []):
            if failed.get("Code") != "NoSuchKey":
                raise AwsError(
                    f"{failed.get('Code')}: {failed.get('Message')}", code=failed.get("Code", "")
                )
        return True
