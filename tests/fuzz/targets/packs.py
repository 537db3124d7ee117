"""Descriptions of users' own networks: read, or PackFormatError that names the file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from processors.errors import PackFormatError
from processors.labels.options import read_options
from processors.models.catalog import CATALOG_FILE, read_pack
from tests.fuzz.target import holds

_FOLDER = tempfile.TemporaryDirectory(prefix="fuzz-packs-")
FILE = Path(_FOLDER.name) / "porch.toml"


def run(data: bytes) -> None:
    """The whole input is the file."""
    FILE.write_bytes(data)
    try:
        pack = read_pack(FILE)
        if pack.kind == "labels":
            read_options(pack)
    except PackFormatError as error:
        holds(str(error))


def seeds() -> Iterator[bytes]:
    """Yield the example of the documentation and the tables of our own packs."""
    yield b"""kind = "labels"
family = "yolov8"
files = [{ name = "porch.onnx", role = "detector" }, { name = "c.txt", role = "classes" }]
[options]
classes = ["person", "parcel"]
input = { size = [640, 640], mean = [0, 0.0, 1], fit = "stretch" }
[options.labels.PERSON]
classes = ["person"]
threshold = 0.35
sure = 0.7
[options.labels.PACKAGE]
classes = ["parcel"]
threshold = 0.4
overlap = 0.6
overlap_of = "smaller"
"""
    for table in CATALOG_FILE.read_text(encoding="utf-8").split("[[pack]]")[1:]:
        # A description of a user is such a table in a file of its own.
        yield table.replace("[[pack.files]]", "[[files]]").replace("[pack.", "[").encode()
