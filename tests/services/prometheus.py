"""A real Prometheus and promtool: those on PATH, or built once from the Go module proxy.

Debian and Ubuntu have them as ``prometheus`` (``apt-get install --no-install-recommends
prometheus``); elsewhere ``make prometheus`` builds both into ``.venv/services``, without the
discovery of clouds and without the web page, in some minutes. Where there is neither, the tests
are skipped with that reason.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.fetched import ServiceUnavailableError, fetched, tell
from tests.services.golang import go
from tests.support.daemon import free_port, wait_until

__all__ = ["Prometheus", "PrometheusTools", "prometheus_tools"]

MODULE, VERSION = "github.com/prometheus/prometheus", "v0.313.5"
SUM = "h1:5/kewqSFNlHQa9NqZxrOkXCBlEuJOvb+8gFOUxSWFv0="
"""What Go's checksum database says of this version, 3.13.5 to its users."""
TARGET = Path(__file__).parents[2] / ".venv" / "services" / f"prometheus-{VERSION}"
BUILD_SECONDS = 3600.0
START_SECONDS = 60.0
_HURRIED = "scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s"
_AS_DEPLOYED = "scrape_interval: 15s, scrape_timeout: 10s, evaluation_interval: 15s"


@dataclass(frozen=True, kw_only=True)
class PrometheusTools:
    """The two programs."""

    server: str
    promtool: str

    def check(self, *arguments: str, stdin: str | None = None) -> str:
        """Run promtool; returns what it says, fails if it is not content."""
        done = subprocess.run(
            [self.promtool, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def prometheus_tools() -> PrometheusTools:
    """Return the programs.

    Raises:
        ServiceUnavailableError: If they are not here.

    """
    if (TARGET / "promtool").exists():
        return PrometheusTools(server=str(TARGET / "prometheus"), promtool=str(TARGET / "promtool"))
    server, promtool = shutil.which("prometheus"), shutil.which("promtool")
    if server is None or promtool is None:
        raise ServiceUnavailableError(
            "needs prometheus and promtool: install the package prometheus, or `make prometheus`"
        )
    return PrometheusTools(server=server, promtool=promtool)


class Prometheus:
    """A server that scrapes and evaluates in quick succession.

    Args:
        tools: The programs.
        folder: Where its data and settings lie.
        targets: ``HOST:PORT`` of the daemons to scrape.
        rules: A rules file; its times are shortened, see :func:`shortened`.
        hurried: If false, it scrapes and evaluates as seldom as ``deploy/prometheus`` has it, and
            times of rules are those of the file.

    """

    def __init__(
        self,
        tools: PrometheusTools,
        folder: Path,
        *,
        targets: list[str],
        rules: Path,
        hurried: bool = True,
    ) -> None:
        self._tools = tools
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        text = rules.read_text()
        (folder / "rules.yml").write_text(shortened(text) if hurried else text)
        (folder / "prometheus.yml").write_text(
            f"global: {{{_HURRIED if hurried else _AS_DEPLOYED}}}\n"
            "rule_files: [rules.yml]\n"
            "scrape_configs:\n"
            "  - job_name: streamd\n"
            f"    static_configs: [{{targets: {json.dumps(targets)}}}]\n"
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the vector an expression has now; fails if it cannot be evaluated."""
        result: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return result

    def firing(self) -> dict[str, list[dict[str, str]]]:
        """Return labels of the alerts that fire, by alert."""
        found: dict[str, list[dict[str, str]]] = {}
        for alert in self._get("alerts")["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found

    def log(self) -> str:
        """The end of what the server has said."""
        return (self._folder / "prometheus.log").read_text(errors="replace")[-8000:]

    @contextlib.contextmanager
    def running(self) -> Iterator[Prometheus]:
        """Run while the block does."""
        with (self._folder / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._tools.server,
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                    "--log.level=warn",
                ],
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._is_ready, seconds=START_SECONDS, what="prometheus")
            yield self
        finally:
            self._process.kill()
            self._process.wait(30)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        with contextlib.suppress(OSError), self._open("/-/ready"):
            return True
        return False

    def _get(self, what: str, **parameters: str) -> Any:
        with self._open(f"/api/v1/{what}?{urllib.parse.urlencode(parameters)}") as answer:
            return json.load(answer)["data"]

    def _open(self, path: str) -> Any:
        return urllib.request.urlopen(self.url + path, timeout=10)


def shortened(rules: str) -> str:
    """Return rules that wait for seconds where they waited for minutes; thresholds stay."""
    rules = re.sub(r"(?m)^(\s*for:) .*$", r"\1 2s", rules)
    rules = re.sub(r"\[\d+[mhd]\]", "[10s]", rules)
    return re.sub(r"offset \d+[mhd]", "offset 10s", rules)


def build() -> Path:
    """Build both programs with Go; returns their folder.

    Raises:
        ServiceUnavailableError: If that fails.

    """
    return fetched(TARGET, _build, tools=("go",), insists=True)


def _build(folder: Path) -> None:
    folder.mkdir()
    told = json.loads(_go("mod", "download", "-json", f"{MODULE}@{VERSION}", folder=folder))
    if told["Sum"] != SUM:
        raise ServiceUnavailableError(f"{MODULE} {VERSION} is not the one these tests know")
    commands = ("./cmd/prometheus", "./cmd/promtool")
    options = ("-trimpath", "-ldflags=-s -w", "-tags=remove_all_sd,netgo")
    _go("build", *options, "-o", f"{folder}/", *commands, folder=Path(told["Dir"]))


def _go(*arguments: str, folder: Path) -> str:
    # The module's workspace names folders that the proxy does not have.
    return go(
        *arguments,
        what="prometheus",
        folder=folder,
        seconds=BUILD_SECONDS,
        environment={"GOWORK": "off"},
    )


if __name__ == "__main__":
    sys.exit(tell(build))
