"""The chart as helm renders it: objects, and what a pod would see of them.

``python -m tests.support.rendering --write`` puts what the defaults render into the snapshot.
"""

from __future__ import annotations

import base64
import functools
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.services.helm import helm
from tests.support.chart import CHART
from tests.support.written_table import ROOT

__all__ = [
    "CI_FILES",
    "DEFAULTS",
    "EVERY",
    "NAMESPACE",
    "RELEASE",
    "SNAPSHOT",
    "Rendering",
    "defaults_text",
    "render",
    "template",
]

RELEASE, NAMESPACE = "streamd", "video"
CI_FILES = sorted((CHART / "ci").glob("*-values.yaml"))
DEFAULTS = pytest.param((), id="defaults")
EVERY = [DEFAULTS, *(pytest.param((path,), id=path.stem) for path in CI_FILES)]
"""The defaults and each file in ci/, as parameters of a test."""
SNAPSHOT = ROOT / "tests" / "helm" / "snapshots" / "defaults.yaml"
_POD_NAME = f"{RELEASE}-1"
# The safe loader in C, where PyYAML was built with it: ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Rendering:
    """The objects of one release."""

    def __init__(self, text: str) -> None:
        self.objects: list[dict[str, Any]] = [
            one for one in yaml.load_all(text, Loader=_LOADER) if one
        ]

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return the objects of a kind."""
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> dict[str, Any]:
        """Return the only object of a kind (and name)."""
        found = [o for o in self.all(kind) if name is None or o["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} objects {kind} {name or ''}"
        return found[0]

    def pods(self) -> list[dict[str, Any]]:
        """Return the specification of every pod: replicas, hooks and the test."""
        templates = [
            o["spec"]["template"] for kind in ("StatefulSet", "Job") for o in self.all(kind)
        ]
        return [one["spec"] for one in (*templates, *self.all("Pod"))]

    def replica(self) -> dict[str, Any]:
        """Return the specification of a replica's pod."""
        pod: dict[str, Any] = self.one("StatefulSet")["spec"]["template"]["spec"]
        return pod

    def toml(self) -> str:
        """Return the settings file."""
        text: str = self.one("ConfigMap", RELEASE)["data"]["streamd.toml"]
        return text

    def secret(self, name: str, key: str) -> str:
        """Return what one of the chart's own Secrets holds."""
        return base64.b64decode(self.one("Secret", name)["data"][key]).decode()

    def environment(
        self, container: Mapping[str, Any], outside: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the environment of a container, as the kubelet makes it.

        Args:
            container: Its specification.
            outside: What existing Secrets hold, by ``NAME/KEY``.

        """
        found: dict[str, str] = {}
        fields = {
            "metadata.name": _POD_NAME,
            "metadata.labels['apps.kubernetes.io/pod-index']": "1",
        }
        for variable in container.get("env", ()):
            if "value" in variable:
                value = re.sub(r"\$\((\w+)\)", lambda m: found[m[1]], str(variable["value"]))
            elif "fieldRef" in variable["valueFrom"]:
                value = fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
            else:
                reference = variable["valueFrom"]["secretKeyRef"]
                place = f"{reference['name']}/{reference['key']}"
                own = {o["metadata"]["name"] for o in self.all("Secret")}
                value = (
                    self.secret(reference["name"], reference["key"])
                    if reference["name"] in own
                    else outside[place]
                )
            found[variable["name"]] = value
        return found


def template(
    *files: Path, sets: Iterable[str] = (), kubernetes: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``helm template``; returns the ended process."""
    return helm(
        *("template", RELEASE, CHART, "--namespace", NAMESPACE),
        *(part for file in files for part in ("--values", file)),
        *(part for one in sets for part in ("--set", one)),
        *(("--kube-version", kubernetes) if kubernetes else ()),
    )


def render(*files: Path, sets: Iterable[str] = (), kubernetes: str | None = None) -> Rendering:
    """Return what values render; fails with helm's own words."""
    return Rendering(_text(files, tuple(sets), kubernetes))


@functools.cache
def _text(files: tuple[Path, ...], sets: tuple[str, ...], kubernetes: str | None) -> str:
    done = template(*files, sets=sets, kubernetes=kubernetes)
    assert done.returncode == 0, done.stderr
    return done.stdout


def defaults_text() -> str:
    """Return what the defaults render, but for the key that is made at random."""
    done = template()
    assert done.returncode == 0, done.stderr
    return re.sub(r"(credentials\.json: )\S+", r"\1MADE-AT-RANDOM", done.stdout)


if __name__ == "__main__":
    if "--write" in sys.argv:
        SNAPSHOT.write_text(defaults_text())
    else:
        print(defaults_text())
