"""Facts about the error texts AWS documents."""

from __future__ import annotations

import pytest

from processors.errors import UnknownPackError
from streamd.api import refusals
from streamd.protocol.errors import ServiceError
from streamd.store.errors import NotFoundError

R = refusals


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (R.name_in_use(), "ResourceInUseException", "Stream processor name already in use."),
        (R.resource_in_use(), "ResourceInUseException", "Specified resource is in use."),
        (R.not_stoppable(), "ResourceInUseException",
         "Processor not available for stopping stream."),
        (R.cannot_delete(), "ResourceInUseException", "Cannot delete stream processor."),
        (R.processor_limit(10), "LimitExceededException",
         "Stream processor limit exceeded for account, limit - 10."),
        (R.collection_exists("c"), "ResourceAlreadyExistsException",
         "The collection id: c already exists."),
        (R.collection_not_found("c"), "ResourceNotFoundException", "Collection:c not found!"),
        (R.face_not_found(), "InvalidParameterException",
         "faceId was not found in the collection."),
        (R.no_faces(), "InvalidParameterException",
         "There are no faces in the image. Should be at least 1."),
        (R.invalid_s3_object(), "InvalidS3ObjectException",
         "Unable to get object metadata from S3. Check object key, region and/or access "
         "permissions."),
        (R.invalid_token(), "InvalidPaginationTokenException", "Invalid Pagination Token"),
        (R.image_format(), "InvalidImageFormatException", "Request has invalid image format"),
        (R.image_too_large("9 bytes."), "ImageTooLargeException",
         "Image size is too large: 9 bytes."),
        (R.token_in_use("t"), "IdempotentParameterMismatchException",
         "The ClientRequestToken: t you have supplied is already in use."),
        (R.user_exists(), "ConflictException",
         "A User with the same Id already exists within the collection."),
    ],
    ids=range(15),
)  # fmt: skip
def test_texts(error: ServiceError, code: str, message: str) -> None:
    """Texts that are documented, or were seen, are spelled as they are."""
    assert (error.code, error.message) == (code, message)


def test_a_missing_collection() -> None:
    """The store's answer about a collection becomes AWS's."""
    with (
        pytest.raises(ServiceError, match="Collection:c not found!"),
        refusals.collection_must_exist("c"),
    ):
        raise NotFoundError("collection", "c")


def test_a_pack_that_cannot_be_loaded() -> None:
    """A model problem is an answer that says what it is, with a modelled code."""
    with pytest.raises(ServiceError) as caught, refusals.model_problems():
        raise UnknownPackError("x", ["builtin"])
    assert caught.value.code == "ResourceNotReadyException"
    assert "no model pack is called 'x'" in caught.value.message
