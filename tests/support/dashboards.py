"""The dashboards in ``deploy/grafana/dashboards``, made from what is said here.

``python -m tests.support.dashboards --write`` writes them; a test compares. Each panel is one
sentence, one unit and one or a few queries.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.grafana import AT, Dashboard, Panel, text_of
from tests.support.written_table import ROOT

__all__ = ["DASHBOARDS", "FOLDER", "queries"]

FOLDER = ROOT / "deploy" / "grafana" / "dashboards"
ONE = f'{AT}, stream_processor=~"$stream_processor"'
PER_SECOND = "suffix:/s"
BURN = "job:streamd_api_errors:ratio_rate"
"""A recording rule; its windows follow."""


def _p99(name: str, by: str, where: str = AT, share: str = "0.99") -> str:
    return (
        f"histogram_quantile({share}, "
        # Where nothing was measured there is no number, and no series.
        f"sum by ({by}, le) (rate({name}_bucket{{{where}}}[$__rate_interval]))) >= 0"
    )


def _rate(name: str, by: str = "", where: str = AT) -> str:
    summed = f"sum by ({by})" if by else "sum"
    return f"{summed} (rate({name}{{{where}}}[$__rate_interval]))"


_STAT = {"kind": "stat", "width": 4, "height": 4}

OVERVIEW = Dashboard(
    name="overview",
    title="streamd / overview",
    text="Is all well, and if not, where.",
    panels=(
        Panel(
            title="Daemons up",
            text="Replicas that answer the scrape.",
            queries=((f"sum(up{{{AT}}})", ""),),
            steps=((0, "red"), (1, "green")),
            **_STAT,  # type: ignore[arg-type]  # one shape for several panels
        ),
        Panel(
            title="Stream processors running",
            text="RUNNING, and STARTING: label sessions stay STARTING for their whole run.",
            queries=(
                (
                    f'sum(max by (status) (streamd_stream_processors{{{AT}, status=~"RUNNING|STARTING"}}))',
                    "",
                ),
            ),
            **_STAT,  # type: ignore[arg-type]
        ),
        Panel(
            title="FAILED",
            text="Stream processors that ended FAILED: DescribeStreamProcessor says why.",
            queries=((f'max(streamd_stream_processors{{{AT}, status="FAILED"}})', ""),),
            steps=((0, "green"), (1, "red")),
            **_STAT,  # type: ignore[arg-type]
        ),
        Panel(
            title="Analysed of asked",
            text="Share of the frames asked for; below 100 % the machine is overloaded.",
            queries=((f"min(streamd_analysis_rate_ratio{{{AT}}})", ""),),
            unit="percentunit",
            steps=((0, "red"), (0.9, "orange"), (1, "green")),
            **_STAT,  # type: ignore[arg-type]
        ),
        Panel(
            title="Fullest outbox",
            text="Share of what may wait for a sink; at 100 % video waits.",
            queries=(("max(instance:streamd_outbox_fill:ratio) or vector(0)", ""),),
            unit="percentunit",
            steps=((0, "green"), (0.5, "orange"), (0.9, "red")),
            **_STAT,  # type: ignore[arg-type]
        ),
        Panel(
            title="Least disk free",
            text="Of the data directories.",
            queries=((f"min(streamd_disk_free_bytes{{{AT}}})", ""),),
            unit="bytes",
            steps=((0, "red"), (536870912, "orange"), (2147483648, "green")),
            **_STAT,  # type: ignore[arg-type]
        ),
        Panel(
            title="Alerts",
            text="What fires; each has a section of its name in deploy/OPERATIONS.md.",
            queries=(
                (
                    'ALERTS{alertname=~"Streamd.*", alertstate="firing"}',
                    "{{alertname}} {{stream_processor}}{{sink}}{{camera}}",
                ),
            ),
            kind="table",
            columns={
                "severity": "Severity",
                "alertname": "Alert",
                "stream_processor": "Stream processor",
                "camera": "Camera",
                "sink": "Output",
                "instance": "Replica",
            },
            width=12,
            nothing="Nothing fires",
        ),
        Panel(
            title="Behind the video",
            text="Age of the newest analysed frame; a second or two is good.",
            queries=(
                (
                    f"max by (stream_processor) (streamd_stream_lag_seconds{{{AT}}})",
                    "{{stream_processor}}",
                ),
            ),
            unit="s",
            width=12,
        ),
        Panel(
            title="Video read",
            text="By all sessions of a replica.",
            queries=((_rate("streamd_media_bytes_total", "instance"), "{{instance}}"),),
            unit="Bps",
        ),
        Panel(
            title="Frames analysed",
            text="A second, by replica.",
            queries=((_rate("streamd_frames_analyzed_total", "instance"), "{{instance}}"),),
            unit=PER_SECOND,
        ),
        Panel(
            title="Results delivered",
            text="A second, by output.",
            queries=((_rate("streamd_records_delivered_total", "sink"), "{{sink}}"),),
            unit=PER_SECOND,
        ),
        Panel(
            title="From frame to sink",
            text="95 in 100 results need less from their frame's arrival to the sink's acknowledgement.",
            queries=((_p99("streamd_record_latency_seconds", "sink", share="0.95"), "{{sink}}"),),
            unit="s",
        ),
        Panel(
            title="Failed deliveries",
            text="A second, by output and class of error; tried again until they succeed.",
            queries=((_rate("streamd_sink_errors_total", "sink, error"), "{{sink}} {{error}}"),),
            unit=PER_SECOND,
            nothing="None failed",
        ),
        Panel(
            title="Cameras",
            text="Of the settings: which of them send.",
            queries=((f"max by (camera) (streamd_camera_up{{{AT}}})", "{{camera}}"),),
            nothing="No cameras in the settings",
            kind="state-timeline",
            states=((0, "away", "red"), (1, "sends", "green")),
        ),
    ),
)

_STATES = (
    (0, "STOPPED", "gray"),
    (1, "STARTING", "blue"),
    (2, "RUNNING", "green"),
    (3, "STOPPING", "blue"),
    (4, "UPDATING", "blue"),
    (5, "FAILED", "red"),
)
_EITHER = " or ".join(
    f'{number} * streamd_stream_processor_status{{{ONE}, status="{name}"}}'
    for number, name, _ in _STATES
)
_STATUS = f"max by (stream_processor) ({_EITHER})"

STREAM = Dashboard(
    name="stream",
    title="streamd / one stream",
    text="One stream processor, from its video to its sink.",
    has_processor=True,
    panels=(
        Panel(
            title="Status",
            text="As DescribeStreamProcessor says.",
            queries=((_STATUS, "{{stream_processor}}"),),
            kind="state-timeline",
            states=_STATES,
            width=12,
        ),
        Panel(
            title="Decoding",
            text="Only keyframes, while the gate sees that nothing moves.",
            queries=(
                (
                    f"max by (stream_processor) (streamd_gate_quiet{{{ONE}}})",
                    "{{stream_processor}}",
                ),
            ),
            kind="state-timeline",
            states=((0, "everything", "blue"), (1, "keyframes only", "green")),
            width=12,
        ),
        Panel(
            title="Video read",
            text="Nothing here while the status is RUNNING: the camera is away.",
            queries=(
                (
                    _rate("streamd_media_bytes_total", "stream_processor", ONE),
                    "{{stream_processor}}",
                ),
            ),
            unit="Bps",
        ),
        Panel(
            title="Behind the video",
            text="Age of the newest analysed frame.",
            queries=(
                (
                    f"max by (stream_processor) (streamd_stream_lag_seconds{{{ONE}}})",
                    "{{stream_processor}}",
                ),
            ),
            unit="s",
        ),
        Panel(
            title="Frames",
            text="Decoded, spared by the gate, analysed, and like the one before that showed nothing.",
            queries=(
                (_rate("streamd_frames_decoded_total", "", ONE), "decoded"),
                (_rate("streamd_frames_skipped_total", "", ONE), "not decoded"),
                (_rate("streamd_frames_analyzed_total", "", ONE), "analysed"),
                (_rate("streamd_frames_still_total", "", ONE), "still"),
            ),
            unit=PER_SECOND,
        ),
        Panel(
            title="Found",
            text="Faces or objects a second, and faces with a match.",
            queries=(
                (_rate("streamd_detections_total", "label", ONE), "{{label}}"),
                (_rate("streamd_face_matches_total", "", ONE), "matched"),
            ),
            unit=PER_SECOND,
            nothing="Nothing found",
        ),
        Panel(
            title="The gate",
            text="Times it began to decode everything, by cause; motion it missed should be 0.",
            queries=(
                (_rate("streamd_gate_wakes_total", "cause", ONE), "wakes: {{cause}}"),
                (_rate("streamd_gate_missed_motion_total", "", ONE), "missed"),
            ),
            unit=PER_SECOND,
            at_least=0.1,
            nothing="Nothing woke it",
        ),
        Panel(
            title="Trouble",
            text="Damaged fragments by reason, and reads begun again.",
            queries=(
                (_rate("streamd_fragments_damaged_total", "reason", ONE), "damaged: {{reason}}"),
                (_rate("streamd_source_reconnects_total", "", ONE), "reconnects"),
            ),
            unit=PER_SECOND,
            nothing="None",
        ),
        Panel(
            title="Outbox",
            text="Results that wait for their sink.",
            queries=(
                (
                    f"sum by (stream_processor) (streamd_outbox_items{{{ONE}}})",
                    "{{stream_processor}}",
                ),
            ),
            width=12,
            at_least=10,
        ),
        Panel(
            title="Waiting for the sink",
            text="Share of the outbox that is taken; at 100 % video waits.",
            queries=(
                (
                    'max by (stream_processor) (instance:streamd_outbox_fill:ratio{stream_processor=~"$stream_processor"})',
                    "{{stream_processor}}",
                ),
            ),
            unit="percentunit",
            width=12,
            maximum=1,
        ),
    ),
)

INFERENCE = Dashboard(
    name="inference",
    title="streamd / inference",
    text="What analysis costs, and how the work is spread.",
    panels=(
        Panel(
            title="Threads kept busy",
            text="By sessions, of those that workers have. Near the top everywhere: too few cores.",
            queries=(
                (f"sum by (instance) (streamd_analysis_load_threads{{{AT}}})", "{{instance}} busy"),
                (f"sum by (instance) (streamd_analysis_threads{{{AT}}})", "{{instance}} there"),
            ),
        ),
        Panel(
            title="Analysed of asked",
            text="Share of the frames a second that were asked for of live video.",
            queries=((f"min by (instance) (streamd_analysis_rate_ratio{{{AT}}})", "{{instance}}"),),
            unit="percentunit",
            maximum=1,
        ),
        Panel(
            title="Keyframes only",
            text="Whether a worker decodes keyframes only, because it is overloaded.",
            queries=(
                (f"max by (instance) (streamd_analysis_keyframes_only{{{AT}}})", "{{instance}}"),
            ),
            kind="state-timeline",
            states=((0, "no", "green"), (1, "overloaded", "red")),
        ),
        Panel(
            title="Inference per frame",
            text="Median and 99th percentile, by kind of stream processor.",
            queries=(
                (_p99("streamd_analysis_duration_seconds", "kind", share="0.5"), "{{kind}} p50"),
                (_p99("streamd_analysis_duration_seconds", "kind"), "{{kind}} p99"),
            ),
            unit="s",
        ),
        Panel(
            title="Frames a second",
            text="Decoding is the bill: what the gate spares costs nothing.",
            queries=(
                (_rate("streamd_frames_decoded_total"), "decoded"),
                (_rate("streamd_frames_skipped_total"), "not decoded"),
                (_rate("streamd_frames_analyzed_total"), "analysed"),
                (_rate("streamd_frames_still_total"), "still"),
            ),
            unit=PER_SECOND,
        ),
        Panel(
            title="Faces embedded",
            text="Faces found a second, and those a vector was made of; the others were followed.",
            queries=(
                (_rate("streamd_detections_total", "", f'{AT}, label="FACE"'), "found"),
                (_rate("streamd_faces_embedded_total"), "embedded"),
            ),
            unit=PER_SECOND,
            nothing="Nobody found",
        ),
        Panel(
            title="Sessions",
            text="By kind and replica.",
            queries=(
                (f"sum by (instance, kind) (streamd_sessions{{{AT}}})", "{{instance}} {{kind}}"),
            ),
            stacked=True,
            at_least=5,
        ),
        Panel(
            title="Streams decoded",
            text="All stream processors on one video stream share one decode in a worker.",
            queries=((f"sum by (instance) (streamd_feeds{{{AT}}})", "{{instance}}"),),
            at_least=5,
        ),
        Panel(
            title="Workers",
            text="That live, and how many were started anew in an hour.",
            queries=(
                (f"sum by (instance) (streamd_workers{{{AT}}})", "{{instance}}"),
                (
                    f"sum by (instance) (increase(streamd_worker_restarts_total{{{AT}}}[1h]))",
                    "{{instance}} restarts",
                ),
            ),
            at_least=5,
        ),
    ),
)

API = Dashboard(
    name="api",
    title="streamd / API",
    text="Rekognition and Kinesis Video as their clients see them.",
    panels=(
        Panel(
            title="Budget left",
            text="Of one server fault in a thousand requests, at the pace of the last 3 days.",
            queries=((f"1 - max({BURN}3d) / 0.001", ""),),
            kind="stat",
            unit="percentunit",
            width=6,
            height=5,
            steps=((-1000, "red"), (0, "orange"), (0.5, "green")),
        ),
        Panel(
            title="Burn rate",
            text="1 spends the budget of 30 days in 30 days; 14.4 for an hour pages.",
            queries=((f"max({BURN}1h) / 0.001", "1 h"), (f"max({BURN}6h) / 0.001", "6 h")),
            width=18,
            height=5,
            at_least=1,
        ),
        Panel(
            title="Requests",
            text="A second, by operation.",
            queries=((_rate("streamd_api_requests_total", "operation") + " > 0", "{{operation}}"),),
            unit="reqps",
        ),
        Panel(
            title="Refusals and faults",
            text="Answers that are no success, by code; ClientGone is a client that hung up.",
            queries=(
                (_rate("streamd_api_requests_total", "code", f'{AT}, code!~"200|OK"'), "{{code}}"),
            ),
            unit="reqps",
            nothing="None",
        ),
        Panel(
            title="Server faults",
            text="What the error budget counts.",
            queries=((f"max({BURN}5m)", "of all requests"),),
            unit="percentunit",
            at_least=0.01,
        ),
        Panel(
            title="Time to answer",
            text="99 in 100 requests need less.",
            queries=((_p99("streamd_api_request_duration_seconds", "operation"), "{{operation}}"),),
            unit="s",
        ),
        Panel(
            title="Producers and readers",
            text="PutMedia connections and GetMedia answers that are open.",
            queries=(
                (f"sum(streamd_put_media_connections{{{AT}}})", "PutMedia"),
                (f"sum(streamd_get_media_connections{{{AT}}})", "GetMedia"),
            ),
            at_least=5,
        ),
        Panel(
            title="Fragments",
            text="Taken from producers a second, and refused, by AWS's name of the reason.",
            queries=(
                (_rate("streamd_fragments_received_total"), "taken"),
                (_rate("streamd_fragments_rejected_total", "error_code"), "{{error_code}}"),
            ),
            unit=PER_SECOND,
        ),
        Panel(
            title="Archive",
            text="Bytes of archived fragments, those that wait for the bucket, and what they may take.",
            queries=(
                (f"sum by (instance) (streamd_archive_bytes{{{AT}}})", "{{instance}}"),
                (
                    f"sum by (instance) (streamd_archive_waiting_bytes{{{AT}}})",
                    "{{instance}} waiting",
                ),
                (
                    f"sum by (instance) (streamd_archive_capacity_bytes{{{AT}}})",
                    "{{instance}} bound",
                ),
            ),
            unit="bytes",
        ),
        Panel(
            title="Disk free",
            text="Of the data directory.",
            queries=((f"min by (instance) (streamd_disk_free_bytes{{{AT}}})", "{{instance}}"),),
            unit="bytes",
        ),
        Panel(
            title="Store",
            text="Whether the store answers in time.",
            queries=((f"min by (instance) (streamd_store_up{{{AT}}})", "{{instance}}"),),
            kind="state-timeline",
            states=((0, "does not answer", "red"), (1, "answers", "green")),
        ),
    ),
)

DASHBOARDS = (OVERVIEW, STREAM, INFERENCE, API)


def queries() -> list[tuple[str, Panel, str]]:
    """Return dashboard, panel and expression of every query."""
    return [
        (dashboard.name, panel, expression)
        for dashboard in DASHBOARDS
        for panel in dashboard.panels
        for expression, _ in panel.queries
    ]


def _main() -> None:
    for dashboard in DASHBOARDS:
        if "--write" in sys.argv:
            FOLDER.mkdir(parents=True, exist_ok=True)
            Path(FOLDER / f"{dashboard.name}.json").write_text(text_of(dashboard))
        else:
            print(text_of(dashboard))


if __name__ == "__main__":
    _main()
