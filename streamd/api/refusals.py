"""The errors of the Rekognition API, in the words AWS documents or was seen to use.

Sources: *Amazon Rekognition Developer Guide*, "Error handling"; *API Reference*, each
operation. Where AWS's text is generic, a sentence naming the member and the rule follows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from processors.errors import ModelError
from streamd.protocol.errors import ServiceError
from streamd.store.errors import NotFoundError

__all__ = [
    "cannot_delete",
    "collection_exists",
    "collection_must_exist",
    "collection_not_found",
    "face_not_found",
    "face_quota",
    "image_format",
    "image_too_large",
    "invalid_parameter",
    "invalid_s3_object",
    "invalid_token",
    "model_problems",
    "name_in_use",
    "no_faces",
    "not_stoppable",
    "not_supported",
    "processor_limit",
    "processor_not_found",
    "resource_in_use",
    "resource_not_found",
    "tag_quota",
    "token_in_use",
    "user_exists",
    "user_face_quota",
    "user_not_found",
    "user_quota",
]


def invalid_parameter(detail: str) -> ServiceError:
    """Return the refusal of a parameter; ``detail`` is a sentence on the member and the rule."""
    return ServiceError("InvalidParameterException", f"Request has invalid parameters. {detail}")


def processor_not_found(name: str) -> ServiceError:
    """Return the refusal where no stream processor has the name (AWS's text is not known)."""
    return ServiceError("ResourceNotFoundException", f"Stream processor {name} not found.")


def name_in_use() -> ServiceError:
    """Return the refusal of a second stream processor of the same name."""
    return _in_use("Stream processor name already in use.")


def resource_in_use() -> ServiceError:
    """Return the refusal of what the stream processor's status does not allow."""
    return _in_use("Specified resource is in use.")


def not_stoppable() -> ServiceError:
    """Return the refusal of Stop while nothing runs."""
    return _in_use("Processor not available for stopping stream.")


def cannot_delete() -> ServiceError:
    """Return the refusal of Delete while something runs."""
    return _in_use("Cannot delete stream processor.")


def processor_limit(limit: int) -> ServiceError:
    """Return the refusal of one stream processor, or one running session, too many."""
    return ServiceError(
        "LimitExceededException", f"Stream processor limit exceeded for account, limit - {limit}."
    )


def collection_exists(collection_id: str) -> ServiceError:
    """Return the refusal of a second collection of the same id."""
    return ServiceError(
        "ResourceAlreadyExistsException", f"The collection id: {collection_id} already exists."
    )


def collection_not_found(collection_id: str) -> ServiceError:
    """Return the refusal where no collection has the id."""
    return ServiceError("ResourceNotFoundException", f"Collection:{collection_id} not found!")


def resource_not_found(arn: str) -> ServiceError:
    """Return the refusal where no resource has the ARN."""
    return ServiceError("ResourceNotFoundException", f"Resource {arn} not found.")


def tag_quota(limit: int) -> ServiceError:
    """Return the refusal of more tags than a resource may have."""
    return ServiceError(
        "ServiceQuotaExceededException", f"A resource can have at most {limit} tags."
    )


def face_quota(limit: int) -> ServiceError:
    """Return the refusal of more faces than a collection may have."""
    return ServiceError(
        "ServiceQuotaExceededException", f"A collection can have at most {limit} faces."
    )


def face_not_found() -> ServiceError:
    """Return the refusal of a search for a face that is not in the collection."""
    return ServiceError("InvalidParameterException", "faceId was not found in the collection.")


def no_faces() -> ServiceError:
    """Return the refusal of a search by an image without a face."""
    return ServiceError(
        "InvalidParameterException", "There are no faces in the image. Should be at least 1."
    )


def user_exists() -> ServiceError:
    """Return the refusal of a second user of the same id (the model's words)."""
    return ServiceError(
        "ConflictException", "A User with the same Id already exists within the collection."
    )


def user_not_found(user_id: str) -> ServiceError:
    """Return the refusal where no user has the id (AWS's text is not known)."""
    return ServiceError("ResourceNotFoundException", f"User:{user_id} not found!")


def user_quota(limit: int) -> ServiceError:
    """Return the refusal of more users than a collection may have."""
    return ServiceError(
        "ServiceQuotaExceededException", f"A collection can have at most {limit} users."
    )


def user_face_quota(limit: int) -> ServiceError:
    """Return the refusal of a face for a user that has as many as it may."""
    return ServiceError(
        "ServiceQuotaExceededException", f"A user can have at most {limit} associated faces."
    )


def token_in_use(token: str) -> ServiceError:
    """Return the refusal of a ClientRequestToken that came with other members before."""
    return ServiceError(
        "IdempotentParameterMismatchException",
        f"The ClientRequestToken: {token} you have supplied is already in use.",
    )


def image_format(detail: str = "") -> ServiceError:
    """Return the refusal of bytes that are no readable JPEG or PNG image."""
    text = "Request has invalid image format"
    return ServiceError("InvalidImageFormatException", f"{text}: {detail}" if detail else text)


def image_too_large(detail: str) -> ServiceError:
    """Return the refusal of an image of too many bytes or pixels."""
    return ServiceError("ImageTooLargeException", f"Image size is too large: {detail}")


def invalid_s3_object() -> ServiceError:
    """Return the refusal of an S3 object that cannot be read."""
    return ServiceError(
        "InvalidS3ObjectException",
        "Unable to get object metadata from S3. "
        "Check object key, region and/or access permissions.",
    )


def invalid_token() -> ServiceError:
    """Return the refusal of a pagination token this operation did not give."""
    return ServiceError("InvalidPaginationTokenException", "Invalid Pagination Token")


def not_supported(operation: str) -> ServiceError:
    """Return the answer to an operation of the model that is not served yet."""
    return ServiceError(
        "UnsupportedOperationException",
        f"The operation {operation} is not supported by this endpoint.",
    )


@contextmanager
def collection_must_exist(collection_id: str) -> Iterator[None]:
    """Turn the store's answer about a missing collection into AWS's."""
    try:
        yield
    except NotFoundError as error:
        raise collection_not_found(collection_id) from error


@contextmanager
def model_problems() -> Iterator[None]:
    """Turn a model pack that cannot be loaded into an answer that says what to do.

    ``ResourceNotReadyException`` is a modelled 400: SDKs raise it at once, where a 500 would
    be tried again and its text lost.
    """
    try:
        yield
    except ModelError as error:
        raise ServiceError(
            "ResourceNotReadyException", f"The models are not available: {error}"
        ) from error


def _in_use(text: str) -> ServiceError:
    return ServiceError("ResourceInUseException", text)
