"""What arrived in Kafka, read all the time, and how it compares with what was promised."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import confluent_kafka

from tests.support.kafka import MockCluster

__all__ = ["Account", "TopicReader", "balance"]


class TopicReader:
    """Reads topics from their beginning on a thread of its own, through any outage."""

    def __init__(self, cluster: MockCluster, topics: Sequence[str]) -> None:
        self.records: dict[str, list[dict[str, Any]]] = {topic: [] for topic in topics}
        self._consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": cluster.bootstrap_servers,
                "group.id": "soak",
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        self._consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0) for topic in topics])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="topics")
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join(30)
        self._consumer.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.2)
            # An outage is told as an error; the consumer comes back by itself.
            if message is None or message.error() is not None:
                continue
            value, topic = message.value(), message.topic()
            assert value is not None
            assert topic is not None
            self.records[topic].append(json.loads(value))


@dataclass(frozen=True, kw_only=True)
class Account:
    """The records of one face search."""

    expected: int
    delivered: int
    repeated: int
    lost: int
    out_of_order: int


def balance(records: Sequence[dict[str, Any]], promised: Mapping[str, int]) -> Account:
    """Compare records with the fragments that were promised to be stored.

    Args:
        records: As they arrived.
        promised: Number of each whole fragment, and how many records it must have.

    """
    videos = [record["InputInformation"]["KinesisVideo"] for record in records]
    found = [(v["FragmentNumber"], v["FrameOffsetInSeconds"]) for v in videos]
    firsts = list(dict.fromkeys(found))
    counts: dict[str, int] = {}
    for number, _ in firsts:
        counts[number] = counts.get(number, 0) + 1
    lost = sum(max(0, wanted - counts.get(number, 0)) for number, wanted in promised.items())
    steps_back = sum(1 for one, two in itertools.pairwise(firsts) if two < one)
    return Account(
        expected=sum(promised.values()),
        delivered=len(found),
        repeated=len(found) - len(firsts),
        lost=lost,
        out_of_order=steps_back,
    )
