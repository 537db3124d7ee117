"""Kafka, through aiokafka: idempotent, acks=all, key = stream processor name.

A data stream NAME is the topic ``topic_template`` with ``{stream}`` = NAME, an SNS topic NAME the
one of ``sns_topic_template``; the value is the JSON document itself. Headers carry ``event_id``,
the same for every repeat, and ``subject`` of notifications.

What the library does when brokers die, and what is made of it here:

- An idempotent producer never gives up. After ``delivery_timeout_seconds`` we report the sink as
  unavailable, but keep waiting for the records handed over: sending them anew would double them.
  Those that arrive while nobody asks, during a back-off, are remembered until somebody does.
- A record the broker refuses leaves a gap in the producer's numbering: the producer is replaced.
- It waits for a topic that was deleted as for one that moves: after a time-out we look.
- It waits for a broker that refuses the login as for one that is away: after a time-out we ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka_errors

from streamd.config import KafkaSettings
from streamd.records.items import EVENT_ID, SUBJECT, OutboxItem
from streamd.sinks.envelope import message_id
from streamd.sinks.errors import SinkError, SinkGoneError, SinkRejectedError, SinkUnavailableError
from streamd.sinks.kafka_producer import KafkaConnection, KafkaLoginError
from streamd.sinks.targets import (
    stream_denied,
    stream_missing,
    stream_name,
    topic_denied,
    topic_missing,
    topic_name,
)

__all__ = ["KafkaSink"]

logger = logging.getLogger(__name__)

_TOPIC_SECONDS = 5.0
"""How long a topic may take to appear: one created by asking for it has no leader at first."""
_TOPIC_RETRY_SECONDS = 0.1
_TOPIC = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}")

_TOO_LARGE = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)
_DENIED = (
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.ClusterAuthorizationFailedError,
)
_REFUSED = (kafka_errors.CorruptRecordException, kafka_errors.PolicyViolationError)

_MAX_REMEMBERED = 20_000

Future = asyncio.Future[Any]
_Key = tuple[str, str, str]
"""Target, key and event id: an item read from the outbox again is the same item."""


class KafkaSink:
    """Writes records and notifications to Kafka topics.

    Raises:
        ConfigError: If the TLS files cannot be loaded.

    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.name = "kafka"
        self._settings = settings
        self._timeout = settings.delivery_timeout_seconds
        self._connection = KafkaConnection(settings)
        self._handed_over: dict[_Key, Future] = {}
        """Items given to the producer whose fate is open, or not yet told to who delivers them."""

    async def open(self) -> None:
        """See :meth:`Sink.open`: connects with the first delivery or check."""

    async def deliver(self, items: Sequence[OutboxItem]) -> None:
        """See :meth:`Sink.deliver`."""
        rejected = self._too_long(items)
        futures: dict[int, Future] = {}
        try:
            await self._deliver(items, futures, rejected)
        except SinkError:
            self._forget_told(items, futures)
            raise
        # Not when cancelled: what arrives meanwhile is remembered for the next who delivers it.
        self._forget_told(items, futures)

    async def _deliver(
        self, items: Sequence[OutboxItem], futures: dict[int, Future], rejected: dict[int, str]
    ) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                for position, item in enumerate(items):
                    if position not in rejected:
                        futures[position] = await self._hand_over(item)
                if futures:
                    # asyncio.wait cancels nothing when the time is up.
                    await asyncio.wait(futures.values())
        except SinkError as error:
            error.settled = _settled(futures)
            raise
        except TimeoutError as error:
            raise await self._explain_silence(items, futures) from error
        await self._judge(items, futures, rejected)

    async def check(self, target: str) -> None:
        """See :meth:`Sink.check`. A broker that creates topics by itself creates it now."""
        try:
            async with asyncio.timeout(self._timeout):
                producer = await self._producer(target)
                await self._find_topic(producer, target)
        except TimeoutError as error:
            raise SinkUnavailableError("Kafka does not answer") from error

    async def aclose(self) -> None:
        """See :meth:`Sink.aclose`. What was handed over gets a last few seconds."""
        await self._connection.aclose()

    async def _producer(self, target: str) -> AIOKafkaProducer:
        try:
            return await self._connection.producer()
        except KafkaLoginError as error:
            raise SinkGoneError(f"{_denied(target)}: {error}") from error

    def _topic(self, target: str) -> str:
        if target.split(":")[2:3] == ["sns"]:
            topic = self._settings.sns_topic_template.format(topic=topic_name(target))
        else:
            topic = self._settings.topic_template.format(stream=stream_name(target))
        if _TOPIC.fullmatch(topic) is None:
            raise _missing(target)
        return topic

    def _too_long(self, items: Sequence[OutboxItem]) -> dict[int, str]:
        limit = self._settings.max_record_bytes
        return {
            position: f"record of {size} bytes, 'kafka.max_record_bytes' is {limit}"
            for position, item in enumerate(items)
            if (size := len(item.body) + len(item.key.encode())) > limit
        }

    async def _hand_over(self, item: OutboxItem) -> Future:
        """Give an item to the producer, once, however often it is delivered."""
        key = _key(item)
        held = self._handed_over.pop(key, None)
        if held is not None and not (held.done() and _error_of(held)):
            self._handed_over[key] = held
            return held
        producer = await self._producer(item.target)
        topic = await self._find_topic(producer, item.target)
        try:
            with _kafka_errors(item.target):
                future: Future = await producer.send(
                    topic, item.body, key=item.key.encode(), headers=_headers(item)
                )
        except SinkUnavailableError as error:
            if not isinstance(error.__cause__, kafka_errors.KafkaTimeoutError):
                # Not merely full of records that wait: a producer that has failed stays so.
                self._connection.retire()
            raise
        self._handed_over[key] = future
        # Looked at, even where the session that sent it is gone.
        future.add_done_callback(_error_of)
        self._bound_memory()
        return future

    def _forget_told(self, items: Sequence[OutboxItem], futures: dict[int, Future]) -> None:
        for position, future in futures.items():
            key = _key(items[position])
            if future.done() and self._handed_over.get(key) is future:
                del self._handed_over[key]

    def _bound_memory(self) -> None:
        """Forget the oldest whose session never came back to ask."""
        if len(self._handed_over) > _MAX_REMEMBERED:
            for key in [key for key, future in self._handed_over.items() if future.done()]:
                del self._handed_over[key]
                if len(self._handed_over) <= _MAX_REMEMBERED // 2:
                    break

    async def _explain_silence(
        self, items: Sequence[OutboxItem], futures: dict[int, Future]
    ) -> SinkError:
        """Return why records stay unacknowledged: the library waits for deleted topics too."""
        answer: SinkError = SinkUnavailableError(f"no acknowledgement within {self._timeout:g} s")
        try:
            async with asyncio.timeout(_TOPIC_SECONDS):
                producer = await self._producer(items[0].target)
                if (reason := await self._connection.diagnose()) is not None:
                    answer = SinkUnavailableError(f"{answer}: {reason}")
                for target in dict.fromkeys(item.target for item in items):
                    await self._find_topic(producer, target)
        except SinkGoneError as error:
            answer = error
        except KafkaLoginError as error:
            answer = SinkGoneError(f"{_denied(items[0].target)}: {error}")
        except (SinkUnavailableError, TimeoutError) as error:
            logger.debug("kafka does not say why: %r", error)
        answer.settled = _settled(futures)
        return answer

    async def _find_topic(self, producer: AIOKafkaProducer, target: str) -> str:
        topic = self._topic(target)
        client = producer.client
        answered = False
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(_TOPIC_SECONDS, self._timeout / 2)
        # Not the library's own wait: it cannot tell a missing topic from a missing broker.
        while client.cluster.partitions_for_topic(topic) is None:
            if loop.time() > deadline:
                raise _missing(target) if answered else SinkUnavailableError("no broker answers")
            await client.add_topic(topic)
            answered = bool(await client.force_metadata_update())
            if answered and topic in client.cluster.unauthorized_topics:
                raise _denied(target)
            await asyncio.sleep(_TOPIC_RETRY_SECONDS)
        return topic

    async def _judge(
        self, items: Sequence[OutboxItem], futures: dict[int, Future], rejected: dict[int, str]
    ) -> None:
        """Turn the fates of the items into one error, or none."""
        failed = {i: e for i, f in futures.items() if (e := _error_of(f)) is not None}
        settled = set(futures) - set(failed)
        if failed:
            logger.debug("kafka refused records", extra={"errors": repr(failed)})
            # Numbers of refused records are missing in the broker's sequence.
            self._connection.retire()
        for position, error in failed.items():
            if isinstance(error, _DENIED):
                gone = _denied(items[position].target)
                raise SinkGoneError(str(gone), settled=settled) from error
        for position, error in failed.items():
            if isinstance(error, _TOO_LARGE + _REFUSED):
                if len(items) == 1:
                    rejected[position] = f"{type(error).__name__}: {error}"
                else:
                    # It may have been the batch that was too large: each once more, alone.
                    await self._alone(items[position], position, settled, rejected)
        undecided = set(failed) - settled - set(rejected)
        if rejected:
            raise SinkRejectedError(rejected, settled=settled)
        if undecided:
            cause = failed[min(undecided)]
            raise SinkUnavailableError(str(cause) or repr(cause), settled=settled) from cause

    async def _alone(
        self, item: OutboxItem, position: int, settled: set[int], rejected: dict[int, str]
    ) -> None:
        try:
            await self.deliver([item])
        except SinkRejectedError as error:
            rejected[position] = error.rejected[0]
        except SinkUnavailableError as error:
            logger.debug("record stays for the next delivery: %s", error)
        else:
            settled.add(position)


