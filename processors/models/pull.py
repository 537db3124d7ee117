"""Fetching one file of a pack: checked while it comes, in place only when it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import logging
import os
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from processors.errors import PullError
from processors.models.catalog import PackFile

__all__ = ["pull_file"]

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 30.0
_CHUNK_BYTES = 1 << 18


def pull_file(
    file: PackFile,
    models_dir: Path,
    *,
    mirror: str | None,
    progress: Callable[[PackFile, int], None],
) -> None:
    """Fetch ``file`` into ``models_dir``, replacing what is there only by a checked copy.

    Raises:
        PullError: If it cannot be fetched, or what came differs from its hash.

    """
    address = _address(file, mirror)
    target = models_dir / file.name
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".part", dir=models_dir)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as sink, _opened(file, address) as source:
            _copy(file, source, sink, address, progress)
            sink.flush()
            os.fsync(sink.fileno())
        part.chmod(0o644)  # mkstemp makes it private; models are not
        part.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise PullError(f"cannot fetch {file.name} from {address}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    logger.info("pulled %s", file.name, extra={"file": file.name, "size_bytes": file.size_bytes})


def _address(file: PackFile, mirror: str | None) -> str:
    if mirror is not None:
        if _is_url(mirror):
            return f"{mirror.rstrip('/')}/{urllib.parse.quote(file.name)}"
        return str(Path(mirror) / file.name)
    if file.url is None:
        raise PullError(
            f"{file.name} has no official address of its own ({file.source}): "
            f"name a directory or URL that holds it as mirror"
        )
    return file.url


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://", "file://"))


def _opened(file: PackFile, address: str) -> contextlib.AbstractContextManager[BinaryIO]:
    if not _is_url(address):
        return Path(address).open("rb")
    try:
        # The scheme is http, https or file: checked above, or by the catalog.
        return urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS)  # type: ignore[no-any-return]  # noqa: S310
    except (urllib.error.URLError, ValueError) as error:
        raise PullError(f"cannot fetch {file.name} from {address}: {error}") from error


def _copy(
    file: PackFile,
    source: BinaryIO,
    sink: BinaryIO,
    address: str,
    progress: Callable[[PackFile, int], None],
) -> None:
    digest, received = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK_BYTES):
        received += len(chunk)
        if file.size_bytes is not None and received > file.size_bytes:
            raise PullError(f"{address} is longer than the {file.size_bytes} bytes expected")
        digest.update(chunk)
        sink.write(chunk)
        progress(file, received)
    if file.size_bytes is not None and received < file.size_bytes:
        raise PullError(f"{address} ended after {received} of {file.size_bytes} bytes")
    if file.sha256 is not None and digest.hexdigest() != file.sha256:
        raise PullError(
            f"{address} has sha256 {digest.hexdigest()}, expected {file.sha256}; nothing was kept"
        )
