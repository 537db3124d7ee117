"""What a model pack is, and the catalog that lists them; nothing here reads a network."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from processors.errors import PackFormatError, UnknownPackError

__all__ = ["Pack", "PackFile", "catalog", "find_pack", "read_pack"]

CATALOG_FILE = Path(__file__).with_name("catalog.toml")
KINDS = ("faces", "labels")
# The service's FaceModelVersion follows this pattern.
_VERSION = re.compile(r"[0-9.]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class PackFile:
    """One file of a pack."""

    name: str
    """File name in the models directory, or the path inside ``package``."""
    role: str
    """What the pack's family calls it: ``detector``, ``embedder``, ``pose``, ..."""
    sha256: str | None
    """Expected hash in hex; ``None`` only in a description written by the user."""
    size_bytes: int | None
    """Expected size; ``None`` only in a description written by the user."""
    licence: str
    """SPDX name, or a sentence where there is none."""
    source: str
    """Where it comes from, for people."""
    url: str | None = None
    """Official address; ``None`` where only a mirror can give it."""
    package: str | None = None
    """Python package that carries the file; it is found, never imported."""

    def __post_init__(self) -> None:
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise PackFormatError(f"file {self.name!r} needs a sha256 in lower-case hex")
        if self.url is not None and not self.url.startswith("https://"):
            raise PackFormatError(f"file {self.name!r} needs an https url, got {self.url!r}")


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Networks that work together, their files, and the constants that belong to them."""

    name: str
    kind: str
    """``faces`` or ``labels``."""
    version: str
    """For a face pack the collection's FaceModelVersion: vectors of two versions never mix."""
    family: str
    """Which code decodes it."""
    title: str
    licence: str
    files: tuple[PackFile, ...] = ()
    labels: tuple[str, ...] = ()
    """For a label pack, which of PERSON, PET, PACKAGE it can tell."""
    note: str = ""
    experimental: bool = False
    """Never chosen unless named."""
    requirements: tuple[str, ...] = ()
    """Python packages that carry the files, as pip writes them."""
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Thresholds, sizes, templates, label maps, calibration: read by the family's code."""
    folder: Path | None = None
    """Where the files of a user's own pack lie; ``None``: the models directory."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PackFormatError(f"pack {self.name!r} needs kind faces or labels, got {self.kind}")
        if not _VERSION.fullmatch(self.version):
            raise PackFormatError(f"pack {self.name!r} needs a version of digits and dots")
        roles = [file.role for file in self.files]
        if len(set(roles)) != len(roles):
            raise PackFormatError(f"pack {self.name!r} names a role twice: {', '.join(roles)}")


@functools.cache
def catalog() -> tuple[Pack, ...]:
    """Return all packs, best first within a kind."""
    entries = tomllib.loads(CATALOG_FILE.read_text(encoding="utf-8"))["pack"]
    packs = tuple(_parse(entry, folder=None) for entry in entries)
    names = [pack.name for pack in packs]
    assert len(set(names)) == len(names), f"a pack is listed twice: {names}"
    for pack in packs:
        assert all(file.sha256 and file.size_bytes for file in pack.files), pack.name
    return packs


def find_pack(name: str) -> Pack:
    """Return the pack of that name, or the one described by the ``.toml`` file ``name``.

    Raises:
        UnknownPackError: If the catalog has no such pack.
        PackFormatError: If the description cannot be read.

    """
    if name.endswith(".toml"):
        return read_pack(Path(name))
    for pack in catalog():
        if pack.name == name:
            return pack
    raise UnknownPackError(name, [pack.name for pack in catalog()])


def read_pack(path: Path) -> Pack:
    """Read a user's description of a pack: one ``[[pack]]``-like table in a file of its own.

    The files lie beside it unless their names are absolute; ``sha256`` and ``size_bytes``
    may be left out.

    Raises:
        PackFormatError: If it cannot be read, or something is missing or unknown.

    """
    try:
        entry = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PackFormatError(f"cannot read the pack description {path}: {error}") from error
    defaults = {"name": path.stem, "version": "0", "licence": "not stated", "title": path.stem}
    return _parse(defaults | entry, folder=path.resolve().parent)


def _parse(entry: Mapping[str, Any], *, folder: Path | None) -> Pack:
    values = dict(entry)
    optional = {"sha256": None, "size_bytes": None, "licence": "not stated", "source": "local"}
    try:
        files = tuple(
            PackFile(**((optional if folder else {}) | file)) for file in values.pop("files", [])
        )
        # A user's label pack tells the labels its options describe.
        values.setdefault("labels", values.get("options", {}).get("labels", ()))
        for key in ("labels", "requirements"):
            values[key] = tuple(values.get(key, ()))
        values["options"] = MappingProxyType(values.get("options", {}))
        return Pack(files=files, folder=folder, **values)
    except (TypeError, AttributeError) as error:
        raise PackFormatError(f"pack {values.get('name')!r}: {error}") from error
