"""The file of an outbox: form, rights, damage, leftovers."""

from __future__ import annotations

import concurrent.futures
import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.pipeline.outbox import Outbox, OutboxError, leftover_outboxes, outbox_path
from streamd.pipeline.outbox_file import outbox_name, owner_of
from tests.support.outbox import MANY, item, keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return outbox_path(tmp_path / "outbox", "door")


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    box = Outbox(path, max_bytes=10_000)
    yield box
    box.close()


@pytest.mark.parametrize(
    ("account", "name"), [("000000000000", "front.door-1_"), ("111122223333", "front.door-1_")]
)
def test_accounts_do_not_share_an_outbox(account: str, name: str) -> None:
    """Stream processors of one name in two accounts have outboxes of two names."""
    other = "444455556666"
    box = outbox_name(account, name, own_account_id="000000000000")
    assert box == {"000000000000": name}.get(account, f"{name}@{account}")
    assert box != outbox_name(other, name, own_account_id="000000000000")
    assert owner_of(box, own_account_id="000000000000") == (account, name)


def test_a_new_file_opened_by_several_at_once(tmp_path: Path) -> None:
    """All get an outbox, and the last to open it owns it."""
    path = outbox_path(tmp_path / "outbox", "door")
    for _ in range(10):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            opened = list(pool.map(lambda _: Outbox(path, max_bytes=10_000), range(8)))
        last = Outbox(path, max_bytes=10_000)
        last.append([item("1")])
        assert keys(last) == ["1"]
        for box in [*opened, last]:
            box.close()
        for file in path.parent.iterdir():
            file.unlink()


@pytest.mark.parametrize(
    "damage",
    [b"not a database at all, but a file of some length" * 40, b"\0" * 4096],
    ids=["text", "zeros behind a header"],
)
def test_a_damaged_file_is_moved_aside(
    path: Path, outbox: Outbox, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A new outbox begins, the old file is kept, and the log says so."""
    outbox.append([item("1", size=100)])
    outbox.close()
    whole = path.read_bytes()
    path.write_bytes(damage if damage[0] else whole[:4096] + damage + whole[8192:])
    with caplog.at_level(logging.ERROR):
        fresh = Outbox(path, max_bytes=10_000)
    fresh.append([item("2")])
    assert keys(fresh) == ["2"]
    fresh.close()
    assert len(list(path.parent.glob("door.sqlite.damaged-*"))) == 1
    assert "door.sqlite is damaged" in caplog.text


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(min_value=0, max_value=40_000), noise=st.binary(max_size=64))
def test_no_damage_keeps_the_outbox_from_opening(
    tmp_path_factory: pytest.TempPathFactory, cut: int, noise: bytes
) -> None:
    """Cut anywhere and overwritten with anything, the file opens or is moved aside."""
    path = tmp_path_factory.mktemp("outbox") / "door.sqlite"
    box = Outbox(path, max_bytes=10_000)
    box.append([item(str(n), size=900) for n in range(20)])
    box.close()
    data = path.read_bytes()
    path.write_bytes(data[:cut] + noise + data[cut + len(noise) : max(cut, 24_000)])
    again = Outbox(path, max_bytes=10_000)
    again.append([item("new")])
    again.close()


def test_a_newer_file_is_refused(path: Path, outbox: Outbox) -> None:
    """After a downgrade, results in a form we do not know are left alone."""
    outbox._db.execute("PRAGMA user_version = 99")
    outbox.close()
    with pytest.raises(OutboxError, match="newer streamd"):
        Outbox(path, max_bytes=1)


def test_outboxes_left_behind_are_listed(tmp_path: Path) -> None:
    """After a restart, those with undelivered items, or unreadable, are named."""
    for name, count in [("empty", 0), ("full.of-names", 2)]:
        box = Outbox(outbox_path(tmp_path, name), max_bytes=1_000)
        box.append([item(str(n)) for n in range(count)])
        box.close()
    outbox_path(tmp_path, "broken").write_bytes(b"nothing SQLite would know" * 100)
    assert leftover_outboxes(tmp_path) == ["broken", "full.of-names"]


def test_listing_takes_no_outbox_over(tmp_path: Path) -> None:
    """A running session is not disturbed by who looks for leftovers."""
    box = Outbox(outbox_path(tmp_path, "door"), max_bytes=1_000)
    box.append([item("1")])
    names = leftover_outboxes(tmp_path)
    box.append([item("2")])
    assert (names, keys(box)) == (["door"], ["1", "2"])
    box.close()


def test_only_its_owner_may_read_it(path: Path, outbox: Outbox) -> None:
    """The file and the ones SQLite puts beside it have mode 0600."""
    outbox.append([item("1")])
    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {0o600}


def test_an_emptied_outbox_gives_its_space_back(path: Path) -> None:
    """After an outage of the sink, the disk is free again."""
    box = Outbox(path, max_bytes=MANY)
    box.append([item(str(n), size=1_000_000) for n in range(20)])
    box.acknowledge(20)
    box.close()
    assert path.stat().st_size < 1_000_000
