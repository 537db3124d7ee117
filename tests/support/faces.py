"""Pictures with faces, and the face packs that find them."""

from __future__ import annotations

import functools
import importlib.util
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from processors.faces.analyzer import FaceAnalyzer
from processors.models.packs import PackStatus, find_pack, load_face_analyzer, pack_state
from processors.picture import ArrayPicture

__all__ = ["astronaut", "face_analyzer", "jpeg", "load", "models_dir", "portrait", "shared_dir"]

_ROOT = Path(__file__).parents[2]


def shared_dir() -> Path:
    """Return the folder with real models and media, or skip the test."""
    folder = (_ROOT / os.environ.get("STREAMD_SHARED", "../shared")).resolve()
    if not (folder / "media" / "README.md").is_file():
        pytest.skip(f"needs the models and media of STREAMD_SHARED, nothing in {folder}")
    return folder


def models_dir() -> Path:
    """Return the folder with real models, or skip the test."""
    return shared_dir() / "models"


@functools.cache
def face_analyzer(name: str) -> FaceAnalyzer:
    """Return a face pack, loaded once for all tests, or skip the test."""
    folder = Path("nowhere") if name == "builtin" else models_dir()
    state = pack_state(find_pack(name), folder)
    if state.status is PackStatus.NOT_INSTALLED:
        pytest.skip(f"face pack {name} is not installed: {state.advice}")
    return load_face_analyzer(name, folder)


def portrait() -> Image.Image:
    """Return the photograph of an astronaut that ships with scikit-image, 512 x 512."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        pytest.skip("needs scikit-image, which carries the photograph")
    with Image.open(Path(spec.origin).parent / "data" / "astronaut.png") as image:
        return image.convert("RGB")


def astronaut() -> ArrayPicture:
    """Return the astronaut as a picture: one face, 87 px wide."""
    return ArrayPicture(np.asarray(portrait()))


def load(path: Path) -> ArrayPicture:
    """Read a picture file."""
    with Image.open(path) as image:
        return ArrayPicture(np.asarray(image.convert("RGB")))


def jpeg(picture: Image.Image, **options: Any) -> dict[str, Any]:
    """Return a picture as the ``Image`` member of a request, options being Pillow's."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92, **options)
    return {"Bytes": buffer.getvalue()}
