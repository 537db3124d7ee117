"""Webhooks: each notification a signed POST, one at a time, in order.

The scheme is that of the Standard Webhooks specification, so receivers verify with its libraries:

- ``webhook-id``: the event id, the same for every repeat; a receiver drops what it has seen.
- ``webhook-timestamp``: when this attempt was made, seconds since 1970; old ones are replays.
- ``webhook-signature``: ``v1,`` and base64 of HMAC-SHA256 over ``ID.TIMESTAMP.BODY``; one for
  each key, with a space between them, while keys are changed.

What an answer means:

====================  ==============================================================
2xx                   acknowledged
408, 425, 429, 5xx    tried again, not before ``Retry-After``; so are network and TLS faults
410                   "stop sending" (the specification): as for a topic that was deleted
all else              refused, redirects among them: the next one may go elsewhere
====================  ==============================================================

Neither URL (it may hold a token) nor secret is in any message.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import ssl
from collections.abc import Sequence

import aiohttp

from streamd.clock import Clock
from streamd.config import WebhookSettings
from streamd.config_outputs import webhook_key
from streamd.errors import ConfigError
from streamd.records.items import OutboxItem
from streamd.sinks.envelope import message_id, notification_envelope
from streamd.sinks.errors import SinkError, SinkGoneError, SinkRejectedError, SinkUnavailableError
from streamd.sinks.targets import topic_name

__all__ = ["MAX_MESSAGE_BYTES", "WebhookSink", "signature"]

MAX_MESSAGE_BYTES = 256 * 1024
"""Longest message, as with SNS: a receiver can rely on it."""
_MAX_CONNECTIONS = 32
_MAX_ANSWER_BYTES = 64 * 1024
"""Read of an answer, so that its connection can be used again; longer ones cost it."""
_RETRIED = frozenset({408, 425, 429})


def signature(key: bytes, *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return one signature of the header, ``v1,BASE64``."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


class WebhookSink:
    """Posts notifications to one URL for each topic.

    Args:
        settings: With ``url`` and ``secret``.
        clock: Dates the attempts.

    Raises:
        ConfigError: If the CA file cannot be loaded.

    """

    def __init__(self, settings: WebhookSettings, *, clock: Clock) -> None:
        assert settings.url is not None, "checked with the settings"
        assert settings.secret is not None, "checked with the settings"
        self.name = "webhook"
        self._clock = clock
        self._url = settings.url.get_secret_value()
        secrets = (settings.secret, settings.previous_secret)
        self._keys = [webhook_key(secret) for secret in secrets if secret is not None]
        self._headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_seconds)
        self._ssl = _ssl_context(settings)
        self._http: aiohttp.ClientSession | None = None  # made by open(), on the loop

    async def open(self) -> None:
        """See :meth:`Sink.open`."""
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS, ssl=self._ssl),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            # An answer is not looked into: nothing to unpack.
            auto_decompress=False,
        )

    async def deliver(self, items: Sequence[OutboxItem]) -> None:
        """See :meth:`Sink.deliver`."""
        for position, item in enumerate(items):
            try:
                await self._post(item, position)
            except SinkError as error:
                error.settled = frozenset(range(position))
                raise

    async def check(self, target: str) -> None:
        """See :meth:`Sink.check`. Nothing is sent: a receiver would take it for an event."""
        topic_name(target)

    async def aclose(self) -> None:
        """See :meth:`Sink.aclose`."""
        if self._http is not None:
            await self._http.close()

    async def _post(self, item: OutboxItem, position: int) -> None:
        topic = topic_name(item.target)
        if len(item.body) > MAX_MESSAGE_BYTES:
            reason = f"message of {len(item.body)} bytes, webhooks take {MAX_MESSAGE_BYTES}"
            raise SinkRejectedError({position: reason})
        try:
            body = notification_envelope(item, now=self._clock.now())
        except UnicodeDecodeError as error:
            raise SinkRejectedError({position: "message is not UTF-8"}) from error
        assert self._http is not None, "opened"
        try:
            async with self._http.post(
                self._url.replace("{topic}", topic),
                data=body,
                headers=self._signed(message_id(item), body),
                allow_redirects=False,
            ) as answer:
                await answer.content.read(_MAX_ANSWER_BYTES)
        except TimeoutError as error:
            raise SinkUnavailableError(f"webhook of topic {topic} takes too long") from error
        except aiohttp.InvalidURL as error:
            raise SinkRejectedError({position: "'webhook.url' is no URL"}) from error
        except (aiohttp.ClientError, OSError) as error:
            raise SinkUnavailableError(_network_trouble(topic, error)) from error
        self._judge(answer, topic, position)

    def _signed(self, event_id: str, body: bytes) -> dict[str, str]:
        timestamp = int(self._clock.epoch())
        signatures = [
            signature(key, message_id=event_id, timestamp=timestamp, body=body)
            for key in self._keys
        ]
        return {
            **self._headers,
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signatures),
        }

    def _judge(self, answer: aiohttp.ClientResponse, topic: str, position: int) -> None:
        status = answer.status
        if 200 <= status < 300:
            return
        text = f"webhook of topic {topic} answered {status}"
        if status in _RETRIED or status >= 500:
            after = _retry_after_seconds(answer.headers.get("Retry-After"), self._clock)
            raise SinkUnavailableError(text, retry_after_seconds=after)
        if status == 410:
            raise SinkGoneError(f"{text}: it takes nothing any more")
        if 300 <= status < 400:
            text += ", a redirect, which is not followed: mend 'webhook.url'"
        raise SinkRejectedError({position: text})


def _network_trouble(topic: str, error: Exception) -> str:
    # The library's own texts name the URL.
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        told = error.certificate_error
        text = f"certificate is not accepted: {getattr(told, 'verify_message', told)}"
    elif isinstance(error, aiohttp.ClientConnectorError):
        text = f"cannot be reached: {error.os_error.strerror or type(error.os_error).__name__}"
    else:
        text = f"was cut off ({type(error).__name__})"
    return f"webhook of topic {topic} {text}"


def _retry_after_seconds(value: str | None, clock: Clock) -> float | None:
    """Return what Retry-After says: seconds, or an HTTP date."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    # A date without a zone is in UTC (RFC 9110).
    return max(0.0, at.timestamp() - clock.epoch()) if at.tzinfo else None


def _ssl_context(settings: WebhookSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ssl_cafile)
    except OSError as error:
        raise ConfigError(f"'webhook.ssl_cafile' cannot be loaded: {error}") from error
