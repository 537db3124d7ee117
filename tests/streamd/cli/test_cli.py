"""The command line as a process: help, exit codes, errors of one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.video_files import write_video

ROOT = Path(__file__).parents[3]


def streamd(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("STREAMD_", "AWS_"))}
    clean |= {"PYTHONPATH": str(ROOT), "COLUMNS": "120", **environment}
    return subprocess.run(
        [sys.executable, "-m", "streamd", *arguments],
        capture_output=True,
        text=True,
        env=clean,
        timeout=60,
        check=False,
    )


def test_help_names_every_command_and_imports_little() -> None:
    """--help is quick: neither PyAV nor boto3 nor ONNX Runtime is imported for it."""
    code = (
        "import sys; from streamd.cli import app\n"
        "heavy = {'av', 'boto3', 'botocore', 'onnxruntime', 'aiohttp', 'sqlalchemy', 'rich.table'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert loaded.stdout.strip() == "[]"
    text = streamd("--help").stdout
    for command in ("serve", "put-media", "models", "migrate", "doctor", "health", "demo"):
        assert command in text


def test_version() -> None:
    """--version prints name and version."""
    assert streamd("--version").stdout.startswith("streamd 0.")


def test_wrong_settings_are_one_line_and_exit_2(tmp_path: Path) -> None:
    """serve names the key, says where settings are explained, and exits 2."""
    config = tmp_path / "streamd.toml"
    config.write_text("[server]\nlisten = '8700'\n")
    done = streamd("serve", "--config", str(config))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: 'server.listen' must be HOST:PORT, got '8700'",
        " next: deploy/streamd.toml explains every setting",
    ]


def test_open_addresses_need_insecure() -> None:
    """serve on all addresses without authentication is refused."""
    done = streamd("serve", "--listen", "0.0.0.0:0")
    assert done.returncode == 2
    assert "--insecure" in done.stderr


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.mp4", "error: nowhere.mp4 does not exist"),
        (str(ROOT), "is a directory"),
        (str(ROOT / "pyproject.toml"), "has no video track"),
        ("rtsp://admin:hush@127.0.0.1:1/x", "rtsp://***@127.0.0.1:1/x cannot be opened"),
    ],
    ids=["missing", "directory", "not a video", "no camera"],
)
def test_put_media_explains_bad_sources(source: str, message: str) -> None:
    """A source that cannot be read is one error, without the camera's password."""
    done = streamd("put-media", "--stream", "s", "--source", source)
    assert done.returncode == 1
    assert message in done.stderr
    assert "hush" not in done.stderr
    assert "Traceback" not in done.stderr


def test_put_media_says_to_start_the_daemon(tmp_path: Path, unused_tcp_port: int) -> None:
    """Nothing at the endpoint: the error names the command to start."""
    clip = write_video(tmp_path / "clip.mp4", count=5)
    done = streamd(
        "put-media", "--stream", "s", "--source", str(clip),
        "--endpoint", f"http://127.0.0.1:{unused_tcp_port}",
    )  # fmt: skip
    assert done.returncode == 1
    assert f"error: nothing answers at http://127.0.0.1:{unused_tcp_port}" in done.stderr
    assert "streamd serve" in done.stderr


def test_put_media_needs_a_stream() -> None:
    """Usage errors exit 2."""
    assert streamd("put-media", "--source", "x").returncode == 2
