"""What helm prints after an installation: the next commands, and what is open or does not last."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.services.helm import helm
from tests.support.chart import CHART
from tests.support.rendering import EVERY, RELEASE, Rendering

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("real_helm")]


@pytest.mark.parametrize("files", EVERY)
def test_notes_say_the_next_command(files: tuple[Path, ...], tmp_path: Path) -> None:
    """After an installation helm says how to wait, to test and to call."""
    notes = rendered_notes(tmp_path, *files)
    for command in (
        "kubectl -n video rollout status statefulset/streamd",
        "helm -n video test streamd --logs",
        "aws rekognition list-collections --endpoint-url http",
        "streamd doctor --config /etc/streamd/config/streamd.toml",
    ):
        assert command in notes
    assert re.search(r"The console.*://\S+/console|The console.* is at /console", notes)
    assert "<no value>" not in notes
    assert "WARNING" not in notes


def test_notes_name_no_console_that_is_not_served(tmp_path: Path) -> None:
    """A console that the settings turn off is not offered."""
    values = tmp_path / "values.yaml"
    values.write_text("config: {console: {enabled: false}}\n")
    assert "console" not in rendered_notes(tmp_path, values)


def test_notes_warn_of_what_is_open_or_does_not_last(tmp_path: Path) -> None:
    """No keys, no volume: the notes say what that means."""
    values = tmp_path / "values.yaml"
    values.write_text("auth: {mode: none}\npersistence: {enabled: false}\n")
    notes = rendered_notes(tmp_path, values)
    assert 'WARNING: auth.mode is "none"' in notes
    assert "WARNING: persistence.enabled is false" in notes


def rendered_notes(tmp_path: Path, *files: Path) -> str:
    """Return NOTES.txt, which helm prints only with a cluster, from a chart that has it as data."""
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    templates = chart / "templates"
    text = (templates / "NOTES.txt").read_text()
    (templates / "_notes.tpl").write_text('{{- define "notes" -}}\n' + text + "{{- end }}")
    (templates / "notes.yaml").write_text('kind: Notes\ntext: {{ include "notes" . | toJson }}\n')
    arguments = [part for file in files for part in ("--values", str(file))]
    done = helm("template", RELEASE, chart, "--namespace", "video", *arguments)
    assert done.returncode == 0, done.stderr
    notes: str = Rendering(done.stdout).one("Notes")["text"]
    return notes
