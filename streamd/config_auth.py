"""The section of the settings that says who may call, and the file of keys it can name."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, StringConstraints, ValidationError, model_validator

from streamd.config_outputs import Section
from streamd.errors import ConfigError

__all__ = ["MAX_CREDENTIALS_BYTES", "AuthSettings", "Credential", "read_credentials"]

MAX_CREDENTIALS_BYTES = 1024 * 1024
"""Longest file of keys: some thousand of them."""

AccountId = Annotated[str, StringConstraints(pattern=r"^\d{12}$")]
ActionPattern = Annotated[str, StringConstraints(pattern=r"^(\*|[a-zA-Z0-9-]+:[a-zA-Z0-9*?]+)$")]
ResourcePattern = Annotated[
    str, StringConstraints(pattern=r"^(\*|arn:\S{1,2000})$", max_length=2048)
]


class Credential(Section):
    """One access key, whose account it belongs to, and what it may be used for."""

    access_key_id: str = Field(min_length=4, max_length=128, pattern=r"^[\w.+=@-]+$")
    secret_access_key: SecretStr = Field(min_length=1)
    account_id: AccountId | None = None
    """Account whose resources it sees; ``None``: ``aws.account_id``."""
    allow: tuple[ActionPattern, ...] = ("*",)
    """Actions as IAM spells them, ``*`` and ``?`` stand for anything: ``rekognition:Describe*``."""
    resources: tuple[ResourcePattern, ...] = ("*",)
    """ARNs it may be used on, with the same wildcards."""


class AuthSettings(Section):
    """``[auth]``: who may call."""

    mode: Literal["none", "sigv4"] = "none"
    credentials: tuple[Credential, ...] = ()
    credentials_file: Path | None = None
    """TOML or JSON file with more ``credentials``; read again whenever it changes."""
    insecure: bool = False
    """Serve without authentication on an address others can reach."""

    @model_validator(mode="after")
    def _check(self) -> AuthSettings:
        if self.mode == "sigv4" and not self.credentials and self.credentials_file is None:
            raise ValueError(
                "'auth.credentials' needs at least one key, or 'auth.credentials_file' a file, "
                "when 'auth.mode' is sigv4"
            )
        _refuse_repeats(self.credentials)
        return self


class _File(Section):
    credentials: tuple[Credential, ...]

    @model_validator(mode="after")
    def _check(self) -> _File:
        _refuse_repeats(self.credentials)
        return self


def read_credentials(path: Path) -> tuple[Credential, ...]:
    """Read a file of keys: ``[[credentials]]`` in TOML, or ``{"credentials": […]}`` as JSON.

    Raises:
        ConfigError: If it cannot be read or says something else; no message holds a secret.

    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CREDENTIALS_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"'auth.credentials_file': {path} cannot be read: {error.strerror}"
        ) from error
    if len(raw) > MAX_CREDENTIALS_BYTES:
        raise ConfigError(f"'auth.credentials_file': {path} is too large")
    try:
        return _File.model_validate(
            _parsed(raw.decode(), is_json=path.suffix == ".json")
        ).credentials
    except ValidationError as error:
        found = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise ConfigError(f"'auth.credentials_file': {path}: {'; '.join(found)}") from None
    except (ValueError, RecursionError):
        # The parsers' messages quote what they found, which may be a secret.
        raise ConfigError(f"'auth.credentials_file': {path} is no valid TOML or JSON") from None


def _parsed(text: str, *, is_json: bool) -> Any:
    return json.loads(text) if is_json else tomllib.loads(text)


def _refuse_repeats(credentials: tuple[Credential, ...]) -> None:
    seen: set[str] = set()
    for credential in credentials:
        if credential.access_key_id in seen:
            raise ValueError(f"access key {credential.access_key_id} is there twice")
        seen.add(credential.access_key_id)
