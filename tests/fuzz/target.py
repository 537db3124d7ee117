"""What a target is, where its inputs lie, and how an input is cut into pieces."""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

__all__ = ["REGRESSIONS", "TARGETS", "Target", "holds", "load", "pieces", "regressions"]

REGRESSIONS: Final = Path(__file__).parent / "regressions"
"""Inputs that ever failed, a folder a target."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target: its module in ``targets`` and what is watched for coverage."""

    name: str
    watches: tuple[str, ...]
    """Packages whose branches guide the search."""
    max_bytes: int = 4096
    """Longest input that is tried."""


TARGETS: Final = {
    target.name: target
    for target in (
        Target("aws_json", ("streamd.protocol", "json")),
        Target("rest_json", ("streamd.protocol", "json")),
        Target("sigv4", ("streamd.protocol",)),
        Target("put_media_head", ("streamd.gateway",)),
        Target("mkv", ("streamd.kvs",), max_bytes=8192),
        Target("get_media", ("streamd.kvs",), max_bytes=8192),
        Target("put_media", ("streamd.kvs", "streamd.gateway"), max_bytes=8192),
        Target("acks", ("streamd.kvs",)),
        Target("image", ("streamd.api", "PIL"), max_bytes=32768),
        Target("tokens", ("streamd.api", "streamd.gateway")),
        Target("packs", ("processors", "tomllib")),
        Target("bitstream", ("streamd.producer", "streamd.kvs")),
        Target("heads", ("streamd.gate", "streamd.kvs")),
    )
}


class _Module(Protocol):
    def run(self, data: bytes) -> None:
        """Try one input; raises where something does not hold."""

    def seeds(self) -> Iterable[bytes]:
        """Return inputs to begin with."""


def load(name: str) -> _Module:
    """Return a target's module, imported now: its imports may be watched."""
    return cast(_Module, importlib.import_module(f"tests.fuzz.targets.{name}"))


def regressions(name: str) -> list[Path]:
    """Return the inputs of a target that ever failed."""
    return sorted(path for path in (REGRESSIONS / name).glob("*") if path.is_file())


def pieces(data: bytes, seed: int) -> Iterator[bytes]:
    """Cut bytes into pieces as a network might; the seed says how, 0: not at all."""
    if not seed:
        yield data
        return
    chance, pos = random.Random(seed), 0
    while pos < len(data):
        size = chance.choice((1, 2, 3, 7, 30, 200, 1500))
        yield data[pos : pos + size]
        pos += size


def holds(condition: object, what: object = "") -> None:
    """Fail unless the condition is true: an assertion, for places where it reads oddly."""
    assert condition, what