@contextlib.contextmanager
def _kafka_errors(target: str) -> Iterator[None]:
    try:
        yield
    except _DENIED as error:
        raise _denied(target) from error
    except kafka_errors.InvalidTopicError as error:
        raise _missing(target) from error
    except (kafka_errors.KafkaError, OSError) as error:
        raise SinkUnavailableError(str(error) or repr(error)) from error


def _key(item: OutboxItem) -> _Key:
    return item.target, item.key, message_id(item)


def _error_of(future: Future) -> BaseException | None:
    if future.cancelled():
        return kafka_errors.Cancelled("the producer was stopped")  # type: ignore[no-any-return]  # untyped library
    return future.exception()


def _settled(futures: dict[int, Future]) -> frozenset[int]:
    return frozenset(i for i, f in futures.items() if f.done() and _error_of(f) is None)


def _headers(item: OutboxItem) -> list[tuple[str, bytes]]:
    names = (EVENT_ID, SUBJECT)
    return [(name, item.attributes[name].encode()) for name in names if name in item.attributes]


def _missing(target: str) -> SinkGoneError:
    return topic_missing(target) if target.split(":")[2:3] == ["sns"] else stream_missing(target)


def _denied(target: str) -> SinkGoneError:
    return topic_denied() if target.split(":")[2:3] == ["sns"] else stream_denied()
