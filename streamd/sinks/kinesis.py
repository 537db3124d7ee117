"""Kinesis Data Streams: PutRecords, partition key = stream processor name.

A call may fail for some of its records. Those are sent again, in order, but their neighbours are
in already: under throttling records of one processor may be swapped within a call. FragmentNumber
and FrameOffsetInSeconds tell their order, as they do with AWS.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from streamd.aws import (
    AwsDeniedError,
    AwsError,
    AwsNotFoundError,
    AwsRejectedError,
    AwsUnavailableError,
    aws_errors,
)
from streamd.records.items import OutboxItem
from streamd.sinks.client import ClientSink
from streamd.sinks.errors import (
    SinkError,
    SinkGoneError,
    SinkRejectedError,
    SinkUnavailableError,
)
from streamd.sinks.targets import stream_denied, stream_missing, stream_name

__all__ = ["MAX_CALL_BYTES", "MAX_CALL_RECORDS", "MAX_RECORD_BYTES", "KinesisSink"]

# Kinesis Data Streams API Reference, PutRecords.
MAX_CALL_RECORDS = 500
MAX_CALL_BYTES = 5 * 1024 * 1024
"""Data and partition keys of one call."""
MAX_RECORD_BYTES = 1024 * 1024
"""Data and partition key of one record."""

Batch = list[tuple[int, OutboxItem]]


class KinesisSink(ClientSink):
    """Writes records to Kinesis data streams."""

    NAME = "kinesis"

    async def deliver(self, items: Sequence[OutboxItem]) -> None:
        """See :meth:`Sink.deliver`."""
        await self.run(self._deliver, items)

    def _look(self, target: str) -> None:
        stream_name(target)
        self._client.describe_stream_summary(StreamARN=target)

    def _missing(self, target: str) -> SinkGoneError:
        return stream_missing(target)

    def _deliver(self, items: Sequence[OutboxItem]) -> None:
        rejected = {
            position: f"record of {size} bytes, Kinesis takes {MAX_RECORD_BYTES}"
            for position, item in enumerate(items)
            if (size := _size(item)) > MAX_RECORD_BYTES
        }
        settled: list[int] = []
        for batch in _batches([(i, m) for i, m in enumerate(items) if i not in rejected]):
            self._put(batch, settled, rejected)
        if rejected:
            raise SinkRejectedError(rejected, settled=settled)

    def _absence(self, target: str, settled: Sequence[int]) -> SinkError:
        """Return what it means that a stream is not found: one being made is not either."""
        error: SinkError = stream_missing(target)
        with contextlib.suppress(AwsError), aws_errors():
            answer = self._client.describe_stream_summary(StreamARN=target)
            if answer["StreamDescriptionSummary"]["StreamStatus"] == "CREATING":
                error = SinkUnavailableError(f"data stream {stream_name(target)} is being made")
        error.settled = frozenset(settled)
        return error

    def _put(self, batch: Batch, settled: list[int], rejected: dict[int, str]) -> None:
        target = batch[0][1].target
        try:
            with aws_errors():
                answer = self._client.put_records(
                    StreamARN=target,
                    Records=[{"Data": m.body, "PartitionKey": m.key} for _, m in batch],
                )
        except AwsNotFoundError as error:
            raise self._absence(target, settled) from error
        except AwsDeniedError as error:
            gone = stream_denied()
            gone.settled = frozenset(settled)
            raise gone from error
        except AwsUnavailableError as error:
            raise SinkUnavailableError(str(error), settled=settled) from error
        except AwsRejectedError as error:
            if len(batch) > 1:
                # One wrong record fails the whole call: find it.
                for pair in batch:
                    self._put([pair], settled, rejected)
                return
            rejected[batch[0][0]] = str(error)
            return
        _sort_out(batch, answer["Records"], settled)


def _sort_out(batch: Batch, results: Sequence[dict[str, Any]], settled: list[int]) -> None:
    failed: dict[str, str] = {}
    for (position, _), result in zip(batch, results, strict=True):
        if code := result.get("ErrorCode"):
            # Per record only throttling and internal failure exist: both pass.
            failed[code] = result.get("ErrorMessage", "")
        else:
            settled.append(position)
    if failed:
        reasons = "; ".join(f"{code}: {text}" for code, text in failed.items())
        raise SinkUnavailableError(reasons, settled=settled)


def _batches(pairs: Batch) -> Iterator[Batch]:
    """Cut items into calls: one stream each, within the limits, in order."""
    batch: Batch = []
    size = 0
    for position, item in pairs:
        full = len(batch) == MAX_CALL_RECORDS or size + _size(item) > MAX_CALL_BYTES
        if batch and (full or item.target != batch[0][1].target):
            yield batch
            batch, size = [], 0
        batch.append((position, item))
        size += _size(item)
    if batch:
        yield batch


def _size(item: OutboxItem) -> int:
    return len(item.body) + len(item.key.encode())
