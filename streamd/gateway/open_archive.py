"""Which archive the settings ask for; the one place that knows more than one kind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from streamd.aws import create_client
from streamd.aws_s3 import Bucket
from streamd.clock import Clock
from streamd.config import KinesisVideoSettings, S3Settings
from streamd.gateway.archive import Archive
from streamd.gateway.disk_archive import DiskArchive
from streamd.gateway.s3_archive import S3Archive
from streamd.metrics import Metrics

__all__ = ["free_bytes", "open_archive"]

CONNECTIONS: Final = 20
"""To S3: eight threads put, eight read, the others list and delete."""
ATTEMPTS: Final = 2
MOST_KEPT_FREE: Final = 1024**3
SHARE_KEPT_FREE: Final = 20
"""One part in so many of the file system is kept free, where no setting says how much."""


def open_archive(
    directory: Path,
    *,
    settings: KinesisVideoSettings,
    s3: S3Settings,
    region: str,
    clock: Clock,
    metrics: Metrics,
    is_shared: bool,
) -> Archive:
    """Open the archive.

    Args:
        directory: Of this process alone.
        settings: Which, and how large.
        s3: How S3 is reached.
        region: Where that does not say.
        clock: Ages fragments.
        metrics: To count in.
        is_shared: Whether other processes may archive the same streams.

    Raises:
        ArchiveError: If it cannot be opened.
        ConfigError: If the settings make no client.

    """

    def lost(reason: str, count: int) -> None:
        metrics.archive_fragments_lost.labels(reason).inc(count)

    def free() -> int:
        return free_bytes(directory, settings.min_free_bytes)

    if settings.archive == "disk":
        return DiskArchive(
            directory,
            clock=clock,
            max_bytes=settings.max_archive_bytes,
            on_lost=lost,
            free_bytes=free,
        )
    assert settings.archive_bucket is not None, "checked with the settings"
    client = create_client("s3", s3, region=region, max_connections=CONNECTIONS, attempts=ATTEMPTS)
    return S3Archive(
        directory,
        bucket=Bucket(client, settings.archive_bucket),
        prefix=settings.archive_prefix,
        clock=clock,
        max_bytes=settings.max_archive_bytes,
        free_bytes=free,
        on_lost=lost,
        on_upload=lambda outcome: metrics.archive_uploads.labels(outcome).inc(),
        is_shared=is_shared,
    )


def free_bytes(
    directory: Path,
    keep: int | None,
    *,
    usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage,
) -> int:
    """Return how much of a file system is free above what shall stay so; negative when short.

    Args:
        directory: On the file system.
        keep: Bytes; ``None``: a twentieth of the file system, 1 GiB at most.
        usage: Returns total, used and free bytes.

    """
    total, _used, free = usage(directory)
    if keep is None:
        keep = min(MOST_KEPT_FREE, total // SHARE_KEPT_FREE)
    return free - keep
