"""Matroska changed in place of being parsed again: what makes one fragment decodable alone. Pure."""

from __future__ import annotations

from typing import Final

from streamd.kvs import ebml

__all__ = ["unsized_cluster_patch", "with_unknown_size", "without_tags"]

_UNKNOWN_SEGMENT: Final = ebml.SEGMENT.to_bytes(4) + b"\x01" + b"\xff" * 7


def unsized_cluster_patch(start: bytes) -> tuple[int, bytes] | None:
    """Return where the size of a cluster lies and the bytes that make it unknown.

    ``None`` when it is unknown already. ``start`` is the cluster's beginning.
    """
    view = memoryview(start)
    head = ebml.element_id(view, 0)
    size = ebml.vint(view, head[1]) if head else None
    assert head is not None and size is not None, "a cluster's beginning holds its size"  # noqa: PT018  # one fact
    if size[0] == ebml.UNKNOWN_SIZE:
        return None
    length = size[1] - head[1]
    return head[1], ((1 << (7 * length + 1)) - 1).to_bytes(length)


def with_unknown_size(header: bytes) -> bytes:
    """Return a document header whose Segment has an unknown size, in 8 bytes.

    A producer that sends a file says the file's size, which no single fragment has.
    """
    begin, payload = _segment(header)
    return header[:begin] + _UNKNOWN_SEGMENT + header[payload:]


def without_tags(header: bytes) -> bytes:
    """Return a document header without its Tags."""
    _, payload = _segment(header)
    kept, pos = [header[:payload]], 0
    view = memoryview(header)[payload:]
    for identity, _start, end in ebml.child_spans(view):
        if identity != ebml.TAGS:
            kept.append(bytes(view[pos:end]))
        pos = end
    return b"".join(kept)


def _segment(header: bytes) -> tuple[int, int]:
    """Return where the Segment of a document header and its first child begin."""
    view, pos = memoryview(header), 0
    while (head := ebml.element_id(view, pos)) and (size := ebml.vint(view, head[1])):
        if head[0] == ebml.SEGMENT:
            return pos, size[1]
        pos = size[1] + size[0]
    raise AssertionError("a header the parser took holds a Segment")
