"""A real Prometheus scrapes a real daemon: alerts fire when the fault is there, and end with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.services.fetched import ServiceUnavailableError
from tests.services.prometheus import (
    Prometheus,
    PrometheusTools,
    prometheus_tools,
)
from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.dashboards import DASHBOARDS
from tests.support.grafana import Panel
from tests.support.live_camera import LiveCamera, quiet_video
from tests.support.long_form import long_form
from tests.support.story import create_face_search, wait_for_status
from tests.support.written_table import ROOT

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(300)]

FOLDER = ROOT / "deploy" / "prometheus"
RULES = FOLDER / "rules" / "streamd.yml"
_VARIABLES = {"$__rate_interval": "10s", "$instance": ".*", "$stream_processor": ".*"}
SECONDS = 90.0
"""Patience with a machine that others load."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A daemon that works, and who watches it."""

    daemon: Daemon
    camera: LiveCamera
    prometheus: Prometheus

    def wait_for(self, alert: str, **labels: str) -> None:
        """Wait until an alert with these labels fires."""
        wait_until(
            lambda: self._fires(alert, labels), seconds=SECONDS, what=f"{alert} {labels} to fire"
        )

    def wait_for_end(self, alert: str, **labels: str) -> None:
        """Wait until none does."""
        wait_until(
            lambda: not self._fires(alert, labels), seconds=SECONDS, what=f"{alert} {labels} to end"
        )

    def _fires(self, alert: str, labels: dict[str, str]) -> bool:
        found = self.prometheus.firing().get(alert, [])
        return any(labels.items() <= one.items() for one in found)


