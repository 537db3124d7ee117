"""What operations on a collection's content begin with, and how AWS says that it is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from processors.errors import ModelError
from processors.faces.analyzer import FaceAnalyzer
from streamd.api.caller import Caller
from streamd.api.collection_access import CollectionAccess
from streamd.clock import SystemClock
from streamd.protocol.errors import ServiceError
from streamd.store import Store
from tests.support.people import PEOPLE, add, ids
from tests.support.rekognition import ScriptedAnalyzer
from tests.support.store import ACCOUNT, create_collection

CALLER = Caller(account_id=ACCOUNT, request_id="r-1")


async def run(function: Callable[..., Any], *args: Any) -> Any:
    """Stand for the executors: the store of a test answers at once."""
    return function(*args)


def scripted() -> FaceAnalyzer:
    return cast(FaceAnalyzer, ScriptedAnalyzer())


def no_models() -> FaceAnalyzer:
    raise ModelError("pack is missing: streamd models pull it")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'store.sqlite'}", clock=SystemClock())
    opened.migrate()
    yield opened
    opened.close()


def access(store: Store, analyzer: Callable[[], FaceAnalyzer] = scripted) -> CollectionAccess:
    return CollectionAccess(store=store, analyzer=analyzer, run_blocking=run, run_analysis=run)


async def test_a_collection_is_its_owners(store: Store) -> None:
    """To another account it is not there."""
    create_collection(store)
    assert (await access(store).collection(CALLER, "people")).collection_id == "people"
    stranger = Caller(account_id="9" * 12, request_id="r-2")
    with pytest.raises(ServiceError) as caught:
        await access(store).collection(stranger, "people")
    assert caught.value.code == "ResourceNotFoundException"
    assert "people" in str(caught.value.message)


async def test_a_faces_vector_is_read(store: Store) -> None:
    """As it was stored."""
    create_collection(store)
    add(store, 3)
    collection = store.collection(*PEOPLE)
    vector = await access(store).face_vector(collection, ids(3)[0])
    assert vector.tolist() == [3.0] * 4


async def test_a_missing_face_and_a_missing_collection_are_told_apart(store: Store) -> None:
    """The face is a wrong parameter; a collection deleted meanwhile is not found."""
    create_collection(store)
    collection = store.collection(*PEOPLE)
    with pytest.raises(ServiceError) as no_face:
        await access(store).face_vector(collection, ids(3)[0])
    store.delete_collection(*PEOPLE)
    with pytest.raises(ServiceError) as no_collection:
        await access(store).face_vector(collection, ids(3)[0])
    assert no_face.value.code == "InvalidParameterException"
    assert no_collection.value.code == "ResourceNotFoundException"


async def test_models_that_are_missing_are_told_with_the_next_step(store: Store) -> None:
    """The operation may be tried again when they are there."""
    with pytest.raises(ServiceError, match="models pull") as caught:
        await access(store, no_models).analyzer()
    assert caught.value.code == "ResourceNotReadyException"


async def test_vectors_of_another_model_are_not_compared(store: Store) -> None:
    """Both versions are named."""
    create_collection(store)
    collection = store.collection(*PEOPLE)
    analyzer = ScriptedAnalyzer()
    fitting = collection.model_copy(update={"face_model_version": analyzer.model_version})
    found = await access(store).analyzer_for(fitting)
    assert found.model_version == analyzer.model_version
    other = collection.model_copy(update={"face_model_version": "0.9"})
    with pytest.raises(ServiceError, match=r"version 0\.9") as caught:
        await access(store).analyzer_for(other)
    assert caught.value.code == "InvalidParameterException"
    assert analyzer.model_version in str(caught.value.message)
