"""Results that leave only while the lease of their session is valid."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from streamd.pipeline.fence import FencedSinks, always_held
from streamd.records.items import Kind, OutboxItem
from streamd.sinks.sink import Sink

ITEM = OutboxItem(
    kind="kinesis", target="arn", key="door", content_type="application/json", body=b"{}"
)


class FakeSink:
    """Keeps what it is given."""

    name = "fake"

    def __init__(self) -> None:
        self.items: list[OutboxItem] = []
        self.calls: list[str] = []

    async def open(self) -> None:
        self.calls.append("open")

    async def deliver(self, items: Sequence[OutboxItem]) -> None:
        self.items.extend(items)

    async def check(self, target: str) -> None:
        self.calls.append(f"check {target}")

    async def aclose(self) -> None:
        self.calls.append("aclose")


class FakeRouter:
    """One sink for everything."""

    def __init__(self) -> None:
        self.sink = FakeSink()

    def sink_for(self, kind: Kind) -> Sink:
        del kind
        return self.sink


async def test_results_wait_for_a_lease_in_doubt() -> None:
    """Nothing leaves until a renewal says that the session is still ours."""
    held = False
    router = FakeRouter()
    sink = FencedSinks(router, lambda: held).sink_for("kinesis")
    delivery = asyncio.create_task(sink.deliver([ITEM]))
    await asyncio.sleep(0.12)
    assert router.sink.items == []
    held = True
    await delivery
    assert router.sink.items == [ITEM]


async def test_fence_is_a_sink_like_the_one_behind_it() -> None:
    """Its name, its checks and its end are those of the sink."""
    router = FakeRouter()
    sink = FencedSinks(router, always_held).sink_for("sns")
    await sink.open()
    await sink.check("topic")
    await sink.aclose()
    assert sink.name == "fake"
    assert router.sink.calls == ["open", "check topic", "aclose"]
