"""Frames become face-search records, one each, or one object a fragment where they go to S3."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from processors.faces.analyzer import FaceAnalyzer
from processors.geometry import Box
from processors.picture import Picture
from processors.results import DetectedFace
from streamd.metrics import Metrics
from streamd.pipeline.collection_search import CollectionSearch
from streamd.pipeline.errors import SessionFailedError
from streamd.pipeline.face_search import FaceSearchAnalysis
from streamd.pipeline.progress import SessionProgress
from streamd.resources import RegionOfInterest, S3Output
from streamd.store import NotFoundError
from tests.support.analysis import PICTURE, SESSION, position, processor_of
from tests.support.rekognition import make_face
from tests.support.store import FACE_SEARCH
from tests.support.store import make_face as stored_face

PROGRESS = SessionProgress(session_id="s-1")
LEFT, RIGHT = make_face(left=0.1, confidence=98.0), make_face(left=0.7, confidence=97.0)


class Faces:
    """An analyzer that finds what it is told to; vectors are numbered."""

    def __init__(self, *found: DetectedFace) -> None:
        self.found = list(found)
        self.embedded: list[int] = []
        self.regions: list[Box] = []

    def detect(self, picture: Picture, *, region: Box) -> list[DetectedFace]:
        assert picture is PICTURE
        self.regions.append(region)
        return self.found

    def embed(self, picture: Picture, faces: Sequence[DetectedFace]) -> NDArray[np.float32]:
        assert picture is PICTURE
        self.embedded.append(len(faces))
        return np.stack([np.full(4, face.box.left, np.float32) for face in faces])

    def similarity_percent(self, distance: float) -> float:
        return 100.0 - 100.0 * distance


class People:
    """A search that knows faces on the left of the picture."""

    def __init__(self) -> None:
        self.is_gone = False

    def search(self, *args: Any, **options: Any) -> list[list[tuple[Any, float]]]:
        if self.is_gone:
            raise NotFoundError("collection", "people")
        assert args[:2] == ("111122223333", "people")
        assert options["threshold_percent"] == 80.0
        face, _ = stored_face(1)
        return [[(face, 99.0)] if vector[0] < 0.5 else [] for vector in args[2]]


def analysis(
    analyzer: Faces, *, people: People | None = None, follows: bool = False, **changes: Any
) -> FaceSearchAnalysis:
    return FaceSearchAnalysis(
        processor=processor_of(FACE_SEARCH, **changes),
        session=SESSION,
        analyzer=cast(FaceAnalyzer, analyzer),
        search=cast(CollectionSearch, people or People()),
        region_min_overlap=0.5,
        follows_faces=follows,
        skips_still=False,
        metrics=Metrics(CollectorRegistry()),
    )


def records(made: FaceSearchAnalysis, *offsets_ms: int) -> list[dict[str, Any]]:
    """The records of frames of one fragment."""
    items = [
        item
        for offset in offsets_ms
        for item in made.analyze(PICTURE, position(1, offset), progress=PROGRESS, arrived_ms=7)
    ]
    return [json.loads(item.body) for item in items]


def test_each_frame_makes_a_record_of_all_its_faces() -> None:
    """Known or not; a frame without faces makes an empty one."""
    analyzer = Faces(LEFT, RIGHT)
    [record] = records(analysis(analyzer), 0)
    assert [len(face["MatchedFaces"]) for face in record["FaceSearchResponse"]] == [1, 0]
    analyzer.found = []
    [empty] = records(analysis(analyzer), 200)
    assert empty["FaceSearchResponse"] == []
    assert empty["InputInformation"]["KinesisVideo"]["FragmentNumber"] == "1"


def test_records_of_a_fragment_are_one_object_in_s3() -> None:
    """They are kept until it is done; those of one that was cut short come at the end."""
    made = analysis(Faces(LEFT), output=S3Output(bucket="b", key_prefix="p"))
    assert records(made, 0, 200) == []
    made.analyze(PICTURE, position(2), progress=PROGRESS, arrived_ms=7)
    [first] = made.fragment_done("1", progress=PROGRESS)
    assert (first.kind, first.target) == ("s3", "b")
    assert first.key.startswith("p/door/s-1/")
    assert len(first.body.splitlines()) == 2
    assert made.fragment_done("1", progress=PROGRESS) == []
    [rest] = made.finish(progress=PROGRESS, failure=None)
    assert len(rest.body.splitlines()) == 1


def test_faces_outside_the_regions_are_not_looked_at() -> None:
    """Only the regions' part of the picture is analysed, and a face must overlap one."""
    analyzer = Faces(LEFT, RIGHT)
    region = RegionOfInterest(bounding_box=(0.0, 0.0, 0.5, 1.0))
    [record] = records(analysis(analyzer, regions_of_interest=(region,)), 0)
    assert len(record["FaceSearchResponse"]) == 1
    assert analyzer.regions == [Box(left=0.0, top=0.0, width=0.5, height=1.0)]
    assert analyzer.embedded == [1]


def test_followed_faces_are_embedded_once() -> None:
    """Their records have the same match; a frame's new face is embedded alone."""
    analyzer = Faces(LEFT)
    made = analysis(analyzer, follows=True)
    both = records(made, 0, 200)
    assert analyzer.embedded == [1]
    assert both[0]["FaceSearchResponse"][0]["MatchedFaces"]
    assert both[0]["FaceSearchResponse"] == both[1]["FaceSearchResponse"]
    analyzer.found = [LEFT, RIGHT]
    records(made, 400)
    assert analyzer.embedded == [1, 1]


def test_a_collection_that_is_gone_fails_the_session() -> None:
    """In AWS's words, which become the StatusMessage."""
    people = People()
    people.is_gone = True
    with pytest.raises(SessionFailedError, match="Collection not found"):
        records(analysis(Faces(LEFT), people=people), 0)


def test_it_says_whether_it_found_anything() -> None:
    """The gate goes by that."""
    analyzer = Faces(LEFT)
    made = analysis(analyzer)
    records(made, 0)
    assert made.has_found
    analyzer.found = []
    records(made, 200)
    assert not made.has_found
