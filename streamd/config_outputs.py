"""The sections of the settings that say where results go; :mod:`streamd.config` has the others."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

__all__ = [
    "KafkaSettings",
    "KinesisSettings",
    "OutboxSettings",
    "OutputsSettings",
    "PositiveFloat",
    "PositiveInt",
    "S3Settings",
    "Section",
    "SnsSettings",
    "WebhookSettings",
    "webhook_key",
]

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """What all sections have in common: frozen, no unknown keys, no secrets in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class OutputsSettings(Section):
    """``[outputs]``: what stands for Kinesis Data Streams, S3 and SNS."""

    kinesis: Literal["local", "kafka", "kinesis"] = "local"
    s3: Literal["local", "s3"] = "local"
    sns: Literal["local", "kafka", "sns", "webhook"] = "local"


class KafkaSettings(Section):
    """``[kafka]``: the broker results go to."""

    bootstrap_servers: str = "localhost:9092"
    topic_template: str = "{stream}"
    """Kafka topic of a Kinesis data stream named ``{stream}``."""
    sns_topic_template: str = "{topic}"
    """Kafka topic of an SNS topic named ``{topic}``."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    compression_type: Literal["none", "gzip"] = "none"
    max_record_bytes: PositiveInt = 1024 * 1024
    delivery_timeout_seconds: PositiveFloat = 30.0


class _AwsEndpoint(Section):
    endpoint_url: str | None = None
    """``None``: AWS itself."""
    region: str | None = None
    """``None``: ``aws.region``."""
    access_key_id: str | None = None
    """``None``: boto3's own chain."""
    secret_access_key: SecretStr | None = None


class KinesisSettings(_AwsEndpoint):
    """``[kinesis]``: Kinesis Data Streams."""


class S3Settings(_AwsEndpoint):
    """``[s3]``: the object store for label detection results and S3 images."""

    checksums: Literal["when_supported", "when_required"] = "when_required"
    """``when_required`` suits stores that do not know AWS's newer checksum headers."""
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """Bucket in the URL's path or in its host name; ``auto``: the path for other endpoints."""


class SnsSettings(_AwsEndpoint):
    """``[sns]``: notifications."""


class WebhookSettings(Section):
    """``[webhook]``: notifications as signed HTTP requests."""

    url: SecretStr | None = None
    """``https://HOST/PATH``, where ``{topic}`` is the SNS topic's name; may hold a token."""
    secret: SecretStr | None = None
    """Key of the signature: ``whsec_`` and 24 to 64 bytes in base64."""
    previous_secret: SecretStr | None = None
    """Signs too, while receivers change to a new secret."""
    headers: dict[str, SecretStr] = {}
    """Sent along, for receivers that ask for more than a signature."""
    ssl_cafile: Path | None = None
    """CA of the receiver's certificate; ``None``: the system's."""
    timeout_seconds: PositiveFloat = 10.0

    @model_validator(mode="after")
    def _check(self) -> WebhookSettings:
        for key, secret in (("secret", self.secret), ("previous_secret", self.previous_secret)):
            if secret is not None and not 24 <= len(webhook_key(secret)) <= 64:
                raise ValueError(
                    f"'webhook.{key}' must be whsec_ and 24 to 64 bytes in base64, as of: "
                    "echo whsec_$(openssl rand -base64 32)"
                )
        scheme, _, rest = (self.url.get_secret_value() if self.url else "https://x").partition(
            "://"
        )
        host = rest.partition("/")[0]
        if scheme not in {"http", "https"} or not host or "{" in host:
            raise ValueError("'webhook.url' must be http(s)://HOST/PATH, {topic} only in the path")
        for name in self.headers:
            if name.lower().startswith(("webhook-", "content-")) or name.lower() == "host":
                raise ValueError(f"'webhook.headers' may not set {name!r}")
        return self


def webhook_key(secret: SecretStr) -> bytes:
    """Return the bytes of a webhook's secret, none if it is not base64."""
    try:
        return base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
    except ValueError:
        return b""


class OutboxSettings(Section):
    """``[outbox]``: results on their way to a sink."""

    max_bytes: PositiveInt = 256 * 1024 * 1024
    """Per stream processor; when full, intake waits."""
    max_age_hours: PositiveFloat | None = None
    """What waits longer becomes a dead letter; ``None``: waits for ever."""
    max_notification_age_seconds: PositiveFloat | None = None
    """The same for notifications alone: better no alert than one that comes too late."""
    max_dead_letter_bytes: PositiveInt = 64 * 1024 * 1024
    """Dead letters kept per stream processor; the oldest go first."""
