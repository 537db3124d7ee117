"""The real models and media that lie beside the repository, for tests marked ``shared``.

``STREAMD_SHARED`` names the folder; without it, ``shared`` beside the repository is used.
Tests that need it say ``pytestmark = needs_shared`` and are skipped where it is absent.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from processors.picture import ArrayPicture

__all__ = [
    "MEDIA",
    "MODELS",
    "needs_shared",
    "sampled_frames",
    "shared_photo",
    "video_facts",
]

_DEFAULT = Path(__file__).parents[2].parent / "shared"
SHARED = Path(os.environ.get("STREAMD_SHARED", _DEFAULT)).absolute()
MODELS = SHARED / "models"
MEDIA = SHARED / "media"

needs_shared = [
    pytest.mark.shared,
    pytest.mark.skipif(
        not (MODELS / "manifest.json").is_file(),
        reason=f"no models and media in {SHARED}; set STREAMD_SHARED",
    ),
]


def shared_photo(name: str) -> ArrayPicture:
    """Read a photo by its path under the media folder."""
    with Image.open(MEDIA / name) as image:
        return ArrayPicture(np.asarray(image.convert("RGB"), dtype=np.uint8))


def video_facts(name: str) -> dict[str, Any]:
    """Return what ``video.json`` says is in a clip."""
    clips = json.loads((MEDIA / "video.json").read_text())
    return next(cast("dict[str, Any]", each) for each in clips if each["file"] == f"video/{name}")


def sampled_frames(name: str, *, every_seconds: float) -> Iterator[tuple[float, ArrayPicture]]:
    """Yield (seconds, picture) of a clip; times follow the frame rate where it has none."""
    facts = video_facts(name)
    due = 0.0
    with av.open(str(MEDIA / "video" / name)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            seconds = index / facts["fps"] if frame.time is None else frame.time
            if seconds < due - 1e-6:
                continue
            due += every_seconds
            yield seconds, ArrayPicture(cast("NDArray[np.uint8]", frame.to_ndarray(format="rgb24")))
