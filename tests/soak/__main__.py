"""``make soak MINUTES=…``: cameras, searches and label sessions under faults, with the books kept.

Four cameras send by PutMedia and one is relayed from RTSP; each is searched for faces, with the
records in Kafka; label sessions run beside them. Workers and the daemon are killed, suspended
and stopped, the broker goes away, the RTSP camera is cut. At the end every fragment that was
acknowledged as persisted must have all of its records. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.soak.books import Account, TopicReader, balance
from tests.soak.faults import Tormentor
from tests.support.daemon import Daemon, wait_until
from tests.support.kafka import MockCluster, mock_cluster
from tests.support.live_camera import LiveCamera, quiet_video
from tests.support.rtsp_camera import RtspCamera, rtsp_camera
from tests.support.story import create_face_search, create_labels, create_stream, wait_for_status

CAMERAS = ("door", "yard", "hall", "roof")
RELAYED = "gate"
FPS = 5
SETTLE_SECONDS = 60.0
WORKERS = 2
PAUSE_SECONDS = (3.0, 8.0)


def main() -> int:
    """Run, print the table; returns 1 if anything is lost or out of order."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", type=Path, help="folder for the daemon's data, log and the books")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    video = quiet_video(fragment_seconds=1.0)
    with (
        tempfile.TemporaryDirectory(prefix="streamd-soak-") as scratch,
        mock_cluster() as cluster,
        rtsp_camera(video) as camera,
    ):
        for name in (*CAMERAS, RELAYED):
            cluster.create_topic(name, partitions=1)
        folder: Path = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        daemon = Daemon(folder / "data", _settings(cluster, camera))
        try:
            return _soak(daemon.start(), cluster, camera, options.minutes, seed)
        finally:
            daemon.stop()


def _settings(cluster: MockCluster, camera: RtspCamera) -> dict[str, str]:
    return {
        "STREAMD_SERVER__WORKERS": str(WORKERS),
        "STREAMD_STORE__LEASE_SECONDS": "3",
        "STREAMD_OUTPUTS__KINESIS": "kafka",
        "STREAMD_KAFKA__BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
        f"STREAMD_CAMERAS__{RELAYED.upper()}__URL": camera.url,
        f"STREAMD_CAMERAS__{RELAYED.upper()}__STREAM": RELAYED,
    }


def _soak(daemon: Daemon, cluster: MockCluster, rtsp: RtspCamera, minutes: float, seed: int) -> int:
    console = Console(width=100)
    console.print(f"soak of {minutes:g} min, seed {seed}, {WORKERS} workers")
    arns = _start_searches(daemon)
    create_labels(daemon, "labels", arns["door"])
    tormentor = Tormentor(daemon, cluster, rtsp, random.Random(seed))
    with contextlib.closing(TopicReader(cluster, (*CAMERAS, RELAYED))) as reader:
        with contextlib.ExitStack() as stack:
            cameras = {
                name: LiveCamera(daemon.port, name, quiet_video(fragment_seconds=1.0)).start()
                for name in CAMERAS
            }
            for each in cameras.values():
                stack.callback(each.stop)
            wait_until(lambda: all(reader.records.values()), seconds=60, what="first records")
            memory_before = _memory_mib(daemon)
            sessions = _torment(daemon, tormentor, minutes, console)
            promised = {name: dict.fromkeys(c.stop(), FPS) for name, c in cameras.items()}
        rtsp.stop()
        promised[RELAYED] = _archived(daemon, RELAYED)
        accounts = _settle(reader, promised)
        books = {name: [reader.records[name], promised[name]] for name in promised}
        (daemon.data_dir.parent / "books.json").write_text(json.dumps(books))
    total = _show_records(console, accounts)
    wait_for_status(daemon, "labels", "STOPPED", "FAILED", seconds=SETTLE_SECONDS)
    ended = len({note["eventId"] for note in daemon.notifications("labels")})
    facts = Table(title="faults and costs", title_justify="left", show_header=False)
    for name, count in sorted(tormentor.faults.items()):
        facts.add_row(name, str(count))
    facts.add_section()
    facts.add_row("takeover of a worker's sessions", _times(tormentor.takeovers))
    facts.add_row("daemon's start to all sessions held", _times(tormentor.restarts))
    facts.add_row("label sessions, told of their end", f"{sessions}, {ended}")
    facts.add_row("memory of all processes", f"{memory_before} MiB -> {_memory_mib(daemon)} MiB")
    console.print(facts)
    console.print(
        "expected: of fragments acknowledged as persisted. More may be delivered: of fragments "
        "that were stored while their camera was cut off from the acknowledgement."
    )
    failed = total.lost > 0 or total.out_of_order > 0 or total.expected == 0 or ended < sessions
    console.print("LOST OR OUT OF ORDER" if failed else "nothing lost, all in order")
    return int(failed)


