"""The README's table of operations, made from what is registered.

``python -m tests.support.compatibility`` prints it; ``--write`` puts it into the README.
"""

from __future__ import annotations

import inspect
from unittest.mock import Mock

from streamd.api.server import RekognitionApi
from streamd.protocol.service import load_service
from tests.support.written_table import ROOT, WrittenTable

__all__ = ["OPERATIONS_TABLE", "served_operations", "table"]

_SYSTEMS: dict[str, frozenset[str]] = {
    "Streaming Video": frozenset({
        "CreateStreamProcessor", "DeleteStreamProcessor", "DescribeStreamProcessor",
        "ListStreamProcessors", "StartStreamProcessor", "StopStreamProcessor",
        "UpdateStreamProcessor",
    }),
    "shared: collections and tags": frozenset({
        "CreateCollection", "DeleteCollection", "DescribeCollection", "ListCollections",
        "ListTagsForResource", "TagResource", "UntagResource",
    }),
    "Image": frozenset({
        "AssociateFaces", "CompareFaces", "CreateUser", "DeleteFaces", "DeleteUser",
        "DetectFaces", "DetectLabels", "DetectModerationLabels", "DetectProtectiveEquipment",
        "DetectText", "DisassociateFaces", "GetCelebrityInfo", "IndexFaces", "ListFaces",
        "ListUsers", "RecognizeCelebrities", "SearchFaces", "SearchFacesByImage", "SearchUsers",
        "SearchUsersByImage",
    }),
    "Image, bulk": frozenset({
        "GetMediaAnalysisJob", "ListMediaAnalysisJobs", "StartMediaAnalysisJob",
    }),
    "Face Liveness": frozenset({
        "CreateFaceLivenessSession", "GetFaceLivenessSessionResults",
    }),
    "Stored Video": frozenset({
        f"{verb}{what}"
        for verb in ("Get", "Start")
        for what in (
            "CelebrityRecognition", "ContentModeration", "FaceDetection", "FaceSearch",
            "LabelDetection", "PersonTracking", "SegmentDetection", "TextDetection",
        )
    }),
}  # fmt: skip


def served_operations() -> frozenset[str]:
    """Return what is registered; nothing is called, so the parts may be missing."""
    parts = inspect.signature(RekognitionApi).parameters
    return RekognitionApi(**{name: Mock() for name in parts}).operations


def table() -> str:
    """Return the table in Markdown: every operation of the service description, by system."""
    registered = served_operations()
    operations = set(load_service("rekognition").operations)
    systems = {name: set(members) & operations for name, members in _SYSTEMS.items()}
    rest = operations - set().union(*systems.values())
    systems["Custom Labels"] = rest
    lines = ["| system | served | not served yet |", "| --- | --- | --- |"]
    for name, members in systems.items():
        served, missing = members & registered, members - registered
        lines.append(f"| {name} ({len(members)}) | {_listed(served)} | {_listed(missing)} |")
    return "\n".join(lines)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


OPERATIONS_TABLE = WrittenTable(
    document=ROOT / "README.md",
    begin="<!-- operations: made by tests.support.compatibility -->",
    make=table,
)

if __name__ == "__main__":
    OPERATIONS_TABLE.main()
