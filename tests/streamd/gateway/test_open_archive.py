"""Which archive the settings mean, and how much of a disk it leaves free."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from streamd.config import KinesisVideoSettings, S3Settings
from streamd.gateway.archive import Archive
from streamd.gateway.disk_archive import DiskArchive
from streamd.gateway.open_archive import free_bytes, open_archive
from streamd.gateway.s3_archive import S3Archive
from streamd.metrics import Metrics
from tests.support.clock import ManualClock

GB = 1024**3


def opened(path: Path, settings: KinesisVideoSettings) -> Archive:
    return open_archive(
        path,
        settings=settings,
        s3=S3Settings(endpoint_url="http://127.0.0.1:9", region="eu-west-1"),
        region="us-east-1",
        clock=ManualClock(),
        metrics=Metrics(CollectorRegistry()),
        is_shared=False,
    )


def test_the_settings_choose(tmp_path: Path) -> None:
    """On disk by default; in S3 where a bucket is named, without asking it yet."""
    disk = opened(tmp_path / "a", KinesisVideoSettings())
    s3 = opened(tmp_path / "b", KinesisVideoSettings(archive="s3", archive_bucket="video"))
    assert (type(disk), type(s3)) == (DiskArchive, S3Archive)
    disk.close()


def test_a_bucket_is_needed() -> None:
    """The settings say so, before anything runs."""
    with pytest.raises(ValidationError, match="archive_bucket' is needed"):
        KinesisVideoSettings(archive="s3")


@pytest.mark.parametrize(
    ("total", "free", "keep", "left"),
    [
        (100 * GB, 5 * GB, None, 4 * GB),
        (10 * GB, GB, None, GB // 2),
        (100 * GB, 5 * GB, 8 * GB, -3 * GB),
        (100 * GB, 5 * GB, 0, 5 * GB),
    ],
    ids=["large disk", "small disk", "short", "nothing to keep"],
)
def test_some_of_a_disk_stays_free(total: int, free: int, keep: int | None, left: int) -> None:
    """A twentieth, 1 GiB at most, or what the settings say."""

    def usage(_: Path) -> tuple[int, int, int]:
        return total, total - free, free

    assert free_bytes(Path(), keep, usage=usage) == left
