from __future__ import annotations

import logging
import random
import sqlite3
from pathlib import Path

import pytest

from streamd.gateway.archive import Retention, StoredFragment
from streamd.gateway.disk_archive import DiskArchive
from streamd.gateway.errors import ArchiveError
from streamd.kvs.numbers import new_number
from tests.support.clock import ManualClock

ARNS = [f"arn:aws:kinesisvideo:us-east-1:000000000000:stream/{name}/1" for name in ("a", "b")]
SMALL = Retention(max_age_ms=1 << 40, max_bytes=700_000, durable=True)
T0_MS = 1_700_000_000_000


def opened(folder: Path) -> DiskArchive:
    archive = DiskArchive(
        folder, clock=ManualClock(), max_bytes=1 << 30, on_lost=lambda *_: pytest.fail("lost")
    )
    archive.recover()
    return archive


def put(archive: DiskArchive, arn: str, second: int, data: bytes) -> StoredFragment:
    writer = archive.begin(archive.stream_id(arn), SMALL)
    writer.write(b"header of %d" % (second // 3), [data])
    fragment = writer.finish(
        number=new_number(None, server_timestamp_ms=T0_MS + 1000 * second),
        server_ms=T0_MS + 1000 * second,
        server_end_ms=T0_MS + 1000 * second + 900,
        producer_ms=T0_MS,
        length_ms=1000,
        patch=(0, b"P"),
    )
    archive.commit([fragment], durable=True)
    return fragment


def filled(folder: Path) -> dict[str, list[StoredFragment]]:
    """Two streams of several segments each, a fragment given up, and one never committed."""
    archive = opened(folder)
    chance = random.Random(1)
    kept = {
        arn: [put(archive, arn, second, chance.randbytes(20_000)) for second in range(10)]
        for arn in ARNS
    }
    writer = archive.begin(archive.stream_id(ARNS[0]), SMALL)
    writer.write(b"header", [b"given up"])
    writer.abandon()
    writer = archive.begin(archive.stream_id(ARNS[1]), SMALL)
    writer.write(b"header", [b"cut short"])
    assert len(list(folder.rglob("*.seg"))) >= 6
    archive.close()
    return kept


def found(archive: DiskArchive) -> dict[str, list[StoredFragment]]:
    return {arn: archive.after(archive.stream_id(arn), "", limit=100) for arn in ARNS}


def remove(index: Path) -> None:
    index.unlink()


def remove_all(index: Path) -> None:
    for path in index.parent.glob("archive.sqlite*"):
        path.unlink()


def no_database(index: Path) -> None:
    index.write_bytes(b"not a database" * 1000)


def empty(index: Path) -> None:
    index.write_bytes(b"")


def one_page(index: Path) -> None:
    data = bytearray(index.read_bytes())
    data[4096:8192] = random.Random(2).randbytes(4096)
    index.write_bytes(data)


def cut_off(index: Path) -> None:
    index.write_bytes(index.read_bytes()[:9000])


def without_tables(index: Path) -> None:
    with sqlite3.connect(index) as connection:
        connection.execute("DROP TABLE fragments")
    connection.close()


@pytest.mark.parametrize(
    "damage", [remove, remove_all, no_database, empty, one_page, cut_off, without_tables]
)
def test_a_lost_index_is_made_again(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever happened to the index, every fragment is found and read as before, and it goes on."""
    kept = filled(tmp_path)
    assert callable(damage)
    damage(tmp_path / "archive.sqlite")
    archive = opened(tmp_path)
    assert found(archive) == kept
    for fragment in kept[ARNS[0]]:
        assert archive.header(fragment).startswith(b"header of")
        assert archive.check(fragment).startswith(b"P")
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    # Numbers of segments are not given twice.
    files = set(tmp_path.rglob("*.seg"))
    later = put(archive, ARNS[0], 99, b"later")
    assert found(archive)[ARNS[0]] == [*kept[ARNS[0]], later]
    assert len(set(tmp_path.rglob("*.seg")) - files) == 1
    archive.close()
    # The next start finds nothing to mend.
    caplog.clear()
    archive = opened(tmp_path)
    assert len(found(archive)[ARNS[0]]) == 11
    assert caplog.records == []
    archive.close()


def test_the_damaged_index_is_kept(tmp_path: Path) -> None:
    """It is renamed, each time to a new name, never overwritten."""
    filled(tmp_path)
    for number in (1, 2):
        (tmp_path / "archive.sqlite").write_bytes(b"damage %d " % number * 1000)
        opened(tmp_path).close()
        aside = tmp_path / f"archive.sqlite.damaged-{number}"
        assert aside.read_bytes().startswith(b"damage %d" % number)


def test_segments_that_tell_nothing_are_set_aside(tmp_path: Path) -> None:
    """A segment without a preamble is renamed and said; the others are restored."""
    kept = filled(tmp_path)
    first = min(tmp_path.rglob("*.seg"))
    lost = {f.number for f in kept[ARNS[0]] if f.place.segment_id == int(first.stem)}
    assert lost
    first.write_bytes(b"x" * 1000)
    remove(tmp_path / "archive.sqlite")
    archive = opened(tmp_path)
    assert [f for f in kept[ARNS[0]] if f.number not in lost] == found(archive)[ARNS[0]]
    assert first.with_suffix(".unreadable").read_bytes() == b"x" * 1000
    archive.close()


def test_a_fresh_archive_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first start is no loss."""
    opened(tmp_path / "new").close()
    assert caplog.records == []


def test_a_kill_while_the_index_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is half made is not taken for whole."""
    kept = filled(tmp_path)
    remove(tmp_path / "archive.sqlite")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("streamd.gateway.rebuild.FragmentIndex.restore", killed)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path)
    monkeypatch.undo()
    archive = opened(tmp_path)
    assert found(archive) == kept
    archive.close()


def test_a_folder_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    """What is no damage is not mended: the error is reported."""
    (tmp_path / "archive.sqlite").mkdir()
    with pytest.raises(ArchiveError, match="unable to open"):
        opened(tmp_path)
    assert (tmp_path / "archive.sqlite").is_dir()
