"""The console in a daemon: there by default, gone without a trace where it is turned off."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

from streamd.pipeline.picture_files import write_picture
from tests.support.daemon import Daemon, running_daemon


def _refused(daemon: Daemon, **headers: str) -> int:
    request = urllib.request.Request(f"{daemon.url}/console/api/video-streams", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_console_that_is_turned_off_is_not_there(tmp_path: Path) -> None:
    """Page and calls are unknown, and what it had kept before is deleted."""
    left = tmp_path / "data" / "console" / "sightings" / "key" / "1.sighting"
    write_picture(left, {}, b"jpeg")
    with running_daemon(tmp_path / "data", {"STREAMD_CONSOLE__ENABLED": "false"}) as daemon:
        assert daemon.get("/console/")[0] == 404
        assert daemon.get("/console/api/video-streams")[0] == 404
        assert not (tmp_path / "data" / "console").exists()


def test_unsigned_it_answers_its_own_page_alone(tmp_path: Path) -> None:
    """With auth.mode = none the loopback address is let in, a foreign page or name is not."""
    with running_daemon(tmp_path / "data") as daemon:
        assert daemon.get("/console/api/video-streams") == (200, '{"Streams": []}')
        assert _refused(daemon, Host=f"evil.example:{daemon.port}") == 400
        assert _refused(daemon, **{"Sec-Fetch-Site": "cross-site"}) == 400
        assert _refused(daemon, Origin="http://evil.example") == 400
