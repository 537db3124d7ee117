"""The control plane as a producer needs it: streams made, endpoints found, errors with advice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from streamd.producer.errors import EndpointError, RefusedError
from streamd.producer.kinesis_video import KinesisVideoControl
from tests.support.put_media_sink import PutMediaSink, serving

KEY = ("AKIDONE", "secret")


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
async def sink() -> AsyncIterator[tuple[PutMediaSink, str]]:
    made = PutMediaSink()
    async with serving(made) as url:
        yield made, url


async def test_a_stream_is_made_once(sink: tuple[PutMediaSink, str]) -> None:
    """The first time with the retention asked for; after that it is what it is."""
    made, url = sink
    control = KinesisVideoControl(url, key=KEY)
    first = await asyncio.to_thread(control.ensure_stream, "door", retention_hours=2)
    again = await asyncio.to_thread(control.ensure_stream, "door", retention_hours=9)
    assert (first.was_created, first.retention_hours) == (True, 2)
    assert (again.was_created, again.retention_hours) == (False, 2)
    assert first.arn == again.arn
    assert made.streams == {"door": 2}


async def test_the_endpoint_of_put_media_is_asked_for(sink: tuple[PutMediaSink, str]) -> None:
    """Each stream may have its own."""
    _, url = sink
    control = KinesisVideoControl(f"{url}/", key=KEY)
    assert await asyncio.to_thread(control.put_media_endpoint, "door") == f"{url}/putMedia"


async def test_refusals_are_told_with_their_code(sink: tuple[PutMediaSink, str]) -> None:
    """What boto3 itself refuses, too."""
    _, url = sink
    control = KinesisVideoControl(url, key=KEY)
    with pytest.raises(RefusedError) as caught:
        await asyncio.to_thread(control.put_media_endpoint, "")
    assert caught.value.code == "InvalidArgumentException"


def test_nothing_at_the_endpoint_says_what_to_start(unused_tcp_port: int) -> None:
    """The next step is a command."""
    control = KinesisVideoControl(f"http://127.0.0.1:{unused_tcp_port}", key=KEY)
    with pytest.raises(EndpointError, match="nothing answers") as caught:
        control.check()
    assert caught.value.hint is not None
    assert "streamd serve" in caught.value.hint


@pytest.mark.parametrize("url", ["localhost:8700", "ftp://localhost", "http://", ""])
def test_what_is_no_endpoint_is_refused_at_once(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(EndpointError, match="is not an endpoint"):
        KinesisVideoControl(url)


def test_aws_itself_needs_credentials() -> None:
    """A daemon may need none."""
    with pytest.raises(RefusedError, match="AWS needs credentials"):
        KinesisVideoControl("aws", region="us-east-1")
    assert KinesisVideoControl("http://127.0.0.1:1").signer is None


def test_put_media_is_signed_without_its_body() -> None:
    """As Java producers sign it: the body is endless."""
    signer = KinesisVideoControl("http://127.0.0.1:1", region="eu-west-1", key=KEY).signer
    assert signer is not None
    headers = signer.headers("http://127.0.0.1:1/putMedia", {"x-amzn-stream-name": "door"})
    assert headers["X-Amz-Content-SHA256"] == "UNSIGNED-PAYLOAD"
    assert "/eu-west-1/kinesisvideo/aws4_request" in headers["Authorization"]
    assert "x-amzn-stream-name" in headers["Authorization"]


def test_only_named_endpoints_go_unverified() -> None:
    """The control process' own certificate, not that of another replica."""
    control = KinesisVideoControl(
        "https://127.0.0.1:1", key=KEY, unverified_urls=["https://127.0.0.1:1/"]
    )
    assert not control.verifies("https://127.0.0.1:1/putMedia")
    assert control.verifies("https://elsewhere:1/putMedia")
