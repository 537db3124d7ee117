"""AWS's Java clients against a running daemon that demands signatures, in one run of the JVM.

SDK 2 tells the story; SDK 1 and the producer library send the media, each with a signature of
its own; the Kinesis Video Streams parser library reads GetMedia and the face-search records.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from streamd.kvs.fragments import FragmentEnded, FragmentEvent, FragmentReader, Packet
from tests.support.client_programs import JAVA, Steps, client_env, installed, run_steps
from tests.support.daemon import Daemon
from tests.support.media import Video, demux, put_media_body
from tests.support.producer import now_ms
from tests.support.scenes import face_video
from tests.support.shared import MEDIA

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(480),
    pytest.mark.xdist_group("client-java"),
]

START_FAST = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx256m")


@pytest.fixture(scope="module")
def more_settings() -> dict[str, str]:
    """GetMedia ends soon after the producer: the parser library reads it to its end."""
    return {"STREAMD_KINESIS_VIDEO__IDLE_SECONDS": "0.5"}


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where the client is installed."""
    return installed(JAVA) / "target"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Media that the client sends, and where it leaves what it has read."""
    return tmp_path_factory.mktemp("java")


@pytest.fixture(scope="module")
def clip() -> Video:
    """Real footage where there is any, else the pan over a photograph."""
    file = MEDIA / "video" / "bottles_hand.mp4"
    return demux(file) if file.is_file() else face_video(2.0)


@pytest.fixture(scope="module")
def start_ms() -> int:
    """The producer's time of the first picture."""
    return now_ms()


@pytest.fixture(scope="module")
def story(
    folder: Path, signed_daemon: Daemon, photo: Path, media: Path, clip: Video, start_ms: int
) -> Steps:
    """What the clients saw, from the collection to the last deletion."""
    absolute, relative = media / "absolute.mkv", media / "relative.mkv"
    absolute.write_bytes(put_media_body(face_video(2.0), start_ms=start_ms))
    relative.write_bytes(put_media_body(clip, start_ms=0, fragment_tags={"camera": "dock"}))
    return run_steps(
        [
            *("java", *START_FAST, "-cp", f"{folder / 'classes'}:{folder / 'lib'}/*"),
            "story.Main",
        ],
        env=client_env(
            signed_daemon,
            PHOTO=str(photo),
            ABSOLUTE=str(absolute),
            RELATIVE=str(relative),
            RELATIVE_FRAGMENTS=str(len(clip.fragments())),
            RECORDS=str(signed_daemon.data_dir / "outputs" / "kinesis" / "java.jsonl"),
            MEDIA_DIR=str(media),
        ),
    )


def test_collection_holds_the_indexed_face(story: Steps) -> None:
    """IndexFaces, SearchFacesByImage and a paginator agree; numbers and dates have their types."""
    seen = story["collection"]
    assert (seen["status"], seen["listed"], seen["matched"]) == (200, 1, "astronaut")
    assert seen["similarity"] > 99
    assert abs(seen["createdMs"] / 1000 - time.time()) < 300


def test_answers_carry_what_was_asked_for(story: Steps) -> None:
    """DescribeStreamProcessor gives the float back, ListTagsForResource the letter ö."""
    assert story["running"]["threshold"] == 85.5
    assert story["running"]["tags"] == {"site": "höher"}


@pytest.mark.parametrize(
    ("step", "field", "code"),
    [
        ("collection", "alreadyExists", "ResourceAlreadyExistsException"),
        ("running", "busy", "ResourceInUseException"),
        ("deleted", "gone", "ResourceNotFoundException"),
        ("signatures", "refused", "InvalidSignatureException"),
    ],
)
def test_errors_were_caught_by_their_class(story: Steps, step: str, field: str, code: str) -> None:
    """The program's ``catch`` held; here the rest of what the SDK says of the error."""
    error = story[step][field]
    assert (error["code"], error["status"]) == (code, 400)
    assert error["message"]
    assert error["requestId"]


def test_errors_of_video_streams_were_caught_by_their_class(story: Steps) -> None:
    """A stream that is not there is a 404 for SDK 2 and for SDK 1's PutMedia."""
    assert story["deleted"]["noStreamCode"] == "ResourceNotFoundException"
    assert story["deleted"]["noStreamStatus"] == 404
    assert story["nowhere"]["code"] == "ResourceNotFoundException"


