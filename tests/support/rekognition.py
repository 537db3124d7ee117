"""A real Rekognition endpoint on a real store, driven by boto3 from outside its event loop.

Every answer boto3 gets is held against botocore's shapes.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import boto3
import numpy as np
import regex
from aiohttp import web
from botocore.config import Config
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from processors.errors import ModelError
from processors.faces.analyzer import FaceAnalyzer
from processors.geometry import WHOLE_PICTURE, Box, Point
from processors.labels import LabelAnalyzer
from processors.picture import Picture
from processors.results import DetectedFace, DetectedLabel, DetectedObject, Landmarks, Pose, Quality
from streamd.api.server import RekognitionApi
from streamd.aws import AwsNotFoundError, ObjectTooLargeError
from streamd.clock import SystemClock
from streamd.config import AwsSettings
from streamd.lifecycle import Event
from streamd.metrics import Metrics
from streamd.pipeline.collection_search import CollectionSearch
from streamd.pipeline.scheduler import StreamProcessorScheduler
from streamd.protocol.sigv4 import Verifier, auth_middleware
from streamd.resources import Face
from streamd.store import Store
from streamd.store.vectors import CollectionVectors

MAX_BODY_BYTES = 8 * 1024 * 1024
ACCOUNT = "000000000000"
KEY_ID, SECRET = "AKIDEXAMPLE", "secret"

_numbers = itertools.count(1)


class ScriptedAnalyzer:
    """A face analyzer that finds what the test says."""

    name = "scripted"
    model_version = "9.1"
    vector_size = 4

    def __init__(self) -> None:
        self.found: list[tuple[DetectedFace, Sequence[float]]] = []
        self.pictures: list[Picture] = []
        self.embedded = 0
        self.not_alignable: set[float] = set()

    def detect(
        self, picture: Picture, *, region: Box = WHOLE_PICTURE, max_faces: int = 100
    ) -> list[DetectedFace]:
        assert region == WHOLE_PICTURE
        self.pictures.append(picture)
        faces = sorted((face for face, _vector in self.found), key=lambda f: -f.box.area)
        return faces[:max_faces]

    def embed(self, picture: Picture, faces: Sequence[DetectedFace]) -> NDArray[np.float32]:
        assert picture is self.pictures[-1]
        if any(face.confidence_percent in self.not_alignable for face in faces):
            raise ValueError("landmarks cannot be aligned")
        self.embedded += len(faces)
        by_face = {id(face): vector for face, vector in self.found}
        vectors = [by_face[id(face)] for face in faces]
        return np.array(vectors, dtype=np.float32).reshape(len(faces), self.vector_size)

    def similarity_percent(self, distance: float) -> float:
        return max(0.0, 100.0 - 100.0 * distance)

    def distance_at(self, similarity_percent: float) -> float:
        return (100.0 - similarity_percent) / 100.0


class ScriptedLabels:
    """A label analyzer that finds what the test says."""

    name = "scripted"
    version = "7.2"
    labels = frozenset({"PERSON"})
    note = None

    def __init__(self) -> None:
        self.found: list[DetectedObject] = []
        self.asked: list[float] = []
        """The confidence asked for, in each call."""

    def detect(
        self,
        picture: Picture,
        *,
        region: Box = WHOLE_PICTURE,
        min_confidence_percent: float = 50.0,
    ) -> list[DetectedLabel]:
        raise AssertionError(f"asked for labels of {picture} {region} {min_confidence_percent}")

    def objects(
        self, picture: Picture, *, min_confidence_percent: float = 50.0
    ) -> list[DetectedObject]:
        assert picture.width_px > 0
        self.asked.append(min_confidence_percent)
        return [each for each in self.found if each.confidence_percent >= min_confidence_percent]


def make_face(
    *,
    left: float = 0.4,
    top: float = 0.4,
    size: float = 0.2,
    confidence: float = 99.0,
    pose: Pose | None = None,
    brightness: float = 50.0,
    sharpness: float = 50.0,
) -> DetectedFace:
    """A detected face, good in every respect unless said otherwise."""
    point = Point(x=left + size / 2, y=top + size / 2)
    return DetectedFace(
        box=Box(left=left, top=top, width=size, height=size),
        confidence_percent=confidence,
        landmarks=Landmarks(
            eye_left=point, eye_right=point, nose=point, mouth_left=point, mouth_right=point
        ),
        pose=pose or Pose(pitch=1.0, roll=2.0, yaw=3.0),
        quality=Quality(brightness=brightness, sharpness=sharpness),
    )


def add_face(endpoint: Endpoint, collection: str, *vector: float) -> str:
    """Put a face into the collection; 0.01 of distance is 1 % of similarity."""
    face_id = f"00000000-0000-4000-8000-{next(_numbers):012d}"
    stored = Face(
        face_id=face_id,
        image_id=face_id,
        bounding_box=(0.1, 0.1, 0.2, 0.2),
        confidence_percent=99.0,
    )
    vectors = np.array([*vector, 0.0, 0.0, 0.0, 0.0][:4], dtype=np.float32)
    endpoint.store.add_faces(ACCOUNT, collection, [(stored, vectors)])
    return face_id


class Bucket:
    """An S3 of a dict."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str | None], bytes] = {}

    def fetch_object(
        self, bucket: str, name: str, version: str | None = None, *, max_bytes: int
    ) -> bytes:
        data = self.objects.get((bucket, name, version))
        if data is None:
            raise AwsNotFoundError("NoSuchKey: secret-internal-detail")
        if len(data) > max_bytes:
            raise ObjectTooLargeError("too long")
        return data


