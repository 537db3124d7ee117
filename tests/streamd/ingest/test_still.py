"""The first picture of a clip, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from streamd.ingest.errors import DecodeError
from streamd.ingest.still import still_of
from streamd.kvs.ebml import MkvError
from tests.support.media import encode, get_media_body, moving_shapes
from tests.support.pictures import size_of

BODY = get_media_body(encode(moving_shapes(10, width_px=320, height_px=240), fps=10, gop=5))


def _run(clip: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "streamd.ingest.still"]
    return subprocess.run(command, input=clip, capture_output=True, timeout=60, check=False)


def test_a_clip_gives_its_first_picture() -> None:
    """The process writes a JPEG of the video's own size."""
    done = _run(BODY)
    assert (done.returncode, done.stderr) == (0, b"")
    assert size_of(done.stdout) == (320, 240)


def test_large_pictures_are_reduced() -> None:
    """The longer side is what was asked for at most, in proportion."""
    assert size_of(still_of(BODY, max_px=160)) == (160, 120)


def test_the_beginning_of_a_clip_is_enough() -> None:
    """A clip that is cut off after its first picture gives that picture."""
    assert size_of(still_of(BODY[: len(BODY) * 3 // 4])) == (320, 240)


def test_what_holds_no_picture_is_an_error() -> None:
    """Nothing, or the mere head of a clip, is a DecodeError; other bytes are no Matroska."""
    with pytest.raises(DecodeError):
        still_of(b"")
    with pytest.raises(MkvError):
        still_of(b"not matroska at all")
    done = _run(b"not matroska at all")
    assert done.returncode == 1
    assert done.stderr
    assert done.stdout == b""