def test_a_wrong_clock_is_mended_by_the_client(story: Steps) -> None:
    """The SDK learned from our Date header that its clock is ten minutes off."""
    assert story["clock"]["collections"] == 0
    assert abs(story["clock"]["offset"]) <= 2


def test_sdk_one_parses_acknowledgements(story: Steps, start_ms: int) -> None:
    """Each of two fragments is buffering, received and persisted, in that order."""
    acks = story["sdkOne"]["acks"]
    for timecode in (start_ms, start_ms + 1000):
        mine = [ack for ack in acks if ack["timecode"] == timecode]
        assert [ack["type"] for ack in mine] == ["BUFFERING", "RECEIVED", "PERSISTED"]
        assert len({ack["number"] for ack in mine}) == 1
    assert {ack["error"] for ack in acks} == {"null"}


def test_producer_library_is_acknowledged(story: Steps, clip: Video) -> None:
    """UNSIGNED-PAYLOAD with relative timecodes: every fragment of the clip is persisted."""
    answer = story["producerLibrary"]["answer"]  # with HTTP's head and chunks: a bare socket
    lines = [json.loads(line) for line in answer.splitlines() if line.startswith("{")]
    persisted = [line["FragmentTimecode"] for line in lines if line["EventType"] == "PERSISTED"]
    assert persisted == [fragment[0].pts_ms for fragment in clip.fragments()]


def test_parser_library_reads_face_search_records(story: Steps, start_ms: int) -> None:
    """The library's Kinesis consumer indexes our records by fragment, five frames in each."""
    fragments = story["records"]["fragments"]
    assert [fragment["number"] for fragment in fragments] == [
        fragment["number"] for fragment in story["parsed"]["fragments"]
    ]
    for index, fragment in enumerate(fragments):
        offsets = [output["offset"] for output in fragment["outputs"]]
        assert offsets == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
        assert all(output["names"] == ["astronaut"] for output in fragment["outputs"])
        # The library keeps whole seconds of a record's times.
        assert fragment["producerSeconds"] == (start_ms + index * 1000) // 1000


def _events(path: Path) -> Iterator[FragmentEvent]:
    yield from FragmentReader().feed(path.read_bytes())


def _ours(path: Path) -> list[dict[str, Any]]:
    """Return what our own reader finds in the same bytes, in the program's words."""
    packets: list[Packet] = []
    found = []
    for event in _events(path):
        if isinstance(event, Packet):
            packets.append(event)
        if isinstance(event, FragmentEnded):
            track = event.fragment.video
            assert track is not None
            found.append(
                {
                    "number": event.fragment.number,
                    "serverMs": event.fragment.server_timestamp_ms,
                    "producerMs": event.fragment.producer_timestamp_ms,
                    "frames": len(packets),
                    "keyFrames": sum(packet.keyframe for packet in packets),
                    "bytes": sum(len(packet.data) for packet in packets),
                    "codec": track.codec_id,
                    "width": track.width_px,
                    "height": track.height_px,
                    "codecPrivateBytes": len(track.codec_private),
                    "tags": dict(event.metadata),
                }
            )
            packets = []
    return found


@pytest.mark.parametrize(
    ("step", "name"), [("parsed", "java.mkv"), ("parsedProducer", "java-producer.mkv")]
)
def test_parser_library_and_our_reader_agree(
    story: Steps, media: Path, step: str, name: str
) -> None:
    """Numbers, times, tracks, frames and the producer's tags of every fragment are the same."""
    theirs = story[step]["fragments"]
    assert all(fragment.pop("success") for fragment in theirs)
    assert all(fragment.pop("complete") for fragment in theirs)
    assert theirs == _ours(media / name)


def test_media_that_was_read_plays(story: Steps, media: Path, clip: Video) -> None:
    """Nothing of what was uploaded is missing."""
    assert story["parsed"]
    for name, count in (("java.mkv", 20), ("java-producer.mkv", len(clip.packets))):
        with av.open(str(media / name)) as container:
            assert sum(1 for packet in container.demux(video=0) if packet.size) == count


def test_parser_library_worker_reads_the_same(story: Steps) -> None:
    """GetMediaWorker, which asks for the data endpoint with SDK 1, sees the same fragments."""
    numbers = [fragment["number"] for fragment in story["worker"]["fragments"]]
    assert numbers == [fragment["number"] for fragment in story["parsed"]["fragments"]]
    assert len(numbers) == 2
