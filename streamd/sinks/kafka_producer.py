"""The one Kafka producer of a process: started when needed, replaced when broken, ended in time.

- ``start()`` fails at once when nobody listens: it is called again with the next delivery.
- ``stop()`` waits for records that cannot leave: it gets a few seconds, then is cut off.
- The library logs why a broker takes no connection, and raises only that none does. Whoever wants
  to know, as a wrong password is no outage, tries a connection of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka_errors
from aiokafka.conn import collect_hosts, create_conn

from streamd.config import KafkaSettings
from streamd.errors import ConfigError, StreamdError
from streamd.sinks.errors import SinkUnavailableError

__all__ = ["KafkaConnection", "KafkaLoginError"]

logger = logging.getLogger(__name__)

_STOP_SECONDS = 3.0
_MAX_REQUEST_SECONDS = 15.0
_BATCH_BYTES = 256 * 1024
"""Records gathered per partition while a request is under way."""
_HEADER_ROOM_BYTES = 64 * 1024
_PROBE_SECONDS = 5.0
_LOGIN_REFUSED = (
    kafka_errors.AuthenticationFailedError,
    kafka_errors.AuthenticationMethodNotSupported,
    kafka_errors.SaslAuthenticationFailed,
    kafka_errors.UnsupportedSaslMechanismError,
)


class KafkaLoginError(StreamdError):
    """The brokers refuse the user, the password or the mechanism of the settings."""


class KafkaConnection:
    """Holds the producer.

    Raises:
        ConfigError: If the TLS files cannot be loaded.

    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._ssl = _ssl_context(settings)
        self._lock = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None  # set while started, under the lock
        self._retiring: set[asyncio.Task[None]] = set()

    async def producer(self) -> AIOKafkaProducer:
        """Return a producer that is started.

        Raises:
            SinkUnavailableError: If no broker can be reached now.
            KafkaLoginError: If they answer, and refuse the login.

        """
        async with self._lock:
            if self._producer is None:
                self._producer = await self._start()
            return self._producer

    async def _start(self) -> AIOKafkaProducer:
        settings = self._settings
        producer = AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap_servers,
            enable_idempotence=True,
            acks="all",
            compression_type=None if settings.compression_type == "none" else "gzip",
            max_batch_size=_BATCH_BYTES,
            max_request_size=settings.max_record_bytes + _HEADER_ROOM_BYTES,
            request_timeout_ms=int(
                min(self._settings.delivery_timeout_seconds, _MAX_REQUEST_SECONDS) * 1000
            ),
            **self._credentials(),
        )
        try:
            await producer.start()
        except (kafka_errors.KafkaError, OSError, asyncio.CancelledError) as error:
            # Cancelled by our own time-out too: the half-started producer goes in any case.
            self._stop_later(producer)
            if isinstance(error, asyncio.CancelledError):
                raise
            reason = await self.diagnose()
            raise SinkUnavailableError(f"Kafka cannot be reached: {reason or error}") from error
        return producer

    async def diagnose(self) -> str | None:
        """Return why the brokers take no connection; ``None`` if one does now.

        Raises:
            KafkaLoginError: If those that answer refuse the login.

        """
        reason, refused = "no broker is named", None
        for host, port, _ in collect_hosts(self._settings.bootstrap_servers):
            try:
                connection = await create_conn(
                    host, port, request_timeout_ms=int(_PROBE_SECONDS * 1000), **self._credentials()
                )
            except _LOGIN_REFUSED as error:
                refused = error
            except (kafka_errors.KafkaError, OSError, TimeoutError) as error:
                reason = f"{host}:{port}: {error or 'no answer in time'}"
            else:
                connection.close()
                return None
        if refused is not None:
            settings = self._settings
            raise KafkaLoginError(
                f"Kafka refuses user {settings.sasl_username!r} ({settings.sasl_mechanism})"
            ) from refused
        return reason

    def _credentials(self) -> dict[str, Any]:
        settings = self._settings
        password = settings.sasl_password
        return {
            "client_id": "streamd",
            "security_protocol": settings.security_protocol,
            "ssl_context": self._ssl,
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": password.get_secret_value() if password else None,
        }

    def retire(self) -> None:
        """Take the producer out of use; the next delivery starts another."""
        producer, self._producer = self._producer, None
        if producer is not None:
            self._stop_later(producer)

    def _stop_later(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_stop(producer), name="kafka-producer-stop")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def aclose(self) -> None:
        """Stop the producer; what was handed over gets a last few seconds."""
        self.retire()
        if self._retiring:
            await asyncio.wait(self._retiring)


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop a producer within bounds; with the brokers away its own stop() never ends."""
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await producer.stop()
    except (TimeoutError, kafka_errors.KafkaError, OSError) as error:
        logger.warning("kafka producer did not stop by itself: %r", error)
        sender = producer._sender.sender_task  # noqa: SLF001  # no public way to end it
        if sender is not None:
            sender.cancel()
        with contextlib.suppress(TimeoutError, kafka_errors.KafkaError, OSError):
            async with asyncio.timeout(_STOP_SECONDS):
                await producer.client.close()


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    if "SSL" not in settings.security_protocol.split("_"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ssl_cafile)
        if settings.ssl_certfile is not None:
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    except OSError as error:
        raise ConfigError(f"'kafka' TLS files cannot be loaded: {error}") from error
    return context
