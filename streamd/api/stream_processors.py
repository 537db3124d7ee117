"""The seven operations on stream processors.

Every refusal of the lifecycle is ``ResourceInUseException``, in AWS's words where they are
known. A missing stream, collection, bucket or role is no refusal here: the session finds out
and the stream processor turns FAILED, as at AWS.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from streamd.api.caller import Caller
from streamd.api.convert import (
    change_from_wire,
    definition_from_wire,
    processor_to_wire,
    start_from_wire,
)
from streamd.api.handlers import Handler, Output, Params, RunBlocking
from streamd.api.pagination import read_token, write_token
from streamd.api.refusals import (
    cannot_delete,
    invalid_parameter,
    model_problems,
    name_in_use,
    not_stoppable,
    processor_limit,
    processor_not_found,
    resource_in_use,
    tag_quota,
)
from streamd.config import AwsSettings, LimitsSettings
from streamd.lifecycle import Status, TransitionError
from streamd.pipeline.scheduler import StreamProcessorScheduler
from streamd.protocol.errors import ServiceError
from streamd.resources import (
    ConnectedHomeSettings,
    StreamProcessorDefinition,
    stream_processor_arn,
)
from streamd.store.errors import LimitError, NameInUseError, NotFoundError

__all__ = ["MissingLabels", "StreamProcessors"]

logger = logging.getLogger(__name__)

MAX_PAGE_SIZE = 1000
"""Stream processors in one answer ("defaults to 1000", ListStreamProcessors)."""

MissingLabels = Callable[[tuple[str, ...]], str | None]
"""Tells why labels cannot be detected and what to do about it; ``None`` if they can (blocking)."""


class StreamProcessors:
    """The operations on stream processors."""

    def __init__(
        self,
        *,
        scheduler: StreamProcessorScheduler,
        aws: AwsSettings,
        limits: LimitsSettings,
        run_analysis: RunBlocking,
        missing_labels: MissingLabels | None,
    ) -> None:
        self._scheduler = scheduler
        self._aws = aws
        self._limits = limits
        self._run_analysis = run_analysis
        self._missing_labels = missing_labels

    def operations(self) -> Mapping[str, Handler]:
        """Return the handlers by operation name."""
        return {
            "CreateStreamProcessor": self.create,
            "DescribeStreamProcessor": self.describe,
            "ListStreamProcessors": self.list,
            "StartStreamProcessor": self.start,
            "StopStreamProcessor": self.stop,
            "UpdateStreamProcessor": self.update,
            "DeleteStreamProcessor": self.delete,
        }

    async def create(self, caller: Caller, params: Params) -> Output:
        """Create a stream processor, STOPPED."""
        name: str = params["Name"]
        definition = definition_from_wire(params)
        try:
            processor = await self._scheduler.create(
                account_id=caller.account_id,
                name=name,
                arn=stream_processor_arn(
                    region=self._aws.region, account_id=caller.account_id, name=name
                ),
                definition=definition,
                tags=params.get("Tags", {}),
                limit=self._limits.stream_processors,
            )
        except NameInUseError as error:
            raise name_in_use() from error
        except LimitError as error:
            if error.kind.startswith("tags"):
                raise tag_quota(error.limit) from error
            raise _limit_reached(name, "stream_processors", error) from error
        return {"StreamProcessorArn": processor.arn}

    async def describe(self, caller: Caller, params: Params) -> Output:
        """Describe a stream processor."""
        with _refusals(params["Name"], resource_in_use):
            return processor_to_wire(
                await self._scheduler.describe(caller.account_id, params["Name"])
            )

    async def list(self, caller: Caller, params: Params) -> Output:
        """List stream processors in order of their names."""
        after = read_token("ListStreamProcessors", params.get("NextToken"))
        size = min(params.get("MaxResults", MAX_PAGE_SIZE), MAX_PAGE_SIZE)
        found = await self._scheduler.list(caller.account_id, after=after, limit=size + 1)
        page = found[:size]
        more = len(found) > size
        return {
            "StreamProcessors": [
                {"Name": processor.name, "Status": str(processor.status)} for processor in page
            ],
            "NextToken": write_token("ListStreamProcessors", page[-1].name) if more else None,
        }

    async def start(self, caller: Caller, params: Params) -> Output:
        """Start a stream processor; what it cannot open shows later as FAILED."""
        name = params["Name"]
        with _refusals(name, resource_in_use):
            processor = await self._scheduler.describe(caller.account_id, name)
            start = start_from_wire(params, processor.definition)
            if processor.status in {Status.STOPPED, Status.FAILED}:
                await self._check_labels(processor.definition)
            setting, limit = self._session_limit(processor.definition)
            try:
                session = await self._scheduler.start(caller.account_id, name, start, limit=limit)
            except LimitError as error:
                raise _limit_reached(name, setting, error) from error
        return {"SessionId": session.session_id}

    async def stop(self, caller: Caller, params: Params) -> Output:
        """Ask a running stream processor to stop."""
        with _refusals(params["Name"], not_stoppable):
            await self._scheduler.stop(caller.account_id, params["Name"])
        return {}

    async def update(self, caller: Caller, params: Params) -> Output:
        """Change the settings a stream processor allows to change."""
        change = change_from_wire(params)
        with _refusals(params["Name"], resource_in_use):
            await self._scheduler.update(caller.account_id, params["Name"], change)
        return {}

    async def delete(self, caller: Caller, params: Params) -> Output:
        """Delete a stream processor that does not run."""
        with _refusals(params["Name"], cannot_delete):
            await self._scheduler.delete(caller.account_id, params["Name"])
        return {}

    def _session_limit(self, definition: StreamProcessorDefinition) -> tuple[str, int]:
        """Return how many sessions of a kind may run at once, and the setting that says so."""
        if isinstance(definition.settings, ConnectedHomeSettings):
            return "connected_home_sessions", self._limits.connected_home_sessions
        return "face_search_sessions", self._limits.face_search_sessions

    async def _check_labels(self, definition: StreamProcessorDefinition) -> None:
        settings = definition.settings
        if self._missing_labels is None or not isinstance(settings, ConnectedHomeSettings):
            return
        with model_problems():
            problem: str | None = await self._run_analysis(self._missing_labels, settings.labels)
        if problem is not None:
            raise invalid_parameter(problem)


@contextmanager
def _refusals(name: str, conflict: Callable[[], ServiceError]) -> Iterator[None]:
    """Turn what the store and the lifecycle refuse into AWS's answers."""
    try:
        yield
    except NotFoundError as error:
        raise processor_not_found(name) from error
    except TransitionError as error:
        raise conflict() from error


def _limit_reached(name: str, setting: str, error: LimitError) -> ServiceError:
    """Return AWS's refusal; the log tells the operator which setting it was."""
    logger.warning(
        "refused: 'limits.%s' is %d", setting, error.limit, extra={"stream_processor": name}
    )
    return processor_limit(error.limit)
