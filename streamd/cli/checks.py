"""What ``streamd doctor`` looks at; each check gives findings with the next step."""

from __future__ import annotations

import contextlib
import http.client
import importlib.metadata
import shutil
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime

from packaging.requirements import Requirement

from streamd.cli.checks_cameras import check_cameras
from streamd.cli.checks_outputs import check_archive, check_outputs
from streamd.cli.findings import NETWORK_SECONDS, Check, Finding, broken, good, notable
from streamd.cli.output import megabytes
from streamd.cli.probe import answer_of
from streamd.config import ServerSettings, Settings
from streamd.errors import StreamdError
from streamd.logs import masked

__all__ = ["CHECKS"]

LOW_SPACE_BYTES = 2 * 1024**3
MAX_SKEW_SECONDS = 300.0
"""AWS refuses signatures that are further off than five minutes."""
NOTABLE_SKEW_SECONDS = 10.0
STAND_INS = {"onnxruntime-gpu": "onnxruntime"}
"""The same library, built for the CPU alone: what the container image for the CPU has."""


def check_python(settings: Settings) -> Iterator[Finding]:
    """Python's version and the packages this version of streamd asks for."""
    del settings
    version = ".".join(map(str, sys.version_info[:3]))
    try:
        wrong = list(_wrong_packages())
    except importlib.metadata.PackageNotFoundError:
        step = "pip install -e . checks versions, too"
        yield notable("packages", f"Python {version}, streamd runs from a source tree", step)
        return
    if wrong:
        step = "pip install --upgrade streamd"
        yield broken("packages", "; ".join(wrong), step)
    else:
        yield good("packages", f"Python {version}, every package present")


def check_data_dir(settings: Settings) -> Iterator[Finding]:
    """The data directory can be written, and has room."""
    path = settings.data_dir
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        step = f"make it writable, or name another: server.data_dir, --data-dir ({error.strerror})"
        yield broken("data directory", f"{path} cannot be written", step)
        return
    free = shutil.disk_usage(existing).free
    detail = f"{path}, {megabytes(free)} free"
    wanted = settings.kinesis_video.max_archive_bytes
    if free < LOW_SPACE_BYTES:
        yield notable("data directory", detail, "make room: video needs it")
    elif free < wanted and settings.kinesis_video.endpoint_url == "embedded":
        step = f"lower kinesis_video.max_archive_bytes ({megabytes(wanted)}) or make room"
        yield notable("data directory", detail, step)
    else:
        yield good("data directory", detail)


def check_models(settings: Settings) -> Iterator[Finding]:
    """The face and label packs the settings name."""
    from processors.models.packs import (  # noqa: PLC0415
        PackStatus,
        best_label_pack,
        find_pack,
        pack_state,
    )

    models_dir = settings.models_dir
    face_pack = find_pack(settings.models.faces)
    state = pack_state(face_pack, models_dir)
    if state.status is PackStatus.READY:
        yield good("face pack", f"{face_pack.name} {face_pack.version}")
    else:
        yield broken("face pack", f"{face_pack.name} is {state.status.value}", state.advice)
    name = settings.models.labels
    label_pack = best_label_pack(models_dir) if name == "auto" else find_pack(name)
    state = pack_state(label_pack, models_dir)
    tells = ", ".join(label_pack.labels)
    if state.status is not PackStatus.READY:
        yield broken("label pack", f"{label_pack.name} is {state.status.value}", state.advice)
    elif "PET" not in label_pack.labels:
        step = "streamd models list shows packs that tell PET, too"
        yield notable("label pack", f"{label_pack.name} tells {tells} only", step)
    else:
        yield good("label pack", f"{label_pack.name} tells {tells}")


def check_onnx_runtime(settings: Settings) -> Iterator[Finding]:
    """The execution providers the settings want are in this build."""
    from processors.models.runtime import available_providers  # noqa: PLC0415

    available = available_providers()
    wanted = settings.models.providers
    missing = [name for name in wanted if name not in available]
    detail = f"has {', '.join(available)}; wanted {', '.join(wanted)}"
    if not set(wanted) & set(available):
        yield broken("onnx runtime", detail, "set models.providers to what it has")
    elif missing:
        yield notable("onnx runtime", detail, f"{', '.join(missing)} will not be used")
    else:
        yield good("onnx runtime", detail)


def check_store(settings: Settings) -> Iterator[Finding]:
    """The database answers."""
    from streamd.clock import SystemClock  # noqa: PLC0415
    from streamd.store import Store  # noqa: PLC0415

    if settings.store.url is None and not (settings.data_dir / "streamd.sqlite").exists():
        yield good("store", "SQLite in the data directory, made at the first start")
        return
    try:
        with contextlib.closing(Store(settings.store_url, clock=SystemClock())) as store:
            store.ping()
    except StreamdError as error:
        yield broken("store", masked(str(error)), "check store.url and that the database runs")
    else:
        kind = settings.store_url.partition(":")[0]
        yield good("store", f"{kind} answers")


