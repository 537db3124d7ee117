"""A Kafka cluster in this process: librdkafka's mock, with faults injected through ctypes.

The library comes inside confluent-kafka's wheel; its Python layer offers the cluster but none of
the faults.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import confluent_kafka

__all__ = ["PRODUCE", "MockCluster", "mock_cluster", "read_topic"]

PRODUCE = 0
"""ApiKey of produce requests."""

UNKNOWN_TOPIC_OR_PART = 3
NOT_LEADER = 6
REQUEST_TIMED_OUT = 7
MESSAGE_TOO_LARGE = 10
TOPIC_AUTHORIZATION_FAILED = 29

_RD_KAFKA_PRODUCER = 0


@functools.cache
def _library() -> ctypes.CDLL:
    package = Path(confluent_kafka.__file__).parent
    # macOS wheels keep it in .dylibs, Linux ones beside the package.
    places = [package.parent / "confluent_kafka.libs", package / ".dylibs"]
    files = [file for place in places for file in place.glob("librdkafka[.-]*")]
    library = ctypes.CDLL(str(files[0]))
    pointer = ctypes.c_void_p
    library.rd_kafka_conf_new.restype = pointer
    library.rd_kafka_new.restype = pointer
    library.rd_kafka_new.argtypes = [ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_size_t]
    library.rd_kafka_destroy.argtypes = [pointer]
    library.rd_kafka_mock_cluster_new.restype = pointer
    library.rd_kafka_mock_cluster_new.argtypes = [pointer, ctypes.c_int]
    library.rd_kafka_mock_cluster_destroy.argtypes = [pointer]
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [pointer]
    library.rd_kafka_mock_topic_create.argtypes = [
        pointer,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_int,
    ]
    library.rd_kafka_mock_push_request_errors_array.argtypes = [
        pointer,
        ctypes.c_int16,
        ctypes.c_size_t,
        ctypes.POINTER(ctypes.c_int),
    ]
    library.rd_kafka_mock_topic_set_error.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int]
    library.rd_kafka_mock_broker_set_down.argtypes = [pointer, ctypes.c_int32]
    library.rd_kafka_mock_broker_set_up.argtypes = [pointer, ctypes.c_int32]
    return library


class MockCluster:
    """A running cluster."""

    def __init__(self, brokers: int) -> None:
        self._library = _library()
        self._brokers = brokers
        message = ctypes.create_string_buffer(256)
        conf = self._library.rd_kafka_conf_new()
        self._handle = self._library.rd_kafka_new(_RD_KAFKA_PRODUCER, conf, message, 256)
        assert self._handle, message.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._handle, brokers)

    @property
    def bootstrap_servers(self) -> str:
        """Addresses of the brokers."""
        return str(self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode())

    def create_topic(self, name: str, *, partitions: int = 4) -> None:
        """Create a topic."""
        created = self._library.rd_kafka_mock_topic_create(
            self._cluster, name.encode(), partitions, self._brokers
        )
        assert created == 0, created

    def fail_topic(self, name: str, error: int) -> None:
        """Answer questions about a topic with this error from now on."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, name.encode(), error)

    def fail(self, api_key: int, *errors: int) -> None:
        """Answer the next requests of a kind with these errors, one each."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, api_key, len(errors), codes
        )

    def set_down(self) -> None:
        """Take every broker away: connections close, new ones are refused."""
        for broker in range(1, self._brokers + 1):
            self._library.rd_kafka_mock_broker_set_down(self._cluster, broker)

    def set_up(self) -> None:
        """Bring every broker back."""
        for broker in range(1, self._brokers + 1):
            self._library.rd_kafka_mock_broker_set_up(self._cluster, broker)

    def close(self) -> None:
        """End the cluster."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)


@contextlib.contextmanager
def mock_cluster(*, brokers: int = 1) -> Iterator[MockCluster]:
    """Run a cluster."""
    cluster = MockCluster(brokers)
    try:
        yield cluster
    finally:
        cluster.close()


class Cluster(Protocol):
    """Any cluster, this one or a real one."""

    @property
    def bootstrap_servers(self) -> str:
        """Addresses of the brokers."""


def read_topic(cluster: Cluster, topic: str, count: int) -> list[confluent_kafka.Message]:
    """Return all messages of a topic once there are ``count``; fewer if they do not come."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "group.id": "tests",
            "enable.partition.eof": True,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=5).topics[topic].partitions
        consumer.assign([confluent_kafka.TopicPartition(topic, number, 0) for number in partitions])
        return _read(consumer, ends=len(partitions), count=count)
    finally:
        consumer.close()


def _read(
    consumer: confluent_kafka.Consumer, *, ends: int, count: int
) -> list[confluent_kafka.Message]:
    messages: list[confluent_kafka.Message] = []
    while ends or len(messages) < count:
        message = consumer.poll(5)
        if message is None:
            break
        error = message.error()
        if error is None:
            messages.append(message)
        elif error.code() == confluent_kafka.KafkaError._PARTITION_EOF:
            ends -= 1
        else:
            raise confluent_kafka.KafkaException(error)
    return messages
