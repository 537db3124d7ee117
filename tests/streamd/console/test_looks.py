"""Looks leave a line in the audit log, once in a while."""

from __future__ import annotations

import logging

import pytest
from aiohttp.test_utils import make_mocked_request

from streamd.config import AwsSettings
from streamd.console.looks import AGAIN_SECONDS, Looks
from tests.support.clock import ManualClock


def test_a_look_that_goes_on_leaves_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Another thing, or the same after ten minutes, leaves another."""
    clock = ManualClock()
    looks = Looks(aws=AwsSettings(), monotonic=clock.monotonic)
    request = make_mocked_request("GET", "/console/api/live")
    with caplog.at_level(logging.INFO, "streamd.audit"):
        for resource in ("a", "a", "b"):
            looks.note("WatchStreamProcessor", resource, request, "id")
        clock.advance(AGAIN_SECONDS + 1)
        looks.note("WatchStreamProcessor", "a", request, "id")
    lines = [(line.getMessage(), vars(line)["resources"]) for line in caplog.records]
    watch = "console:WatchStreamProcessor"
    assert lines == [(watch, ["a"]), (watch, ["b"]), (watch, ["a"])]