def _show_records(console: Console, accounts: dict[str, Account]) -> Account:
    names = [field.name for field in dataclasses.fields(Account)]
    total = Account(**{n: sum(getattr(a, n) for a in accounts.values()) for n in names})
    table = Table(title="records", title_justify="left")
    table.add_column("stream")
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for stream, account in [*accounts.items(), ("all", total)]:
        table.add_row(stream, *(str(getattr(account, name)) for name in names))
    console.print(table)
    return total


def _start_searches(daemon: Daemon) -> dict[str, str]:
    arns = {}
    for name in (*CAMERAS, RELAYED):
        arns[name] = _stream(daemon, name)
        create_face_search(daemon, name, stream_arn=arns[name])
        daemon.client("rekognition").start_stream_processor(Name=name)
    for name in arns:
        wait_for_status(daemon, name, "RUNNING")
    return arns


def _stream(daemon: Daemon, name: str) -> str:
    client = daemon.client("kinesisvideo")
    # The relay makes the stream of its camera itself; who is first does not matter.
    with contextlib.suppress(client.exceptions.ResourceInUseException):
        return create_stream(daemon, name)
    return str(client.describe_stream(StreamName=name)["StreamInfo"]["StreamARN"])


def _torment(daemon: Daemon, tormentor: Tormentor, minutes: float, console: Console) -> int:
    """Strike until the time is over, with label sessions beside; returns how many of those."""
    end = time.monotonic() + minutes * 60
    dice = random.Random(1)
    sessions = 0
    while time.monotonic() < end:
        time.sleep(dice.uniform(*PAUSE_SECONDS))
        sessions += _start_labels(daemon)
        at = time.strftime("%H:%M:%S")
        console.print(f"[dim]{at} {tormentor.strike()}[/dim]")
    return sessions


def _start_labels(daemon: Daemon) -> int:
    rekognition = daemon.client("rekognition")
    if rekognition.describe_stream_processor(Name="labels")["Status"] not in ("STOPPED", "FAILED"):
        return 0
    rekognition.start_stream_processor(
        Name="labels",
        StartSelector={"KVSStreamStartSelector": {"ProducerTimestamp": int(time.time() * 1000)}},
        StopSelector={"MaxDurationInSeconds": 5},
    )
    return 1


def _archived(daemon: Daemon, stream: str) -> dict[str, int]:
    """Return the whole fragments of a relayed camera, ten frames each, and their records.

    After a cut the relay sets its clock right by up to 5 %: those of 0.95 s may have one less.
    """
    client = daemon.client("kinesis-video-archived-media")
    period = {"StartTimestamp": 0, "EndTimestamp": int(time.time()) + 60}
    pages = client.get_paginator("list_fragments").paginate(
        StreamName=stream,
        FragmentSelector={
            "FragmentSelectorType": "SERVER_TIMESTAMP",
            "TimestampRange": period,
        },
    )
    found = [fragment for page in pages for fragment in page["Fragments"]]
    lengths = {f["FragmentNumber"]: f["FragmentLengthInMilliseconds"] for f in found}
    return {n: FPS if length >= 990 else FPS - 1 for n, length in lengths.items() if length >= 900}


def _settle(reader: TopicReader, promised: dict[str, dict[str, int]]) -> dict[str, Account]:
    """Wait until nothing is missing, or no longer; return the accounts."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        accounts = {
            name: balance(list(reader.records[name]), wanted) for name, wanted in promised.items()
        }
        if not any(each.lost for each in accounts.values()) or time.monotonic() > deadline:
            return accounts
        time.sleep(1)


def _memory_mib(daemon: Daemon) -> int:
    kib = 0
    for pid in (daemon.pid, *daemon.worker_pids()):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            kib += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return kib // 1024


def _times(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    middle = sorted(seconds)[len(seconds) // 2]
    return f"median {middle:.1f} s, longest {max(seconds):.1f} s, {len(seconds)} times"


if __name__ == "__main__":
    sys.exit(main())
