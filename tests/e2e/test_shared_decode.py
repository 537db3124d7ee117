"""Several stream processors on one video stream: one decode, and nobody misses a frame."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.support.daemon import running_daemon, wait_until
from tests.support.ledger import audit, positions
from tests.support.live_camera import LiveCamera, quiet_video
from tests.support.story import create_face_search, wait_for_status

NAMES = ("door", "desk", "yard")


def test_processors_of_one_stream_share_a_decode(data_dir: Path) -> None:
    """Three face searches end up at one feed; each has every frame, also when the first stops."""
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(
            running_daemon(
                data_dir, {"STREAMD_SERVER__WORKERS": "1", "STREAMD_ANALYSIS__FPS": "10"}
            )
        )
        _, arn = create_face_search(daemon, NAMES[0])
        for name in NAMES[1:]:
            create_face_search(daemon, name, stream_arn=arn)
        rekognition = daemon.client("rekognition")
        camera = LiveCamera(daemon.port, NAMES[0], quiet_video()).start()
        stack.callback(camera.stop)
        for name in NAMES:
            rekognition.start_stream_processor(Name=name)
            wait_for_status(daemon, name, "RUNNING")
        wait_until(lambda: daemon.metric("streamd_feeds") == 1, what="one decode")
        assert daemon.metric("streamd_sessions") == 3

        rekognition.stop_stream_processor(Name=NAMES[0])
        wait_for_status(daemon, NAMES[0], "STOPPED")
        marks = {name: len(daemon.records(name)) + 20 for name in NAMES[1:]}
        wait_until(lambda: all(len(daemon.records(n)) >= mark for n, mark in marks.items()))
        assert daemon.metric("streamd_feeds") == 1
        promised = camera.stop()
        for name in NAMES[1:]:
            rekognition.stop_stream_processor(Name=name)
            wait_for_status(daemon, name, "STOPPED")
            found = positions(records := daemon.records(name))
            began, ended = found[0][0], found[-1][0]
            mine = [number for number in promised if began < number < ended]
            ledger = audit(records, mine, per_fragment=5)
            assert (ledger.lost, ledger.thin, ledger.repeated) == (frozenset(), {}, 0)
            assert ledger.is_ordered
