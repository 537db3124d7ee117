"""Files that are read again when they change."""

from __future__ import annotations

import asyncio
from pathlib import Path

from streamd.watch import watching

POLL = 0.01


async def test_changes_new_files_and_links_are_seen(tmp_path: Path) -> None:
    """Written in place, replaced by another file, or behind a link that is turned."""
    file, link = tmp_path / "keys", tmp_path / "link"
    file.write_text("1")
    link.symlink_to(file)
    seen: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def changed() -> None:
        loop.call_soon_threadsafe(seen.put_nowait, link.read_text())

    async with asyncio.timeout(20), watching([link], changed, poll_seconds=POLL):
        file.write_text("22")
        assert await seen.get() == "22"
        (tmp_path / "new").write_text("33")
        (tmp_path / "new").rename(file)
        assert await seen.get() == "33"
        (tmp_path / "other").write_text("4444")
        turned = tmp_path / "turned"
        turned.symlink_to(tmp_path / "other")
        turned.rename(link)
        assert await seen.get() == "4444"


async def test_a_failed_call_does_not_end_the_watch(tmp_path: Path) -> None:
    """The next change is seen; the failure is in the log."""
    file = tmp_path / "keys"
    file.write_text("1")
    calls: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def broken() -> None:
        loop.call_soon_threadsafe(calls.put_nowait, 1)
        raise RuntimeError

    async with asyncio.timeout(20), watching([file], broken, poll_seconds=POLL):
        for text in ("22", "333"):
            file.write_text(text)
            await calls.get()
