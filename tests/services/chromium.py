"""A real Chromium: the machine's own, or one that travels in an npm package.

Debian and Ubuntu have it as ``chromium``; ``STREAMD_CHROMIUM`` names another one. Where there is
none, the build for serverless platforms of the npm package ``@sparticuz/chromium`` (MIT, Chromium
itself BSD-3-Clause) is unpacked into the user's cache folder, with the libraries and the font it
needs: 67 MB, once. ``python -m tests.services.chromium`` does that ahead. Where neither can be
had, the tests are skipped with that reason.
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.fetched import ServiceUnavailableError, fetched, tell

__all__ = ["Chromium", "chromium"]

PACKAGE, VERSION = "@sparticuz/chromium", "147.0.0"
SHA512 = "4ZKeAQQa8up2mt675qSitztLdbQrlf8BKdC5naeap+5Mv1OV1OlJdPoU+EJC/p5sQUJUQmN4r+q5+EhaaOUHpQ=="
"""Of the package's file, as the index tells it (``dist.integrity``)."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamd" / "services"
TARGET = CACHE / f"chromium-{VERSION}"
FETCH_SECONDS = 100.0
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_HINT = "install it (Debian and Ubuntu: apt install chromium)"
_UNPACK = """
const { brotliDecompressSync } = require("zlib");
const { readFileSync, writeFileSync } = require("fs");
for (const name of ["chromium", "swiftshader.tar", "al2023.tar", "fonts.tar"])
  writeFileSync(name, brotliDecompressSync(readFileSync(`package/bin/${name}.br`)));
"""


@dataclass(frozen=True, kw_only=True)
class Chromium:
    """A browser's program, and what its environment needs beside the test's own."""

    program: str
    env: dict[str, str] = field(default_factory=dict)


def chromium(*, insists: bool = False) -> Chromium:
    """Return a browser, fetched if the machine has none.

    Args:
        insists: Try to fetch it again, however short ago that has failed.

    Raises:
        ServiceUnavailableError: If there is none.

    """
    found = os.environ.get("STREAMD_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), "")
    if found:
        return Chromium(program=found)
    if not TARGET.exists() and (sys.platform != "linux" or platform.machine() != "x86_64"):
        raise ServiceUnavailableError(f"needs Chromium: {_HINT}")
    try:
        folder = fetched(TARGET, _fetch, tools=("npm", "node"), insists=insists)
    except ServiceUnavailableError as error:
        raise ServiceUnavailableError(f"needs Chromium: {_HINT}; {error}") from None
    env = {"LD_LIBRARY_PATH": str(folder / "lib"), "FONTCONFIG_PATH": str(folder)}
    return Chromium(program=str(folder / "chromium"), env=env)


def _fetch(folder: Path) -> None:
    folder.mkdir()
    _run("npm", "pack", f"{PACKAGE}@{VERSION}", "--silent", "--fetch-retries=1", folder=folder)
    packed = next(folder.glob("*.tgz"))
    if base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode() != SHA512:
        raise ServiceUnavailableError(f"{PACKAGE} {VERSION} is not the one these tests know")
    _extract(packed, folder)
    _run("node", "-e", _UNPACK, folder=folder)
    for name in ("swiftshader.tar", "al2023.tar", "fonts.tar"):
        _extract(folder / name, folder)
    shutil.rmtree(folder / "package")
    # Its own speaks of folders of AWS Lambda; relative ones begin at the file.
    (folder / "fonts.conf").write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        '<dir prefix="relative">fonts</dir><dir>/usr/share/fonts</dir>'
        '<cachedir prefix="xdg">fontconfig</cachedir></fontconfig>\n'
    )
    (folder / "chromium").chmod(0o755)


def _extract(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    archive.unlink()


def _run(*command: str, folder: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ServiceUnavailableError(f"{PACKAGE} was not there in time") from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        raise ServiceUnavailableError(f"{PACKAGE} cannot be had here: {command[0]}: {said}")


if __name__ == "__main__":
    sys.exit(tell(lambda: Path(chromium(insists=True).program)))
