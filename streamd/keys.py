"""The keys that may call, from the settings and from a file that may change while we serve."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from streamd.config import AuthSettings, Credential
from streamd.config_auth import read_credentials
from streamd.errors import ConfigError
from streamd.protocol.identity import AccessKey, KeyRing, Permissions

__all__ = ["CallerKeys"]

logger = logging.getLogger(__name__)


class CallerKeys:
    """Fills a key ring and keeps it up to date.

    Args:
        settings: ``[auth]``.
        account_id: Account of keys that name none.
        own_key: The key of this run's workers; always valid.

    """

    def __init__(self, settings: AuthSettings, *, account_id: str, own_key: AccessKey) -> None:
        self._settings = settings
        self._account_id = account_id
        self._own_key = own_key
        self._callers: Sequence[AccessKey] = ()
        self._replicas: Sequence[AccessKey] = ()
        self.ring = KeyRing([own_key])
        """The keys that are valid now."""

    @property
    def file(self) -> Path | None:
        """The file to watch."""
        return self._settings.credentials_file if self._settings.mode == "sigv4" else None

    def load(self) -> None:
        """Read the file and take its keys (blocking).

        Raises:
            ConfigError: If it cannot be used, or names a key that the settings have too.

        """
        if self._settings.mode != "sigv4":
            return  # unsigned requests need no keys, and no key can be wrong
        found = list(self._settings.credentials)
        if self.file is not None:
            _warn_of_readers(self.file)
            found += read_credentials(self.file)
        keys = {credential.access_key_id: self._access_key(credential) for credential in found}
        if len(keys) < len(found):
            raise ConfigError(
                f"'auth.credentials_file': {self.file} has a key that 'auth.credentials' has too"
            )
        if not keys:
            raise ConfigError(f"'auth.credentials_file': {self.file} has no keys")
        self._callers = tuple(keys.values())
        self._publish()

    def take_replicas(self, keys: Sequence[AccessKey]) -> None:
        """Let the workers of other replicas call with these keys, and no more with former ones."""
        if keys != self._replicas:
            self._replicas = keys
            self._publish()

    def reload(self) -> None:
        """Do the same while serving: a file that cannot be used changes nothing (blocking)."""
        before = {key.access_key_id for key in self.ring}
        try:
            self.load()
        except ConfigError as error:
            logger.error("keys not changed: %s", error)  # noqa: TRY400  # the message says it all
            return
        after = {key.access_key_id for key in self.ring}
        logger.info(
            "keys read again",
            extra={"added": sorted(after - before), "gone": sorted(before - after)},
        )

    def _publish(self) -> None:
        # The last of one name counts: no other replica's key can take the place of a caller's.
        self.ring.replace([*self._replicas, *self._callers, self._own_key])

    def _access_key(self, credential: Credential) -> AccessKey:
        return AccessKey(
            access_key_id=credential.access_key_id,
            secret=credential.secret_access_key.get_secret_value(),
            account_id=credential.account_id or self._account_id,
            permissions=Permissions(actions=credential.allow, resources=credential.resources),
        )


def _warn_of_readers(path: Path) -> None:
    try:
        found = path.stat()
    except OSError:
        return  # reading it will say so
    # Kubernetes gives a Secret to root and to a group of the pod alone: its way of ours only.
    ours = found.st_uid == os.geteuid()
    if found.st_mode & (stat.S_IRWXO | (stat.S_IRWXG if ours else 0)):
        logger.warning("%s can be read by others, it holds secrets: chmod 600", path)
