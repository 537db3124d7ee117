"""What the chart's containers run, run: the daemon with the rendered settings, the test, the pull."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chart import CHART
from tests.support.daemon import free_port, wait_until
from tests.support.rendering import Rendering, render
from tests.support.shared import MODELS, needs_shared

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("real_helm")]

KEYS = "/etc/streamd/keys"
OUTSIDE = {"alerts/authorization": "Bearer secret"}


class Node:
    """Stands for the kubelet: mounts become folders below ``root``, ports free ones."""

    def __init__(self, root: Path, rendering: Rendering) -> None:
        self.root = root
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._rendering = rendering
        self.config = self.root / "streamd.toml"
        (root / "data").mkdir()
        (root / "keys").mkdir()
        (root / "keys" / "credentials.json").write_text(
            rendering.secret("streamd-keys", "credentials.json")
        )
        self.config.write_text(self._placed(rendering.toml()))

    def run(self, container: dict[str, Any], **environment: str) -> subprocess.Popen[str]:
        """Start what a container runs."""
        command = container.get("command", ["streamd"])
        program = {
            "streamd": [sys.executable, "-m", "streamd"],
            "python": [sys.executable],
        }[command[0]]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("STREAMD_", "AWS_"))}
        own = self._rendering.environment(container, OUTSIDE)
        return subprocess.Popen(
            [*program, *command[1:], *(self._placed(part) for part in container["args"])],
            env={
                **clean,
                "PYTHONPATH": str(Path.cwd()),
                **{name: self._placed(value) for name, value in own.items()},
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _placed(self, text: str) -> str:
        for there, here in (
            (KEYS, f"{self.root}/keys"),
            ("/etc/streamd/config", str(self.root)),
            ("/var/lib/streamd", f"{self.root}/data"),
            ("/mirror", f"{self.root}/mirror"),
            ("0.0.0.0:8700", f"127.0.0.1:{self.port}"),
            ("http://streamd.video.svc.cluster.local:8700", self.url),
        ):
            text = text.replace(there, here)
        return text


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Leave no process behind."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_pod_starts_answers_its_probes_and_passes_helm_test(tmp_path: Path) -> None:
    """The daemon serves with what the defaults render; helm's test asks it; SIGTERM ends it."""
    rendering = render()
    node = Node(tmp_path, rendering)
    container = rendering.replica()["containers"][0]
    daemon = node.run(container)
    with ended(daemon):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = container[probe]["httpGet"]["path"]
            wait_until(functools.partial(_answers, node.url + path), seconds=90, what=path)
        test = rendering.one("Pod")["spec"]["containers"][0]
        asked = node.run(test)
        out, _ = asked.communicate(timeout=60)
        assert asked.returncode == 0, out
        assert out.splitlines() == [
            "rekognition list_stream_processors: answered",
            "kinesisvideo list_streams: answered",
        ]
        wrong = node.root / "wrong.json"
        wrong.write_text(
            '{"credentials": [{"access_key_id": "AKIDWRONG", "secret_access_key": "wrong"}]}'
        )
        refused = node.run(test, API_KEYS=str(wrong))
        out, _ = refused.communicate(timeout=60)
        assert refused.returncode != 0, "a wrong key must fail the test"
        assert "rekognition list_stream_processors: answered" not in out
        daemon.terminate()
        assert daemon.wait(60) == 0
    assert (tmp_path / "data" / "streamd.sqlite").exists()


@needs_shared[0]
@needs_shared[1]
def test_init_container_pulls_from_the_mirror_that_is_mounted(tmp_path: Path) -> None:
    """Without a way out, packs come from the volume into the models directory."""
    rendering = render(CHART / "ci" / "air-gapped-values.yaml")
    (tmp_path / "mirror").symlink_to(MODELS)
    node = Node(tmp_path, rendering)
    init = rendering.replica()["initContainers"][0]
    for _ in range(2):  # a pod that starts again finds them there
        pull = node.run(init)
        out, _ = pull.communicate(timeout=60)
        assert pull.returncode == 0, out
        assert "yunet-retail0095 is ready in" in out
    assert len(list((tmp_path / "data" / "models").iterdir())) >= 2


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
