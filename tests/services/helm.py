"""Real helm, built by the Go toolchain from the module proxy, and the schemas of other people's kinds.

Both are had once per machine into the user's cache folder: ``python -m tests.services.helm`` does
it with more patience than a test has. Where Go is absent or the proxy out of reach, the tests are
skipped with that reason.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.services.fetched import ServiceUnavailableError, fetched, tell
from tests.services.golang import go

__all__ = ["CRD_GROUPS", "KUBERNETES", "crd_folder", "crd_schema", "helm", "helm_program"]

MODULE, VERSION = "helm.sh/helm/v3", "v3.22.0"
KUBERNETES = "1.37"
"""The cluster that helm believes to render for, unless told otherwise."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamd" / "services"
BUILD_SECONDS = 200.0
PATIENT_BUILD_SECONDS = 1200.0
# Where modules that are published for Go keep the definitions of their kinds; the versions are the
# newest ones that the Go of today reads.
_DEFINITIONS = {
    "monitoring.coreos.com": (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd",
    ),
    "gateway.networking.k8s.io": ("sigs.k8s.io/gateway-api@v1.4.0", "config/crd/standard"),
    "cert-manager.io": ("github.com/cert-manager/cert-manager@v1.19.1", "deploy/crds"),
}

CRD_GROUPS = frozenset(_DEFINITIONS)
"""Groups of kinds that are not Kubernetes' own."""


def helm(*arguments: str | Path, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run helm with nothing of the user's: no configuration, no cluster.

    Raises:
        ServiceUnavailableError: If there is none.

    """
    with tempfile.TemporaryDirectory(prefix="helm-") as home:
        return subprocess.run(
            [helm_program(), *map(str, arguments)],
            env={"HOME": home, "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


def helm_program(*, seconds: float = BUILD_SECONDS) -> Path:
    """Return helm's executable, built if missing.

    Raises:
        ServiceUnavailableError: If it cannot be had.

    """
    major, minor = KUBERNETES.split(".")
    # As helm's own Makefile does: a plain build takes itself for Kubernetes 1.20's.
    stamps = {
        "internal/version.version": VERSION,
        "pkg/chartutil.k8sVersionMajor": major,
        "pkg/chartutil.k8sVersionMinor": minor,
        "pkg/lint/rules.k8sVersionMajor": major,
        "pkg/lint/rules.k8sVersionMinor": minor,
    }
    flags = " ".join(("-s -w", *(f"-X {MODULE}/{name}={text}" for name, text in stamps.items())))

    def make(program: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="building-helm-") as folder:
            # A version alone, checked against Go's own checksum database.
            what = ("install", "-trimpath", f"-ldflags={flags}", f"{MODULE}/cmd/helm@{VERSION}")
            _go(*what, seconds=seconds, environment={"GOBIN": folder})
            shutil.move(Path(folder) / "helm", program)

    insists = seconds > BUILD_SECONDS
    return fetched(CACHE / f"helm-{VERSION}", make, tools=("go",), insists=insists)


@functools.cache
def crd_schema(api_version: str, kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind that is not Kubernetes' own; it refuses what it does not name.

    Raises:
        ServiceUnavailableError: If it cannot be had.

    """
    group, _, version = api_version.partition("/")
    module, _ = _DEFINITIONS[group]

    def make(target: Path) -> None:
        found = _definition(crd_folder(group), version, kind)
        target.write_text(json.dumps(found))

    name = f"crd-{kind}-{version}-{module.rpartition('@')[2]}.json"
    schema: dict[str, Any] = json.loads(fetched(CACHE / name, make, tools=("go",)).read_text())
    return schema


def crd_folder(group: str) -> Path:
    """Return the folder with the definitions of a group's kinds, as its module has them.

    Raises:
        ServiceUnavailableError: If they cannot be had.

    """
    module, folder = _DEFINITIONS[group]
    told = json.loads(_go("mod", "download", "-json", module, seconds=BUILD_SECONDS))
    return Path(told["Dir"]) / folder


def _definition(folder: Path, version: str, kind: str) -> dict[str, Any]:
    for path in sorted(folder.glob(f"*_{kind.lower()}s.yaml")):
        for offered in yaml.safe_load(path.read_text())["spec"]["versions"]:
            if offered["name"] == version:
                schema: dict[str, Any] = _strict(offered["schema"]["openAPIV3Schema"])
                schema["properties"]["metadata"] = {"type": "object"}
                return schema
    raise ServiceUnavailableError(f"{folder} defines no {kind} {version}")


def _strict(schema: Any) -> Any:
    """Refuse what is not named, as ``kubectl --validate=strict`` does."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    if made.pop("x-kubernetes-int-or-string", None):
        made = {"type": ["integer", "string"]}
    return made


def _go(*arguments: str, seconds: float, environment: dict[str, str] | None = None) -> str:
    return go(
        *arguments,
        what="helm",
        folder=CACHE,  # away from any go.mod
        seconds=seconds,
        patience="; `python -m tests.services.helm` has more patience",
        environment=environment,
    )


if __name__ == "__main__":
    sys.exit(tell(lambda: helm_program(seconds=PATIENT_BUILD_SECONDS)))
