"""Who may call, as the settings and a file of keys say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from streamd.config_auth import MAX_CREDENTIALS_BYTES, AuthSettings, Credential, read_credentials
from streamd.errors import ConfigError

KEY = {"access_key_id": "AKIDONE", "secret_access_key": "hush"}
TOML = '[[credentials]]\naccess_key_id = "AKIDONE"\nsecret_access_key = "hush"\n'
JSON = '{"credentials": [{"access_key_id": "AKIDONE", "secret_access_key": "hush"}]}'


def test_a_key_may_do_everything_unless_it_is_said() -> None:
    """Its account is the daemon's own, its secret is not shown."""
    key = Credential.model_validate(KEY)
    assert (key.allow, key.resources, key.account_id) == (("*",), ("*",), None)
    assert "hush" not in repr(key)


@pytest.mark.parametrize(
    "more",
    [
        {"account_id": "12"},
        {"allow": ["IndexFaces"]},
        {"allow": ["rekognition:Index Faces"]},
        {"resources": ["collection/family"]},
        {"access_key_id": "a b"},
        {"secret_access_key": ""},
        {"secret": "x"},
    ],
    ids=lambda more: next(iter(more.items())).__repr__(),
)
def test_a_key_that_makes_no_sense_is_refused(more: dict[str, Any]) -> None:
    """Misspelt accounts, actions and ARNs would allow nothing, silently."""
    with pytest.raises(ValidationError):
        Credential.model_validate(KEY | more)


def test_signatures_need_keys() -> None:
    """Mode sigv4 without a key and without a file would let nobody in."""
    with pytest.raises(ValidationError, match="needs at least one key"):
        AuthSettings.model_validate({"mode": "sigv4"})
    assert AuthSettings.model_validate({"mode": "sigv4", "credentials": [KEY]}).mode == "sigv4"
    assert AuthSettings(mode="sigv4", credentials_file=Path("keys.toml")).credentials == ()


def test_a_key_is_there_once() -> None:
    """Which of two secrets is right nobody can tell."""
    with pytest.raises(ValidationError, match="AKIDONE is there twice"):
        AuthSettings.model_validate({"credentials": [KEY, KEY]})


@pytest.mark.parametrize(("name", "text"), [("keys.toml", TOML), ("keys.json", JSON)])
def test_a_file_is_toml_or_json(tmp_path: Path, name: str, text: str) -> None:
    """The name's ending says which."""
    path = tmp_path / name
    path.write_text(text)
    [key] = read_credentials(path)
    assert (key.access_key_id, key.secret_access_key.get_secret_value()) == ("AKIDONE", "hush")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("k.toml", TOML.replace("[[", "[["[:1]), "no valid TOML"),
        ("k.json", '{"credentials": [{"secret_access_key": "hush", ', "no valid TOML or JSON"),
        ("k.json", "[" * 100_000, "no valid TOML or JSON"),
        ("k.toml", TOML.replace("AKIDONE", "a b"), "credentials.0.access_key_id"),
        ("k.toml", TOML + TOML, "AKIDONE is there twice"),
        ("k.toml", TOML + "#" * MAX_CREDENTIALS_BYTES, "is too large"),
        ("k.toml", 'keys = "hush"', "credentials: Field required"),
    ],
    ids=["broken", "cut off", "deep", "bad key", "repeated", "too large", "another"],
)
def test_a_bad_file_is_named_without_its_secrets(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    """The message has the setting, the path and the reason."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        read_credentials(path)
    assert str(caught.value).startswith("'auth.credentials_file': ")
    assert "hush" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_credentials(tmp_path / "keys.toml")
