"""Model packs: which there are, whether their files are in order, fetching and loading them."""

from __future__ import annotations

import enum
import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from processors.errors import PackError, PackFileError
from processors.models.catalog import Pack, PackFile, catalog, find_pack, read_pack
from processors.models.pull import pull_file
from processors.models.runtime import RuntimeOptions

if TYPE_CHECKING:
    from processors.faces.analyzer import FaceAnalyzer
    from processors.labels import LabelAnalyzer

__all__ = [
    "Pack",
    "PackFile",
    "PackState",
    "PackStatus",
    "best_label_pack",
    "catalog",
    "find_pack",
    "load_face_analyzer",
    "load_label_analyzer",
    "pack_state",
    "pull_pack",
    "read_pack",
    "verified_files",
]

_CHUNK_BYTES = 1 << 20


class PackStatus(enum.Enum):
    """Whether a pack can be loaded."""

    READY = "ready"
    """Every file is there and has its hash."""
    MISSING = "missing"
    """Files are not in the models directory."""
    DAMAGED = "damaged"
    """Files differ from their hash."""
    NOT_INSTALLED = "not installed"
    """The Python packages that carry the files are not installed."""


@dataclass(frozen=True, kw_only=True)
class PackState:
    """Whether a pack can be loaded, and what to do if not."""

    status: PackStatus
    files: tuple[str, ...] = ()
    """The files that are not in order."""
    advice: str = ""
    """The command that mends it; empty when nothing needs mending or none can."""


def pack_state(pack: Pack, models_dir: Path) -> PackState:
    """Check every file of a pack against its hash."""
    missing = tuple(f.name for f in pack.files if _find(pack, f, models_dir) is None)
    if missing and pack.requirements:
        wanted = " ".join(f"'{requirement}'" for requirement in pack.requirements)
        return PackState(
            status=PackStatus.NOT_INSTALLED, files=missing, advice=f"pip install {wanted}"
        )
    if missing:
        return PackState(status=PackStatus.MISSING, files=missing, advice=_pull_command(pack))
    damaged = tuple(f.name for f in pack.files if not _intact(pack, f, models_dir))
    if damaged:
        return PackState(status=PackStatus.DAMAGED, files=damaged, advice=_repair_command(pack))
    return PackState(status=PackStatus.READY)


def verified_files(pack: Pack, models_dir: Path) -> dict[str, Path]:
    """Return the files of a pack by role, each checked against its hash.

    Raises:
        PackFileError: If a file is missing or damaged; it carries the command that helps.

    """
    state = pack_state(pack, models_dir)
    if state.status is not PackStatus.READY:
        raise PackFileError(pack.name, state.files, state.status.value, advice=state.advice)
    located = ((f.role, _find(pack, f, models_dir)) for f in pack.files)
    return {role: path for role, path in located if path is not None}


def pull_pack(
    pack: Pack,
    models_dir: Path,
    *,
    mirror: str | None,
    progress: Callable[[PackFile, int], None] = lambda _file, _bytes: None,
) -> None:
    """Fetch what is missing or damaged of a pack into the models directory.

    Args:
        pack: The pack.
        models_dir: Made if it does not exist.
        mirror: Directory, ``file:`` or http(s) URL that holds the files under their names;
            ``None``: their official addresses.
        progress: Called with the file and the bytes of it that are here so far.

    Raises:
        PackFileError: If the pack comes in Python packages that are not installed.
        PullError: If a file could not be fetched, or what came differs from its hash.

    """
    if pack.requirements or pack.folder is not None:
        verified_files(pack, models_dir)  # nothing to fetch: say what to do, if anything
        return
    models_dir.mkdir(parents=True, exist_ok=True)
    for file in pack.files:
        if _find(pack, file, models_dir) is not None and _intact(pack, file, models_dir):
            progress(file, file.size_bytes or 0)
            continue
        pull_file(file, models_dir, mirror=mirror, progress=progress)


def load_face_analyzer(
    name: str, models_dir: Path, options: RuntimeOptions | None = None
) -> FaceAnalyzer:
    """Load a face pack; share the result between threads, it is large.

    Raises:
        UnknownPackError: If there is no such pack.
        PackFileError: If its files are not in order.
        ModelError: If its networks cannot be loaded.

    """
    from processors.faces import analyzer  # noqa: PLC0415 - it builds on this module

    pack = find_pack(name)
    if pack.kind != "faces":
        raise PackError(f"model pack {name!r} finds {pack.kind}, not faces")
    return analyzer.build(pack, verified_files(pack, models_dir), options or RuntimeOptions())


def load_label_analyzer(
    name: str,
    models_dir: Path,
    options: RuntimeOptions | None = None,
    *,
    faces: Callable[[], FaceAnalyzer],
) -> LabelAnalyzer:
    """Load a label pack.

    Args:
        name: A pack of the catalog, the path of a ``.toml`` description, or ``auto``:
            the first pack of the catalog that is ready, else PERSON from faces.
        models_dir: Where pulled files lie.
        options: How networks run.
        faces: Gives the face analyzer; called only where a pack derives labels from faces.

    Raises:
        UnknownPackError: If there is no such pack.
        PackFileError: If its files are not in order.
        ModelError: If its networks cannot be loaded.

    """
    from processors import labels  # noqa: PLC0415 - it builds on this module

    pack = best_label_pack(models_dir) if name == "auto" else find_pack(name)
    if pack.kind != "labels":
        raise PackError(f"model pack {name!r} finds {pack.kind}, not labels")
    files = verified_files(pack, models_dir)
    return labels.build(pack, files, options or RuntimeOptions(), faces=faces)


def best_label_pack(models_dir: Path) -> Pack:
    """Return the first label pack of the catalog that is ready and not experimental."""
    for pack in catalog():
        if pack.kind != "labels" or pack.experimental:
            continue
        if pack_state(pack, models_dir).status is PackStatus.READY:
            return pack
    return find_pack("faces")


def _find(pack: Pack, file: PackFile, models_dir: Path) -> Path | None:
    if file.package is not None:
        folder = _package_folder(file.package)
        path = None if folder is None else folder / file.name
    else:
        path = (pack.folder or models_dir) / file.name
    return path if path is not None and path.is_file() else None


def _package_folder(package: str) -> Path | None:
    """Find a package's folder without importing it: importing mtcnn starts TensorFlow."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _intact(pack: Pack, file: PackFile, models_dir: Path) -> bool:
    path = _find(pack, file, models_dir)
    if path is None:
        return False
    if file.size_bytes is not None and path.stat().st_size != file.size_bytes:
        return False
    return file.sha256 is None or _sha256(path) == file.sha256


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _pull_command(pack: Pack) -> str:
    return "" if pack.folder is not None else f"streamd models pull {pack.name}"


def _repair_command(pack: Pack) -> str:
    if not pack.requirements:
        return _pull_command(pack)
    wanted = " ".join(f"'{requirement}'" for requirement in pack.requirements)
    return f"pip install --force-reinstall --no-deps {wanted}"