@dataclass
class Endpoint:
    """A running endpoint and what stands behind it."""

    url: str
    client: Any
    store: Store
    metrics: Metrics
    analyzer: ScriptedAnalyzer
    labels: ScriptedLabels
    bucket: Bucket
    api: RekognitionApi
    missing_labels: dict[str, str] = field(default_factory=dict)
    """Label → why it cannot be detected."""
    model_errors: list[ModelError] = field(default_factory=list)
    """What loading the label pack raises."""

    def bring_to_running(self, name: str) -> None:
        """Do what a worker does: claim the session and open the input."""
        for claimed in self.store.claim_sessions("worker", limit=100, lease_seconds=60):
            if claimed.processor.name == name:
                session = claimed.session
                self.store.report(session.session_id, session.epoch, Event.INPUT_OPENED)

    def end_session(self, name: str, *, failure: str | None = None) -> None:
        """Do what a worker does at the end of a session."""
        self.store.claim_sessions("worker", limit=100, lease_seconds=60)
        session = self.store.session(ACCOUNT, name)
        assert session is not None
        event = Event.SESSION_FAILED if failure else Event.SESSION_ENDED
        self.store.report(session.session_id, session.epoch, event, status_message=failure)


class _Loop:
    """An event loop in a thread of its own, so that blocking clients can call it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="api-loop")
        self._thread.start()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()


def open_endpoint(
    directory: Path,
    *,
    load_analyzer: Callable[[], Any] | None,
    load_labels: Callable[[], LabelAnalyzer] | None = None,
    verifier: Verifier | None = None,
) -> Iterator[Endpoint]:
    """Serve the API from ``directory`` until the generator is closed."""
    pool = concurrent.futures.ThreadPoolExecutor(2)

    async def run(function: Callable[..., Any], *args: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *args)

    store = Store(f"sqlite:///{directory / 'streamd.sqlite'}", clock=SystemClock())
    store.migrate()
    metrics = Metrics(CollectorRegistry())
    scripted = ScriptedAnalyzer()
    labels = ScriptedLabels()
    bucket = Bucket()
    missing: dict[str, str] = {}
    model_errors: list[ModelError] = []

    def missing_labels(labels: tuple[str, ...]) -> str | None:
        for error in model_errors:
            raise error
        return next((missing[name] for name in labels if name in missing), None)

    def scripted_labels() -> LabelAnalyzer:
        for error in model_errors:
            raise error
        return labels

    api = RekognitionApi(
        store=store,
        scheduler=StreamProcessorScheduler(
            store=store, run_blocking=run, metrics=metrics, wake=lambda: None
        ),
        search=CollectionSearch(CollectionVectors(store, directory / "collections")),
        analyzer=load_analyzer or (lambda: cast(FaceAnalyzer, scripted)),
        labels=load_labels or scripted_labels,
        objects=bucket,
        aws=AwsSettings(),
        metrics=metrics,
        clock=SystemClock(),
        run_blocking=run,
        run_analysis=run,
        missing_labels=missing_labels,
    )
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[auth_middleware(verifier)])
    app.router.add_post("/", api.handle)
    loop = _Loop()
    runner = web.AppRunner(app)
    loop.run(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run(site.start())
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = boto3.client(
        "rekognition",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )
    client.meta.events.register("before-parse.rekognition", _check_answer)
    endpoint = Endpoint(
        url=url,
        client=client,
        store=store,
        metrics=metrics,
        analyzer=scripted,
        labels=labels,
        bucket=bucket,
        api=api,
        missing_labels=missing,
        model_errors=model_errors,
    )
    try:
        yield endpoint
    finally:
        client.close()
        loop.run(runner.cleanup())
        loop.close()
        pool.shutdown()
        store.close()


def _check_answer(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    """Hold every answer, of every test, against botocore's shapes."""
    if response_dict["status_code"] == 200:
        assert_fits(operation_model.output_shape, json.loads(response_dict["body"]))


def assert_fits(shape: Any, value: Any, path: str = "") -> None:
    """Check that a JSON value has only members of the shape, with its types and constraints."""
    kind = shape.type_name
    assert value is not None, path
    if kind == "structure":
        assert isinstance(value, dict), path
        assert set(value) <= set(shape.members), (path, sorted(set(value) - set(shape.members)))
        for name, item in value.items():
            assert_fits(shape.members[name], item, f"{path}.{name}")
    elif kind == "list":
        assert isinstance(value, list), path
        for item in value:
            assert_fits(shape.member, item, f"{path}[]")
    elif kind == "map":
        assert isinstance(value, dict), path
        for item in value.values():
            assert_fits(shape.value, item, f"{path}{{}}")
    else:
        types: dict[str, Any] = {
            "string": str,
            "integer": int,
            "long": int,
            "float": (int, float),
            "timestamp": (int, float),
            "boolean": bool,
            "blob": str,
        }
        assert isinstance(value, types[kind]), (path, kind, value)
        assert kind == "boolean" or not isinstance(value, bool), (path, value)
        if kind == "string":
            pattern = shape.metadata.get("pattern")
            assert pattern is None or regex.fullmatch(pattern, value), (path, value)
            assert not shape.enum or value in shape.enum, (path, value)
        if kind == "float":
            assert shape.metadata.get("min", value) <= value, (path, value)
            assert shape.metadata.get("max", value) >= value, (path, value)
