"""Sending video as a producer does: any source PyAV reads, into a Kinesis video stream.

:class:`PyavSource` gives packets without transcoding, :class:`Producer` sends them through
PutMedia; ``streamd put-media`` and the camera relay are built on it.
"""

from streamd.producer.errors import EndpointError, ProducerError, RefusedError, SourceError
from streamd.producer.events import Event, EventKind, ProducerOptions, ProducerStats
from streamd.producer.kinesis_video import KinesisVideoControl, StreamInfo
from streamd.producer.media import MediaSource, MediaUnit
from streamd.producer.producer import Producer
from streamd.producer.source import PyavSource, SourceOptions, is_live

__all__ = [
    "EndpointError",
    "Event",
    "EventKind",
    "KinesisVideoControl",
    "MediaSource",
    "MediaUnit",
    "Producer",
    "ProducerError",
    "ProducerOptions",
    "ProducerStats",
    "PyavSource",
    "RefusedError",
    "SourceError",
    "SourceOptions",
    "StreamInfo",
    "is_live",
]
