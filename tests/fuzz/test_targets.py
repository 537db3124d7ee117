"""Every target for a moment: its seeds changed at random, and every input that ever failed."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.target import REGRESSIONS, TARGETS, load, regressions

KEPT = [(name, path) for name in TARGETS for path in regressions(name)]


@functools.cache
def seeds_of(name: str) -> tuple[bytes, ...]:
    return tuple(load(name).seeds())


def changed(name: str) -> st.SearchStrategy[bytes]:
    """Seeds with a few bytes replaced, cut out or put in; now and then bytes from nowhere."""

    def apply(seed: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
        data = bytearray(seed)
        for at, removed, added in changes:
            pos = at % (len(data) + 1)
            data[pos : pos + removed] = added
        return bytes(data)

    change = st.tuples(st.integers(0, 1 << 16), st.integers(0, 8), st.binary(max_size=8))
    mutated = st.builds(apply, st.sampled_from(seeds_of(name)), st.lists(change, max_size=4))
    return mutated | st.binary(max_size=200)


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_read_or_refused(name: str) -> None:
    """Seeds hold, and so does whatever is made of them."""
    run = load(name).run
    for seed in seeds_of(name):
        run(seed)

    @settings(
        max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(changed(name))
    def look(data: bytes) -> None:
        run(data)

    look()


@pytest.mark.parametrize(("name", "path"), KEPT, ids=[f"{name}-{path.name}" for name, path in KEPT])
def test_inputs_that_failed_once_hold_now(name: str, path: Path) -> None:
    """What ever broke a target is kept, and breaks it no more."""
    load(name).run(path.read_bytes())


def test_kept_inputs_belong_to_a_target() -> None:
    """A folder of failed inputs has the name of a target: none is forgotten."""
    folders = {path.name for path in REGRESSIONS.iterdir() if path.is_dir()}
    assert folders <= set(TARGETS)
