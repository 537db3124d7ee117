"""The errors of this library.

::

    ModelError                 a network or its files cannot be used
    ├── NetworkError           the runtime refused a network or its inputs
    └── PackError              a model pack cannot be used
        ├── UnknownPackError   no pack of that name                       (also LookupError)
        ├── PackFormatError    a pack's description is wrong              (also ValueError)
        ├── PackFileError      a file is missing, damaged or not readable
        └── PullError          a file could not be fetched
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "ModelError",
    "NetworkError",
    "PackError",
    "PackFileError",
    "PackFormatError",
    "PullError",
    "UnknownPackError",
]


class ModelError(Exception):
    """A network or its files cannot be used."""


class NetworkError(ModelError):
    """The runtime refused a network, its inputs, or the device it should run on."""


class PackError(ModelError):
    """A model pack cannot be used."""


class UnknownPackError(PackError, LookupError):
    """There is no pack of that name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"no model pack is called {name!r}, there are {', '.join(known)}")
        self.name = name


class PackFormatError(PackError, ValueError):
    """The description of a pack, or a weights file inside it, does not follow its format."""


class PackFileError(PackError):
    """Files of a pack are missing, differ from their sha256 or cannot be read."""

    def __init__(self, pack: str, files: Sequence[str], reason: str, *, advice: str = "") -> None:
        text = f"model pack {pack!r}: {reason}: {', '.join(files)}"
        super().__init__(f"{text}; run: {advice}" if advice else text)
        self.pack = pack
        self.files = tuple(files)
        self.advice = advice


class PullError(PackError):
    """A file of a pack could not be fetched from its source."""
