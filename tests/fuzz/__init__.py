"""Fuzzing: what strangers send, changed at random, against what must hold for any bytes.

Each module in :mod:`tests.fuzz.targets` is one target. ``python -m tests.fuzz`` (``make fuzz``)
runs them guided by coverage; the test suite runs each for a moment and replays every input
that ever failed, kept in ``regressions/TARGET/``.
"""
