"""A household for the console: cameras that send and one that does not, faces, keys.

Where the shared models and media are, the hall camera shows real footage and the real label pack
looks at it; elsewhere it shows the portrait too, and people are told from faces.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.scenes import astronaut, astronaut_jpeg
from tests.support.shared import MEDIA, MODELS
from tests.support.story import ROLE, create_labels, wait_for_status
from tests.support.video_files import write_video

__all__ = ["DEAD_CAMERA", "GUEST", "KEY", "NEIGHBOUR", "SECRET", "household"]

KEY, SECRET = "AKIDHOUSEHOLD001", "household-secret-" + "s" * 23
NEIGHBOUR = "AKIDNEIGHBOUR001"
"""A key of another account, which has nothing; its secret is SECRET, too."""
GUEST = "AKIDGUEST0000001"
"""A key that may list stream processors and no more; its secret is SECRET, too."""
DEAD_CAMERA = "back-yard"
_FROM_S, _TO_S = 22.0, 45.0
_FACES = "arn:aws:kinesis:us-east-1:000000000000:stream/faces"


@contextlib.contextmanager
def household(folder: Path) -> Iterator[Daemon]:
    """Run the daemon of the household; ``front-door-faces`` runs and has seen somebody."""
    has_shared = (MODELS / "manifest.json").is_file()
    door = write_video(folder / "door.mkv", fps=10, gop=10, pictures=_portrait(60))
    hall = _cut(MEDIA / "video" / "one_by_one_a.mp4", folder / "hall.mp4") if has_shared else door
    cameras = {
        "front-door": {"url": str(door)},
        "hall": {"url": str(hall)},
        DEAD_CAMERA: {"url": "rtsp://user:password@127.0.0.1:9/stream1"},
    }
    keys: list[dict[str, object]] = [
        {"access_key_id": KEY},
        {"access_key_id": NEIGHBOUR, "account_id": "111111111111"},
        {"access_key_id": GUEST, "allow": ["rekognition:ListStreamProcessors"]},
    ]
    env = {
        "STREAMD_AUTH__MODE": "sigv4",
        "STREAMD_AUTH__CREDENTIALS": json.dumps(
            [{**key, "secret_access_key": SECRET} for key in keys]
        ),
        "STREAMD_CAMERAS": json.dumps(cameras),
        "STREAMD_SERVER__WORKERS": "1",
    }
    if has_shared:
        env |= {
            "STREAMD_MODELS__DIR": str(MODELS),
            "STREAMD_MODELS__FACES": "yunet-retail0095",
            "STREAMD_MODELS__LABELS": "nanodet-plus-m",
        }
    with running_daemon(folder / "data", env) as running:
        running.credentials = (KEY, SECRET)
        _furnish(running)
        yield running


def _furnish(daemon: Daemon) -> None:
    rekognition = daemon.client("rekognition")
    rekognition.create_collection(CollectionId="family")
    rekognition.index_faces(
        CollectionId="family", ExternalImageId="eileen", Image={"Bytes": astronaut_jpeg()}
    )
    arns: dict[str, str] = wait_until(lambda: _streams(daemon), what="the cameras' streams")
    for name, stream in (
        ("front-door-faces", "front-door"),
        ("spare", "front-door"),
        ("yard-faces", DEAD_CAMERA),
    ):
        rekognition.create_stream_processor(
            Name=name,
            Input={"KinesisVideoStream": {"Arn": arns[stream]}},
            Output={"KinesisDataStream": {"Arn": _FACES}},
            Settings={"FaceSearch": {"CollectionId": "family", "FaceMatchThreshold": 85}},
            RoleArn=ROLE,
        )
    create_labels(daemon, "hall-people", arns["hall"])
    rekognition.start_stream_processor(Name="yard-faces")
    rekognition.start_stream_processor(Name="front-door-faces")
    wait_for_status(daemon, "front-door-faces", "RUNNING", seconds=90)


def _streams(daemon: Daemon) -> dict[str, str] | None:
    found: list[dict[str, Any]] = daemon.client("kinesisvideo").list_streams()["StreamInfoList"]
    arns = {one["StreamName"]: str(one["StreamARN"]) for one in found}
    return arns if arns.keys() >= {"front-door", "hall", DEAD_CAMERA} else None


def _portrait(count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield pictures of 960 x 540 pixels in which somebody moves up and down."""
    for index in range(count):
        top = round(20 * (1 + np.sin(2 * np.pi * index / count)))
        part = astronaut().crop((0, top, 512, top + 288))
        yield np.asarray(part.resize((960, 540), Image.Resampling.BICUBIC), np.uint8)


def _cut(source: Path, target: Path) -> Path:
    """Copy the packets of somebody who comes to the table, stands there and leaves."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        video = read.streams.video[0]
        copied = written.add_stream_from_template(video)
        assert video.time_base is not None
        start, end = (round(seconds / video.time_base) for seconds in (_FROM_S, _TO_S))
        for packet in read.demux(video):
            if packet.pts is None or packet.dts is None or not start <= packet.pts < end:
                continue
            packet.pts -= start
            packet.dts -= start
            packet.stream = copied
            written.mux(packet)
    return target
