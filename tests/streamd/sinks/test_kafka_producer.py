"""The Kafka producer's life: brokers that come late, go early, or need TLS."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from streamd.config import KafkaSettings
from streamd.errors import ConfigError
from streamd.sinks import SinkUnavailableError, kafka_producer
from streamd.sinks.kafka_producer import KafkaConnection
from tests.support.kafka import MockCluster, mock_cluster, read_topic


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    with mock_cluster() as cluster:
        cluster.create_topic("faces")
        yield cluster


def connection(cluster: MockCluster) -> KafkaConnection:
    return KafkaConnection(
        KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, delivery_timeout_seconds=2)
    )


async def test_a_broker_that_is_not_there_yet_is_found_later(cluster: MockCluster) -> None:
    """With nobody listening the answer is quick; once a broker is up, there is a producer."""
    cluster.set_down()
    kafka_connection = connection(cluster)
    with pytest.raises(SinkUnavailableError, match="Kafka cannot be reached"):
        await kafka_connection.producer()
    cluster.set_up()
    producer = await kafka_connection.producer()
    await producer.send_and_wait("faces", b"1")
    await kafka_connection.aclose()
    assert len(await asyncio.to_thread(read_topic, cluster, "faces", 1)) == 1


async def test_all_share_one_producer(cluster: MockCluster) -> None:
    """Ten sessions that connect at once make one connection."""
    kafka_connection = connection(cluster)
    producers = await asyncio.gather(*(kafka_connection.producer() for _ in range(10)))
    await kafka_connection.aclose()
    assert len(set(map(id, producers))) == 1


async def test_a_retired_producer_is_replaced(cluster: MockCluster) -> None:
    """What it was given before still leaves."""
    kafka_connection = connection(cluster)
    first = await kafka_connection.producer()
    sent = await first.send("faces", b"1")
    kafka_connection.retire()
    second = await kafka_connection.producer()
    await sent
    await kafka_connection.aclose()
    assert second is not first


async def test_closing_with_the_brokers_away_is_bounded(cluster: MockCluster) -> None:
    """The library's own stop would never end."""
    kafka_connection = connection(cluster)
    producer = await kafka_connection.producer()
    await producer.send_and_wait("faces", b"1")
    cluster.set_down()
    pending = await producer.send("faces", b"2")
    started = time.monotonic()
    await kafka_connection.aclose()
    await kafka_connection.aclose()
    assert time.monotonic() - started < 10
    assert not pending.done()


async def test_the_settings_reach_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idempotent, all replicas, TLS and SASL as configured."""
    given: dict[str, Any] = {}

    class Producer:
        def __init__(self, **options: Any) -> None:
            given.update(options)

        async def start(self) -> None:
            """Nobody to talk to."""

        async def stop(self) -> None:
            """Nothing to end."""

    monkeypatch.setattr(kafka_producer, "AIOKafkaProducer", Producer)
    kafka_connection = KafkaConnection(
        KafkaSettings(
            bootstrap_servers="a:1,b:2",
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username="streamd",
            sasl_password=SecretStr("secret"),
            compression_type="gzip",
            delivery_timeout_seconds=60,
        )
    )
    await kafka_connection.producer()
    await kafka_connection.aclose()
    assert isinstance(given.pop("ssl_context"), ssl.SSLContext)
    assert given == {
        "bootstrap_servers": "a:1,b:2",
        "client_id": "streamd",
        "enable_idempotence": True,
        "acks": "all",
        "compression_type": "gzip",
        "max_batch_size": 262144,
        "max_request_size": 1048576 + 65536,
        "request_timeout_ms": 15000,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "streamd",
        "sasl_plain_password": "secret",
    }


async def test_missing_tls_files_are_a_wrong_setting(tmp_path: Path) -> None:
    """The daemon says so at its start, not at the first record."""
    settings = KafkaSettings(security_protocol="SSL", ssl_cafile=tmp_path / "missing.pem")
    with pytest.raises(ConfigError, match="'kafka' TLS files cannot be loaded"):
        KafkaConnection(settings)
