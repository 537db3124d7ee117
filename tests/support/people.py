"""Numbered faces and users of the collection "people"."""

from __future__ import annotations

from streamd.resources import FacesChange
from streamd.store import RequestToken, Store
from tests.support.store import ACCOUNT, make_face

__all__ = ["PEOPLE", "add", "associate", "ids", "similarity", "token", "vector_of"]

PEOPLE = (ACCOUNT, "people")


def ids(*numbers: int) -> list[str]:
    """Return the ids of numbered faces."""
    return [make_face(number)[0].face_id for number in numbers]


def add(store: Store, *numbers: int) -> None:
    """Add numbered faces: the vector of face 3 is (3, 3, 3, 3)."""
    store.add_faces(*PEOPLE, [make_face(number) for number in numbers])


def similarity(distance: float) -> float:
    """100 % at no distance, 1 % less for each 1."""
    return max(0.0, 100.0 - distance)


def associate(
    store: Store,
    user_id: str,
    *numbers: int,
    threshold: float = 0.0,
    request: RequestToken | None = None,
) -> FacesChange:
    return store.associate_faces(
        *PEOPLE,
        user_id,
        ids(*numbers),
        similarity_percent=similarity,
        threshold_percent=threshold,
        request=request,
    )


def token(name: str = "t", *, operation: str = "AssociateFaces", of: str = "f") -> RequestToken:
    return RequestToken(operation=operation, token=name, fingerprint=of)


def vector_of(store: Store, user_id: str) -> list[float] | None:
    vector = store.user_vector(*PEOPLE, user_id)
    return None if vector is None else [float(value) for value in vector]
