"""Kubernetes' published schemas, from the package kubernetes-validate, strict: unknown keys fail."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import jsonschema
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

from tests.services.helm import CRD_GROUPS, crd_schema

__all__ = ["faults"]


def faults(thing: Mapping[str, Any], version: str) -> list[str]:
    """Return what a cluster of the version would refuse of an object.

    Raises:
        ServiceUnavailableError: If the schema of a kind that is not Kubernetes' own cannot be had.

    """
    validator = _validator(thing["apiVersion"], thing["kind"], version)
    name = f"{thing['kind']} {thing['metadata']['name']}"
    return [f"{name}: {error.json_path}: {error.message}" for error in validator.iter_errors(thing)]


@functools.cache
def _validator(api_version: str, kind: str, version: str) -> Any:
    group = api_version.rpartition("/")[0]
    if group in CRD_GROUPS:
        return jsonschema.Draft202012Validator(crd_schema(api_version, kind))
    # As the package itself looks them up; it reads all of them anew for every object.
    place = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    folder = f"kubernetes-json-schema/v{version}.0-local-strict"
    schema = schema_contents(f"{folder}/{kind.lower()}-{place}.json", version)
    return jsonschema.Draft202012Validator(schema, registry=_registry(folder, version))


@functools.cache
def _registry(folder: str, version: str) -> Any:
    definitions = Resource.from_contents(schema_contents(f"{folder}/_definitions.json", version))
    return definitions @ Registry()
