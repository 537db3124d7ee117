"""Which sink stands for which of AWS's services, as the settings say."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from streamd.aws import create_client
from streamd.clock import Clock
from streamd.config import KinesisSettings, S3Settings, Settings, SnsSettings
from streamd.records.items import Kind
from streamd.roles import AssumedRoles
from streamd.sinks.client import ClientSink
from streamd.sinks.kinesis import KinesisSink
from streamd.sinks.local import LocalSink
from streamd.sinks.s3 import S3Sink
from streamd.sinks.sink import Sink
from streamd.sinks.sns import SnsSink
from streamd.sinks.webhook import WebhookSink

__all__ = ["SinkRouter", "build_sinks"]


class SinkRouter:
    """All sinks of a process; sessions share them."""

    def __init__(self, sinks: Mapping[Kind, Sink]) -> None:
        self._sinks = dict(sinks)

    def sink_for(self, kind: Kind) -> Sink:
        """Return the sink that takes items of this kind."""
        return self._sinks[kind]

    def of_account(self, account_id: str) -> SinkRouter:
        """Return the sinks of another account: what it writes to this machine lies apart."""
        return SinkRouter(
            {
                kind: sink.of_account(account_id) if isinstance(sink, LocalSink) else sink
                for kind, sink in self._sinks.items()
            }
        )

    def of_role(self, role_arn: str) -> SinkRouter:
        """Return the sinks that write by a role, where AWS itself, or its like, is written to."""
        return SinkRouter(
            {
                kind: sink.of_role(role_arn) if isinstance(sink, ClientSink) else sink
                for kind, sink in self._sinks.items()
            }
        )

    async def open(self) -> None:
        """Open every sink."""
        for sink in self._each():
            await sink.open()

    async def check(self, kind: Kind, target: str) -> None:
        """Look whether a target would be there, see :meth:`Sink.check`."""
        await self.sink_for(kind).check(target)

    async def aclose(self) -> None:
        """Close every sink; may be called twice."""
        for sink in self._each():
            await sink.aclose()

    def _each(self) -> list[Sink]:
        # One sink may stand for several services.
        return list({id(sink): sink for sink in self._sinks.values()}.values())


def build_sinks(
    settings: Settings, *, clock: Clock, roles: AssumedRoles | None = None
) -> SinkRouter:
    """Make the sinks that ``[outputs]`` names.

    Args:
        settings: All settings.
        clock: Where the time comes from.
        roles: Gives the credentials of roles; a section with a key of its own does without.

    """
    outputs, region = settings.outputs, settings.aws.region
    local = LocalSink(settings.data_dir / "outputs", clock=clock)
    chosen: dict[Kind, str] = {"kinesis": outputs.kinesis, "s3": outputs.s3, "sns": outputs.sns}
    made: dict[str, Sink] = {"local": local}
    if "kafka" in chosen.values():
        # Imported where it is used: most have no brokers, and each worker would hold its client.
        from streamd.sinks.kafka import KafkaSink  # noqa: PLC0415

        made["kafka"] = KafkaSink(settings.kafka)

    def roles_for(section: KinesisSettings | S3Settings | SnsSettings) -> AssumedRoles | None:
        return roles if section.access_key_id is None else None

    if outputs.kinesis == "kinesis":
        made["kinesis"] = KinesisSink(
            functools.partial(create_client, "kinesis", settings.kinesis, region=region),
            roles=roles_for(settings.kinesis),
        )
    if outputs.s3 == "s3":
        # Parts of long objects are worth a retry of their own; records must keep their order.
        made["s3"] = S3Sink(
            functools.partial(create_client, "s3", settings.s3, region=region, attempts=3),
            roles=roles_for(settings.s3),
        )
    if outputs.sns == "sns":
        made["sns"] = SnsSink(
            functools.partial(create_client, "sns", settings.sns, region=region),
            roles=roles_for(settings.sns),
        )
    if outputs.sns == "webhook":
        made["webhook"] = WebhookSink(settings.webhook, clock=clock)
    return SinkRouter({kind: made[name] for kind, name in chosen.items()})