@pytest.fixture(scope="module")
def tools() -> PrometheusTools:
    try:
        return prometheus_tools()
    except ServiceUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def site(tools: PrometheusTools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("prometheus")
    settings = {"STREAMD_SERVER__WORKERS": "1", "STREAMD_OUTBOX__MAX_BYTES": "20000"}
    with running_daemon(folder / "data", settings) as daemon:
        create_face_search(daemon, "door")
        daemon.client("rekognition").start_stream_processor(Name="door")
        wait_for_status(daemon, "door", "RUNNING")
        camera = LiveCamera(daemon.port, "door", quiet_video()).start()
        prometheus = Prometheus(tools, folder, targets=[f"127.0.0.1:{daemon.port}"], rules=RULES)
        try:
            wait_until(lambda: daemon.records("door"), what="first records")
            with prometheus.running():
                yield Site(daemon=daemon, camera=camera, prometheus=prometheus)
        finally:
            camera.stop()


def test_the_scrape_configuration_is_valid(tools: PrometheusTools) -> None:
    """Promtool takes it, with the rules it names."""
    assert "1 rule files found" in tools.check("check", "config", str(FOLDER / "prometheus.yml"))


@pytest.mark.parametrize("path", sorted((FOLDER / "tests").glob("*.yml")), ids=lambda p: p.stem)
def test_rules_pass_their_unit_tests(tools: PrometheusTools, path: Path) -> None:
    """Each alert fires in its fault, with the right words, and not otherwise."""
    assert "SUCCESS" in tools.check("test", "rules", str(path))


def test_a_working_daemon_s_metrics_pass_promtool(site: Site, tools: PrometheusTools) -> None:
    """Names, types and helps are as Prometheus wants them, and nothing is said against them."""
    status, text = site.daemon.get("/metrics")
    assert status == 200
    assert tools.check("check", "metrics", stdin=text).strip() == ""


@long_form
def test_nothing_fires_while_all_is_well(site: Site) -> None:
    """A daemon that works is scraped, and gives rise to no alert."""
    wait_until(
        lambda: site.prometheus.query("rate(streamd_frames_analyzed_total[10s]) > 0"),
        seconds=SECONDS,
        what="rates",
    )
    assert site.prometheus.query("up")[0]["value"][1] == "1"
    # Long enough for every shortened alert.
    wait_until(
        lambda: site.prometheus.query("count_over_time(up[20s]) >= 8"), seconds=SECONDS, what="time"
    )
    assert site.prometheus.firing() == {}


def test_a_camera_that_stops_is_a_stalled_stream(site: Site) -> None:
    """The alert names the stream processor, and ends when video comes again."""
    assert site.prometheus.firing() == {}
    site.camera.stalled.set()
    try:
        site.wait_for("StreamdStreamStalled", stream_processor="door", severity="page")
    finally:
        site.camera.stalled.clear()
    site.wait_for_end("StreamdStreamStalled")


@long_form
def test_a_sink_that_is_away_fills_the_outbox(site: Site) -> None:
    """Its errors, the outbox that fills and the outbox that is full are told; all end with it."""
    output = site.daemon.data_dir / "outputs" / "kinesis" / "door.jsonl"
    aside = output.with_name("aside")
    output.rename(aside)
    # Cannot be opened, whoever one is, for as long as it leads to itself.
    output.symlink_to(output.name)
    try:
        site.wait_for("StreamdSinkFailing", severity="page")
        site.wait_for("StreamdOutboxFilling", stream_processor="door")
        site.wait_for("StreamdOutboxFull", stream_processor="door")
    finally:
        output.unlink()
        aside.rename(output)
    for alert in ("StreamdOutboxFull", "StreamdOutboxFilling", "StreamdSinkFailing"):
        site.wait_for_end(alert)


def test_a_failed_stream_processor_is_named(site: Site) -> None:
    """It fires for the one that is FAILED, until that is deleted."""
    rekognition: Any = site.daemon.client("rekognition")
    _, arn = create_face_search(site.daemon, "shed")
    site.daemon.client("kinesisvideo").delete_stream(StreamARN=arn)
    rekognition.start_stream_processor(Name="shed")
    wait_for_status(site.daemon, "shed", "FAILED")
    site.wait_for("StreamdProcessorFailed", stream_processor="shed")
    assert not site._fires("StreamdProcessorFailed", {"stream_processor": "door"})
    rekognition.delete_stream_processor(Name="shed")
    site.wait_for_end("StreamdProcessorFailed")


def test_what_is_deleted_leaves_no_series(site: Site) -> None:
    """A hundred stream processors that came and went are not to be seen at the next scrape."""
    rekognition: Any = site.daemon.client("rekognition")
    arn = site.daemon.client("kinesisvideo").describe_stream(StreamName="door")["StreamInfo"]
    before = len(site.daemon.get("/metrics")[1].splitlines())
    for number in range(100):
        name = f"passing-{number}"
        rekognition.create_stream_processor(
            Name=name,
            Input={"KinesisVideoStream": {"Arn": arn["StreamARN"]}},
            Output={
                "KinesisDataStream": {"Arn": "arn:aws:kinesis:us-east-1:000000000000:stream/door"}
            },
            Settings={"FaceSearch": {"CollectionId": "door"}},
            RoleArn="arn:aws:iam::000000000000:role/streamd",
        )
    assert site.daemon.get("/metrics")[1].count('stream_processor="passing-') == 100
    for number in range(100):
        rekognition.delete_stream_processor(Name=f"passing-{number}")
    text = site.daemon.get("/metrics")[1]
    assert "passing-" not in text
    # Some series of the API's operations are new.
    assert len(text.splitlines()) < before + 60


def test_every_panel_shows_something(site: Site) -> None:
    """Each query of the dashboards evaluates; where a working daemon has something, it shows it."""
    rekognition: Any = site.daemon.client("rekognition")

    def empty() -> list[str]:
        # Some panels tell of requests: they show what was asked within the last seconds.
        rekognition.list_stream_processors()
        return [
            f"{dashboard.name}: {panel.title}"
            for dashboard in DASHBOARDS
            for panel in dashboard.panels
            if not _values(site.prometheus, panel) and not panel.may_be_empty
        ]

    wait_until(lambda: not empty(), seconds=SECONDS, what="every panel to show something")


def _values(prometheus: Prometheus, panel: Panel) -> list[dict[str, Any]]:
    """Ask every query of a panel as Grafana does: variables stand for everything."""
    found = []
    for expression, _ in panel.queries:
        for variable, value in _VARIABLES.items():
            expression = expression.replace(variable, value)
        found += prometheus.query(expression)
    return found
