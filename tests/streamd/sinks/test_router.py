"""Which sink stands for which service."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.clock import SystemClock
from streamd.config import (
    KafkaSettings,
    OutputsSettings,
    ServerSettings,
    Settings,
    WebhookSettings,
)
from streamd.records import Kind
from streamd.sinks import SinkGoneError, build_sinks


def settings(data_dir: Path, outputs: OutputsSettings) -> Settings:
    return Settings(
        server=ServerSettings(data_dir=data_dir),
        outputs=outputs,
        kafka=KafkaSettings(),
        webhook=WebhookSettings.model_validate(
            {"url": "https://host/", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
        ),
    )


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        (OutputsSettings(), ("local", "local", "local")),
        (OutputsSettings(kinesis="kafka", sns="kafka"), ("kafka", "local", "kafka")),
        (OutputsSettings(sns="webhook"), ("local", "local", "webhook")),
        (OutputsSettings(kinesis="kinesis", s3="s3", sns="sns"), ("kinesis", "s3", "sns")),
    ],
    ids=["local", "kafka", "webhook", "aws"],
)
async def test_the_settings_choose_the_sinks(
    tmp_path: Path, outputs: OutputsSettings, names: tuple[str, str, str]
) -> None:
    """Each kind of output has the sink that [outputs] names."""
    router = build_sinks(settings(tmp_path, outputs), clock=SystemClock())
    kinds: tuple[Kind, ...] = ("kinesis", "s3", "sns")
    chosen = tuple(router.sink_for(kind).name for kind in kinds)
    await router.aclose()
    assert chosen == names


async def test_one_sink_serves_what_it_stands_for(tmp_path: Path) -> None:
    """Kafka for two services is one producer, opened and closed once."""
    router = build_sinks(
        settings(tmp_path, OutputsSettings(kinesis="kafka", sns="kafka")), clock=SystemClock()
    )
    await router.open()
    assert router.sink_for("kinesis") is router.sink_for("sns")
    await router.aclose()
    await router.aclose()


async def test_a_target_is_checked_by_its_sink(tmp_path: Path) -> None:
    """A bucket that cannot be is reported by the sink for objects."""
    router = build_sinks(settings(tmp_path, OutputsSettings()), clock=SystemClock())
    with pytest.raises(SinkGoneError, match="Bucket a/b not found"):
        await router.check("s3", "a/b")
    await router.aclose()
