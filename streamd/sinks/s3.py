"""S3: one upload for each object; several at once, as their order means nothing.

A repeat writes the same bytes to the same key: nobody sees it, but a bucket with versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from streamd.aws import (
    AwsDeniedError,
    AwsError,
    AwsNotFoundError,
    AwsRejectedError,
    AwsUnavailableError,
    aws_errors,
)
from streamd.aws_s3 import put_object
from streamd.records.items import KMS_KEY_ID, OutboxItem
from streamd.roles import AssumedRoles
from streamd.sinks.client import ClientSink
from streamd.sinks.errors import SinkError, SinkGoneError, SinkRejectedError, SinkUnavailableError
from streamd.sinks.targets import bucket_denied, bucket_missing

__all__ = ["S3Sink"]


class S3Sink(ClientSink):
    """Writes objects to S3 buckets.

    Args:
        create_client: See :class:`ClientSink`.
        threads: Uploads at once.
        roles: See :class:`ClientSink`.

    """

    def __init__(
        self,
        create_client: Callable[..., Any],
        *,
        threads: int = 8,
        roles: AssumedRoles | None = None,
    ) -> None:
        super().__init__("s3", create_client, threads=threads, roles=roles)

    async def deliver(self, items: Sequence[OutboxItem]) -> None:
        """See :meth:`Sink.deliver`."""
        answers = await asyncio.gather(
            *(self.run(self._put, item) for item in items), return_exceptions=True
        )
        settled = [i for i, answer in enumerate(answers) if answer is None]
        failed = {i: answer for i, answer in enumerate(answers) if answer is not None}
        if failed:
            raise _verdict(failed, items, settled)

    async def check(self, target: str) -> None:
        """See :meth:`Sink.check`."""
        await self.run(self._check, target)

    def _check(self, bucket: str) -> None:
        try:
            with aws_errors():
                self._client.head_bucket(Bucket=bucket)
        except AwsNotFoundError as error:
            raise bucket_missing(bucket) from error
        except AwsUnavailableError as error:
            raise SinkUnavailableError(str(error)) from error
        except (AwsDeniedError, AwsRejectedError):
            # The role AWS documents may only put objects; that will tell.
            return

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
