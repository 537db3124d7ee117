"""PERSON from faces."""

from processors.geometry import WHOLE_PICTURE, Box, Point
from processors.labels.from_faces import PersonFromFaces
from processors.picture import Picture
from processors.results import DetectedFace, Landmarks, Quality
from tests.processors.models.fakes import blank_picture


class FixedFaces:
    """Finds the same faces in every picture."""

    def __init__(self, *faces: DetectedFace) -> None:
        self.faces = faces
        self.regions: list[Box] = []

    def detect(self, picture: Picture, *, region: Box = WHOLE_PICTURE) -> list[DetectedFace]:
        """Return the faces, whatever is in the picture."""
        del picture
        self.regions.append(region)
        return list(self.faces)


def face(confidence_percent: float, left: float = 0.4) -> DetectedFace:
    """Return a face."""
    middle = Point(x=left + 0.05, y=0.5)
    return DetectedFace(
        box=Box(left=left, top=0.4, width=0.1, height=0.2),
        confidence_percent=confidence_percent,
        landmarks=Landmarks(
            eye_left=middle, eye_right=middle, nose=middle, mouth_left=middle, mouth_right=middle
        ),
        pose=None,
        quality=Quality(brightness=50.0, sharpness=50.0),
    )


def test_face_is_a_person_of_its_size() -> None:
    """The box is the face's: nothing is said of a body that was not seen."""
    found = PersonFromFaces(FixedFaces(face(97.0))).detect(blank_picture())
    assert [(each.name, each.class_name, each.confidence_percent) for each in found] == [
        ("PERSON", "face", 97.0)
    ]
    assert found[0].box == Box(left=0.4, top=0.4, width=0.1, height=0.2)


def test_it_says_what_it_is() -> None:
    """It knows PERSON only, and says from what."""
    people = PersonFromFaces(FixedFaces())
    assert people.labels == {"PERSON"}
    assert people.note == "PERSON from faces only"
    assert (people.name, people.version) == ("faces", "1.0")


def test_unsure_faces_are_left_out_and_sure_ones_come_first() -> None:
    """Faces below the confidence asked for are no finds."""
    people = PersonFromFaces(FixedFaces(face(80.0, 0.1), face(99.0, 0.2), face(40.0, 0.3)))
    assert [each.box.left for each in people.detect(blank_picture())] == [0.2, 0.1]


def test_only_the_region_is_searched() -> None:
    """The region goes to the face analyzer; one without area is not searched at all."""
    faces = FixedFaces(face(99.0))
    region = Box(left=0.5, top=0, width=0.5, height=1)
    people = PersonFromFaces(faces)
    people.detect(blank_picture(), region=region)
    assert people.detect(blank_picture(), region=Box(left=0.5, top=0, width=0, height=1)) == []
    assert faces.regions == [region]


def test_among_objects_a_face_is_a_face() -> None:
    """No box is told for a person: that of the face is a face's."""
    people = PersonFromFaces(FixedFaces(face(80.0, 0.1), face(99.0, 0.2)))
    found = people.objects(blank_picture(), min_confidence_percent=90.0)
    assert [(each.class_name, each.confidence_percent) for each in found] == [("face", 99.0)]
