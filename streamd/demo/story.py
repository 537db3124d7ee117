"""The whole main job, told with plain boto3: what a user of AWS does, against our own daemon."""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from processors.models.packs import PackStatus, best_label_pack, find_pack, pack_state, pull_pack
from streamd.demo import show
from streamd.demo.camera import DemoCamera
from streamd.demo.errors import DemoError
from streamd.demo.footage import FACE_NAME, make_footage, sample_face
from streamd.demo.photo import read_photo
from streamd.demo.process import DaemonProcess
from streamd.demo.results import FrameResult, JsonLines, LabelSeen, SessionOver, parse
from streamd.demo.screen import Screen

__all__ = ["DemoOptions", "Story"]

REGION, ACCOUNT = "us-east-1", "000000000000"
NO_SECRET = "demo"  # noqa: S105  # no secret at all
"""The demo's daemon asks for none; boto3 wants something to sign with."""
STREAM, COLLECTION = "front-door", "family"
FACES, LABELS = "front-door-faces", "front-door-labels"
BUCKET, RECORDS, TOPIC = "demo-bucket", "demo-faces", "demo-alerts"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/streamd-demo"
FACE_PACKS = ("builtin", "yunet-retail0095")
LABEL_PACK = "nanodet-plus-m"
"""Pulled where a mirror of models is named."""
MAX_VIDEO_SECONDS = 40.0
RUNNING_SECONDS = 20.0
CATCH_UP_SECONDS = 20.0
SESSION_END_SECONDS = 20.0
POLL_SECONDS = 0.05
STATUS_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What the user may bring."""

    source: str | None = None
    """Video file or rtsp URL; ``None``: the sample camera."""
    face: Path | None = None
    """Photograph of one person; ``None``: the one of the sample camera, if that is shown."""
    name: str | None = None
    """Whose face it is."""
    models: str | None = None
    """Mirror of model packs: a directory or URL."""
    output: Path = Path("demo-output")
    keep: bool = False
    """Keep the data directory and what is in it."""


@dataclass(kw_only=True)
class _Found:
    frames: list[FrameResult] = field(default_factory=list)
    labels: list[LabelSeen] = field(default_factory=list)
    session_over: SessionOver | None = None


class Story:
    """Tells it once: :meth:`tell`."""

    def __init__(self, options: DemoOptions, screen: Screen) -> None:
        self._options = options
        self._screen = screen
        self._found = _Found()
        self._work_dir = Path(tempfile.mkdtemp(prefix="streamd-demo-"))
        self._data_dir = self._work_dir / "data"
        outputs = self._data_dir / "outputs"
        self._records = JsonLines(outputs / "kinesis" / f"{RECORDS}.jsonl")
        self._notices = JsonLines(outputs / "sns" / f"{TOPIC}.jsonl")
        self._daemon: DaemonProcess | None = None
        self._stream_arn = ""

    def tell(self) -> None:
        """Run the demo from the first step to the last.

        Raises:
            DemoError: If a step fails; the message says which and why.

        """
        self._screen.title()
        try:
            with _service_errors():
                self._tell()
        finally:
            if self._daemon is not None:
                self._daemon.stop()
            if self._options.keep:
                self._screen.note(
                    f"the data directory stays: streamd serve --data-dir {self._data_dir}"
                )
            else:
                shutil.rmtree(self._work_dir, ignore_errors=True)

    def _tell(self) -> None:
        photo, name = self._face()
        pack = self._models()
        self._daemon = DaemonProcess(self._data_dir, self._daemon_settings(pack))
        source = self._source()
        with self._screen.step("the daemon starts: streamd serve") as outcome:
            self._daemon.wait_ready()
            outcome(self._daemon.url)
        self._connect(self._daemon.url)
        if photo is not None:
            self._index(photo, name)
        labels = sorted(best_label_pack(self._models_dir).labels)
        self._create(labels)
        camera = DemoCamera(source, STREAM, self._daemon.url, max_seconds=MAX_VIDEO_SECONDS)
        self._start_faces()
        self._screen.headings()
        with camera:
            self._watch(camera)
        self._stop()
        self._screen.quiet_over()
        paths = self._save()
        self._delete()
        stats = camera.stats
        self._screen.summary(self._found.frames, self._found.labels, seconds=stats.media_seconds)
        self._screen.files(self._options.output, paths)
        if not self._found.frames:
            raise self._daemon.failure("not one frame was analysed")

    # --- before -------------------------------------------------------------------------

    def _face(self) -> tuple[bytes | None, str]:
        options = self._options
        if options.face is not None:
            return read_photo(options.face), options.name or options.face.stem
        if options.source is not None:
            self._screen.note("no --face photo.jpg given: faces will be found, but none is known")
            return None, ""
        return sample_face(), options.name or FACE_NAME

    @property
    def _models_dir(self) -> Path:
        return self._data_dir / "models"

    def _models(self) -> str:
        """Return the face pack to use; pull a label pack where a mirror is named."""
        mirror = self._options.models
        if mirror is not None:
            with self._screen.step(f"model packs come from {mirror}") as outcome:
                pull_pack(find_pack(LABEL_PACK), self._models_dir, mirror=mirror)
                outcome(LABEL_PACK)
        builtin, drop_in = map(find_pack, FACE_PACKS)
        state = pack_state(builtin, self._models_dir)
        if state.status is PackStatus.READY:
            return builtin.name
        if mirror is None:
            raise DemoError(f"the face models are {state.status.value}", hint=state.advice or None)
        pull_pack(drop_in, self._models_dir, mirror=mirror)
        return drop_in.name

    def _daemon_settings(self, face_pack: str) -> dict[str, str]:
        return {
            "STREAMD_MODELS__FACES": face_pack,
            "STREAMD_MODELS__DIR": str(self._models_dir),
            "STREAMD_AWS__REGION": REGION,
            "STREAMD_AWS__ACCOUNT_ID": ACCOUNT,
        }

    def _source(self) -> str:
        """Return the camera; the sample is made while the daemon starts."""
        if self._options.source is not None:
            return self._options.source
        path = self._work_dir / "sample-camera.mp4"
        with self._screen.step("the sample camera's video is made") as outcome:
            clip = make_footage(path)
            outcome(f"{clip.seconds:.0f} s, {clip.frames} frames, 1280x720 H.264")
        return str(path)

    def _connect(self, url: str) -> None:
        session = boto3.Session(
            aws_access_key_id="demo", aws_secret_access_key=NO_SECRET, region_name=REGION
        )
        config = Config(retries={"mode": "standard", "max_attempts": 2}, read_timeout=60)
        self._session, self._config = session, config
        self._rekognition: Any = session.client("rekognition", endpoint_url=url, config=config)
        self._video: Any = session.client("kinesisvideo", endpoint_url=url, config=config)

    # --- resources ----------------------------------------------------------------------

    def _index(self, photo: bytes, name: str) -> None:
        with self._screen.step(f"collection {COLLECTION!r}, face of {name!r} indexed") as outcome:
            self._rekognition.create_collection(CollectionId=COLLECTION)
            answer = self._rekognition.index_faces(
                CollectionId=COLLECTION,
                Image={"Bytes": photo},
                ExternalImageId=name,
                MaxFaces=1,
                QualityFilter="NONE",
            )
            if not answer["FaceRecords"]:
                raise DemoError(
                    "no face was found in the photograph",
                    hint="use a sharp photograph of one person who looks at the camera",
                )
            outcome(f"FaceId {answer['FaceRecords'][0]['Face']['FaceId']}")

    def _create(self, labels: list[str]) -> None:
        if self._options.face is None and self._options.source is not None:
            self._rekognition.create_collection(CollectionId=COLLECTION)
        self._stream_arn = self._video.create_stream(StreamName=STREAM, DataRetentionInHours=1)[
            "StreamARN"
        ]
        common = {
            "Input": {"KinesisVideoStream": {"Arn": self._stream_arn}},
            "RoleArn": ROLE_ARN,
        }
        records = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{RECORDS}"
        self._rekognition.create_stream_processor(
            Name=FACES,
            Output={"KinesisDataStream": {"Arn": records}},
            Settings={"FaceSearch": {"CollectionId": COLLECTION, "FaceMatchThreshold": 80}},
            **common,
        )
        self._rekognition.create_stream_processor(
            Name=LABELS,
            Output={"S3Destination": {"Bucket": BUCKET, "KeyPrefix": "demo"}},
            NotificationChannel={"SNSTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:{TOPIC}"},
            Settings={"ConnectedHome": {"Labels": labels, "MinConfidence": 60}},
            **common,
        )
        wanted = ", ".join(labels)
        self._screen.done(f"stream {STREAM!r}; stream processors: face search, labels {wanted}")

    def _start_faces(self) -> None:
        with self._screen.step("the face search starts") as outcome:
            self._rekognition.start_stream_processor(Name=FACES)
            deadline = time.monotonic() + RUNNING_SECONDS
            while (status := self._status(FACES)) == "STARTING" and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            outcome(status)

    def _start_labels(self, first_timecode_ms: int, seconds: float) -> bool:
        # It reads what is archived since the first frame, then goes on live.
        longest = max(1, min(120, math.ceil(seconds) - 2))
        try:
            self._rekognition.start_stream_processor(
                Name=LABELS,
                StartSelector={"KVSStreamStartSelector": {"ProducerTimestamp": first_timecode_ms}},
                StopSelector={"MaxDurationInSeconds": longest},
            )
        except ClientError as error:
            self._screen.note(f"the label session does not start: {error}")
            return False
        return True

    # --- while video flows --------------------------------------------------------------

    def _watch(self, camera: DemoCamera) -> None:
        assert self._daemon is not None
        labels_wanted, labels_started = True, False
        looked_at = time.monotonic()
        while not camera.is_over:
            self._read_results()
            stats = camera.stats
            if labels_wanted and stats.persisted and stats.first_timecode_ms is not None:
                labels_wanted = False
                seconds = camera.seconds
                labels_started = self._start_labels(stats.first_timecode_ms, seconds)
            if time.monotonic() - looked_at > STATUS_SECONDS:
                looked_at = time.monotonic()
                self._check_health()
            time.sleep(POLL_SECONDS)
        camera.check()
        self._catch_up(camera, labels_started=labels_started)

    def _catch_up(self, camera: DemoCamera, *, labels_started: bool) -> None:
        """Wait for the results of the last frames, and for the label session's end."""
        end = camera.end_epoch
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while time.monotonic() < deadline:
            self._read_results()
            newest = self._found.frames[-1].shown_at if self._found.frames else 0.0
            if end is not None and newest >= end - 0.5:
                break
            time.sleep(POLL_SECONDS)
        deadline = time.monotonic() + SESSION_END_SECONDS
        while labels_started and self._found.session_over is None and time.monotonic() < deadline:
            self._read_results()
            self._check_health()
            time.sleep(POLL_SECONDS)

    def _read_results(self) -> None:
        for lines in (self._records, self._notices):
            for document in lines.poll():
                for result in parse(document):
                    self._take(result)

    def _take(self, result: FrameResult | LabelSeen | SessionOver) -> None:
        if isinstance(result, FrameResult):
            self._found.frames.append(result)
            self._screen.frame(result)
        elif isinstance(result, LabelSeen):
            self._found.labels.append(result)
            self._screen.label(result)
        else:
            self._found.session_over = result
            self._screen.session_over(result)

    def _status(self, name: str) -> str:
        answer = self._rekognition.describe_stream_processor(Name=name)
        if answer["Status"] == "FAILED":
            message = answer.get("StatusMessage", "no reason given")
            assert self._daemon is not None
            raise self._daemon.failure(f"stream processor {name} FAILED: {message}")
        status: str = answer["Status"]
        return status

    def _check_health(self) -> None:
        assert self._daemon is not None
        if not self._daemon.is_running:
            raise self._daemon.failure("the daemon has ended")
        self._status(FACES)
        self._status(LABELS)

    # --- after --------------------------------------------------------------------------

    def _stop(self) -> None:
        with self._screen.step("stream processors stop") as outcome:
            for name in (FACES, LABELS):
                # A label session that is over has stopped by itself.
                if self._status(name) in {"RUNNING", "STARTING"}:
                    self._rekognition.stop_stream_processor(Name=name)
            deadline = time.monotonic() + RUNNING_SECONDS
            statuses = [self._status(name) for name in (FACES, LABELS)]
            while set(statuses) != {"STOPPED"} and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                statuses = [self._status(name) for name in (FACES, LABELS)]
            self._read_results()
            outcome(", ".join(statuses))

    def _save(self) -> list[Path]:
        picks = show.choose(self._found.frames, self._found.labels)
        if not picks:
            return []
        folder = self._options.output
        with self._screen.step("annotated frames are made from the archive") as outcome:
            endpoint = self._video.get_data_endpoint(
                StreamName=STREAM, APIName="GET_MEDIA_FOR_FRAGMENT_LIST"
            )["DataEndpoint"]
            archived: Any = self._session.client(
                "kinesis-video-archived-media", endpoint_url=endpoint, config=self._config
            )
            fetch = show.archive_reader(archived, STREAM)
            paths = show.save_frames(picks, folder, fetch=fetch)
            self._keep_documents(folder)
            outcome(f"{len(picks)} frames")
        return paths

    def _keep_documents(self, folder: Path) -> None:
        outputs = self._data_dir / "outputs"
        for path in (*outputs.glob("kinesis/*.jsonl"), *outputs.glob("sns/*.jsonl")):
            shutil.copy(path, folder / path.name)
        objects = outputs / "s3" / BUCKET
        if objects.is_dir():
            shutil.rmtree(folder / BUCKET, ignore_errors=True)
            shutil.copytree(objects, folder / BUCKET)

    def _delete(self) -> None:
        if self._options.keep:
            return
        for name in (FACES, LABELS):
            self._rekognition.delete_stream_processor(Name=name)
        self._rekognition.delete_collection(CollectionId=COLLECTION)
        self._video.delete_stream(StreamARN=self._stream_arn)
        self._screen.done("stream processors, collection and stream deleted")


@contextlib.contextmanager
def _service_errors() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise DemoError(str(error)) from error
    except BotoCoreError as error:
        raise DemoError(f"the daemon does not answer: {error}") from error
