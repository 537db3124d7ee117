"""One call on its way in: who makes it, whether that one may, and the line it leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from streamd import audit
from streamd.actions import ACTIONS, Place
from streamd.config import AwsSettings
from streamd.protocol.errors import ServiceError
from streamd.protocol.identity import Identity
from streamd.protocol.sigv4 import IDENTITY

__all__ = ["CLIENT_GONE", "OK", "Access", "identity_of"]

OK = "OK"
CLIENT_GONE = "ClientGone"
"""The connection ended before the answer; what was asked for may have been done."""


def identity_of(request: web.Request, aws: AwsSettings) -> Identity:
    """Return who calls; where nobody signs, everybody is the daemon's own account."""
    return request.get(IDENTITY) or Identity(account_id=aws.account_id)


class Access:
    """One call of one operation.

    Args:
        action: As in policies: ``rekognition:IndexFaces``.
        request: The call.
        aws: Region and account the daemon answers for.
        request_id: As the answer has it.

    """

    def __init__(
        self, action: str, request: web.Request, *, aws: AwsSettings, request_id: str
    ) -> None:
        self._action = ACTIONS[action]
        self._peer = request.remote
        self._region = aws.region
        self._request_id = request_id
        self._resources: Sequence[str] = ()
        self.identity = identity_of(request, aws)
        """Who calls."""

    def authorize(self, params: Mapping[str, Any], *, refusal: str) -> None:
        """Let the call pass if its caller may do this to what it names.

        Args:
            params: The input's members.
            refusal: What the service calls a refusal.

        Raises:
            ServiceError: With that code and AWS's text.

        """
        place = Place(region=self._region, account_id=self.identity.account_id)
        self._resources = self._action.resources(place, params)
        denied = self.identity.permissions.denied(self._action.name, self._resources)
        if denied is not None:
            raise ServiceError(
                refusal,
                f"User: {self.identity.arn} is not authorized to perform: {self._action.name} "
                f"on resource: {denied}",
            )

    def note(self, result: str) -> None:
        """Write the audit line of the call, where it is one that leaves a line.

        Args:
            result: ``OK``, ``ClientGone`` or the error's code.

        """
        # Workers do what stream processors say, whose changes have lines of their own.
        if self._action.is_audited and not self.identity.is_internal:
            audit.record(
                operation=self._action.name,
                result=result,
                resources=self._resources,
                identity=self.identity,
                peer=self._peer,
                request_id=self._request_id,
            )
