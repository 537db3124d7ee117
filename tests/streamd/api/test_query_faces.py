"""The faces of a request's image."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from processors.faces.analyzer import FaceAnalyzer
from streamd.api.images import ImageReader
from streamd.api.query_faces import QueryFaces
from streamd.protocol.errors import ServiceError
from tests.support.rekognition import Bucket, ScriptedAnalyzer, make_face


async def _run(function: Callable[..., Any], *args: object) -> Any:
    return function(*args)


@pytest.fixture
def query() -> QueryFaces:
    images = ImageReader(objects=Bucket(), run_blocking=_run, run_analysis=_run)
    return QueryFaces(images=images, run_analysis=_run)


@pytest.fixture
def image() -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((200, 200, 3), dtype=np.uint8)).save(buffer, "PNG")
    return {"Bytes": buffer.getvalue()}


@pytest.fixture
def analyzer() -> ScriptedAnalyzer:
    """A face of 60 px, one of 40 px, and one of 80 px that is too dark and blurred."""
    analyzer = ScriptedAnalyzer()
    analyzer.found = [
        (make_face(size=0.3), (0.0, 0.0, 0.0, 0.0)),
        (make_face(size=0.2), (1.0, 0.0, 0.0, 0.0)),
        (make_face(size=0.4, sharpness=0.0, brightness=0.0), (2.0, 0.0, 0.0, 0.0)),
    ]
    return analyzer


async def test_the_largest_face_unless_all_are_wanted(
    query: QueryFaces, analyzer: ScriptedAnalyzer, image: dict[str, Any]
) -> None:
    """A request that names no QualityFilter gets none: a dark face counts, too."""
    one = await query.read(cast(FaceAnalyzer, analyzer), {"Image": image})
    every = await query.read(
        cast(FaceAnalyzer, analyzer), {"TargetImage": image}, "TargetImage", largest_only=False
    )
    assert one.vectors[:, 0].tolist() == [2.0]
    assert every.vectors[:, 0].tolist() == [2.0, 0.0, 1.0]


async def test_the_filter_of_the_request_holds(
    query: QueryFaces, analyzer: ScriptedAnalyzer, image: dict[str, Any]
) -> None:
    """The dark face and the small one are told apart."""
    params = {"Image": image, "QualityFilter": "HIGH"}
    analysis = await query.read(cast(FaceAnalyzer, analyzer), params)
    assert analysis.vectors[:, 0].tolist() == [0.0]
    assert len(analysis.dropped) == 2


async def test_a_bad_image_is_refused(query: QueryFaces, analyzer: ScriptedAnalyzer) -> None:
    """Before any network looks at it."""
    with pytest.raises(ServiceError, match="image"):
        await query.read(cast(FaceAnalyzer, analyzer), {"Image": {"Bytes": b"no picture"}})
    assert analyzer.pictures == []
