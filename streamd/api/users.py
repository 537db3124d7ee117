"""CreateUser, DeleteUser, ListUsers, AssociateFaces, DisassociateFaces.

The work is done when it is answered: a user is CREATED without faces and ACTIVE with some,
never UPDATING, and nothing runs that a second request could conflict with.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from streamd.api.caller import Caller
from streamd.api.collection_access import CollectionAccess
from streamd.api.face_convert import percent_to_wire
from streamd.api.handlers import Handler, Output, Params, RunBlocking
from streamd.api.pagination import read_token, write_token
from streamd.api.refusals import (
    collection_not_found,
    token_in_use,
    user_exists,
    user_face_quota,
    user_not_found,
    user_quota,
)
from streamd.resources import FaceRefusal, FacesChange
from streamd.store import RequestToken, Store, UserPage
from streamd.store.errors import LimitError, NameInUseError, NotFoundError, TokenMismatchError

__all__ = ["MAX_USERS_IN_ANSWER", "Users", "user_refusals"]

MAX_USERS_IN_ANSWER = 500
"""Users in one answer, and the default (MaxUserResults in the service description)."""
DEFAULT_ASSOCIATION_THRESHOLD_PERCENT = 75.0
"""UserMatchThreshold of AssociateFaces ("the default value is 75", *API Reference*)."""
_TOKEN = "ClientRequestToken"  # noqa: S105  # the name of a member


class Users:
    """The operations on users and their faces."""

    def __init__(
        self, *, store: Store, access: CollectionAccess, run_blocking: RunBlocking
    ) -> None:
        self._store = store
        self._access = access
        self._run_blocking = run_blocking

    def operations(self) -> Mapping[str, Handler]:
        """Return the handlers by operation name."""
        return {
            "CreateUser": self.create,
            "DeleteUser": self.delete,
            "ListUsers": self.list,
            "AssociateFaces": self.associate,
            "DisassociateFaces": self.disassociate,
        }

    async def create(self, caller: Caller, params: Params) -> Output:
        """Create a user without faces."""
        with user_refusals(params):
            await self._run_blocking(
                functools.partial(
                    self._store.create_user,
                    caller.account_id,
                    params["CollectionId"],
                    params["UserId"],
                    request=_request_token("CreateUser", params),
                )
            )
        return {}

    async def delete(self, caller: Caller, params: Params) -> Output:
        """Delete a user; its faces stay in the collection."""
        with user_refusals(params):
            await self._run_blocking(
                functools.partial(
                    self._store.delete_user,
                    caller.account_id,
                    params["CollectionId"],
                    params["UserId"],
                    request=_request_token("DeleteUser", params),
                )
            )
        return {}

    async def list(self, caller: Caller, params: Params) -> Output:
        """List users in the order they were created."""
        collection_id: str = params["CollectionId"]
        scope = f"ListUsers {collection_id}"
        token = read_token(scope, params.get("NextToken"))
        with user_refusals(params):
            page: UserPage = await self._run_blocking(
                functools.partial(
                    self._store.list_users,
                    caller.account_id,
                    collection_id,
                    after=None if token is None else int(token),
                    limit=params.get("MaxResults", MAX_USERS_IN_ANSWER),
                )
            )
        following = page.next_after
        return {
            "Users": [{"UserId": user.user_id, "UserStatus": user.status} for user in page.users],
            "NextToken": None if following is None else write_token(scope, str(following)),
        }

    async def associate(self, caller: Caller, params: Params) -> Output:
        """Associate faces with a user."""
        collection = await self._access.collection(caller, params["CollectionId"])
        analyzer = await self._access.analyzer_for(collection)
        with user_refusals(params):
            change: FacesChange = await self._run_blocking(
                functools.partial(
                    self._store.associate_faces,
                    caller.account_id,
                    collection.collection_id,
                    params["UserId"],
                    params["FaceIds"],
                    similarity_percent=analyzer.similarity_percent,
                    threshold_percent=params.get(
                        "UserMatchThreshold", DEFAULT_ASSOCIATION_THRESHOLD_PERCENT
                    ),
                    request=_request_token("AssociateFaces", params),
                )
            )
        return {
            "AssociatedFaces": [{"FaceId": face_id} for face_id in change.changed],
            "UnsuccessfulFaceAssociations": [
                {**_refused(refusal), "Confidence": _confidence(refusal)}
                for refusal in change.refused
            ],
            "UserStatus": change.user.status,
        }

    async def disassociate(self, caller: Caller, params: Params) -> Output:
        """Take faces from a user."""
        with user_refusals(params):
            change: FacesChange = await self._run_blocking(
                functools.partial(
                    self._store.disassociate_faces,
                    caller.account_id,
                    params["CollectionId"],
                    params["UserId"],
                    params["FaceIds"],
                    request=_request_token("DisassociateFaces", params),
                )
            )
        return {
            "DisassociatedFaces": [{"FaceId": face_id} for face_id in change.changed],
            "UnsuccessfulFaceDisassociations": [_refused(refusal) for refusal in change.refused],
            "UserStatus": change.user.status,
        }


@contextmanager
def user_refusals(params: Params) -> Iterator[None]:
    """Turn what the store refuses about a collection's users into AWS's answers."""
    try:
        yield
    except NotFoundError as error:
        if error.kind == "user":
            raise user_not_found(error.name) from error
        raise collection_not_found(params["CollectionId"]) from error
    except NameInUseError as error:
        raise user_exists() from error
    except TokenMismatchError as error:
        raise token_in_use(error.token) from error
    except LimitError as error:
        of_faces = error.kind == "faces of a user"
        raise (user_face_quota if of_faces else user_quota)(error.limit) from error


def _refused(refusal: FaceRefusal) -> dict[str, Any]:
    return {
        "FaceId": refusal.face_id,
        "UserId": refusal.user_id,
        "Reasons": [] if refusal.reason is None else [refusal.reason],
    }


def _confidence(refusal: FaceRefusal) -> float | None:
    percent = refusal.confidence_percent
    return None if percent is None else percent_to_wire(percent)


def _request_token(operation: str, params: Params) -> RequestToken | None:
    """Return the token of a request and what tells its other members from others."""
    token = params.get(_TOKEN)
    if token is None:
        return None
    members = {name: value for name, value in params.items() if name != _TOKEN}
    text = json.dumps(members, sort_keys=True)
    return RequestToken(
        operation=operation, token=token, fingerprint=hashlib.sha256(text.encode()).hexdigest()
    )
