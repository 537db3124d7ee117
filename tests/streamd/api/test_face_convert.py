"""Facts about the ids and the spelling of faces."""

from __future__ import annotations

import re
from typing import Any

from streamd.api.face_convert import face_detail_to_wire, face_to_wire, indexed_face
from streamd.resources import Face
from tests.support.rekognition import make_face

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def indexed(**changes: Any) -> Face:
    params = {"image_digest": b"d", "model_version": "1.0", "external_image_id": None}
    return indexed_face(changes.pop("face", make_face()), **{**params, **changes})


def test_ids_are_derived() -> None:
    """The same image, face, model and external id give the same ids, always."""
    face = indexed()
    assert face == indexed()
    assert face.face_id == "304126ca-93e0-89d6-ae5b-627d80aacc93"
    assert UUID.fullmatch(face.face_id)
    assert UUID.fullmatch(face.image_id)


def test_what_ids_depend_on() -> None:
    """A face's id changes with image, face, model and external id; an image's with the image."""
    base = indexed()
    others = {
        "image": indexed(image_digest=b"e"),
        "face": indexed(face=make_face(left=0.1)),
        "model": indexed(model_version="2.0"),
        "external": indexed(external_image_id="a"),
    }
    assert len({base.face_id, *(face.face_id for face in others.values())}) == 5
    assert {name for name, face in others.items() if face.image_id != base.image_id} == {"image"}


def test_a_stored_face_is_spelled() -> None:
    """A Face has box, ids, confidence and the model's version."""
    wire = face_to_wire(indexed(external_image_id="alice"), model_version="1.0")
    assert wire.pop("FaceId")
    assert wire.pop("ImageId")
    assert wire == {
        "BoundingBox": {"Width": 0.2, "Height": 0.2, "Left": 0.4, "Top": 0.4},
        "ExternalImageId": "alice",
        "Confidence": 99.0,
        "IndexFacesModelVersion": "1.0",
        "UserId": None,
    }
    assert (
        face_to_wire(indexed().model_copy(update={"user_id": "ann"}), model_version="1.0")["UserId"]
        == "ann"
    )


def test_a_detected_face_is_spelled() -> None:
    """A FaceDetail has the five members AWS always returns, with five landmarks."""
    detail = face_detail_to_wire(make_face())
    assert set(detail) == {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}
    assert [mark["Type"] for mark in detail["Landmarks"]] == [
        "eyeLeft",
        "eyeRight",
        "mouthLeft",
        "mouthRight",
        "nose",
    ]
    assert detail["Pose"] == {"Roll": 2.0, "Yaw": 3.0, "Pitch": 1.0}
    assert detail["Quality"] == {"Brightness": 50.0, "Sharpness": 50.0}
