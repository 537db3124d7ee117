"""The archive in S3, which replicas share: objects there, and on the local disk what waits for it.

The order that makes a kill harmless: a fragment is written to a file, synced, named by a row of
the index (readers of this replica find it), put into S3 (readers of every replica find it), and
only then counts as persisted. A file that a kill left behind is put there at the next start,
under the same key, so a repeat changes nothing. While S3 is away the files gather, up to a
limit; then fragments are refused, as on a full disk.

What a replica knows of the objects is a cache of listings, see
:mod:`streamd.gateway.object_listing`. Objects are never changed and no two writers make the
same key, since fragment numbers carry a part that every writer draws for itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from streamd.aws import AwsDeniedError, AwsError, AwsNotFoundError
from streamd.aws_s3 import Bucket
from streamd.clock import Clock
from streamd.errors import StreamdError
from streamd.gateway.archive import (
    FragmentWriter,
    Freed,
    Place,
    Retention,
    StoredFragment,
    TimeOrigin,
)
from streamd.gateway.errors import (
    ArchiveError,
    ArchiveUnavailableError,
    FragmentDamagedError,
    FragmentGoneError,
)
from streamd.gateway.file_writer import FileWriter
from streamd.gateway.fragment_files import FileState, FragmentFile, FragmentFiles
from streamd.gateway.object_index import open_object_index
from streamd.gateway.object_keys import fragment_name, stream_prefix
from streamd.gateway.object_listing import ObjectListing
from streamd.gateway.object_sweep import ObjectSweep
from streamd.gateway.uploads import Uploads

__all__ = ["S3Archive"]

logger = logging.getLogger(__name__)

CONTENT_TYPE: Final = "video/x-matroska"
CLOSE_SECONDS: Final = 10.0
_READ_BYTES: Final = 1024 * 1024


class S3Archive:
    """See ``Archive``; the directory belongs to this process, the bucket's prefix to all."""

    def __init__(
        self,
        directory: Path,
        *,
        bucket: Bucket,
        prefix: str,
        clock: Clock,
        max_bytes: int,
        free_bytes: Callable[[], int],
        on_lost: Callable[[str, int], None],
        on_upload: Callable[[str], None],
        is_shared: bool,
    ) -> None:
        """Open the archive; S3 is not asked before :meth:`recover`.

        Args:
            directory: For the index, what waits for S3, and copies of what is there.
            bucket: Where objects go.
            prefix: Of all keys.
            clock: Ages fragments.
            max_bytes: Of all local files.
            free_bytes: Says how many bytes the disk has above what it shall keep free; negative
                when it is short.
            on_lost: Told of lost fragments: ``missing``, ``cut off`` or ``checksum``, how many.
            on_upload: Told of every attempt to put an object: ``stored`` or why not.
            is_shared: Whether other processes may archive the same streams.

        Raises:
            ArchiveError: If the directory cannot be used.

        """
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ArchiveError(f"{directory} cannot be used: {error.strerror}") from error
        self._index = open_object_index(directory / "objects.sqlite")
        self._files = FragmentFiles(directory / "fragments", max_bytes=max_bytes)
        self._bucket = bucket
        self._prefix = prefix
        self._free_bytes = free_bytes
        self._on_lost = on_lost
        self._on_upload = on_upload
        self._is_shared = is_shared
        self._listing = ObjectListing(
            self._index, bucket, key_prefix=self._stream_prefix, clock=clock
        )
        self._uploads = Uploads(self._upload, on_attempt=self._attempted)
        self._sweep = ObjectSweep(
            index=self._index,
            files=self._files,
            bucket=bucket,
            uploads=self._uploads,
            clock=clock,
            key_of=self._key,
            on_freed=self._no_longer_awaited,
        )
        self._lock = threading.Lock()  # guards what follows
        self._awaiting: dict[int, list[Callable[[], None]]] = {}
        self._upload_error = ""

    @property
    def total_bytes(self) -> int:
        """See ``Archive.total_bytes``."""
        return self._files.total_bytes

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are not in S3 yet."""
        return self._files.waiting_bytes

    def recover(self) -> None:
        """See ``Archive.recover``.

        Raises:
            ArchiveError: If the bucket is not there or may not be used; one that does not
                answer is waited for.

        """
        self._check_bucket()
        self._index.remove_empty()
        waiting = 0
        with _mapped_errors():
            for arn, named, state, path in self._files.scan():
                fragment = self._index.known(self._index.stream_id(arn), named)
                self._files.add(fragment, state, path)
                if state is FileState.WAITING:
                    self._uploads.add(fragment)
                    waiting += 1
        if waiting:
            logger.info("fragments of the last run go to S3 now", extra={"count": waiting})
        self._uploads.start()

    def _check_bucket(self) -> None:
        try:
            self._bucket.check()
        except AwsNotFoundError as error:
            raise ArchiveError(
                f"'kinesis_video.archive_bucket': bucket {self._bucket.name} does not exist"
            ) from error
        except AwsDeniedError as error:
            raise ArchiveError(
                f"'kinesis_video.archive_bucket': bucket {self._bucket.name} may not be used "
                f"with these credentials: {error}"
            ) from error
        except AwsError as error:
            logger.warning(
                "S3 does not answer; fragments wait for it on the local disk",
                extra={"bucket": self._bucket.name, "error": str(error)},
            )

    def close(self) -> None:
        """See ``Archive.close``; what waits goes to S3 still, if that is quick."""
        self._uploads.close(seconds=CLOSE_SECONDS)
        if waiting := self._uploads.count():
            logger.warning("fragments wait for the next start", extra={"count": waiting})
        self._index.close()

    def stream_id(self, arn: str) -> int:
        """See ``Archive.stream_id``."""
        return self._index.stream_id(arn)

    def stream_arns(self) -> list[str]:
        """See ``Archive.stream_arns``: only of streams known here, never what else is in S3."""
        return list(self._index.stream_ids())

    def remove_stream(self, arn: str) -> None:
        """See ``Archive.remove_stream``; where S3 is away, it is known on until a sweep worked."""
        stream_id = self._index.stream_ids().get(arn)
        if stream_id is not None:
            self._uploads.discard_stream(stream_id)
            self._index.empty_stream(stream_id)
            with _mapped_errors():
                for file in self._files.of_stream(stream_id):
                    self._files.remove(file)
                    self._no_longer_awaited(file.segment_id)
        if not self._sweep.delete_objects(self._stream_prefix(arn)):
            return
        self._listing.forget(stream_id)
        self._index.remove_stream(arn)
        self._files.remove_folder(arn)

    def begin(self, stream_id: int, retention: Retention) -> FragmentWriter:
        """See ``Archive.begin``."""

        def create() -> FragmentFile:
            arn = self._index.arn_of(stream_id)
            if arn is None:
                raise ArchiveError(f"stream {stream_id} is no longer archived")
            return self._files.create(stream_id, self._index.new_segment(stream_id), arn)

        self._sweep.note_written_to(stream_id)
        return FileWriter(files=self._files, retention=retention, create=create)

    def commit(self, fragments: Sequence[StoredFragment], *, durable: bool) -> None:
        """See ``Archive.commit``: durable are the files, by their names; rows can be made anew."""
        del durable
        self._index.add(fragments, durable=False)
        for fragment in fragments:
            file = self._files.get(fragment.place.segment_id)
            if file is None:
                continue  # its stream was removed
            if self._index.of(fragment.place) is None:
                self._files.remove(file)
            elif file.state is FileState.WAITING:
                self._uploads.add(fragment)

    def when_persisted(self, fragment: StoredFragment, done: Callable[[], None]) -> None:
        """See ``Archive.when_persisted``."""
        segment_id = fragment.place.segment_id
        with self._lock:
            file = self._files.get(segment_id)
            if file is not None and file.state is FileState.WAITING:
                self._awaiting.setdefault(segment_id, []).append(done)
                return
        done()

    def refresh(self, stream_id: int, *, is_new: bool = False) -> None:
        """See ``Archive.refresh``.

        Raises:
            ArchiveUnavailableError: If S3 cannot be asked, and what is known here may lack fragments of
                others: a reader would miss them, and numbers might not rise.

        """
        arn = self._index.arn_of(stream_id)
        if arn is None:
            return
        try:
            self._listing.refresh(stream_id, arn)
        except AwsError as error:
            is_known = self._index.newest(stream_id) is not None and not self._is_shared
            is_known = is_known or self._listing.has_listed(stream_id)
            if is_new or not is_known:
                raise ArchiveUnavailableError(
                    f"what S3 holds of the stream is not known: {error}"
                ) from error
            logger.warning(
                "S3 cannot be asked what else it holds of the stream",
                extra={"stream": arn, "error": str(error)},
            )

    def after(
        self, stream_id: int, number: str, *, before: str | None = None, limit: int
    ) -> list[StoredFragment]:
        """See ``Archive.after``."""
        return self._index.after(stream_id, number, before=before, limit=limit)

    def newest(self, stream_id: int) -> StoredFragment | None:
        """See ``Archive.newest``."""
        return self._index.newest(stream_id)

    def find(self, stream_id: int, number: str) -> StoredFragment | None:
        """See ``Archive.find``."""
        return self._index.find(stream_id, number)

    def at(self, stream_id: int, origin: TimeOrigin, ms: int) -> StoredFragment | None:
        """See ``Archive.at``."""
        return self._index.at(stream_id, origin, ms)

    def between(
        self,
        stream_id: int,
        origin: TimeOrigin,
        *,
        start_ms: int,
        end_ms: int,
        after: str,
        limit: int,
    ) -> list[StoredFragment]:
        """See ``Archive.between``."""
        return self._index.between(
            stream_id, origin, start_ms=start_ms, end_ms=end_ms, after=after, limit=limit
        )

    def read(self, place: Place, offset: int, size: int) -> bytes:
        """See ``Archive.read``."""
        data = self._read_file(place, offset, size)
        if data is not None:
            return data
        fragment = self._index.of(place)
        if fragment is None:
            raise FragmentGoneError(place.segment_id)
        with self._read_errors(fragment):
            return self._bucket.read(self._key(fragment), place.offset + offset, size)

    def header(self, fragment: StoredFragment) -> bytes:
        """See ``Archive.header``."""
        size = fragment.header_size
        return self._checked(fragment, 0, size, fragment.header_crc32)[:size]

    def check(self, fragment: StoredFragment) -> bytes:
        """See ``Archive.check``."""
        whole = self._checked(fragment, fragment.header_size, fragment.size, fragment.crc32)
        return whole[:_READ_BYTES]

    def _checked(self, fragment: StoredFragment, start: int, size: int, crc32: int) -> bytes:
        """Return bytes of an object as they were written: from the file, else from S3."""
        beginning = Place(
            stream_id=fragment.place.stream_id, segment_id=fragment.place.segment_id, offset=0
        )
        data = self._read_file(beginning, start, size)
        if data is not None and _damage(data, size, crc32):
            file = self._files.get(beginning.segment_id)
            if file is not None and file.state is FileState.COPY:
                self._files.remove(file)
                data = None
        if data is None:
            data = self._fetch(fragment)[start : start + size]
        if damage := _damage(data, size, crc32):
            raise FragmentDamagedError(fragment.number, damage)
        return data

    def _fetch(self, fragment: StoredFragment) -> bytes:
        """Return an object from S3; what is right of it is kept for the next reader."""
        with self._read_errors(fragment):
            data = b"".join(self._bucket.stream(self._key(fragment)))
        arn = self._index.arn_of(fragment.place.stream_id)
        if arn is not None and len(data) == fragment.header_size + fragment.size:
            self._files.keep_copy(arn, fragment, data)
        return data

    def _read_file(self, place: Place, offset: int, size: int) -> bytes | None:
        """Return bytes of the local file; ``None`` if there is none."""
        while (file := self._files.get(place.segment_id)) is not None:
            path = file.path
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                if path == file.path:
                    return None
                continue  # it was renamed just now
            except OSError as error:
                raise ArchiveError(f"the archive cannot be read: {error.strerror}") from error
            try:
                return os.pread(descriptor, size, place.offset + offset)
            finally:
                os.close(descriptor)
        return None

    @contextlib.contextmanager
    def _read_errors(self, fragment: StoredFragment) -> Iterator[None]:
        try:
            yield
        except AwsNotFoundError as error:
            if error.code == "NoSuchBucket":
                raise ArchiveError(str(error)) from error
            # Another replica freed it, or somebody removed it.
            self._index.forget([fragment])
            self._lost("missing", fragment)
            raise FragmentGoneError(fragment.place.segment_id) from error
        except AwsError as error:
            raise ArchiveError(f"S3 cannot be read: {error}") from error

    def drop(self, fragment: StoredFragment) -> None:
        """See ``Archive.drop``; the object stays, for whoever wants to look at it."""
        self._index.forget([fragment])
        if (file := self._files.get(fragment.place.segment_id)) is not None:
            with _mapped_errors():
                self._files.remove(file)

    def enforce(
        self,
        retention: Mapping[str, Retention],
        *,
        max_bytes: int,
        needed: Mapping[str, str] | None = None,
    ) -> Freed:
        """See ``Archive.enforce``: of the bucket by age and ``max_stream_bytes`` alone."""
        del needed  # what is also in S3 can be read there
        ids = self._index.stream_ids()
        doomed: list[StoredFragment] = []
        for arn, kept in retention.items():
            if arn in ids:
                doomed += self._sweep.doomed(ids[arn], kept)
        with _mapped_errors():
            freed = self._sweep.free(doomed)
            self._sweep.free_dead()
            excess = self.total_bytes - max_bytes
            self._sweep.evict(excess)
            early = self._sweep.evict(-self._free_bytes())
        self._reconcile()
        return Freed(segments=freed + early, early=early)

    def _reconcile(self) -> None:
        try:
            self._listing.reconcile_one(
                is_local=lambda fragment: self._files.get(fragment.place.segment_id) is not None
            )
        except AwsError as error:
            logger.debug("S3 cannot be listed: %s", error)

    def _upload(self, fragment: StoredFragment) -> None:
        """Put one object, and tell who waits for it; runs in threads of the uploads."""
        file = self._files.get(fragment.place.segment_id)
        if file is None or self._index.of(fragment.place) is None:
            return  # it is no longer wanted
        try:
            data = file.path.read_bytes()
        except OSError as error:
            raise ArchiveError(f"{file.path} cannot be read: {error.strerror}") from error
        size = fragment.header_size
        if damage := (
            _damage(data[:size], size, fragment.header_crc32)
            or _damage(data[size:], fragment.size, fragment.crc32)
        ):
            self._lost(damage, fragment)
            self.drop(fragment)
            return
        key = self._key(fragment)
        self._bucket.put(key, data, content_type=CONTENT_TYPE)
        if self._index.of(fragment.place) is None:
            self._bucket.delete([key])  # its stream was removed meanwhile
            return
        with self._lock:
            with _mapped_errors():
                self._files.rename(file, FileState.COPY)
            waiting = self._awaiting.pop(fragment.place.segment_id, [])
        for done in waiting:
            done()

    def _no_longer_awaited(self, segment_id: int) -> None:
        with self._lock:
            self._awaiting.pop(segment_id, None)

    def _attempted(self, error: StreamdError | None) -> None:
        outcome = "stored" if error is None else type(error).__name__
        self._on_upload(outcome)
        with self._lock:
            before, self._upload_error = self._upload_error, "" if error is None else outcome
        if error is not None and before != outcome:
            logger.error(
                "fragments cannot be put into S3; they wait on the local disk",
                extra={"bucket": self._bucket.name, "error": str(error)},
            )
        elif error is None and before:
            logger.info("fragments go to S3 again", extra={"bucket": self._bucket.name})

    def _lost(self, reason: str, fragment: StoredFragment) -> None:
        logger.warning(
            "archived fragment lost", extra={"reason": reason, "fragment": fragment.number}
        )
        self._on_lost(reason, 1)

    def _stream_prefix(self, arn: str) -> str:
        return self._prefix + stream_prefix(arn)

    def _key(self, fragment: StoredFragment) -> str:
        arn = self._index.arn_of(fragment.place.stream_id)
        if arn is None:
            raise FragmentGoneError(fragment.place.segment_id)
        return self._stream_prefix(arn) + fragment_name(fragment)


def _damage(data: bytes, size: int, crc32: int) -> str:
    if len(data) < size:
        return "cut off"
    return "" if zlib.crc32(data[:size]) == crc32 else "checksum"


@contextlib.contextmanager
def _mapped_errors() -> Iterator[None]:
    """Turn the system's errors into ours."""
    try:
        yield
    except OSError as error:
        raise ArchiveError(f"the archive cannot be used: {error.strerror}") from error
