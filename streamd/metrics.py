"""Every metric the daemon exports: names, units and label sets in one place.

Control and worker processes write to memory-mapped files of ``prometheus_client``'s
multi-process mode (``PROMETHEUS_MULTIPROC_DIR``, set before the library is imported);
the control process shows the sum at ``/metrics``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streamd import metric_files

__all__ = ["Metrics"]

_LAG_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """The metrics of one process.

    Labels come from small fixed sets, except ``stream_processor`` and ``stream``, which are
    bounded by the resources that exist.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        metric_files.install()
        self.registry = registry

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str, mode: str = "livesum") -> Gauge:
            return Gauge(name, text, labels, registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]  # the stub wants a literal

        def seconds(
            name: str, text: str, *labels: str, buckets: Sequence[float] = _LATENCY_BUCKETS
        ) -> Histogram:
            return Histogram(name, text, labels, registry=registry, buckets=buckets)

        self.api_requests = counter(
            "streamd_api_requests_total", "API requests answered.", "service", "operation", "code"
        )
        self.api_seconds = seconds(
            "streamd_api_request_duration_seconds", "Time to answer.", "service", "operation"
        )
        self.put_media_connections = gauge(
            "streamd_put_media_connections", "Producers connected.", mode="livesum"
        )
        self.get_media_connections = gauge(
            "streamd_get_media_connections", "GetMedia responses open.", mode="livesum"
        )
        self.fragments_received = counter(
            "streamd_fragments_received_total", "Fragments taken from producers.", "stream"
        )
        self.fragments_rejected = counter(
            "streamd_fragments_rejected_total", "Fragments refused, by ErrorCode.", "error_code"
        )
        self.fragments_cut_short = counter(
            "streamd_fragments_cut_short_total",
            "Fragments kept without their end, because the producer went away.",
        )
        self.put_media_ended = counter(
            "streamd_put_media_ended_total", "PutMedia connections that ended, by reason.", "reason"
        )
        self.archive_fragments_lost = counter(
            "streamd_archive_fragments_lost_total",
            "Archived fragments found missing, cut off or changed, by reason.",
            "reason",
        )
        self.archive_bytes = gauge(
            "streamd_archive_bytes", "Bytes of archived fragments.", mode="livemostrecent"
        )
        self.get_media_gaps = counter(
            "streamd_get_media_gaps_total",
            "GetMedia calls that go on after a fragment that is not (or no longer) here.",
        )
        self.replicas = gauge(
            "streamd_replicas", "Replicas that live, as this one sees them.", mode="livemostrecent"
        )
        self.streams_adopted = counter(
            "streamd_streams_adopted_total", "Streams taken over from a replica that is gone."
        )
        self.archive_waiting_bytes = gauge(
            "streamd_archive_waiting_bytes",
            "Bytes of fragments that are not in S3 yet.",
            mode="livemostrecent",
        )
        self.archive_uploads = counter(
            "streamd_archive_uploads_total",
            "Attempts to put a fragment into S3, by outcome: stored, or the class of the error.",
            "outcome",
        )
        self.archive_freed_early = counter(
            "streamd_archive_freed_early_total",
            "Segments freed before their time because the disk was short of room.",
        )
        self.archive_capacity_bytes = gauge(
            "streamd_archive_capacity_bytes",
            "Bytes that fragments on the disk may take (kinesis_video.max_archive_bytes).",
            mode="livemostrecent",
        )
        self.disk_free_bytes = gauge(
            "streamd_disk_free_bytes",
            "Bytes free on the disk of the data directory.",
            mode="livemostrecent",
        )
        self.disk_size_bytes = gauge(
            "streamd_disk_size_bytes",
            "Bytes the disk of the data directory has.",
            mode="livemostrecent",
        )
        self.store_up = gauge(
            "streamd_store_up", "Whether the store answers in time.", mode="livemostrecent"
        )
        self.stream_processors = gauge(
            "streamd_stream_processors",
            "Stream processors by status, of all replicas that share the store.",
            "status",
            mode="livemostrecent",
        )
        self.stream_processor_status = gauge(
            "streamd_stream_processor_status",
            "1 for the status a stream processor has; it has no other series.",
            "stream_processor",
            "status",
            mode="livemostrecent",
        )
        self.status_changes = counter(
            "streamd_status_changes_total", "Lifecycle transitions.", "from_status", "to_status"
        )
        self.sessions = gauge("streamd_sessions", "Sessions running in workers.", "kind")
        self.sessions_rebalanced = counter(
            "streamd_sessions_rebalanced_total",
            "Sessions given up so that a worker with less to do takes them.",
        )
        self.analysis_load = gauge(
            "streamd_analysis_load_threads", "Analysis threads that sessions keep busy, smoothed."
        )
        self.analysis_threads = gauge(
            "streamd_analysis_threads", "Analysis threads that workers have."
        )
        self.session_failures = counter(
            "streamd_session_failures_total", "Sessions that ended FAILED.", "kind"
        )
        self.source_reconnects = counter(
            "streamd_source_reconnects_total", "GetMedia calls after the first.", "stream_processor"
        )
        self.session_shortages = counter(
            "streamd_session_shortages_total",
            "Times a session began anew because the disk, the store or memory failed it.",
            "error",
        )
        self.feeds = gauge(
            "streamd_feeds", "Streams being read and decoded, each for all its sessions together."
        )
        self.media_bytes = counter(
            "streamd_media_bytes_total", "Bytes of media read by sessions.", "stream_processor"
        )
        self.fragments_processed = counter(
            "streamd_fragments_processed_total", "Fragments fully analysed.", "stream_processor"
        )
        self.fragments_damaged = counter(
            "streamd_fragments_damaged_total",
            "Fragments with media that could not be read, by reason.",
            "stream_processor",
            "reason",
        )
        self.frames_decoded = counter(
            "streamd_frames_decoded_total", "Frames decoded.", "stream_processor"
        )
        self.frames_skipped = counter(
            "streamd_frames_skipped_total",
            "Frames that were not decoded because nothing moved.",
            "stream_processor",
        )
        self.gate_quiet = gauge(
            "streamd_gate_quiet", "1 while only keyframes are decoded.", "stream_processor"
        )
        self.gate_wakes = counter(
            "streamd_gate_wakes_total",
            "Times full decoding began again, by cause.",
            "stream_processor",
            "cause",
        )
        self.gate_audits = counter(
            "streamd_gate_audits_total",
            "Quiet groups of pictures decoded all the same, to look for motion.",
            "stream_processor",
        )
        self.gate_missed_motion = counter(
            "streamd_gate_missed_motion_total",
            "Audited groups of pictures that showed motion.",
            "stream_processor",
        )
        self.frames_analyzed = counter(
            "streamd_frames_analyzed_total", "Frames analysed.", "stream_processor"
        )
        self.frames_still = counter(
            "streamd_frames_still_total",
            "Frames like the last one that showed nothing, in which no network looked again.",
            "stream_processor",
        )
        self.detections = counter(
            "streamd_detections_total", "Faces or objects found.", "stream_processor", "label"
        )
        self.faces_embedded = counter(
            "streamd_faces_embedded_total",
            "Faces a vector was made of; the others were followed from the frame before.",
            "stream_processor",
        )
        self.matches = counter(
            "streamd_face_matches_total", "Detected faces with a match.", "stream_processor"
        )
        self.analysis_share = gauge(
            "streamd_analysis_rate_ratio",
            "Share of the analysed frames a second that were asked for, of live video; the least "
            "of all workers. Below 1 the machine is overloaded.",
            mode="livemin",
        )
        # In each process, also in those that analyse nothing: the least counts.
        self.analysis_share.set(1)
        self.keyframes_only = gauge(
            "streamd_analysis_keyframes_only",
            "1 while a worker decodes keyframes only of live video, because it is overloaded.",
            mode="livemax",
        )
        self.analysis_seconds = seconds(
            "streamd_analysis_duration_seconds", "Inference per analysed frame.", "kind"
        )
        self.lag_seconds = gauge(
            "streamd_stream_lag_seconds",
            "Age of the newest analysed frame when its results were made, while a session runs.",
            "stream_processor",
            mode="livemostrecent",
        )
        self.record_latency_seconds = seconds(
            "streamd_record_latency_seconds",
            "From the arrival of a frame to its record's acknowledgement by the sink.",
            "sink",
        )
        self.outbox_items = gauge(
            "streamd_outbox_items", "Results waiting for their sink.", "stream_processor"
        )
        self.outbox_bytes = gauge(
            "streamd_outbox_bytes", "Bytes waiting for their sink.", "stream_processor"
        )
        self.outbox_capacity_bytes = gauge(
            "streamd_outbox_capacity_bytes",
            "Bytes that may wait for each stream processor's sink (outbox.max_bytes).",
            mode="livemostrecent",
        )
        self.outbox_full = gauge(
            "streamd_outbox_full",
            "1 while video waits because the outbox is full.",
            "stream_processor",
        )
        self.dead_letters = counter(
            "streamd_dead_letters_total",
            "Results that went to the dead letters: refused, expired or without a target.",
            "sink",
            "reason",
        )
        self.records_delivered = counter(
            "streamd_records_delivered_total", "Results acknowledged by a sink.", "sink"
        )
        self.sink_errors = counter(
            "streamd_sink_errors_total", "Failed deliveries, by error class.", "sink", "error"
        )
        self.camera_up = gauge(
            "streamd_camera_up",
            "Whether a camera sends video; 0 on replicas that leave it to another.",
            "camera",
        )
        self.camera_relayed = gauge(
            "streamd_camera_relayed", "Whether this replica relays a camera.", "camera"
        )
        self.camera_clock_offset = gauge(
            "streamd_camera_clock_offset_seconds",
            "How far a camera's clock is ahead of this machine's, the network's delay included.",
            "camera",
            mode="livemostrecent",
        )
        self.camera_clock_used = gauge(
            "streamd_camera_clock_used",
            "Whether a camera's own clock gives the times of its video.",
            "camera",
        )
        self.camera_reconnects = counter(
            "streamd_camera_reconnects_total", "Times a camera was lost or not reached.", "camera"
        )
        self.camera_frames = counter(
            "streamd_camera_frames_total", "Frames taken from a camera.", "camera"
        )
        self.camera_bytes = counter(
            "streamd_camera_bytes_total", "Bytes sent into a camera's stream.", "camera"
        )
        self.camera_dropped = counter(
            "streamd_camera_fragments_dropped_total",
            "Fragments of a camera that the stream did not take in time.",
            "camera",
        )
        self.event_loop_lag = seconds(
            "streamd_event_loop_lag_seconds",
            "How late the event loop of the control process or of a worker is.",
            "process",
            buckets=_LAG_BUCKETS,
        )
        self.workers = gauge("streamd_workers", "Worker processes that live.")
        self.worker_restarts = counter(
            "streamd_worker_restarts_total", "Worker processes started again after a crash."
        )

    def forget(self, label: str, present: Collection[str]) -> None:
        """Let go of this process's series of resources that are gone.

        Args:
            label: ``stream_processor``, ``stream`` or ``camera``.
            present: The values of that label that are kept.

        """
        for instrument in vars(self).values():
            if isinstance(instrument, Counter | Gauge | Histogram):
                known = {
                    sample.labels[label]
                    for metric in instrument.collect()
                    for sample in metric.samples
                    if label in sample.labels
                }
                for name in known.difference(present):
                    instrument.remove_by_labels({label: name})
        metric_files.forget(label, present)
