"""Tests that take long, or need root: part of ``STREAMD_FAULTS=long``, not of every run."""

from __future__ import annotations

import os

import pytest

__all__ = ["long_form"]

long_form = pytest.mark.skipif(
    os.environ.get("STREAMD_FAULTS") != "long", reason="long form, with STREAMD_FAULTS=long"
)
