"""A real Grafana: an unpacked release, whose folder ``STREAMD_GRAFANA`` names.

Any of https://grafana.com/grafana/download that is unpacked and has ``bin``, ``conf`` and
``public`` will do (Grafana is AGPL-3.0). It is started as ``deploy/compose.yaml`` starts it: with
its variables, and the provisioning it mounts. Where none is named, the tests are skipped with
that reason.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.services.fetched import ServiceUnavailableError
from tests.support.daemon import free_port, wait_until
from tests.support.written_table import ROOT

__all__ = ["Grafana", "grafana_home"]

DEPLOY = ROOT / "deploy"
START_SECONDS = 120.0
USER, PASSWORD = "admin", "grafana-of-the-tests"
_PROVISIONING, _DASHBOARDS = "/etc/grafana/provisioning/", "/var/lib/grafana/dashboards/"


def grafana_home() -> Path:
    """Return the folder of a Grafana installation.

    Raises:
        ServiceUnavailableError: If none is named, or what is named is none.

    """
    named = os.environ.get("STREAMD_GRAFANA")
    if not named:
        raise ServiceUnavailableError(
            "needs Grafana: unpack a release, and name its folder in STREAMD_GRAFANA"
        )
    home = Path(named).absolute()
    if not (home / "conf" / "defaults.ini").is_file() or not (home / "public" / "build").is_dir():
        raise ServiceUnavailableError(f"STREAMD_GRAFANA={named} is not the folder of a Grafana")
    return home


class Grafana:
    """A server with the data source and the dashboards of ``deploy/grafana``.

    Args:
        home: What :func:`grafana_home` returns.
        folder: Where its data, its log and its copy of the provisioning lie.
        prometheus: Address of the Prometheus to ask.

    """

    def __init__(self, home: Path, folder: Path, *, prometheus: str) -> None:
        self._home = home
        self._log = folder / "grafana.log"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]
        # The image has a folder of each kind, empty.
        for kind in (home / "conf" / "provisioning").iterdir():
            (folder / "provisioning" / kind.name).mkdir(parents=True)
        _provision(service["volumes"], folder / "provisioning")
        self._env = {
            **os.environ,
            **{name: str(value) for name, value in service["environment"].items()},
            "GF_SECURITY_ADMIN_PASSWORD": PASSWORD,
            "PROMETHEUS_URL": prometheus,
            "GF_SERVER_HTTP_ADDR": "127.0.0.1",
            "GF_SERVER_HTTP_PORT": str(self._port),
            "GF_PATHS_DATA": str(folder / "data"),
            "GF_PATHS_LOGS": str(folder / "logs"),
            "GF_PATHS_PLUGINS": str(folder / "plugins"),
            "GF_PATHS_PROVISIONING": str(folder / "provisioning"),
            "GF_LOG_MODE": "console",
            # It would ask the world for pictures and news.
            "GF_SECURITY_DISABLE_GRAVATAR": "true",
            "GF_NEWS_NEWS_FEED_ENABLED": "false",
        }

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def headers(self) -> dict[str, str]:
        """What a request carries to be the admin's."""
        secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return {"Authorization": f"Basic {secret}"}

    def ask(self, path: str, body: object = None) -> Any:
        """Return the JSON of a GET, or of a POST of a body, whatever its status."""
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={**self.headers, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def log(self) -> str:
        """Return what it has logged."""
        return self._log.read_text(errors="replace")

    def complaints(self) -> list[str]:
        """Return the lines of its log that are warnings or errors."""
        return [line for line in self.log().splitlines() if re.search(_BAD, line)]

    @contextlib.contextmanager
    def running(self) -> Iterator[Grafana]:
        """Run while the block does."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command(), "--homepath", str(self._home)],
                env=self._env,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._is_ready, seconds=START_SECONDS, what="Grafana")
            yield self
        finally:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)

    def _command(self) -> list[str]:
        # Up to 9.3 the server was a program of its own.
        one = self._home / "bin" / "grafana"
        return [str(one), "server"] if one.is_file() else [str(one.with_name("grafana-server"))]

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()[-8000:]
        with contextlib.suppress(OSError):
            return bool(self.ask("/api/health")["database"] == "ok")
        return False


_BAD = r"(?i)\b(level|lvl)=(warn|warning|error|eror|crit)\b"


def _provision(volumes: list[str], target: Path) -> None:
    """Copy what Compose mounts; the dashboards stay, and are named by their place here."""
    places = {}
    for volume in volumes:
        source, inside, *_ = volume.split(":")
        if inside.startswith(_PROVISIONING):
            shutil.copytree(
                DEPLOY / source, target / inside.removeprefix(_PROVISIONING), dirs_exist_ok=True
            )
        elif inside.startswith(_DASHBOARDS):
            places[inside] = str((DEPLOY / source).resolve())
    assert places, volumes
    for path in (target / "dashboards").iterdir():
        text = path.read_text()
        for inside, outside in places.items():
            assert f"path: {inside}\n" in text, f"{path.name} does not read what Compose mounts"
            text = text.replace(inside, outside)
        path.write_text(text)
