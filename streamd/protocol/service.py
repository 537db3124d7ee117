"""AWS service descriptions, read from botocore's data files.

Only the JSON documents are used (``botocore.loaders.Loader``), none of botocore's client
code, so an update of botocore brings new fields and operations and cannot break us.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.loaders import Loader

__all__ = ["Operation", "Service", "ShapeDescription", "load_service"]

ShapeDescription = Mapping[str, Any]
"""One entry of ``shapes``: ``type``, ``members``, ``required``, ``min``, ``max``, ``pattern``…"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One operation as the service description has it."""

    name: str
    path: str
    """Path of the request, ``/`` for AWS JSON."""
    input_shape: str | None
    output_shape: str | None
    errors: frozenset[str]
    """Codes the model allows this operation to answer."""


class Service:
    """One service: its operations and shapes."""

    def __init__(self, name: str, description: Mapping[str, Any]) -> None:
        self.name = name
        self.target_prefix: str | None = description["metadata"].get("targetPrefix")
        self.shapes: Mapping[str, ShapeDescription] = description["shapes"]
        self.operations = {
            operation_name: Operation(
                name=operation_name,
                path=operation["http"]["requestUri"],
                input_shape=operation.get("input", {}).get("shape"),
                output_shape=operation.get("output", {}).get("shape"),
                errors=frozenset(error["shape"] for error in operation.get("errors", ())),
            )
            for operation_name, operation in description["operations"].items()
        }
        self.by_path = {operation.path: operation for operation in self.operations.values()}

    def modelled_status(self, code: str) -> int | None:
        """Return the HTTP status the model gives an error, ``None`` for one it does not know.

        The raw description is read, because botocore's parsed shapes drop ``fault``.
        """
        shape = self.shapes.get(code)
        if shape is None or not shape.get("exception"):
            return None
        stated = shape.get("error", {}).get("httpStatusCode")
        if stated is not None:
            return int(stated)
        return 500 if shape.get("fault") else 400


@functools.cache
def load_service(name: str) -> Service:
    """Return the newest description of a service, such as ``rekognition``; read once."""
    return Service(name, Loader().load_service_model(name, "service-2"))
