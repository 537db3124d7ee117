"""Facts about users and their faces, seen through boto3."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from streamd.store import user_faces
from streamd.store import users as stored_users
from tests.support.rekognition import Endpoint, add_face

_numbers = itertools.count(1)
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def collection(client: Any) -> str:
    """A collection of its own for each test."""
    name = f"users-{next(_numbers)}"
    client.create_collection(CollectionId=name)
    return name


def user(client: Any, collection: str, user_id: str, *face_ids: str) -> str:
    """Create a user with faces."""
    client.create_user(CollectionId=collection, UserId=user_id)
    if face_ids:
        associate(client, collection, user_id, *face_ids)
    return user_id


def associate(client: Any, collection: str, user_id: str, *face_ids: str, **params: Any) -> Any:
    answer = client.associate_faces(
        CollectionId=collection, UserId=user_id, FaceIds=list(face_ids), **params
    )
    answer.pop("ResponseMetadata")
    return answer


def disassociate(client: Any, collection: str, user_id: str, *face_ids: str, **params: Any) -> Any:
    answer = client.disassociate_faces(
        CollectionId=collection, UserId=user_id, FaceIds=list(face_ids), **params
    )
    answer.pop("ResponseMetadata")
    return answer


def statuses(client: Any, collection: str) -> dict[str, str]:
    listed = client.list_users(CollectionId=collection)["Users"]
    return {each["UserId"]: each["UserStatus"] for each in listed}


def message_of(caught: pytest.ExceptionInfo[Any]) -> str:
    return str(caught.value.response["Error"]["Message"])


def test_the_life_of_a_user(endpoint: Endpoint, client: Any, collection: str) -> None:
    """CREATED without faces, ACTIVE with some, and CREATED again without; counted all the time."""
    one = add_face(endpoint, collection, 1.0)
    answer = client.create_user(CollectionId=collection, UserId="ann:1_a.b-c")
    assert set(answer) == {"ResponseMetadata"}
    assert statuses(client, collection) == {"ann:1_a.b-c": "CREATED"}
    assert client.describe_collection(CollectionId=collection)["UserCount"] == 1
    assert associate(client, collection, "ann:1_a.b-c", one) == {
        "AssociatedFaces": [{"FaceId": one}],
        "UnsuccessfulFaceAssociations": [],
        "UserStatus": "ACTIVE",
    }
    assert statuses(client, collection) == {"ann:1_a.b-c": "ACTIVE"}
    assert disassociate(client, collection, "ann:1_a.b-c", one) == {
        "DisassociatedFaces": [{"FaceId": one}],
        "UnsuccessfulFaceDisassociations": [],
        "UserStatus": "CREATED",
    }
    answer = client.delete_user(CollectionId=collection, UserId="ann:1_a.b-c")
    assert set(answer) == {"ResponseMetadata"}
    assert statuses(client, collection) == {}
    described = client.describe_collection(CollectionId=collection)
    assert (described["FaceCount"], described["UserCount"]) == (1, 0)


def test_a_second_user_of_an_id(client: Any, collection: str) -> None:
    """The same id again is ConflictException, HTTP 400."""
    user(client, collection, "ann")
    with pytest.raises(client.exceptions.ConflictException) as caught:
        client.create_user(CollectionId=collection, UserId="ann")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert message_of(caught) == ("A User with the same Id already exists within the collection.")


@pytest.mark.parametrize("size", [1, 2, 5, 500])
def test_users_come_in_pages(client: Any, collection: str, size: int) -> None:
    """Every user once, in the order of creation."""
    for user_id in ("e", "a", "d", "b", "c"):
        user(client, collection, user_id)
    pages: list[list[str]] = []
    token: dict[str, str] = {}
    while not pages or token:
        answer = client.list_users(CollectionId=collection, MaxResults=size, **token)
        pages.append([each["UserId"] for each in answer["Users"]])
        token = {"NextToken": answer["NextToken"]} if "NextToken" in answer else {}
    assert [user_id for page in pages for user_id in page] == ["e", "a", "d", "b", "c"]
    assert all(len(page) <= size for page in pages)
    assert len(pages) == -(-5 // size)


def test_a_token_of_another_list(client: Any, collection: str) -> None:
    """A token of ListUsers is of use for its collection and operation only."""
    for user_id in ("a", "b"):
        user(client, collection, user_id)
    token = client.list_users(CollectionId=collection, MaxResults=1)["NextToken"]
    with pytest.raises(client.exceptions.InvalidPaginationTokenException):
        client.list_faces(CollectionId=collection, NextToken=token)
    client.create_collection(CollectionId=f"{collection}-2")
    with pytest.raises(client.exceptions.InvalidPaginationTokenException):
        client.list_users(CollectionId=f"{collection}-2", NextToken=token)


def test_reasons_of_associate(endpoint: Endpoint, client: Any, collection: str) -> None:
    """Each reason with what belongs to it; the user's own faces are passed over."""
    own, far, near = (add_face(endpoint, collection, x) for x in (1.0, 1.6, 1.2))
    bobs = add_face(endpoint, collection, 0.0, 1.0)
    user(client, collection, "ann", own)
    user(client, collection, "bob", bobs)
    answer = associate(client, collection, "ann", own, NOBODY, bobs, far, near, near)
    assert answer["AssociatedFaces"] == [{"FaceId": near}]
    assert answer["UserStatus"] == "ACTIVE"
    low = answer["UnsuccessfulFaceAssociations"].pop()
    assert low.pop("Confidence") == pytest.approx(40.0, abs=0.01)
    assert low == {"FaceId": far, "Reasons": ["LOW_MATCH_CONFIDENCE"]}
    assert answer["UnsuccessfulFaceAssociations"] == [
        {"FaceId": NOBODY, "Reasons": ["FACE_NOT_FOUND"]},
        {"FaceId": bobs, "UserId": "bob", "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]},
    ]


def test_reasons_of_disassociate(endpoint: Endpoint, client: Any, collection: str) -> None:
    """A face of nobody is passed over; others have their reason."""
    own, bobs, free = (add_face(endpoint, collection, x) for x in (1.0, 2.0, 3.0))
    user(client, collection, "ann", own)
    user(client, collection, "bob", bobs)
    assert disassociate(client, collection, "ann", bobs, NOBODY, own, free) == {
        "DisassociatedFaces": [{"FaceId": own}],
        "UnsuccessfulFaceDisassociations": [
            {"FaceId": bobs, "UserId": "bob", "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]},
            {"FaceId": NOBODY, "Reasons": ["FACE_NOT_FOUND"]},
        ],
        "UserStatus": "CREATED",
    }


@pytest.mark.parametrize(
    ("params", "taken"),
    [({}, True), ({"UserMatchThreshold": 76}, False), ({"UserMatchThreshold": 0}, True)],
    ids=["75 by default", "above", "none"],
)
def test_the_threshold(
    endpoint: Endpoint, client: Any, collection: str, params: dict[str, Any], taken: bool
) -> None:
    """A further face must reach the threshold, which is 75 unless said otherwise."""
    first, further = add_face(endpoint, collection, 1.0), add_face(endpoint, collection, 1.2495)
    far = add_face(endpoint, collection, 9.0)
    user(client, collection, "ann", first)
    answer = associate(client, collection, "ann", further, **params)
    assert bool(answer["AssociatedFaces"]) == taken
    # A user without faces takes any, however unlike they are.
    assert len(associate_new(client, collection, "bob", far)) == 1


def associate_new(client: Any, collection: str, user_id: str, *face_ids: str) -> Any:
    client.create_user(CollectionId=collection, UserId=user_id)
    answer = associate(client, collection, user_id, *face_ids, UserMatchThreshold=100)
    return answer["AssociatedFaces"]


def test_a_hundred_faces(
    endpoint: Endpoint, client: Any, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faces beyond the limit are told as unsuccessful; a full user is ServiceQuotaExceeded."""
    assert user_faces.MAX_FACES_OF_USER == 100
    monkeypatch.setattr(user_faces, "MAX_FACES_OF_USER", 2)
    a, b, c = (add_face(endpoint, collection, 1.0) for _ in range(3))
    user(client, collection, "ann")
    answer = associate(client, collection, "ann", a, b, c)
    assert answer["AssociatedFaces"] == [{"FaceId": a}, {"FaceId": b}]
    assert answer["UnsuccessfulFaceAssociations"] == [{"FaceId": c, "Reasons": []}]
    with pytest.raises(client.exceptions.ServiceQuotaExceededException):
        associate(client, collection, "ann", c)


def test_too_many_users(client: Any, collection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection has a most of users."""
    monkeypatch.setattr(stored_users, "MAX_USERS", 1)
    user(client, collection, "ann")
    with pytest.raises(client.exceptions.ServiceQuotaExceededException):
        user(client, collection, "bob")


@pytest.mark.parametrize("count", [0, 101])
def test_bounds_of_face_ids(client: Any, collection: str, count: int) -> None:
    """One to a hundred faces in a call."""
    user(client, collection, "ann")
    face_ids = [f"00000000-0000-4000-8000-{number:012d}" for number in range(count)]
    for call in (associate, disassociate):
        with pytest.raises(client.exceptions.InvalidParameterException):
            call(client, collection, "ann", *face_ids)


def test_faces_know_their_user(endpoint: Endpoint, client: Any, collection: str) -> None:
    """ListFaces tells and filters by the user; SearchFaces tells it, too."""
    one, two, free = (add_face(endpoint, collection, x) for x in (1.0, 1.01, 1.02))
    user(client, collection, "ann", one, two)

    def listed(**params: Any) -> list[tuple[str, str | None]]:
        faces = client.list_faces(CollectionId=collection, **params)["Faces"]
        return [(each["FaceId"], each.get("UserId")) for each in faces]

    assert listed() == [(one, "ann"), (two, "ann"), (free, None)]
    assert listed(UserId="ann") == [(one, "ann"), (two, "ann")]
    assert listed(UserId="ann", FaceIds=[free, two]) == [(two, "ann")]
    assert listed(UserId="nobody") == []
    first = client.list_faces(CollectionId=collection, UserId="ann", MaxResults=1)
    token = first["NextToken"]
    assert listed(UserId="ann", MaxResults=1, NextToken=token) == [(two, "ann")]
    with pytest.raises(client.exceptions.InvalidPaginationTokenException):
        listed(NextToken=token)
    matches = client.search_faces(CollectionId=collection, FaceId=one)["FaceMatches"]
    found = [(match["Face"]["FaceId"], match["Face"].get("UserId")) for match in matches]
    assert found == [(two, "ann"), (free, None)]


def test_faces_of_users_are_not_deleted(endpoint: Endpoint, client: Any, collection: str) -> None:
    """DeleteFaces leaves them, with the reason and the user."""
    held, free = add_face(endpoint, collection, 1.0), add_face(endpoint, collection, 2.0)
    user(client, collection, "ann", held)
    answer = client.delete_faces(CollectionId=collection, FaceIds=[held, NOBODY, free])
    assert answer["DeletedFaces"] == [free]
    assert answer["UnsuccessfulFaceDeletions"] == [
        {"FaceId": held, "UserId": "ann", "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"]},
        {"FaceId": NOBODY, "Reasons": ["FACE_NOT_FOUND"]},
    ]
    client.delete_user(CollectionId=collection, UserId="ann")
    assert client.delete_faces(CollectionId=collection, FaceIds=[held])["DeletedFaces"] == [held]


def test_a_repeat_is_answered_as_the_first(
    endpoint: Endpoint, client: Any, collection: str
) -> None:
    """The same token with the same members gives the first answer and does nothing."""
    one = add_face(endpoint, collection, 1.0)
    same = {"CollectionId": collection, "UserId": "ann"}
    for _ in range(2):
        client.create_user(**same, ClientRequestToken="t-1_A")
    first = associate(client, collection, "ann", one, ClientRequestToken="t-1_A")
    assert associate(client, collection, "ann", one, ClientRequestToken="t-1_A") == first
    first = disassociate(client, collection, "ann", one, ClientRequestToken="t-1_A")
    associate(client, collection, "ann", one)
    assert disassociate(client, collection, "ann", one, ClientRequestToken="t-1_A") == first
    assert statuses(client, collection) == {"ann": "ACTIVE"}
    for _ in range(2):
        client.delete_user(**same, ClientRequestToken="t-1_A")


def test_a_token_with_other_members(endpoint: Endpoint, client: Any, collection: str) -> None:
    """Any other member with a used token is IdempotentParameterMismatchException."""
    one, two = add_face(endpoint, collection, 1.0), add_face(endpoint, collection, 1.0)
    user(client, collection, "bob")
    client.create_user(CollectionId=collection, UserId="ann", ClientRequestToken="t")
    client.create_collection(CollectionId=f"{collection}-2")
    associate(client, collection, "ann", one, ClientRequestToken="t")
    disassociate(client, collection, "ann", one, ClientRequestToken="t")
    client.delete_user(CollectionId=collection, UserId="bob", ClientRequestToken="t")
    token = {"ClientRequestToken": "t"}
    calls: tuple[Callable[[], Any], ...] = (
        lambda: client.create_user(CollectionId=collection, UserId="eve", **token),
        lambda: client.create_user(CollectionId=f"{collection}-2", UserId="ann", **token),
        lambda: client.delete_user(CollectionId=collection, UserId="ann", **token),
        lambda: associate(client, collection, "ann", two, **token),
        lambda: associate(client, collection, "ann", one, UserMatchThreshold=1, **token),
        lambda: disassociate(client, collection, "ann", one, two, **token),
    )
    for call in calls:
        with pytest.raises(client.exceptions.IdempotentParameterMismatchException) as caught:
            call()
        assert message_of(caught) == (
            "The ClientRequestToken: t you have supplied is already in use."
        )
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_what_is_not_there(client: Any, collection: str) -> None:
    """A collection or user nobody made is ResourceNotFoundException that names it."""
    calls: list[tuple[str, dict[str, Any]]] = [
        ("create_user", {"UserId": "ann"}),
        ("delete_user", {"UserId": "ann"}),
        ("list_users", {}),
        ("associate_faces", {"UserId": "ann", "FaceIds": [NOBODY]}),
        ("disassociate_faces", {"UserId": "ann", "FaceIds": [NOBODY]}),
        ("search_users", {"UserId": "ann"}),
        ("search_users", {"FaceId": NOBODY}),
    ]
    for operation, params in calls:
        with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
            getattr(client, operation)(CollectionId="nobody", **params)
        assert message_of(caught) == "Collection:nobody not found!"
    for operation, params in calls:
        if operation in {"create_user", "list_users"} or "FaceId" in params:
            continue
        with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
            getattr(client, operation)(CollectionId=collection, **params)
        assert message_of(caught) == "User:ann not found!"


def test_users_go_with_their_collection(endpoint: Endpoint, client: Any, collection: str) -> None:
    """A collection made again has neither users nor the tokens of before."""
    token = {"ClientRequestToken": f"{collection}-t"}
    client.create_user(CollectionId=collection, UserId="ann", **token)
    associate(client, collection, "ann", add_face(endpoint, collection, 1.0))
    client.delete_collection(CollectionId=collection)
    client.create_collection(CollectionId=collection)
    assert statuses(client, collection) == {}
    client.create_user(CollectionId=collection, UserId="ann", **token)
    assert statuses(client, collection) == {"ann": "CREATED"}


def test_galleries_are_invisible(endpoint: Endpoint, client: Any, collection: str) -> None:
    """What holds the users' vectors is in no list of collections."""
    user(client, collection, "ann", add_face(endpoint, collection, 1.0))
    listed = client.list_collections()["CollectionIds"]
    assert all(name.startswith("users-") for name in listed)


def test_a_collection_of_another_model(endpoint: Endpoint, client: Any, collection: str) -> None:
    """Faces are not compared with users of another model's vectors."""
    one = add_face(endpoint, collection, 1.0)
    user(client, collection, "ann")
    endpoint.analyzer.model_version = "9.2"
    try:
        calls: tuple[Callable[[], Any], ...] = (
            lambda: associate(client, collection, "ann", one),
            lambda: client.search_users(CollectionId=collection, UserId="ann"),
        )
        for call in calls:
            with pytest.raises(client.exceptions.InvalidParameterException):
                call()
    finally:
        del endpoint.analyzer.model_version
