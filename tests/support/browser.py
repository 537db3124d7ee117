"""A real Chromium without a window, as a person's browser; and the pictures tests take of pages.

The browser is the machine's own (Debian: ``apt install chromium``), driven by Playwright.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["CHROMIUM", "DESKTOP", "PHONE", "browser", "needs_browser", "opened_page", "screenshots"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = os.environ.get("STREAMD_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
_HAS_DRIVER = importlib.util.find_spec("playwright") is not None
needs_browser = [
    pytest.mark.service,
    pytest.mark.skipif(not _HAS_DRIVER, reason="playwright is not installed (streamd[test])"),
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium here (Debian and Ubuntu: apt install chromium)"
    ),
]
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Run a browser for the length of a ``with`` block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # As root, as in a container, Chromium has no sandbox; it opens nothing but our own page.
        running = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield running
        finally:
            running.close()


@contextlib.contextmanager
def opened_page(running: Browser, url: str, **options: Any) -> Iterator[Page]:
    """Open a page in a profile of its own.

    It fails the test if the page throws, breaks its content security policy, or asks anybody
    but the daemon for anything.
    """
    context = running.new_context(base_url=url, locale="en-GB", timezone_id="UTC", **options)
    context.set_default_timeout(20_000)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"threw {error}"))
    page.on(
        "console",
        lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None,
    )
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((url, "blob:")) else faults.append(request.url)
        ),
    )
    try:
        yield page
    finally:
        context.close()
    assert faults == []


def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where pictures go: ``STREAMD_SCREENSHOTS``, else a folder of this run's."""
    named = os.environ.get("STREAMD_SCREENSHOTS")
    if named is None:
        return tmp_path_factory.mktemp("screenshots")
    folder = Path(named)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
