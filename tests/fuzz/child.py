"""One target in a process of its own, guided by the branches it takes: run by ``__main__``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from tests.fuzz.target import TARGETS, load


def main(name: str, options: list[str]) -> None:
    """Fuzz until libFuzzer's options say stop; never returns."""
    atheris: Any = importlib.import_module("atheris")  # an extra, and without types
    # Before the target is imported: only modules imported inside are watched.
    with atheris.instrument_imports(include=list(TARGETS[name].watches)):
        run: Callable[[bytes], Any] = load(name).run
    atheris.Setup([sys.argv[0], *options], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
