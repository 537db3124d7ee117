"""The cached faces of one collection as files that processes map: vectors, metadata, manifest.

The manifest names a *generation* of two files and how many of their rows count. Rows are only
appended, so a map made earlier stays right, and rows past the manifest's are litter of a crash
that the next writer overwrites. Data is synced before the manifest is replaced in one rename:
whenever a process or the power dies, the files are those of some earlier moment, whole.

A deleted face is wiped in place: its vector becomes NaN, which is near to nothing, and its
metadata is gone at once for every process that has the row mapped. Wiping is repeatable, so
it needs no manifest of its own. Compaction starts another generation.
"""

from __future__ import annotations

import bisect
import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamd.resources import Face
from streamd.store.faces import StoredFace

__all__ = ["FORMAT", "Manifest", "MappedFaces", "VectorFiles"]

FORMAT = 1
"""Other formats are built again from the store."""

_RECORD = np.dtype(
    [
        ("sequence", "<i8"),
        ("alive", "u1"),
        ("face_id", "S36"),
        ("image_id", "S36"),
        ("external_image_id", "S255"),
        ("box", "<f8", (4,)),
        ("confidence_percent", "<f8"),
    ]
)
_VECTOR_TYPE = np.dtype("<f4")
_ROWS_AT_ONCE = 16_384
_PRIVATE_FILE = 0o600  # vectors are biometric data
_PRIVATE_DIRECTORY = 0o700


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What of the files counts."""

    format: int
    generation: str
    vector_size: int
    rows: int
    dead: int
    """Rows of deleted faces among them."""
    revision: int
    """All changes of the collection up to this one are in the files."""


class MappedFaces:
    """The rows of one manifest, mapped read-only and shared between processes."""

    def __init__(self, vectors: NDArray[np.float32], records: NDArray[Any]) -> None:
        self.vectors = vectors
        self._records = records

    def face(self, row: int) -> Face | None:
        """Return the face of a row, ``None`` if it was deleted since."""
        record = self._records[row].copy()
        # Looked at after the copy: the wiper clears this byte before all others.
        if not self._records["alive"][row]:
            return None
        left, top, width, height = record["box"].tolist()
        return Face(
            face_id=record["face_id"].decode(),
            image_id=record["image_id"].decode(),
            external_image_id=record["external_image_id"].decode() or None,
            bounding_box=(left, top, width, height),
            confidence_percent=float(record["confidence_percent"]),
        )

    def find(self, sequence: int) -> int | None:
        """Return the row of the face with this sequence, alive or not."""
        sequences = self._records["sequence"]
        row = bisect.bisect_left(range(len(sequences)), sequence, key=sequences.__getitem__)
        return row if row < len(sequences) and sequences[row] == sequence else None

    def copy_alive(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Return copies of the vectors and records of faces that are not deleted."""
        records = self._records[start:stop]
        alive = records["alive"] == 1
        return self.vectors[start:stop][alive], records[alive]


