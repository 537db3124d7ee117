"""Limits of open files, in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest


def _in_process(limits: str, code: str) -> str:
    program = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, {limits})\n"
        "from streamd.descriptors import connections_allowed, take_all\n" + code
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return done.stdout.decode().strip()


def test_soft_limit_is_raised_to_the_hard_one() -> None:
    """The daemon uses what the system grants."""
    code = "take_all(); take_all(); print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    assert _in_process("(64, 200)", code) == "(200, 200)"


@pytest.mark.parametrize(("limit", "allowed"), [(1024, 864), (200, 50), (64, 16)])
def test_connections_leave_descriptors_for_the_rest(limit: int, allowed: int) -> None:
    """Some are kept back; where there are few, a quarter is for connections."""
    code = "print(connections_allowed())"
    assert _in_process(f"({limit}, {limit})", code) == str(allowed)
