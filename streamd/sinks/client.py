"""The part that sinks with a boto3 client share: the client, and others for the roles it acts by."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any, ClassVar, Self, TypeVar

from streamd.aws import (
    AwsDeniedError,
    AwsError,
    AwsNotFoundError,
    AwsRejectedError,
    AwsUnavailableError,
    aws_errors,
)
from streamd.errors import StreamdError
from streamd.roles import ROLE_DENIED, AssumedRoles
from streamd.sinks.errors import SinkGoneError, SinkUnavailableError
from streamd.sinks.sink import BlockingSink

__all__ = ["ClientSink"]

T = TypeVar("T")

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})


class ClientSink(BlockingSink):
    """A sink that calls a service by boto3.

    Args:
        create_client: Makes the client; called once, and once for each role with
            ``credentials=``, in a thread.
        threads: How many calls may run at once, over all roles.
        roles: Gives credentials of roles; ``None``: the client's own always.

    """

    NAME: ClassVar[str]
    """See :class:`Sink`."""
    THREADS: ClassVar[int] = 4

    def __init__(
        self,
        create_client: Callable[..., Any],
        *,
        threads: int | None = None,
        roles: AssumedRoles | None = None,
    ) -> None:
        super().__init__(self.NAME, threads=self.THREADS if threads is None else threads)
        self._create_client = create_client
        self._client: Any = None  # set by open(), or by the first call by a role
        self._roles = roles
        self._role_arn: str | None = None
        self._making = threading.Lock()
        self._key_expired = False
        self._by_role: dict[str, Self] = {}

    def of_role(self, role_arn: str) -> Self:
        """Return the sink that calls by a role: the same threads, a client of its own."""
        if self._roles is None:
            return self
        if role_arn not in self._by_role:
            other = copy.copy(self)
            other._act_by(role_arn)  # noqa: SLF001  # our own
            self._by_role[role_arn] = other
        return self._by_role[role_arn]

    def _act_by(self, role_arn: str) -> None:
        self._client = None
        self._role_arn = role_arn
        self._making = threading.Lock()

    async def open(self) -> None:
        """See :meth:`Sink.open`."""
        self._client = await super().run(self._create_client)

    async def check(self, target: str) -> None:
        """See :meth:`Sink.check`."""
        await self.run(self._check, target)

    def _check(self, target: str) -> None:
        try:
            with aws_errors():
                self._look(target)
        except AwsNotFoundError as error:
            raise self._missing(target) from error
        except AwsUnavailableError as error:
            raise SinkUnavailableError(str(error)) from error
        except (AwsDeniedError, AwsRejectedError):
            # The roles AWS documents may only write; that will tell.
            return

    def _look(self, target: str) -> None:
        """Ask the service about a target, by an operation that changes nothing."""
        raise NotImplementedError

    def _missing(self, target: str) -> SinkGoneError:
        """Return the error of a target that is not there."""
        raise NotImplementedError

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Run a blocking function with a client whose credentials are valid.

        Raises:
            SinkGoneError: If the role may not be assumed.
            SinkUnavailableError: If it cannot be assumed now.

        """
        return await super().run(self._call, function, *args)

    def _call(self, function: Callable[..., T], *args: object) -> T:
        if self._roles is not None and self._role_arn is not None:
            self._assume(self._roles, self._role_arn)
        try:
            return function(*args)
        except StreamdError as error:
            answer = error if isinstance(error, AwsError) else error.__cause__
            if isinstance(answer, AwsError) and answer.code in _EXPIRED:
                self._key_expired = True
            raise

    def _assume(self, roles: AssumedRoles, role_arn: str) -> None:
        # Before the call, so that what it says about the role is not taken for the target's.
        try:
            key = roles.key(role_arn)
            if self._key_expired:
                self._key_expired = False
                roles.key(role_arn, expired=key)
        except AwsUnavailableError as error:
            raise SinkUnavailableError(f"the role cannot be assumed now: {error}") from error
        except AwsError as error:
            raise SinkGoneError(ROLE_DENIED) from error
        with self._making:
            if self._client is None:
                self._client = self._create_client(credentials=roles.credentials(role_arn))
