"""Files of JSON lines."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd.sinks.jsonl import append_lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outputs" / "faces.jsonl"


@pytest.fixture
def small_files() -> Iterator[None]:
    """Files may grow to 100 bytes only, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_lines_are_appended(path: Path) -> None:
    """The directory and file come by themselves; later lines come last."""
    append_lines(path, [b'{"a":1}', b'{"a":2}'])
    append_lines(path, [b'{"a":3}'])
    assert path.read_bytes() == b'{"a":1}\n{"a":2}\n{"a":3}\n'


def test_all_lines_go_out_in_one_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader never sees half of a batch's first line."""
    writes: list[bytes] = []
    real = os.write

    def write(file: int, data: bytes) -> int:
        writes.append(data)
        return real(file, data)

    monkeypatch.setattr(os, "write", write)
    append_lines(path, [b"1", b"2"])
    assert writes == [b"1\n2\n"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"a":1}\n{"a', b'{"a":1}\n{"b":2}\n'),
        (b'{"half', b'{"b":2}\n'),
        (b'{"a":1}', b'{"a":1}\n{"b":2}\n'),
        (b'{"a":1}\n' + b"x" * 200_000, b'{"a":1}\n{"b":2}\n'),
    ],
    ids=["torn line", "only a torn line", "line without newline", "long torn line"],
)
def test_half_a_line_is_cut_off(path: Path, before: bytes, after: bytes) -> None:
    """What a killed process left behind does not spoil the next line."""
    path.parent.mkdir()
    path.write_bytes(before)
    append_lines(path, [b'{"b":2}'])
    assert path.read_bytes() == after


@pytest.mark.usefixtures("small_files")
def test_a_write_cut_short_is_taken_back(path: Path) -> None:
    """With no room for all lines there is none of them, and the next one fits again."""
    append_lines(path, [b"1" * 49])
    with pytest.raises(OSError, match="File too large"):
        append_lines(path, [b"2" * 30, b"3" * 30])
    append_lines(path, [b"4"])
    assert path.read_bytes() == b"1" * 49 + b"\n4\n"


def test_the_mode_is_the_callers(path: Path) -> None:
    """Dead letters are for their owner only."""
    append_lines(path, [b"1"], mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


WRITER = """
import sys
from pathlib import Path
from streamd.sinks.jsonl import append_lines
for number in range(100):
    append_lines(Path(sys.argv[1]), [b'{"who":%s,"n":%d}' % (sys.argv[2].encode(), number)] * 3)
"""


def test_processes_do_not_mix_their_lines(path: Path) -> None:
    """Three processes at once: every line is whole, each process's lines are in order."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(who)]) for who in range(3)
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for who in range(3):
        numbers = [line["n"] for line in lines if line["who"] == who]
        assert numbers == [number for number in range(100) for _ in range(3)]


def test_a_file_that_is_long_enough_is_put_aside(tmp_path: Path) -> None:
    """The newest lines are in the file, those before in FILE.1, older ones are dropped."""
    path = tmp_path / "letters.jsonl"
    dropped = [append_lines(path, [b'{"n":%d}' % n], max_bytes=16) for n in range(5)]
    assert path.read_bytes() == b'{"n":4}\n'
    assert path.with_name("letters.jsonl.1").read_bytes() == b'{"n":2}\n{"n":3}\n'
    assert dropped == [False, False, False, False, True]


def test_rotating_writers_lose_nothing_to_each_other(tmp_path: Path) -> None:
    """Who waited for the lock of a file that was put aside takes the new one."""
    path = tmp_path / "letters.jsonl"
    writers = [
        subprocess.Popen([sys.executable, "-c", _ROTATING_WRITER, str(path), str(number)])
        for number in range(3)
    ]
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    older = path.with_name("letters.jsonl.1")
    lines = [*older.read_text().splitlines(), *path.read_text().splitlines()]
    # Each file but the last is full when it is put aside: twelve lines of eight bytes.
    assert len(older.read_text().splitlines()) == 12
    assert len(lines) == len(set(lines)) == 12 + (300 % 12 or 12)


_ROTATING_WRITER = """
import sys
from pathlib import Path
from streamd.sinks.jsonl import append_lines
for n in range(100):
    append_lines(Path(sys.argv[1]), [b'"%d%04d"' % (int(sys.argv[2]), n)], max_bytes=96)
"""
