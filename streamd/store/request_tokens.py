"""Answers to requests that carried a ClientRequestToken, kept to answer repeats.

"If you use the same token with multiple CreateUser requests, the same response is returned";
"a ClientRequestToken input parameter was reused with an operation, but at least one of the
other input parameters is different" is an error (*API Reference*). So a token belongs to an
operation of an account. Only what succeeded is kept, in the transaction that did it; it is
forgotten after :data:`LIFETIME_SECONDS`, and with its collection.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from streamd.store import schema
from streamd.store.database import Database
from streamd.store.errors import TokenMismatchError

__all__ = ["LIFETIME_SECONDS", "RequestToken", "first_answer", "keep_answer"]

LIFETIME_SECONDS = 8 * 3600.0
"""How long a repeat is recognised (our choice: AWS does not say). SDKs make a token for every
call and repeat it within minutes at most; a batch job that is run again fits in, too."""
_EXPIRED_AT_ONCE = 100
"""Expired answers removed when one is kept: the table shrinks, and no call pays for all."""

_tokens = schema.request_tokens


@dataclass(frozen=True, kw_only=True)
class RequestToken:
    """A ClientRequestToken and what it came with."""

    operation: str
    token: str
    fingerprint: str
    """The same for requests with the same members, and for those alone; 64 characters at most."""


def first_answer(
    database: Database, connection: sa.Connection, account_id: str, request: RequestToken | None
) -> str | None:
    """Return what the first request with this token was answered; ``None``: this is the first.

    Raises:
        TokenMismatchError: If the first one had other members.

    """
    if request is None:
        return None
    database.serialise(connection, f"token {account_id} {request.operation} {request.token}")
    row = connection.execute(
        sa.select(_tokens.c.fingerprint, _tokens.c.answer).where(
            _is(account_id, request), _tokens.c.expires_at > database.now()
        )
    ).one_or_none()
    if row is None:
        return None
    if row.fingerprint != request.fingerprint:
        raise TokenMismatchError(request.token)
    answer: str = row.answer
    return answer


def keep_answer(
    database: Database,
    connection: sa.Connection,
    account_id: str,
    request: RequestToken | None,
    *,
    collection_key: int,
    answer: str,
) -> None:
    """Keep the answer to the first request with a token."""
    if request is None:
        return
    _forget_expired(database, connection)
    # Among the expired ones, but perhaps not among those just removed.
    connection.execute(sa.delete(_tokens).where(_is(account_id, request)))
    connection.execute(
        sa.insert(_tokens).values(
            account_id=account_id,
            operation=request.operation,
            token=request.token,
            collection_key=collection_key,
            fingerprint=request.fingerprint,
            answer=answer,
            expires_at=database.now() + LIFETIME_SECONDS,
        )
    )


def _is(account_id: str, request: RequestToken) -> sa.ColumnElement[bool]:
    return sa.and_(
        _tokens.c.account_id == account_id,
        _tokens.c.operation == request.operation,
        _tokens.c.token == request.token,
    )


def _forget_expired(database: Database, connection: sa.Connection) -> None:
    name = (_tokens.c.account_id, _tokens.c.operation, _tokens.c.token)
    expired = (
        sa.select(*name)
        .where(_tokens.c.expires_at <= database.now())
        .order_by(_tokens.c.expires_at)
        .limit(_EXPIRED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    connection.execute(sa.delete(_tokens).where(sa.tuple_(*name).in_(expired)))
