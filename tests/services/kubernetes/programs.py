"""Kubernetes' own programs, and those a node cannot do without, built from the Go module proxy.

``make kubernetes`` (``python -m tests.services.kubernetes.programs``) builds them once per machine
into the user's cache folder, in 10 to 20 minutes and 600 MB. From the distribution come the rest:
``apt-get install --no-install-recommends runc containernetworking-plugins nftables iproute2``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.fetched import ServiceUnavailableError, fetched, tell
from tests.services.golang import go

__all__ = ["VERSION", "kubernetes_programs", "oci_runtime"]

VERSION = "v1.37.1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamd" / "services"
TARGET = CACHE / f"kubernetes-{VERSION}"
CNI = Path("/usr/lib/cni")
"""Where distributions keep the plugins that give pods their network."""
BUILD_SECONDS = 5400.0


@dataclass(frozen=True, kw_only=True)
class _Source:
    module: str
    version: str
    programs: dict[str, str]
    """Name of each program, and its package: below the module, or a file of this folder."""
    stamps: dict[str, str] = field(default_factory=dict)
    tags: str = ""


_SOURCES = (
    _Source(
        module="k8s.io/kubernetes",
        version=VERSION,
        programs={
            name: f"cmd/{name}"
            for name in (
                *("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
                *("kubelet", "kube-proxy", "kubectl"),
            )
        },
        stamps={
            "k8s.io/component-base/version.gitVersion": VERSION,
            "k8s.io/component-base/version.gitMajor": "1",
            "k8s.io/component-base/version.gitMinor": VERSION.split(".")[1],
        },
    ),
    _Source(module="go.etcd.io/etcd/server/v3", version="v3.7.3", programs={"etcd": ""}),
    _Source(
        module="github.com/containerd/containerd/v2",
        version="v2.4.2",
        programs={name: f"cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
        tags="no_btrfs,no_devmapper,no_zfs",
    ),
    _Source(
        module="github.com/coredns/coredns",
        version="v1.15.0",
        programs={"coredns": "coredns.go", "pause": "pause.go"},
    ),
)


def kubernetes_programs() -> Path:
    """Return the folder of the programs.

    Raises:
        ServiceUnavailableError: If they were not built.

    """
    if not TARGET.is_dir():
        raise ServiceUnavailableError(f"Kubernetes {VERSION} is not built here: make kubernetes")
    return TARGET


def oci_runtime() -> str:
    """Return what runs containers for containerd.

    Raises:
        ServiceUnavailableError: If it is not here.

    """
    found = shutil.which("runc")
    if found is None or not (CNI / "ptp").exists():
        raise ServiceUnavailableError(
            f"a Kubernetes node needs runc, and CNI's plugins in {CNI}: install the packages "
            "runc and containernetworking-plugins"
        )
    return found


def build() -> Path:
    """Build all programs; returns their folder.

    Raises:
        ServiceUnavailableError: If that fails.

    """
    return fetched(TARGET, _build, tools=("go",), insists=True)


def _build(folder: Path) -> None:
    folder.mkdir()
    with tempfile.TemporaryDirectory(prefix="building-kubernetes-") as place:
        for number, source in enumerate(_SOURCES):
            own = Path(place) / str(number)
            own.mkdir()
            # A module that requires the one wanted, by its version alone: Go's checksum database
            # vouches for it and for all it needs. Without its language's version Go would ask
            # for modules that nothing here is built of.
            (own / "go.mod").write_text(
                f"module programs\ngo 1.26.0\nrequire {source.module} {source.version}\n"
                + _replacements(source, own)
            )
            stamps = " ".join(("-s -w", *(f"-X {k}={v}" for k, v in source.stamps.items())))
            for name, package in source.programs.items():
                what = f"{source.module}/{package}".rstrip("/")
                if package.endswith(".go"):
                    what = str(shutil.copy(Path(__file__).with_name(package), own / package))
                options = ("-mod=mod", "-trimpath", f"-ldflags={stamps}", f"-tags={source.tags}")
                _go("build", *options, "-o", str(folder / name), what, folder=own)


def _replacements(source: _Source, folder: Path) -> str:
    """What Kubernetes keeps in its own repository is published as modules k8s.io/NAME v0.MINOR.x."""
    told = json.loads(
        _go("mod", "download", "-json", f"{source.module}@{source.version}", folder=folder)
    )
    staged = re.findall(r"(k8s\.io/\S+) => \./staging/", Path(told["GoMod"]).read_text())
    version = source.version.replace("v1.", "v0.", 1)
    return "".join(f"replace {module} => {module} {version}\n" for module in staged)


def _go(*arguments: str, folder: Path) -> str:
    # Of no workspace around the cache folder.
    return go(
        *arguments,
        what="Kubernetes",
        folder=folder,
        seconds=BUILD_SECONDS,
        environment={"GOWORK": "off"},
    )


if __name__ == "__main__":
    sys.exit(tell(build))
