"""Keys from the settings and from a file that changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from streamd.config import AuthSettings
from streamd.config_auth import read_credentials
from streamd.errors import ConfigError
from streamd.keys import CallerKeys
from streamd.protocol.identity import AccessKey

OWN = AccessKey(access_key_id="STREAMDOWN", secret="own", account_id="0" * 12)
TOML = """
[[credentials]]
access_key_id = "AKIDFILE"
secret_access_key = "hush"
account_id = "222222222222"
allow = ["kinesisvideo:PutMedia"]
resources = ["arn:aws:kinesisvideo:*:*:stream/door/*"]
"""


def _keys(file: Path | None, **settings: object) -> CallerKeys:
    auth = AuthSettings.model_validate(
        {"mode": "sigv4", "credentials_file": file, "credentials": [], **settings}
    )
    return CallerKeys(auth, account_id="111111111111", own_key=OWN)


def _ids(keys: CallerKeys) -> list[str]:
    return sorted(key.access_key_id for key in keys.ring)


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_file_says_accounts_and_rights(tmp_path: Path) -> None:
    """TOML tables, in addition to the keys of the settings and the workers' own."""
    keys = _keys(
        _write(tmp_path / "keys.toml", TOML),
        credentials=[{"access_key_id": "AKIDSETTINGS", "secret_access_key": "x"}],
    )
    keys.load()
    assert _ids(keys) == ["AKIDFILE", "AKIDSETTINGS", "STREAMDOWN"]
    found = keys.ring.find("AKIDFILE")
    assert found is not None
    assert (found.account_id, found.secret) == ("222222222222", "hush")
    door = "arn:aws:kinesisvideo:us-east-1:222222222222:stream/door/*"
    assert found.permissions.denied("kinesisvideo:PutMedia", [door]) is None
    assert found.permissions.denied("kinesisvideo:GetMedia", [door]) == door
    other = keys.ring.find("AKIDSETTINGS")
    assert other is not None
    assert other.account_id == "111111111111"


def test_json_says_the_same(tmp_path: Path) -> None:
    """A file that is called *.json."""
    document = {"credentials": [{"access_key_id": "AKIDJSON", "secret_access_key": "x"}]}
    keys = _keys(_write(tmp_path / "keys.json", json.dumps(document)))
    keys.load()
    assert _ids(keys) == ["AKIDJSON", "STREAMDOWN"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("credentials = 'hush", "is no valid TOML or JSON"),
        ('[[credentials]]\naccess_key_id = "AKID"\n', "credentials.0.secret_access_key"),
        (TOML.replace("222222222222", "hush"), "credentials.0.account_id"),
        (TOML.replace("kinesisvideo:PutMedia", "PutMedia"), "credentials.0.allow.0"),
        (TOML.replace("arn:aws", "aws"), "credentials.0.resources.0"),
        (TOML + "alow = []\n", "credentials.0.alow"),
        (TOML + TOML, "is there twice"),
        ("credentials = []", "has no keys"),
        ("# " + "x" * 1024 * 1024, "too large"),
        ('credentials = "\ud800"'.encode("utf-8", "replace").decode(), "credentials"),
    ],
)
def test_mistakes_name_the_file_and_no_secret(tmp_path: Path, text: str, message: str) -> None:
    """A file that cannot be used ends the start."""
    path = _write(tmp_path / "keys.toml", text)
    with pytest.raises(ConfigError, match=message) as caught:
        _keys(path).load()
    assert str(path) in str(caught.value)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_file_is_a_mistake(tmp_path: Path) -> None:
    """Told with its path."""
    with pytest.raises(ConfigError, match=r"missing.toml cannot be read: No such file"):
        read_credentials(tmp_path / "missing.toml")


def test_a_key_in_both_places_is_a_mistake(tmp_path: Path) -> None:
    """Nobody could say which one holds."""
    keys = _keys(
        _write(tmp_path / "keys.toml", TOML),
        credentials=[{"access_key_id": "AKIDFILE", "secret_access_key": "x"}],
    )
    with pytest.raises(ConfigError, match=r"a key that 'auth.credentials' has too"):
        keys.load()


def test_a_broken_new_file_keeps_the_old_keys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told in the log; the next good one counts."""
    path = _write(tmp_path / "keys.toml", TOML)
    keys = _keys(path)
    keys.load()
    path.write_text("credentials = 'hush")
    keys.reload()
    assert _ids(keys) == ["AKIDFILE", "STREAMDOWN"]
    assert "keys not changed" in caplog.text
    path.write_text(TOML.replace("AKIDFILE", "AKIDNEXT"))
    keys.reload()
    assert _ids(keys) == ["AKIDNEXT", "STREAMDOWN"]
    assert "hush" not in caplog.text


def test_a_file_others_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is used all the same: container secrets often look like that."""
    path = _write(tmp_path / "keys.toml", TOML)
    _keys(path).load()
    assert not caplog.records
    path.chmod(0o644)
    keys = _keys(path)
    keys.load()
    assert "can be read by others" in caplog.text
    assert "AKIDFILE" in _ids(keys)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_a_file_that_a_group_was_given_is_not_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As Kubernetes gives a Secret to a pod: of another user, for a group of ours."""
    path = _write(tmp_path / "keys.toml", TOML)
    path.chmod(0o440)
    _keys(path).load()
    assert "can be read by others" in caplog.text, "a group of ours may be anybody's"
    caplog.clear()
    os.chown(path, 65532, os.getegid())
    _keys(path).load()
    assert not caplog.records
    path.chmod(0o444)
    _keys(path).load()
    assert "can be read by others" in caplog.text


def test_without_signatures_no_key_is_read(tmp_path: Path) -> None:
    """A file that is not there does no harm then."""
    keys = _keys(tmp_path / "missing.toml", mode="none")
    keys.load()
    assert keys.file is None
    assert _ids(keys) == ["STREAMDOWN"]


def test_settings_show_no_secret() -> None:
    """Nor does their representation."""
    keys = _keys(None, credentials=[{"access_key_id": "AKIDA", "secret_access_key": "hush"}])
    assert "hush" not in repr(vars(keys))


def test_keys_of_other_replicas_come_and_go(tmp_path: Path) -> None:
    """Beside the callers' and over their changes; never in the place of one of them."""
    keys = _keys(_write(tmp_path / "keys.toml", TOML))
    keys.load()
    theirs = AccessKey(access_key_id="STREAMDTHEIRS", secret="t", account_id="0" * 12)
    false = AccessKey(access_key_id="AKIDFILE", secret="false", account_id="0" * 12)
    keys.take_replicas([theirs, false])
    keys.reload()
    assert _ids(keys) == ["AKIDFILE", "STREAMDOWN", "STREAMDTHEIRS"]
    found = keys.ring.find("AKIDFILE")
    assert found is not None
    assert found.secret == "hush"
    keys.take_replicas([])
    assert _ids(keys) == ["AKIDFILE", "STREAMDOWN"]


def test_replicas_sign_where_nobody_else_does() -> None:
    """Without authentication their keys still say for which account they act."""
    keys = CallerKeys(AuthSettings(), account_id="1" * 12, own_key=OWN)
    keys.load()
    theirs = AccessKey(access_key_id="STREAMDTHEIRS", secret="t", account_id="0" * 12)
    keys.take_replicas([theirs])
    assert _ids(keys) == ["STREAMDOWN", "STREAMDTHEIRS"]
