"""Names of objects in the output bucket: ``KeyPrefix/PROCESSOR/SESSION_ID/...``.

AWS documents the path up to the session and reserves the rest to the service. Ours::

    frames/PERSON-FRAGMENT-OFFSETms.jpg    hero frame: the picture a class was first seen in
    crops/PERSON-FRAGMENT-OFFSETms.jpg     the object cut out of it
    results.json                           label detection: everything the session saw
    records/FRAGMENT.jsonl                 face search with an S3 output: a record a line

Every name follows from what the object holds, so a repeat overwrites itself.
"""

from __future__ import annotations

from streamd.records.values import FramePosition, offset_milliseconds

__all__ = [
    "crop_key",
    "hero_frame_key",
    "object_uri",
    "records_key",
    "results_key",
    "session_prefix",
]


def session_prefix(key_prefix: str | None, *, processor_name: str, session_id: str) -> str:
    """Return the path of a session's objects, without a slash at its ends."""
    parts = ((key_prefix or "").strip("/"), processor_name, session_id)
    return "/".join(part for part in parts if part)


def hero_frame_key(prefix: str, *, label: str, position: FramePosition) -> str:
    """Return the key of the picture in which a class was first seen."""
    return f"{prefix}/frames/{_sight(label, position)}.jpg"


def crop_key(prefix: str, *, label: str, position: FramePosition) -> str:
    """Return the key of the object cut out of its hero frame."""
    return f"{prefix}/crops/{_sight(label, position)}.jpg"


def results_key(prefix: str) -> str:
    """Return the key of a label session's results."""
    return f"{prefix}/results.json"


def records_key(prefix: str, *, fragment_number: str) -> str:
    """Return the key of the face-search records of one fragment."""
    return f"{prefix}/records/{fragment_number}.jsonl"


def object_uri(bucket: str, key: str) -> str:
    """Return ``s3://BUCKET/KEY``."""
    return f"s3://{bucket}/{key}"


def _sight(label: str, position: FramePosition) -> str:
    offset = offset_milliseconds(position.frame_offset_ns)
    return f"{label}-{position.fragment_number}-{offset}ms"