def check_replicas(settings: Settings) -> Iterator[Finding]:
    """The replicas that share the store, and whether each is seen."""
    from streamd.clock import SystemClock  # noqa: PLC0415
    from streamd.store import SeenReplica, Store  # noqa: PLC0415

    if settings.store.url is None:
        return  # the store lies in the data directory: there is one
    try:
        with contextlib.closing(Store(settings.store_url, clock=SystemClock())) as store:
            replicas: list[SeenReplica] = store.replicas()
    except StreamdError:
        yield notable("replicas", "cannot be told without the store's tables", "streamd serve")
        return
    for replica in replicas:
        # Of the url, so that it can be told from the others by more than a number.
        title, streams = "replica", f"home of {replica.streams} video streams"
        detail = f"{masked(replica.url)} ({replica.replica_id}), {streams}"
        if abs(replica.silent_seconds) <= settings.store.home_seconds:
            yield good(title, f"{detail}, seen {abs(replica.silent_seconds):.0f} s ago")
            continue
        detail = f"{detail}, not seen for {timedelta(seconds=round(replica.silent_seconds))}"
        if replica.streams:
            step = "start it with its data directory: what it archived is there alone"
            yield notable(title, detail, step)
        else:
            yield good(title, f"{detail}; nothing is missed")


def check_daemon(settings: Settings) -> Iterator[Finding]:
    """The daemon answers, or its port is free."""
    server = settings.server
    scheme = "http" if server.tls_cert is None else "https"
    host = "127.0.0.1" if server.host in {"0.0.0.0", "::"} else server.host  # noqa: S104 - compared, not bound
    url = f"{scheme}://{host}:{server.port}"
    try:
        status, detail = answer_of(server, "/readyz", timeout_seconds=NETWORK_SECONDS)
    except (OSError, http.client.HTTPException):
        yield from _port(server)
        return
    if status == http.HTTPStatus.OK:
        yield good("daemon", f"serves on {url} ({detail})")
    elif status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        yield notable("daemon", f"{url} is not ready: {detail}", "wait, or read its log")
    else:
        yield broken("daemon", f"{url} is something else", "choose another server.listen")


def _port(server: ServerSettings) -> Iterator[Finding]:
    try:
        with socket.create_server((server.host, server.port)):
            pass
    except OSError as error:
        step = "free the port, or choose another: server.listen, --listen"
        yield broken("daemon", f"port {server.listen} cannot be used: {error.strerror}", step)
    else:
        yield notable("daemon", f"does not run; {server.listen} is free", "streamd serve")


def check_video(settings: Settings) -> Iterator[Finding]:
    """The Kinesis Video endpoint, where it is not our own."""
    endpoint = settings.kinesis_video.endpoint_url
    if endpoint == "embedded":
        yield good("kinesis video", "embedded")
        return
    from streamd.producer.errors import ProducerError  # noqa: PLC0415
    from streamd.producer.kinesis_video import KinesisVideoControl  # noqa: PLC0415

    try:
        control = KinesisVideoControl(endpoint, region=settings.aws.region)
        control.check()
    except ProducerError as error:
        step = "check kinesis_video.endpoint_url and the credentials"
        yield broken("kinesis video", masked(str(error)), step)
    else:
        yield good("kinesis video", f"{endpoint} answers")


def check_clock(settings: Settings) -> Iterator[Finding]:
    """This machine's clock against the Date header of endpoints that check signatures."""
    remote = sorted(_signed_endpoints(settings))
    if not remote:
        yield good("clock", "nothing outside this machine depends on it")
    for url in remote:
        skew = _skew_seconds(url)
        if skew is None:
            yield notable("clock", f"cannot be compared: {url} tells no time")
        elif abs(skew) > MAX_SKEW_SECONDS:
            step = "set the clock (NTP): signatures will be refused"
            yield broken("clock", f"{skew:+.0f} s against {url}", step)
        elif abs(skew) > NOTABLE_SKEW_SECONDS:
            yield notable("clock", f"{skew:+.0f} s against {url}", "set the clock (NTP)")
        else:
            yield good("clock", f"agrees with {url}")


CHECKS: tuple[Check, ...] = (
    check_python,
    check_data_dir,
    check_models,
    check_onnx_runtime,
    check_store,
    check_replicas,
    check_video,
    check_outputs,
    check_archive,
    check_cameras,
    check_clock,
    check_daemon,
)


def _signed_endpoints(settings: Settings) -> Iterator[str]:
    """Yield the URLs of services that check signatures, whose clock ours must match."""
    outputs = settings.outputs
    chosen = {"kinesis": outputs.kinesis, "s3": outputs.s3, "sns": outputs.sns}
    urls = {getattr(settings, kind).endpoint_url for kind, sink in chosen.items() if sink == kind}
    video = settings.kinesis_video.endpoint_url
    urls |= {None if video == "aws" else video} - {"embedded"}
    if settings.kinesis_video.archive == "s3":
        urls.add(settings.s3.endpoint_url)
    for url in urls:
        yield url or f"https://sts.{settings.aws.region}.amazonaws.com"


def _wrong_packages() -> Iterator[str]:
    for line in importlib.metadata.requires("streamd") or ():
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name) or _version(STAND_INS.get(requirement.name, ""))
        if version is None:
            yield f"{requirement.name} is not installed"
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} {version} is not {requirement.specifier}"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name) if name else None
    except importlib.metadata.PackageNotFoundError:
        return None


def _skew_seconds(url: str) -> float | None:
    """Return how far this machine's clock is ahead; ``None`` where nobody says."""
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - http(s), the caller looked
    try:
        with urllib.request.urlopen(request, timeout=NETWORK_SECONDS) as answer:  # noqa: S310 - as above
            date = answer.headers.get("Date")
    except urllib.error.HTTPError as error:
        date = error.headers.get("Date")
    except (urllib.error.URLError, OSError):
        return None
    if date is None:
        return None
    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
