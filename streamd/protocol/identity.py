"""Who makes a request and what that one may do: accounts, access keys, allow lists.

The patterns are those of IAM policies (*AWS IAM User Guide*, "Action" and "Resource"): ``*``
is any text, ``?`` any character; names of actions match in any case. Everything that is not
allowed is denied. An operation without a resource of its own, such as a list, needs the
resource ``*``.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["EVERYTHING", "AccessKey", "Identity", "KeyRing", "Permissions"]


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    # Neighbouring stars are one: many of them would make matching slow.
    shortened = re.sub(r"\*+", "*", pattern)
    return re.compile("".join(parts.get(c) or re.escape(c) for c in shortened), flags | re.DOTALL)


class Permissions:
    """What may be done, to what."""

    def __init__(
        self, *, actions: Sequence[str] = ("*",), resources: Sequence[str] = ("*",)
    ) -> None:
        self.covers_all_resources = "*" in resources
        """Whether resources need not be looked at."""
        self._actions = [_compiled(pattern, re.IGNORECASE) for pattern in actions]
        self._resources = [_compiled(pattern) for pattern in resources]

    def denied(self, action: str, resources: Sequence[str]) -> str | None:
        """Return the first resource the action may not be done to; ``None``: it is allowed."""
        if not any(pattern.fullmatch(action) for pattern in self._actions):
            return resources[0]
        if self.covers_all_resources:
            return None
        return next((arn for arn in resources if not self._has(arn)), None)

    def _has(self, arn: str) -> bool:
        return any(pattern.fullmatch(arn) for pattern in self._resources)


EVERYTHING = Permissions()


@dataclass(frozen=True, kw_only=True)
class AccessKey:
    """One access key."""

    access_key_id: str
    secret: str = field(repr=False)
    account_id: str
    permissions: Permissions = EVERYTHING
    acts_for_others: bool = False
    """A daemon's own key: it may name the account it acts for."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who made a request."""

    account_id: str
    """Whose resources the request is about."""
    access_key_id: str | None = None
    """``None`` for unsigned requests, where the daemon takes them."""
    permissions: Permissions = EVERYTHING
    is_internal: bool = False
    """A worker of this daemon."""

    @property
    def arn(self) -> str:
        """The caller as AWS's messages name it; a key is the user here."""
        if self.access_key_id is None:
            return f"arn:aws:iam::{self.account_id}:root"
        return f"arn:aws:iam::{self.account_id}:user/{self.access_key_id}"


class KeyRing:
    """The keys that are valid now; several at once, so that they can be rotated. Thread-safe."""

    def __init__(self, keys: Iterable[AccessKey] = ()) -> None:
        self._lock = threading.Lock()
        self._by_id: Mapping[str, AccessKey] = {}
        self.replace(keys)

    @classmethod
    def of(cls, secrets: Mapping[str, str], *, account_id: str = "000000000000") -> KeyRing:
        """Return keys that may do everything in one account, from secrets by key id."""
        return cls(
            AccessKey(access_key_id=key_id, secret=secret, account_id=account_id)
            for key_id, secret in secrets.items()
        )

    def replace(self, keys: Iterable[AccessKey]) -> None:
        """Take these keys in place of those before, in one step."""
        by_id = {key.access_key_id: key for key in keys}
        with self._lock:
            self._by_id = by_id

    def find(self, access_key_id: str) -> AccessKey | None:
        """Return the key if it is valid now."""
        return self._by_id.get(access_key_id)

    def __iter__(self) -> Iterator[AccessKey]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def __repr__(self) -> str:
        return f"KeyRing({sorted(self._by_id)})"
