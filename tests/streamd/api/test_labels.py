"""DetectLabels through boto3."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from PIL import Image

from processors.errors import PackFileError
from processors.geometry import Box
from processors.labels import LabelAnalyzer
from processors.models.packs import load_label_analyzer
from processors.results import DetectedObject
from tests.support.faces import face_analyzer, models_dir, portrait, shared_dir
from tests.support.rekognition import Endpoint, open_endpoint

LEFT = Box(left=0.0, top=0.0, width=0.5, height=1.0)
RIGHT = Box(left=0.5, top=0.0, width=0.5, height=1.0)


def seen(class_name: str, confidence: float, box: Box = LEFT) -> DetectedObject:
    return DetectedObject(class_name=class_name, confidence_percent=confidence, box=box)


def encoded(picture: Image.Image, format_: str = "PNG", **options: Any) -> dict[str, Any]:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return {"Bytes": buffer.getvalue()}


def half_red() -> dict[str, Any]:
    """Red on the left, white on the right."""
    pixels = np.full((100, 200, 3), 255, dtype=np.uint8)
    pixels[:, :100] = (255, 0, 0)
    return encoded(Image.fromarray(pixels))


IMAGE = half_red()


def names(labels: list[dict[str, Any]]) -> list[str]:
    return [label["Name"] for label in labels]


def refusal(client: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        client.detect_labels(**{"Image": IMAGE, **params})
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture(autouse=True)
def street(endpoint: Endpoint) -> Iterator[None]:
    """A dog, two people, a car and something that may be a cat."""
    endpoint.labels.found = [
        seen("dog", 97.0),
        seen("person", 90.0),
        seen("person", 80.0, RIGHT),
        seen("car", 60.0, RIGHT),
        seen("cat", 52.0),
    ]
    endpoint.labels.asked.clear()
    yield
    endpoint.model_errors.clear()


def test_labels(client: Any) -> None:
    """Surest first, equal ones by name, from 55 % up; nothing of image properties."""
    answer = client.detect_labels(Image=IMAGE)
    assert [(label["Name"], label["Confidence"]) for label in answer["Labels"]] == [
        ("Animal", 97.0),
        ("Canine", 97.0),
        ("Dog", 97.0),
        ("Mammal", 97.0),
        ("Pet", 97.0),
        ("Person", 90.0),
        ("Car", 60.0),
        ("Transportation", 60.0),
        ("Vehicle", 60.0),
    ]
    assert answer["LabelModelVersion"] == "7.2"
    assert "ImageProperties" not in answer
    assert "OrientationCorrection" not in answer


def test_a_label_in_full(client: Any) -> None:
    """A label has its instances, and names of what is above, beside and around it."""
    labels = {label["Name"]: label for label in client.detect_labels(Image=IMAGE)["Labels"]}
    assert labels["Car"] == {
        "Name": "Car",
        "Confidence": 60.0,
        "Instances": [
            {
                "BoundingBox": {"Left": 0.5, "Top": 0.0, "Width": 0.5, "Height": 1.0},
                "Confidence": 60.0,
            }
        ],
        "Parents": [{"Name": "Transportation"}, {"Name": "Vehicle"}],
        "Aliases": [{"Name": "Automobile"}],
        "Categories": [{"Name": "Vehicles and Automotive"}],
    }
    assert [each["Confidence"] for each in labels["Person"]["Instances"]] == [90.0, 80.0]
    assert labels["Vehicle"]["Instances"] == []


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"MaxLabels": 2}, ["Animal", "Canine"]),
        ({"MaxLabels": 0}, []),
        ({"MinConfidence": 90}, ["Animal", "Canine", "Dog", "Mammal", "Pet", "Person"]),
        ({"MinConfidence": 97.5}, []),
        ({"MinConfidence": 52, "MaxLabels": 100_000, "Features": []}, [..., "Vehicle", "Cat"]),
        ({"Features": ["GENERAL_LABELS", "GENERAL_LABELS"], "MaxLabels": 1}, ["Animal"]),
    ],
    ids=["best-two", "none", "inclusive", "too-much", "no-feature-named", "feature-twice"],
)
def test_bounds(client: Any, params: dict[str, Any], expected: list[Any]) -> None:
    """MaxLabels keeps the surest, MinConfidence counts itself, no feature means labels."""
    found = names(client.detect_labels(Image=IMAGE, **params)["Labels"])
    if expected[:1] == [...]:
        assert found[-2:] == expected[1:]
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"LabelInclusionFilters": ["Dog", "Vehicle", "Cat"]}, ["Dog", "Vehicle"]),
        ({"LabelCategoryInclusionFilters": ["Person Description"]}, ["Person"]),
        (
            {
                "LabelInclusionFilters": ["Person"],
                "LabelCategoryInclusionFilters": ["Vehicles and Automotive"],
                "LabelExclusionFilters": ["Transportation"],
            },
            ["Person", "Car", "Vehicle"],
        ),
        (
            {
                "LabelCategoryExclusionFilters": ["Animals and Pets", "Vehicles and Automotive"],
                "LabelInclusionFilters": [],
            },
            ["Person"],
        ),
    ],
    ids=["labels", "category", "together", "exclusion"],
)
def test_filters(client: Any, filters: dict[str, list[str]], expected: list[str]) -> None:
    """Inclusions and exclusions go by label and by category, and MaxLabels counts after them."""
    settings = {"GeneralLabels": filters}
    answer = client.detect_labels(Image=IMAGE, Settings=settings, MaxLabels=3)
    assert names(answer["Labels"]) == expected


def test_image_properties(client: Any, endpoint: Endpoint) -> None:
    """Quality of the image, colours of all of it, of what is in front and of the rest."""
    endpoint.labels.found = [seen("person", 90.0)]
    answer = client.detect_labels(Image=IMAGE, Features=["IMAGE_PROPERTIES"])
    assert answer["Labels"] == []
    properties = answer["ImageProperties"]
    assert properties["Quality"] == {
        "Brightness": pytest.approx(64.95, abs=0.01),
        "Sharpness": pytest.approx(19.8, abs=0.5),
        "Contrast": pytest.approx(70.1, abs=0.1),
    }
    red = {
        "Red": 255,
        "Green": 0,
        "Blue": 0,
        "HexCode": "#ff0000",
        "CSSColor": "red",
        "SimplifiedColor": "red",
        "PixelPercent": 100.0,
    }
    assert [each["CSSColor"] for each in properties["DominantColors"]] == ["red", "white"]
    assert properties["Foreground"]["DominantColors"] == [red]
    assert set(properties["Foreground"]["Quality"]) == {"Brightness", "Sharpness"}
    assert properties["Background"]["DominantColors"][0]["HexCode"] == "#ffffff"
    assert properties["Background"]["Quality"]["Brightness"] == pytest.approx(100, abs=0.01)


def test_nothing_in_front(client: Any, endpoint: Endpoint) -> None:
    """Where nothing is found, foreground and background are not told."""
    endpoint.labels.found = [seen("person", 54.0)]
    answer = client.detect_labels(Image=IMAGE, Features=["IMAGE_PROPERTIES"])
    assert set(answer["ImageProperties"]) == {"Quality", "DominantColors"}


def test_both_features(client: Any, endpoint: Endpoint) -> None:
    """Together, each instance has its own colours, and the image is looked at once."""
    answer = client.detect_labels(
        Image=IMAGE, Features=["GENERAL_LABELS", "IMAGE_PROPERTIES"], MinConfidence=70
    )
    labels = {label["Name"]: label for label in answer["Labels"]}
    assert "Car" not in labels
    assert [
        [colour["CSSColor"] for colour in each["DominantColors"]]
        for each in labels["Person"]["Instances"]
    ] == [["red"], ["white"]]
    assert endpoint.labels.asked == [55.0]


def test_max_dominant_colors(client: Any) -> None:
    """MaxDominantColors bounds every list of colours."""
    for most in (0, 1):
        answer = client.detect_labels(
            Image=IMAGE,
            Features=["IMAGE_PROPERTIES"],
            Settings={"ImageProperties": {"MaxDominantColors": most}},
        )
        assert len(answer["ImageProperties"]["DominantColors"]) == most


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"Settings": {"ImageProperties": {"MaxDominantColors": 5}}},
            "Settings.ImageProperties is only valid with the feature IMAGE_PROPERTIES.",
        ),
        (
            {"Features": ["IMAGE_PROPERTIES"], "Settings": {"GeneralLabels": {}}},
            "Settings.GeneralLabels is only valid with the feature GENERAL_LABELS.",
        ),
        (
            {"Features": ["IMAGE_PROPERTIES"], "MaxLabels": 5},
            "MaxLabels is only valid with the feature GENERAL_LABELS.",
        ),
        (
            {"Features": ["IMAGE_PROPERTIES"], "MinConfidence": 5},
            "MinConfidence is only valid with the feature GENERAL_LABELS.",
        ),
    ],
    ids=["colours", "filters", "max-labels", "min-confidence"],
)
def test_settings_need_their_feature(client: Any, params: dict[str, Any], message: str) -> None:
    """What belongs to a feature that is not asked for is refused."""
    assert refusal(client, **params) == (
        "InvalidParameterException",
        f"Request has invalid parameters. {message}",
    )


@pytest.mark.parametrize(
    "params",
    [
        {"MaxLabels": -1},
        {"MinConfidence": 100.5},
        {"Features": ["COLOURS"]},
        {"Features": ["GENERAL_LABELS"] * 3},
        {"Settings": {"GeneralLabels": {"LabelInclusionFilters": ["Dog"] * 101}}},
        {"Settings": {"GeneralLabels": {"LabelInclusionFilters": ["D" * 51]}}},
        {"Settings": {"ImageProperties": {"MaxDominantColors": 21}}},
        {"Image": {}},
    ],
    ids=[
        "max-labels",
        "min-confidence",
        "feature",
        "three-features",
        "too-many-filters",
        "long-filter",
        "max-dominant-colors",
        "no-image",
    ],
)
def test_constraints(client: Any, params: dict[str, Any]) -> None:
    """What the service description forbids is refused."""
    assert refusal(client, **params)[0] in {"InvalidParameterException", "ValidationException"}


def test_images_that_are_refused(client: Any) -> None:
    """No image, a missing object, too few pixels and too long a side have their errors."""
    assert refusal(client, Image={"Bytes": b"no image"})[0] == "InvalidImageFormatException"
    missing = {"S3Object": {"Bucket": "bucket", "Name": "missing"}}
    assert refusal(client, Image=missing)[0] == "InvalidS3ObjectException"
    small = encoded(Image.new("RGB", (79, 200)))
    assert refusal(client, Image=small)[0] == "InvalidParameterException"
    longest = encoded(Image.new("L", (10_000, 80)))
    assert client.detect_labels(Image=longest)["Labels"]
    code, message = refusal(client, Image=encoded(Image.new("L", (10_001, 80))))
    assert code == "ImageTooLargeException"
    assert message.endswith("10001 x 80 pixels, a side has more than 10000.")


def test_a_pack_that_cannot_be_loaded(client: Any, endpoint: Endpoint) -> None:
    """The answer says what to do."""
    advice = "streamd models pull nano"
    endpoint.model_errors.append(PackFileError("nano", ("nano.onnx",), "missing", advice=advice))
    code, message = refusal(client)
    assert code == "ResourceNotReadyException"
    assert advice in message


def test_faces_pack(tmp_path: Any) -> None:
    """Without an object detector a portrait is a face of a head of a person, boxed as a face."""

    def load() -> LabelAnalyzer:
        return load_label_analyzer("faces", tmp_path, faces=lambda: face_analyzer("builtin"))

    face_analyzer("builtin")
    for endpoint in open_endpoint(tmp_path, load_analyzer=None, load_labels=load):
        answer = endpoint.client.detect_labels(
            Image=encoded(portrait(), "JPEG"), Features=["GENERAL_LABELS", "IMAGE_PROPERTIES"]
        )
        assert names(answer["Labels"]) == ["Face", "Head", "Person"]
        assert [len(label["Instances"]) for label in answer["Labels"]] == [1, 0, 0]
        [face] = answer["Labels"][0]["Instances"]
        assert face["BoundingBox"]["Width"] == pytest.approx(87 / 512, abs=0.03)
        assert {"pink", "brown", "red", "orange"} & {
            colour["SimplifiedColor"] for colour in face["DominantColors"]
        }
        assert answer["LabelModelVersion"] == "1.0"


@pytest.mark.shared
def test_object_pack(tmp_path: Any) -> None:
    """A real network tells the bus and the people of a street, and what stands above them."""
    folder = models_dir()

    def load() -> LabelAnalyzer:
        return load_label_analyzer("nanodet-plus-m", folder, faces=lambda: face_analyzer("builtin"))

    with Image.open(shared_dir() / "media" / "photos" / "bus.jpg") as picture:
        image = encoded(picture.convert("RGB"), "JPEG", quality=95)
    for endpoint in open_endpoint(tmp_path, load_analyzer=None, load_labels=load):
        answer = endpoint.client.detect_labels(
            Image=image, Features=["GENERAL_LABELS", "IMAGE_PROPERTIES"], MinConfidence=60
        )
        labels = {label["Name"]: label for label in answer["Labels"]}
        assert len(labels["Bus"]["Instances"]) == 1
        assert len(labels["Person"]["Instances"]) >= 3
        assert labels["Transportation"]["Confidence"] == labels["Bus"]["Confidence"]
        assert {"Foreground", "Background"} <= set(answer["ImageProperties"])
        only = endpoint.client.detect_labels(
            Image=image,
            Settings={"GeneralLabels": {"LabelCategoryInclusionFilters": ["Person Description"]}},
        )
        assert names(only["Labels"]) == ["Person"]
