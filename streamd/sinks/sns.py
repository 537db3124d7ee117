"""SNS: Publish, one call a notification, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamd.aws import (
    AwsDeniedError,
    AwsNotFoundError,
    AwsRejectedError,
    AwsUnavailableError,
    aws_errors,
)
from streamd.records.items import EVENT_ID, SUBJECT, OutboxItem
from streamd.sinks.client import ClientSink
from streamd.sinks.errors import (
    SinkError,
    SinkGoneError,
    SinkRejectedError,
    SinkUnavailableError,
)
from streamd.sinks.targets import topic_denied, topic_missing, topic_name

__all__ = ["MAX_MESSAGE_BYTES", "SnsSink"]

MAX_MESSAGE_BYTES = 256 * 1024
"""Longest message (SNS API Reference, Publish)."""


class SnsSink(ClientSink):
    """Publishes notifications to SNS topics."""

    NAME = "sns"

    async def deliver(self, items: Sequence[OutboxItem]) -> None:
        """See :meth:`Sink.deliver`."""
        for position, item in enumerate(items):
            try:
                await self.run(self._publish, item, position)
            except SinkError as error:
                error.settled |= frozenset(range(position))
                raise

    def _look(self, target: str) -> None:
        topic_name(target)
        self._client.get_topic_attributes(TopicArn=target)

    def _missing(self, target: str) -> SinkGoneError:
        return topic_missing(target)

    def _publish(self, item: OutboxItem, position: int) -> None:
        settled = range(position)
        if len(item.body) > MAX_MESSAGE_BYTES:
            reason = f"message of {len(item.body)} bytes, SNS takes {MAX_MESSAGE_BYTES}"
            raise SinkRejectedError({position: reason}, settled=settled)
        try:
            with aws_errors():
                self._client.publish(**_request(item))
        except (AwsNotFoundError, AwsDeniedError) as error:
            missing = isinstance(error, AwsNotFoundError)
            gone: SinkError = topic_missing(item.target) if missing else topic_denied()
            gone.settled = frozenset(settled)
            raise gone from error
        except AwsUnavailableError as error:
            raise SinkUnavailableError(str(error), settled=settled) from error
        except AwsRejectedError as error:
            raise SinkRejectedError({position: str(error)}, settled=settled) from error


def _request(item: OutboxItem) -> dict[str, Any]:
    request: dict[str, Any] = {"TopicArn": item.target, "Message": item.body.decode()}
    if subject := item.attributes.get(SUBJECT):
        request["Subject"] = subject
    if item.target.endswith(".fifo"):
        request["MessageGroupId"] = item.key
        if event_id := item.attributes.get(EVENT_ID):
            # SNS itself drops repeats within five minutes.
            request["MessageDeduplicationId"] = event_id
    return request
