"""A real Chromium without a window, as a person's browser; and the pictures tests take of pages.

Driven by Playwright; ``tests.services.chromium`` says which browser it is. A page that is opened
here fails its test if it throws, breaks its content security policy, or asks anybody but the
daemon for anything.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.chromium import chromium
from tests.services.fetched import ServiceUnavailableError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["DESKTOP", "PHONE", "browser", "needs_browser", "opened_page", "screenshots"]

needs_browser = [
    pytest.mark.service,
    # The first run may fetch a browser.
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None,
        reason="playwright is not installed (streamd[test])",
    ),
]
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
WAIT_MS = 60_000
"""How long anything may take to be seen, on a machine that is busy with other tests."""


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Run a browser for the length of a ``with`` block; skips the test where there is none."""
    from playwright.sync_api import sync_playwright

    try:
        found = chromium()
    except ServiceUnavailableError as error:
        pytest.skip(str(error))
    with sync_playwright() as driver:
        # As root, as in a container, Chromium has no sandbox; it opens nothing but our own page.
        running = driver.chromium.launch(
            executable_path=found.program,
            args=["--no-sandbox", "--disable-dev-shm-usage"],
            env={**os.environ, **found.env},
            timeout=WAIT_MS,
        )
        try:
            yield running
        finally:
            running.close()


@contextlib.contextmanager
def opened_page(running: Browser, url: str, **options: Any) -> Iterator[Page]:
    """Open a page in a profile of its own, for ``options`` of Playwright's ``new_context``."""
    context = running.new_context(base_url=url, locale="en-GB", timezone_id="UTC", **options)
    context.set_default_timeout(WAIT_MS)
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
