"""DetectionAttributes: every attribute may be asked for; what no network tells is absent."""

from __future__ import annotations

import io
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from PIL import Image

from tests.support.rekognition import Endpoint, make_face

SERVICE = botocore.session.get_session().get_service_model("rekognition")
ATTRIBUTES = SERVICE.shape_for("Attribute").metadata["enum"]
ALWAYS = {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}


def image() -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.new("RGB", (200, 200), "white").save(buffer, "PNG")
    return {"Bytes": buffer.getvalue()}


@pytest.fixture(scope="module", autouse=True)
def one_face(endpoint: Endpoint, client: Any) -> None:
    """A collection, and one face in every image."""
    client.create_collection(CollectionId="people")
    endpoint.analyzer.found = [(make_face(), [1.0, 0.0, 0.0, 0.0])]


@pytest.mark.parametrize(
    "attributes", [[each] for each in ATTRIBUTES] + [[], ["ALL", "DEFAULT"], ATTRIBUTES], ids=str
)
def test_what_cannot_be_told_is_absent(client: Any, attributes: list[str]) -> None:
    """Whatever is asked for, the answer is normal and holds what AWS always gives."""
    answer = client.index_faces(
        CollectionId="people", Image=image(), DetectionAttributes=attributes
    )
    [record] = answer["FaceRecords"]
    assert set(record["FaceDetail"]) == ALWAYS


def test_faces_that_are_not_stored(client: Any) -> None:
    """What is told of a face that is too poor is the same."""
    answer = client.index_faces(
        CollectionId="people",
        Image=image(),
        DetectionAttributes=["ALL"],
        QualityFilter="HIGH",
    )
    [unindexed] = answer["UnindexedFaces"]
    assert unindexed["Reasons"] == ["SMALL_BOUNDING_BOX"]
    assert set(unindexed["FaceDetail"]) == ALWAYS


def test_unknown_attributes_are_refused(client: Any) -> None:
    """An attribute that is not in the service description is an error."""
    with pytest.raises(ClientError) as caught:
        client.index_faces(
            CollectionId="people", Image=image(), DetectionAttributes=["DEFAULT", "HAIR"]
        )
    assert caught.value.response["Error"]["Code"] == "InvalidParameterException"