class VectorFiles:
    """The files in the directory of one collection; writing methods need :meth:`locked`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextlib.contextmanager
    def locked(self, *, wait: bool) -> Iterator[bool]:
        """Keep other processes from writing; gives ``False`` if one is and ``wait`` is not set."""
        self._directory.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        file = _open(self._directory / "lock", os.O_RDWR | os.O_CREAT)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(file)  # and with it the lock

    def manifest(self) -> Manifest | None:
        """Return what counts, ``None`` if nothing usable is there."""
        try:
            manifest = Manifest(**json.loads(self._manifest_path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return manifest if manifest.format == FORMAT and self._complete(manifest) else None

    def begin(self, vector_size: int) -> Manifest:
        """Return the manifest of a new, empty generation; nothing counts before a publish."""
        return Manifest(
            format=FORMAT,
            generation=secrets.token_hex(8),
            vector_size=vector_size,
            rows=0,
            dead=0,
            revision=0,
        )

    def append(self, manifest: Manifest, faces: Sequence[StoredFace]) -> Manifest:
        """Write faces, in order of their sequence, after those that count."""
        if not faces:
            return manifest
        vectors = b"".join(face.vector for face in faces)
        assert len(vectors) == len(faces) * self._row_bytes(manifest), manifest.vector_size
        records = np.array([_record(face) for face in faces], _RECORD)
        return self._append_rows(manifest, vectors, records)

    def wipe(self, manifest: Manifest, sequences: Sequence[int]) -> Manifest:
        """Make deleted faces unfindable; those not in the files do not matter."""
        if not sequences or not manifest.rows:
            return manifest
        mapped = self.map(manifest)
        rows = [row for row in map(mapped.find, sequences) if row is not None]
        wiped = sum(mapped.face(row) is not None for row in rows)
        for row in rows:  # those wiped before, too: a crash may have cut that short
            self._wipe_row(manifest, row)
        return replace(manifest, dead=manifest.dead + wiped)

    def publish(self, manifest: Manifest) -> None:
        """Make a manifest the one that counts, and remove what no longer does."""
        for path in self._paths(manifest):
            if path.exists():
                _sync(path)
        draft = self._directory / "manifest.new"
        file = _open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(file, "wb") as stream:
            stream.write(json.dumps(asdict(manifest)).encode())
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(self._manifest_path)
        kept = {self._manifest_path, self._directory / "lock", *self._paths(manifest)}
        for path in self._directory.iterdir():
            if path not in kept:
                path.unlink(missing_ok=True)  # maps of it live on

    def compact(self, manifest: Manifest) -> Manifest:
        """Copy the living faces into a new generation."""
        mapped = self.map(manifest)
        fresh = replace(self.begin(manifest.vector_size), revision=manifest.revision)
        for start in range(0, manifest.rows, _ROWS_AT_ONCE):
            stop = min(start + _ROWS_AT_ONCE, manifest.rows)
            vectors, records = mapped.copy_alive(start, stop)
            fresh = self._append_rows(fresh, vectors.tobytes(), records)
        return fresh

    def map(self, manifest: Manifest) -> MappedFaces:
        """Map the rows that count."""
        shape = (manifest.rows, manifest.vector_size)
        if not manifest.rows or not manifest.vector_size:
            return MappedFaces(np.empty(shape, np.float32), np.empty(0, _RECORD))
        vectors, records = self._paths(manifest)
        return MappedFaces(
            np.memmap(vectors, _VECTOR_TYPE, "r", shape=shape).view(np.ndarray),
            np.memmap(records, _RECORD, "r", shape=(manifest.rows,)).view(np.ndarray),
        )

    def remove(self) -> None:
        """Delete the directory; maps of its files live on."""
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def _manifest_path(self) -> Path:
        return self._directory / "manifest.json"

    def _paths(self, manifest: Manifest) -> tuple[Path, Path]:
        name = manifest.generation
        return self._directory / f"{name}.vectors", self._directory / f"{name}.faces"

    def _complete(self, manifest: Manifest) -> bool:
        if not manifest.rows:
            return True
        vectors, records = self._paths(manifest)
        try:
            return (
                vectors.stat().st_size >= manifest.rows * self._row_bytes(manifest)
                and records.stat().st_size >= manifest.rows * _RECORD.itemsize
            )
        except FileNotFoundError:
            return False

    @staticmethod
    def _row_bytes(manifest: Manifest) -> int:
        return manifest.vector_size * _VECTOR_TYPE.itemsize

    def _append_rows(self, manifest: Manifest, vectors: bytes, records: NDArray[Any]) -> Manifest:
        vectors_path, records_path = self._paths(manifest)
        _write_at(vectors_path, manifest.rows * self._row_bytes(manifest), vectors)
        _write_at(records_path, manifest.rows * _RECORD.itemsize, records.tobytes())
        return replace(manifest, rows=manifest.rows + len(records))

    def _wipe_row(self, manifest: Manifest, row: int) -> None:
        vectors, records = self._paths(manifest)
        place = row * _RECORD.itemsize
        fields: Any = _RECORD.fields
        alive, face_id = fields["alive"][1], fields["face_id"][1]
        _write_at(records, place + alive, b"\0")  # first, see MappedFaces.face
        _write_at(records, place + face_id, bytes(_RECORD.itemsize - face_id))
        nothing = np.full(manifest.vector_size, np.nan, _VECTOR_TYPE)
        _write_at(vectors, row * self._row_bytes(manifest), nothing.tobytes())


def _record(face: StoredFace) -> tuple[object, ...]:
    value = face.face
    external = (value.external_image_id or "").encode()
    return (
        face.sequence,
        1,
        value.face_id.encode(),
        value.image_id.encode(),
        external,
        value.bounding_box,
        value.confidence_percent,
    )


def _open(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, _PRIVATE_FILE)


def _write_at(path: Path, offset: int, data: bytes) -> None:
    file = _open(path, os.O_WRONLY | os.O_CREAT)
    try:
        view = memoryview(data)
        while view:
            written = os.pwrite(file, view, offset)
            view, offset = view[written:], offset + written
    finally:
        os.close(file)


def _sync(path: Path) -> None:
    file = _open(path, os.O_RDONLY)
    try:
        os.fdatasync(file)
    finally:
        os.close(file)
