"""deploy/compose.yaml: as Docker Compose reads it, and as streamd understands it."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamd.config import Settings, load_settings
from tests.deploy.checker import CheckerUnavailableError, run_checker

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
VARIABLES = {
    "API_ACCESS_KEY_ID": "AKIDTEST",
    "API_SECRET_ACCESS_KEY": "api-secret",
    "S3_ACCESS_KEY_ID": "AKIDSTORE",
    "S3_SECRET_ACCESS_KEY": "s3-secret",
    "POSTGRES_PASSWORD": "pg-secret",
    "GRAFANA_PASSWORD": "grafana-secret",
}
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def services() -> dict[str, Any]:
    """Return the services, variables put in as Compose does."""

    def put_in(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        assert kind == "-" or name in VARIABLES, f"{name} has no default and is not in deploy/.env"
        return VARIABLES.get(name, default or "")

    found: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(put_in, COMPOSE.read_text()))["services"]
    return found


def streamd_settings(service: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a service, as streamd reads them from its environment."""
    environment = {
        # Of the image.
        "STREAMD_SERVER__LISTEN": "0.0.0.0:8700",
        **services()[service]["environment"],
    }
    for name, value in environment.items():
        if name.startswith("STREAMD_"):
            monkeypatch.setenv(name, str(value))
    return load_settings()


def test_docker_compose_loads_it() -> None:
    """Compose's own loader and schema have nothing against it, and want every password."""
    try:
        code, said = run_checker("compose", COMPOSE, VARIABLES)
        assert code == 0, said
        assert set(json.loads(said)["services"]) == set(services())
        code, said = run_checker("compose", COMPOSE)
        assert code == 1
        assert "make compose-env" in said
    except CheckerUnavailableError as error:
        pytest.skip(str(error))


def test_streamd_accepts_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one is a setting; together they wire it to the other services."""
    settings = streamd_settings("streamd", monkeypatch)
    assert settings.auth.mode == "sigv4"
    assert [one.access_key_id for one in settings.auth.credentials] == ["AKIDTEST"]
    assert settings.store_url == "postgresql://streamd:pg-secret@postgres/streamd"
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    assert settings.s3.endpoint_url == "http://s3:7070"
    assert settings.cameras["door"].url.get_secret_value() == "rtsp://camera:8554/door"
    assert (settings.outputs.kinesis, settings.outputs.s3, settings.outputs.sns) == (
        "kafka",
        "s3",
        "kafka",
    )


def test_the_settings_that_stores_reads_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes topics and buckets where streamd will look for them, and needs no keys to serve."""
    stores = streamd_settings("stores", monkeypatch)
    settings = streamd_settings("streamd", monkeypatch)
    assert (stores.kafka, stores.s3) == (settings.kafka, settings.s3)
    assert stores.kinesis_video.archive_bucket == settings.kinesis_video.archive_bucket


def test_the_archive_in_s3_is_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """VIDEO_ARCHIVE=s3 is enough: the bucket is named and made."""
    monkeypatch.setitem(VARIABLES, "VIDEO_ARCHIVE", "s3")
    settings = streamd_settings("streamd", monkeypatch)
    assert (settings.kinesis_video.archive, settings.kinesis_video.archive_bucket) == (
        "s3",
        "streamd-video",
    )


def test_what_it_mounts_is_there() -> None:
    """Each file or folder of the repository that a service is given exists."""
    looked_at = 0
    for service in services().values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("."):
                looked_at += 1
                assert (DEPLOY / source).exists(), source
                assert volume.endswith(":ro"), source
    assert looked_at >= 7


def test_nothing_is_open_to_the_network() -> None:
    """Ports are published on the loopback address alone."""
    ports = [port for one in services().values() for port in one.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports), ports


def test_no_password_is_written_down() -> None:
    """What grants access comes from variables that have no default."""
    granting = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|CREDENTIALS|ROOT_")
    for name, value in re.findall(r"^ +([A-Z][A-Z0-9_]+): +(.+)$", COMPOSE.read_text(), re.M):
        if granting.search(name) and value != ">-":
            assert re.fullmatch(r"\$\{\w+:\?run make compose-env\}", value), name


def test_every_image_has_one_version() -> None:
    """A tag that names a release; none that moves."""
    for name, service in services().items():
        tag = service["image"].rpartition(":")[2]
        if not service["image"].startswith("localhost/streamd"):
            assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-[a-z]+)?", tag), f"{name}: {tag}"


def test_streamd_needs_no_rights() -> None:
    """Its services run on a read-only root file system, without capabilities."""
    for service in services().values():
        if service["image"].startswith("localhost/streamd"):
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]


def test_waiting_is_for_health() -> None:
    """Whatever another waits to be healthy for has a health check."""
    found = services()
    for service in found.values():
        for name, wanted in service.get("depends_on", {}).items():
            # streamd's image has one of its own, which its service makes stricter.
            if wanted["condition"] == "service_healthy":
                assert "test" in found[name]["healthcheck"]


def test_it_drains_before_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The grace period is longer than the time streamd takes for itself."""
    grace = services()["streamd"]["stop_grace_period"]
    settings = streamd_settings("streamd", monkeypatch)
    assert float(grace.removesuffix("s")) > settings.server.drain_seconds + 10


def test_passwords_are_made_by_chance_and_kept(tmp_path: Path) -> None:
    """make-env.sh writes every variable that is wanted, for its owner's eyes, once."""
    (tmp_path / "compose").mkdir()
    script = tmp_path / "compose" / "make-env.sh"
    script.write_text((DEPLOY / "compose" / "make-env.sh").read_text())
    file = tmp_path / ".env"
    subprocess.run(["sh", script], check=True, capture_output=True)
    first = file.read_text()
    values = dict(x.split("=", 1) for x in first.splitlines() if not x.startswith("#"))
    assert set(values) == set(VARIABLES)
    assert all(len(value) >= 20 for value in values.values())
    assert len(set(values.values())) == len(values)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    subprocess.run(["sh", script], check=True, capture_output=True)
    assert file.read_text() == first
