"""The Rekognition endpoint: one POST, an operation looked up, run, and answered.

This is the operation's wall: whatever goes wrong inside becomes an answer, an unforeseen
error an ``InternalServerError`` whose traceback is in the log and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping

from aiohttp import web

from processors.faces.analyzer import FaceAnalyzer
from processors.labels import LabelAnalyzer
from streamd.access import CLIENT_GONE, OK, Access
from streamd.api.caller import Caller
from streamd.api.collection_access import CollectionAccess
from streamd.api.collections import Collections
from streamd.api.faces import Faces
from streamd.api.handlers import Handler, RunBlocking
from streamd.api.image_faces import ImageFaces
from streamd.api.images import ImageReader, ObjectReader
from streamd.api.labels import Labels
from streamd.api.refusals import image_too_large, not_supported
from streamd.api.stream_processors import MissingLabels, StreamProcessors
from streamd.api.tags import Tags
from streamd.api.user_search import UserSearch
from streamd.api.users import Users
from streamd.clock import Clock
from streamd.config import AwsSettings, LimitsSettings
from streamd.metrics import Metrics
from streamd.pipeline.collection_search import CollectionSearch
from streamd.pipeline.scheduler import StreamProcessorScheduler
from streamd.protocol.aws_json import TARGET_HEADER, AwsJson
from streamd.protocol.errors import ConstraintError, ServiceError, internal_error_code
from streamd.protocol.serialize import Answer
from streamd.protocol.service import Operation
from streamd.protocol.sigv4 import read_body, to_response
from streamd.store import Store
from streamd.store.errors import StoreUnavailableError

__all__ = ["RekognitionApi"]

logger = logging.getLogger(__name__)

SERVICE = "rekognition"
_LARGE_BODY_BYTES = 256 * 1024
"""Above this a body is parsed off the event loop: JSON and base64 of an image take long."""


class RekognitionApi:
    """Serves the Rekognition API.

    Args:
        store: Where resources are kept.
        scheduler: What stream processors are started and stopped through.
        search: Matching in collections.
        analyzer: Returns the face analyzer, loading it at the first call (blocking).
        labels: Returns the label analyzer, loading it at the first call (blocking).
        objects: Where S3 images come from.
        aws: Region and account to answer for.
        metrics: Requests and their times are counted here.
        clock: Measures the time to answer.
        run_blocking: Runs store and S3 calls.
        run_analysis: Runs image decoding and inference.
        missing_labels: Tells why requested labels cannot be detected; ``None`` never asks.
        limits: AWS's quotas; ``None``: AWS's values.

    """

    def __init__(
        self,
        *,
        store: Store,
        scheduler: StreamProcessorScheduler,
        search: CollectionSearch,
        analyzer: Callable[[], FaceAnalyzer],
        labels: Callable[[], LabelAnalyzer],
        objects: ObjectReader,
        aws: AwsSettings,
        metrics: Metrics,
        clock: Clock,
        run_blocking: RunBlocking,
        run_analysis: RunBlocking,
        missing_labels: MissingLabels | None = None,
        limits: LimitsSettings | None = None,
    ) -> None:
        self._codec = AwsJson(SERVICE)
        self._metrics = metrics
        self._clock = clock
        self._aws = aws
        self._run_blocking = run_blocking
        images = ImageReader(objects=objects, run_blocking=run_blocking, run_analysis=run_analysis)
        access = CollectionAccess(
            store=store, analyzer=analyzer, run_blocking=run_blocking, run_analysis=run_analysis
        )
        self._handlers: Mapping[str, Handler] = {
            **StreamProcessors(
                scheduler=scheduler,
                aws=aws,
                limits=limits or LimitsSettings(),
                run_analysis=run_analysis,
                missing_labels=missing_labels,
            ).operations(),
            **Collections(
                store=store,
                aws=aws,
                analyzer=analyzer,
                forget_deleted=search.forget_deleted,
                run_blocking=run_blocking,
                run_analysis=run_analysis,
            ).operations(),
            **Faces(
                store=store,
                access=access,
                images=images,
                search=search,
                run_blocking=run_blocking,
                run_analysis=run_analysis,
            ).operations(),
            **Users(store=store, access=access, run_blocking=run_blocking).operations(),
            **UserSearch(
                store=store,
                access=access,
                images=images,
                search=search,
                run_blocking=run_blocking,
                run_analysis=run_analysis,
            ).operations(),
            **ImageFaces(access=access, images=images, run_analysis=run_analysis).operations(),
            **Labels(images=images, analyzer=labels, run_analysis=run_analysis).operations(),
            **Tags(store=store, run_blocking=run_blocking).operations(),
        }

    @property
    def operations(self) -> frozenset[str]:
        """The names of the operations that are served."""
        return frozenset(self._handlers)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request to ``POST /``."""
        started = self._clock.monotonic()
        request_id = str(uuid.uuid4())
        operation: Operation | None = None
        access: Access | None = None
        code = "200"
        try:
            operation = self._codec.operation_for(request.headers.get(TARGET_HEADER))
            self._check_served(operation)
            access = Access(
                f"{SERVICE}:{operation.name}", request, aws=self._aws, request_id=request_id
            )
            answer = await self._answer(operation, request, access, request_id)
        except ServiceError as error:
            code = error.code
            answer = self._codec.error(error, request_id=request_id)
        except asyncio.CancelledError:
            if access is not None:
                access.note(CLIENT_GONE)  # what it asked for may still be done
            raise
        except StoreUnavailableError as error:
            logger.error(  # noqa: TRY400  # the store's own message says it all
                "the store does not answer: %s", error, extra={"request_id": request_id}
            )
            answer, code = self._internal_error(request_id)
        except Exception:
            logger.exception(
                "an operation failed",
                extra={
                    "request_id": request_id,
                    "action": operation.name if operation else None,
                },
            )
            answer, code = self._internal_error(request_id)
        name = operation.name if operation is not None else "unknown"
        self._metrics.api_requests.labels(SERVICE, name, code).inc()
        self._metrics.api_seconds.labels(SERVICE, name).observe(self._clock.monotonic() - started)
        if access is not None:
            access.note(OK if code == "200" else code)
        return to_response(answer)

    def _check_served(self, operation: Operation) -> None:
        if operation.name not in self._handlers:
            raise not_supported(operation.name)

    async def _answer(
        self, operation: Operation, request: web.Request, access: Access, request_id: str
    ) -> Answer:
        body = await read_body(request)
        try:
            if len(body) > _LARGE_BODY_BYTES:
                params = await self._run_blocking(self._codec.parse, operation, body)
            else:
                params = self._codec.parse(operation, body)
        except ConstraintError as error:
            raise _refined(error) from None
        access.authorize(params, refusal="AccessDeniedException")
        caller = Caller(
            account_id=access.identity.account_id,
            access_key_id=access.identity.access_key_id,
            request_id=request_id,
        )
        output = await self._handlers[operation.name](caller, params)
        return self._codec.answer(operation, output, request_id=request_id)

    def _internal_error(self, request_id: str) -> tuple[Answer, str]:
        code = internal_error_code(self._codec.service)
        error = ServiceError(code, "Internal server error")
        return self._codec.error(error, request_id=request_id), code


def _refined(error: ConstraintError) -> ServiceError:
    """Return the modelled error of its own that an image of too many bytes has."""
    for violation in error.violations:
        if violation.shape == "ImageBlob" and violation.rule == "max":
            return image_too_large(f"{violation.value} at '{violation.path}'.")
    return error
