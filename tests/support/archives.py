"""Archives for tests: on disk and in S3, with what goes wrong with either."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from streamd.aws import create_client
from streamd.aws_s3 import Bucket
from streamd.config import S3Settings
from streamd.gateway.archive import Archive, Retention, StoredFragment
from streamd.gateway.disk_archive import DiskArchive
from streamd.gateway.s3_archive import S3Archive
from streamd.kvs.numbers import new_number
from tests.support.clock import ManualClock
from tests.support.daemon import wait_until
from tests.support.moto import REGION, Moto

__all__ = [
    "ARN",
    "DAY",
    "HOUR_MS",
    "MB",
    "OTHER_ARN",
    "T0_MS",
    "ArchiveBox",
    "DiskBox",
    "FaultyClient",
    "S3Box",
]

ARN = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/1"
OTHER_ARN = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/yard/1"
HOUR_MS = 3600 * 1000
DAY = Retention(max_age_ms=24 * HOUR_MS, max_bytes=None, durable=True)
MB = 1024 * 1024
T0_MS = 1_700_000_000_000
PREFIX = "video/"

_names = itertools.count()


class ArchiveBox:
    """An archive, and what it lost."""

    archive: Archive

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock(T0_MS / 1000)
        self.lost: list[tuple[str, int]] = []
        self.free = 1 << 40
        """Bytes the disk has above what shall stay free."""

    def note_lost(self, reason: str, count: int) -> None:
        self.lost.append((reason, count))

    def reopened(self) -> ArchiveBox:
        """Close, and return a box with the same archive opened anew."""
        raise NotImplementedError

    def number(self, second: int) -> str:
        return new_number(None, server_timestamp_ms=T0_MS + 1000 * second)

    def write(
        self, second: int, data: bytes = b"media", *, arn: str = ARN, retention: Retention = DAY
    ) -> StoredFragment:
        """Bring one second that began at its time to the archive; nobody finds it yet."""
        archive = self.archive
        writer = archive.begin(archive.stream_id(arn), retention)
        writer.write(b"header", [data[:2], data[2:]])
        return writer.finish(
            number=self.number(second),
            server_ms=T0_MS + 1000 * second,
            server_end_ms=T0_MS + 1000 * second + 900,
            producer_ms=T0_MS + 1000 * second,
            length_ms=1000,
            patch=None,
        )

    def put(
        self, second: int, data: bytes = b"media", *, arn: str = ARN, retention: Retention = DAY
    ) -> StoredFragment:
        """Archive one second that began at its time, until it is persisted."""
        fragment = self.write(second, data, arn=arn, retention=retention)
        self.archive.commit([fragment], durable=True)
        assert self.persisted(fragment).wait(30), "not persisted in time"
        return fragment

    def persisted(self, fragment: StoredFragment) -> threading.Event:
        """Return an event that is set once a fragment is persisted."""
        event = threading.Event()
        self.archive.when_persisted(fragment, event.set)
        return event

    def found(self, arn: str = ARN) -> list[StoredFragment]:
        return self.archive.after(self.archive.stream_id(arn), "0", limit=10_000)

    def seconds(self, arn: str = ARN) -> list[int]:
        return [(fragment.server_ms - T0_MS) // 1000 for fragment in self.found(arn)]


class DiskBox(ArchiveBox):
    """One on disk."""

    archive: DiskArchive

    def __init__(self, path: Path, *, max_bytes: int = 1024 * MB) -> None:
        super().__init__(path)
        self.archive = DiskArchive(
            path,
            clock=self.clock,
            max_bytes=max_bytes,
            on_lost=self.note_lost,
            free_bytes=lambda: self.free,
        )
        self.archive.recover()

    def reopened(self) -> DiskBox:
        self.archive.close()
        return DiskBox(self.path)

    def segments(self) -> list[Path]:
        return sorted(self.path.rglob("*.seg"))


class FaultyClient:
    """A boto3 client that fails as a test says."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.error: Exception | None = None
        """Raised by every call, or by those that ``fails`` names."""
        self.fails: Callable[[str, dict[str, Any]], bool] = lambda *_: True
        self.calls: list[str] = []
        self.before: Callable[[str, dict[str, Any]], None] = lambda *_: None
        """Called before every call: to wait, or to look."""

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._client, name)

        def call(**request: Any) -> Any:
            self.calls.append(name)
            self.before(name, request)
            if self.error is not None and self.fails(name, request):
                raise self.error
            return operation(**request)

        return call


@functools.cache
def _clients(moto: Moto) -> tuple[Any, Any]:
    """Return clients of the test's and of the archive's, made once: each takes a while."""
    settings = S3Settings(
        endpoint_url=moto.endpoint_url, access_key_id="test", secret_access_key=SecretStr("test")
    )
    return moto.client("s3"), create_client("s3", settings, region=REGION, max_connections=20)


class S3Box(ArchiveBox):
    """One in a bucket of moto's; ``other`` boxes on the same bucket are other replicas."""

    archive: S3Archive

    def __init__(
        self,
        path: Path,
        moto: Moto,
        *,
        bucket: str | None = None,
        max_bytes: int = 1024 * MB,
        is_shared: bool = True,
        recover: bool = True,
    ) -> None:
        super().__init__(path)
        self._moto = moto
        self._options = {"max_bytes": max_bytes, "is_shared": is_shared}
        self.s3, client = _clients(moto)
        self.bucket = bucket or f"video-{next(_names)}"
        if bucket is None:
            self.s3.create_bucket(Bucket=self.bucket)
        self.client = FaultyClient(client)
        self.uploads: list[str] = []
        self.archive = S3Archive(
            path,
            bucket=Bucket(self.client, self.bucket),
            prefix=PREFIX,
            clock=self.clock,
            max_bytes=max_bytes,
            free_bytes=lambda: self.free,
            on_lost=self.note_lost,
            on_upload=self.uploads.append,
            is_shared=is_shared,
        )
        if recover:
            self.archive.recover()

    def reopened(self) -> S3Box:
        self.archive.close()
        return self.other(self.path)

    def other(self, path: Path, *, recover: bool = True, is_shared: bool = True) -> S3Box:
        """Return another replica: a directory of its own, the same bucket."""
        return S3Box(path, self._moto, bucket=self.bucket, recover=recover, is_shared=is_shared)

    def listed(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=PREFIX)
        return [item["Key"] for item in listed.get("Contents", [])]

    def refreshed(self, arn: str = ARN) -> list[int]:
        """Return the seconds that are found after a look at what others archived."""
        self.clock.advance(60)
        self.archive.refresh(self.archive.stream_id(arn))
        return self.seconds(arn)

    def files(self, suffix: str = "") -> list[Path]:
        """Return the local files of fragments."""
        found = (self.path / "fragments").rglob(f"*{suffix}")
        return sorted(path for path in found if path.is_file() and path.name != "arn")

    def wait_for_uploads(self) -> None:
        wait_until(lambda: not self.files(".waiting"), what="everything to be in S3")
