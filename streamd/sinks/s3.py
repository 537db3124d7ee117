"""S3: one upload for each object; several at once, as their order means nothing.

A repeat writes the same bytes to the same key: nobody sees it, but a bucket with versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from streamd.aws import (
    AwsDeniedError,
    AwsError,
    AwsNotFoundError,
    AwsRejectedError,
)
from streamd.aws_s3 import put_object
from streamd.records.items import KMS_KEY_ID, OutboxItem
from streamd.sinks.client import ClientSink
from streamd.sinks.errors import SinkError, SinkGoneError, SinkRejectedError, SinkUnavailableError
from streamd.sinks.targets import bucket_denied, bucket_missing

__all__ = ["S3Sink"]


class S3Sink(ClientSink):
    """Writes objects to S3 buckets."""

    NAME = "s3"
    THREADS = 8

    async def deliver(self, items: Sequence[OutboxItem]) -> None:
        """See :meth:`Sink.deliver`."""
        answers = await asyncio.gather(
            *(self.run(self._put, item) for item in items), return_exceptions=True
        )
        settled = [i for i, answer in enumerate(answers) if answer is None]
        failed = {i: answer for i, answer in enumerate(answers) if answer is not None}
        if failed:
            raise _verdict(failed, items, settled)

    def _look(self, target: str) -> None:
        self._client.head_bucket(Bucket=target)

    def _missing(self, target: str) -> SinkGoneError:
        return bucket_missing(target)

    def _put(self, item: OutboxItem) -> None:
        put_object(
            self._client,
            bucket=item.target,
            key=item.key,
            body=item.body,
            content_type=item.content_type,
            kms_key_id=item.attributes.get(KMS_KEY_ID),
        )


def _verdict(
    failed: dict[int, BaseException], items: Sequence[OutboxItem], settled: Sequence[int]
) -> BaseException:
    """Return the error that says most: gone before refused before unavailable."""
    for position, error in failed.items():
        if not isinstance(error, AwsError):
            return error
        if (gone := _gone(error, items[position])) is not None:
            return gone
    rejected = {i: str(e) for i, e in failed.items() if isinstance(e, AwsRejectedError)}
    verdict: SinkError
    if rejected:
        verdict = SinkRejectedError(rejected, settled=settled)
    else:
        reasons = "; ".join(dict.fromkeys(str(error) for error in failed.values()))
        verdict = SinkUnavailableError(reasons, settled=settled)
    verdict.__cause__ = next(iter(failed.values()))
    return verdict


def _gone(error: AwsError, item: OutboxItem) -> SinkGoneError | None:
    gone: SinkGoneError | None = None
    if isinstance(error, AwsNotFoundError):
        gone = bucket_missing(item.target)
    elif isinstance(error, AwsDeniedError):
        gone = bucket_denied(item.target)
    elif error.code == "NotImplemented":
        gone = SinkGoneError(f"S3 bucket {item.target} cannot encrypt with a KMS key")
    if gone is not None:
        gone.__cause__ = error
    return gone
