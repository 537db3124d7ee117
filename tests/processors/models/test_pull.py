"""Fetching a file: from a folder or over HTTP, whole and checked or not at all."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from processors.errors import PullError
from processors.models.catalog import PackFile
from processors.models.pull import pull_file

CONTENT = bytes(range(256)) * 4096


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class _Cutting(_Quiet):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1000])


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "net v1.onnx").write_bytes(CONTENT)
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def _served(handler: Any) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def http_mirror(mirror: Path) -> Iterator[str]:
    yield from _served(functools.partial(_Quiet, directory=str(mirror)))


@pytest.fixture
def cutting_mirror() -> Iterator[str]:
    yield from _served(_Cutting)


def _file(**changes: Any) -> PackFile:
    values: dict[str, Any] = {
        "name": "net v1.onnx",
        "role": "detector",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "size_bytes": len(CONTENT),
        "licence": "none",
        "source": "a test",
    }
    return PackFile(**(values | changes))


def _pull(file: PackFile, models: Path, mirror: str | None) -> list[int]:
    told: list[int] = []
    pull_file(file, models, mirror=mirror, progress=lambda _file, received: told.append(received))
    return told


@pytest.mark.parametrize("kind", ["folder", "file-url", "http"])
def test_comes_whole(mirror: Path, models: Path, http_mirror: str, kind: str) -> None:
    """All kinds of mirror give the file, readable by all, with progress in between."""
    addresses = {"folder": str(mirror), "file-url": mirror.as_uri(), "http": http_mirror}
    told = _pull(_file(), models, addresses[kind])
    target = models / "net v1.onnx"
    assert target.read_bytes() == CONTENT
    assert target.stat().st_mode & 0o777 == 0o644
    assert told == sorted(told)
    assert told[-1] == 1048576
    assert len(told) >= 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "0" * 64}, "expected 0000"),
        ({"size_bytes": 1000}, "longer than the 1000 bytes"),
        ({"name": "other.onnx"}, "cannot fetch other.onnx"),
    ],
    ids=["hash", "size", "missing"],
)
@pytest.mark.parametrize("over_http", [False, True], ids=["folder", "http"])
def test_leaves_the_old_file_when_the_new_is_wrong(
    mirror: Path,
    models: Path,
    http_mirror: str,
    changes: dict[str, Any],
    message: str,
    over_http: bool,
) -> None:
    """What differs from its hash or cannot be had replaces nothing and leaves nothing."""
    file = _file(**changes)
    (models / file.name).write_bytes(b"old")
    with pytest.raises(PullError, match=message):
        _pull(file, models, http_mirror if over_http else str(mirror))
    assert [path.name for path in models.iterdir()] == [file.name]
    assert (models / file.name).read_bytes() == b"old"


def test_a_connection_that_breaks_off(models: Path, cutting_mirror: str) -> None:
    """Half a file is an error, and is not kept."""
    with pytest.raises(PullError, match="ended after 1000 of 1048576 bytes"):
        _pull(_file(), models, cutting_mirror)
    assert list(models.iterdir()) == []


def test_nobody_answers(models: Path) -> None:
    """A refused connection is an error that names the file."""
    with pytest.raises(PullError, match=r"cannot fetch net v1\.onnx from http"):
        _pull(_file(), models, "http://127.0.0.1:1/")


def test_no_official_address(models: Path) -> None:
    """Without a mirror the error says where the file comes from."""
    with pytest.raises(PullError, match=r"no official address of its own \(a test\)"):
        _pull(_file(), models, None)
