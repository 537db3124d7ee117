"""Do the brokers and services answer that results, and archived video, go to."""

from __future__ import annotations

import asyncio
import socket
import urllib.parse
from collections.abc import Iterator
from typing import Any

from streamd.cli.findings import NETWORK_SECONDS, Finding, broken, good
from streamd.config import Settings
from streamd.errors import StreamdError
from streamd.logs import masked

__all__ = ["check_archive", "check_outputs"]


def check_outputs(settings: Settings) -> Iterator[Finding]:
    """Brokers and services results go to answer."""
    outputs = settings.outputs
    chosen = {"kinesis": outputs.kinesis, "s3": outputs.s3, "sns": outputs.sns}
    local = [kind for kind, sink in chosen.items() if sink == "local"]
    if local:
        yield good("outputs", f"{', '.join(local)}: files in {settings.data_dir / 'outputs'}")
    if "kafka" in chosen.values():
        yield asyncio.run(_check_kafka(settings))
    if outputs.sns == "webhook":
        yield _check_webhook(settings)
    for kind, sink in chosen.items():
        if sink == kind:
            yield _check_service(kind, settings)


def check_archive(settings: Settings) -> Iterator[Finding]:
    """The bucket of an archive in S3 can be used."""
    name = settings.kinesis_video.archive_bucket
    if settings.kinesis_video.archive != "s3" or name is None:
        return
    from streamd import aws  # noqa: PLC0415
    from streamd.aws_s3 import Bucket  # noqa: PLC0415

    try:
        client = aws.create_client("s3", settings.s3, region=settings.aws.region)
        Bucket(client, name).check()
    except aws.AwsNotFoundError:
        yield broken("archive", f"bucket {name} does not exist", "make it, or name another")
    except StreamdError as error:
        step = "check [s3] and kinesis_video.archive_bucket"
        yield broken("archive", f"bucket {name}: {masked(str(error))}", step)
    else:
        yield good("archive", f"bucket {name} answers")


def _check_webhook(settings: Settings) -> Finding:
    url = settings.webhook.url
    parts = urllib.parse.urlsplit(url.get_secret_value() if url else "")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        # Nothing is posted: a receiver would take it for an event.
        with socket.create_connection((parts.hostname or "", port), NETWORK_SECONDS):
            return good("webhook", f"{parts.hostname}:{port} answers")
    except OSError as error:
        reason = error.strerror or str(error)
        detail = f"{parts.hostname}:{port} does not answer: {reason}"
        return broken("webhook", detail, "check webhook.url, and that the receiver runs")


async def _check_kafka(settings: Settings) -> Finding:
    from streamd.sinks.kafka_producer import KafkaConnection  # noqa: PLC0415

    servers = settings.kafka.bootstrap_servers
    try:
        connection = KafkaConnection(settings.kafka)
        try:
            async with asyncio.timeout(2 * NETWORK_SECONDS):
                await connection.producer()
        finally:
            await connection.aclose()
    except (StreamdError, TimeoutError) as error:
        detail = f"{servers}: {masked(str(error)) or 'no answer in time'}"
        return broken("kafka", detail, "check [kafka], and that the broker runs")
    return good("kafka", f"{servers} answers")


_PROBES: dict[str, tuple[str, dict[str, Any]]] = {
    "kinesis": ("list_streams", {"Limit": 1}),
    "s3": ("list_buckets", {}),
    "sns": ("list_topics", {}),
}


def _check_service(kind: str, settings: Settings) -> Finding:
    from streamd import aws  # noqa: PLC0415

    section: Any = getattr(settings, kind)
    where = section.endpoint_url or "AWS"
    operation, arguments = _PROBES[kind]
    try:
        client = aws.create_client(kind, section, region=settings.aws.region)  # type: ignore[arg-type]  # kind is one of its literals
        with aws.aws_errors():
            getattr(client, operation)(**arguments)
    except aws.AwsDeniedError as error:
        if error.code.startswith("AccessDenied") or error.code == "AuthorizationError":
            # A role that may only write is as it should be.
            return good(kind, f"{where} answers (and lets us not list, which is fine)")
        step = f"check the credentials: {kind}.access_key_id, or AWS_ACCESS_KEY_ID"
        return broken(kind, f"{where}: {masked(str(error))}", step)
    except StreamdError as error:
        return broken(kind, f"{where}: {masked(str(error))}", f"check [{kind}] endpoint_url")
    return good(kind, f"{where} answers")
