"""Settings: file, environment, checks; and the commented reference of them all."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from streamd.config import CameraSettings, Settings, load_settings
from streamd.errors import ConfigError

REFERENCE = Path(__file__).parents[2] / "deploy" / "streamd.toml"
_UNSET = re.compile(r"^# (?=\w+ = |\[)", re.MULTILINE)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("STREAMD_"):
            monkeypatch.delenv(name)


def write(folder: Path, text: str) -> Path:
    path = folder / "streamd.toml"
    path.write_text(text)
    return path


def sections() -> dict[str, type[BaseModel]]:
    """Return every section of the settings; ``cameras.NAME`` for the cameras."""
    found: dict[str, type[BaseModel]] = {}
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if name == "cameras":
            found["cameras.NAME"] = CameraSettings
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            found[name] = kind
    return found


def test_the_reference_holds_the_defaults() -> None:
    """deploy/streamd.toml as it is changes nothing."""
    assert load_settings(REFERENCE).model_dump() == load_settings().model_dump()


def test_the_reference_loads_with_everything_set(tmp_path: Path) -> None:
    """Every line that shows an unset setting is valid once it is set."""
    text = _UNSET.sub("", REFERENCE.read_text())
    settings = load_settings(write(tmp_path, text))
    assert settings.server.workers == 4
    assert settings.cameras["front-door"].stream == "front-door"


def test_the_reference_names_and_explains_every_key() -> None:
    """Every key is in its section, below a comment that explains it."""
    text = REFERENCE.read_text()
    shown = tomllib.loads(_UNSET.sub("", text))
    for section, model in sections().items():
        document: dict[str, Any] = (
            shown["cameras"]["front-door"] if section == "cameras.NAME" else shown[section]
        )
        assert set(document) == set(model.model_fields), section
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if re.match(r"(# )?\w+ = ", line):
            above = lines[number - 1]
            assert above.startswith("#") or re.match(r"(# )?\w+ = ", above), f"unexplained: {line}"


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STREAMD_<SECTION>__<KEY> replaces what the file says, and only that."""
    path = write(tmp_path, '[analysis]\nfps = 2.0\nthreads = 3\n[aws]\nregion = "eu-west-1"\n')
    monkeypatch.setenv("STREAMD_ANALYSIS__FPS", "7.5")
    settings = load_settings(path)
    assert (settings.analysis.fps, settings.analysis.threads) == (7.5, 3)
    assert settings.aws.region == "eu-west-1"


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Overrides come last."""
    monkeypatch.setenv("STREAMD_SERVER__LISTEN", "127.0.0.1:1")
    settings = load_settings(overrides={"server": {"listen": "127.0.0.1:2"}})
    assert settings.server.port == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nport = 1\n", "'server.port' is not a setting"),
        ("[servers]\n", "'servers' is not a setting"),
        ("[analysis]\nfps = 0\n", "'analysis.fps'"),
        ('[server]\nlisten = "8700"\n', "'server.listen' must be HOST:PORT, got '8700'"),
        ('[server]\nlisten = "host:70000"\n', "'server.listen' must be HOST:PORT"),
        ('[server]\ntls_cert = "a"\n', "'server.tls_cert' and 'server.tls_key' go together"),
        ('[auth]\nmode = "sigv4"\n', "'auth.credentials' needs at least one key"),
        ('[aws]\naccount_id = "12"\n', "'aws.account_id'"),
        ('[outputs]\nkinesis = "sqs"\n', "'outputs.kinesis'"),
        ("[server\n", "settings cannot be read"),
    ],
)
def test_mistakes_name_their_key(tmp_path: Path, text: str, message: str) -> None:
    """A wrong file is one ConfigError that names the key."""
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_settings(write(tmp_path, text))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """A file that was named must exist."""
    with pytest.raises(ConfigError, match="does not exist"):
        load_settings(tmp_path / "nowhere.toml")


def test_unknown_variables_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt section in the environment is not ignored."""
    monkeypatch.setenv("STREAMD_KAFKAA__BOOTSTRAP_SERVERS", "x:1")
    with pytest.raises(ConfigError, match="STREAMD_KAFKAA__BOOTSTRAP_SERVERS names no section"):
        load_settings()


@pytest.mark.parametrize("name", ["STREAMD_SERVICE_NAME", "STREAMD_PORTS", "STREAMD_PORT_8080"])
def test_what_looks_like_kubernetes_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the very names it gives are passed over."""
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError, match=f"{name} names no section"):
        load_settings()


def test_variables_of_a_kubernetes_service_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Service called streamd puts its address into every pod of the namespace."""
    for name, value in {
        "SERVICE_HOST": "10.0.0.1",
        "SERVICE_PORT": "8080",
        "SERVICE_PORT_HTTPS": "8443",
        "PORT": "tcp://10.0.0.1:8080",
        "PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "PORT_8080_TCP_ADDR": "10.0.0.1",
    }.items():
        monkeypatch.setenv(f"STREAMD_{name}", value)
    load_settings()


@pytest.mark.parametrize(
    ("listen", "is_loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("192.168.1.5:1", False),
        ("streamd.example.com:1", False),
    ],
)
def test_open_addresses_need_authentication(listen: str, is_loopback: bool) -> None:
    """Without authentication only this machine may be served, unless the risk is accepted."""
    if is_loopback:
        assert load_settings(overrides={"server": {"listen": listen}}).server.is_loopback
        return
    with pytest.raises(ConfigError, match="which others can reach"):
        load_settings(overrides={"server": {"listen": listen}})
    accepted = load_settings(overrides={"server": {"listen": listen}, "auth": {"insecure": True}})
    assert not accepted.server.is_loopback


def test_secrets_are_masked() -> None:
    """Neither repr nor an error shows a secret."""
    credentials = [{"access_key_id": "AKIDEXAMPLE", "secret_access_key": "hush-hush"}]
    settings = load_settings(
        overrides={
            "auth": {"mode": "sigv4", "credentials": credentials},
            "kafka": {"sasl_password": "hush-hush"},
        }
    )
    assert "hush-hush" not in repr(settings)
    with pytest.raises(ConfigError) as caught:
        load_settings(overrides={"kafka": {"sasl_password": ["hush-hush"]}})
    assert "hush-hush" not in str(caught.value)


def test_paths_follow_the_data_directory(tmp_path: Path) -> None:
    """Store and models lie in the data directory unless told otherwise."""
    settings = load_settings(overrides={"server": {"data_dir": tmp_path}})
    assert settings.store_url == f"sqlite:///{tmp_path}/streamd.sqlite"
    assert settings.models_dir == tmp_path / "models"
