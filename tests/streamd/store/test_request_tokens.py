"""Tokens of requests, over both databases, seen through the users they protect."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from streamd.store import NotFoundError, RequestToken, Store, TokenMismatchError, request_tokens
from streamd.store.schema import request_tokens as table
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT, create_collection, make_face

PEOPLE = (ACCOUNT, "people")
FACES = [make_face(number)[0].face_id for number in (1, 2)]


def token(name: str = "t", *, of: str = "f" * 64) -> RequestToken:
    return RequestToken(operation="CreateUser", token=name, fingerprint=of)


def test_a_repeat_is_answered_and_does_nothing(store: Store) -> None:
    """The first answer comes again, though the work could not be done twice."""
    create_collection(store)
    for _ in range(2):
        store.create_user(*PEOPLE, "ann", request=token())
    assert store.collection(*PEOPLE).user_count == 1


def test_the_first_answer_comes_again(store: Store) -> None:
    """What AssociateFaces answered is answered once more, whatever has happened since."""
    create_collection(store)
    store.add_faces(*PEOPLE, [make_face(1), make_face(2)])
    store.create_user(*PEOPLE, "ann")

    def associate() -> object:
        return store.associate_faces(
            *PEOPLE,
            "ann",
            FACES,
            similarity_percent=lambda _distance: 100.0,
            threshold_percent=75,
            request=token(),
        )

    first = associate()
    store.disassociate_faces(*PEOPLE, "ann", FACES)
    assert associate() == first
    assert store.user(*PEOPLE, "ann").face_count == 0


def test_a_deletion_is_repeated_without_harm(store: Store) -> None:
    """A repeated DeleteUser leaves a user alone that was created since."""
    create_collection(store)
    store.create_user(*PEOPLE, "ann")
    store.delete_user(*PEOPLE, "ann", request=token())
    store.create_user(*PEOPLE, "ann")
    store.delete_user(*PEOPLE, "ann", request=token())
    assert store.user(*PEOPLE, "ann").face_count == 0


def test_other_members_are_refused(store: Store) -> None:
    """A token with other members than the first time is an error that names it."""
    create_collection(store)
    create_collection(store, "others")
    store.create_user(*PEOPLE, "ann", request=token())
    for place in (PEOPLE, (ACCOUNT, "others")):
        with pytest.raises(TokenMismatchError, match="token 't' belongs to another request") as no:
            store.create_user(*place, "bob", request=token(of="e" * 64))
        assert no.value.token == "t"
    assert store.collection(*PEOPLE).user_count == 1


def test_a_failed_request_leaves_its_token_free(store: Store) -> None:
    """Only what succeeded is remembered."""
    create_collection(store)
    with pytest.raises(NotFoundError):
        store.delete_user(*PEOPLE, "ann", request=token())
    store.create_user(*PEOPLE, "ann")
    store.delete_user(*PEOPLE, "ann", request=token())
    assert store.collection(*PEOPLE).user_count == 0


def test_a_token_is_forgotten_after_eight_hours(store: Store, clock: ManualClock) -> None:
    """Until then a repeat is recognised; afterwards the token is as new."""
    assert request_tokens.LIFETIME_SECONDS == 8 * 3600
    create_collection(store)
    store.create_user(*PEOPLE, "ann", request=token())
    clock.advance(8 * 3600 - 1)
    with pytest.raises(TokenMismatchError):
        store.create_user(*PEOPLE, "bob", request=token(of="e" * 64))
    clock.advance(1)
    store.create_user(*PEOPLE, "bob", request=token(of="e" * 64))
    assert store.collection(*PEOPLE).user_count == 2


def test_expired_answers_are_removed_by_and_by(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kept answer removes some that have expired, never all at once."""
    monkeypatch.setattr(request_tokens, "_EXPIRED_AT_ONCE", 2)
    create_collection(store)
    for number in range(4):
        store.create_user(*PEOPLE, f"u{number}", request=token(f"t{number}"))
    clock.advance(9 * 3600)

    def rows() -> int:
        with store._database.read() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)

    counts = [rows()]
    for number in range(4, 7):
        store.create_user(*PEOPLE, f"u{number}", request=token(f"t{number}"))
        counts.append(rows())
    assert counts == [4, 3, 2, 3]
