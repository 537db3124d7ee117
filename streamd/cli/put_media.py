"""``streamd put-media``: a file, camera or device into a stream, as a producer sends it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamd.cli.put_media_view import PutMediaView
    from streamd.producer import Producer, PyavSource

__all__ = ["put_media"]

DEFAULT_ENDPOINT = "http://127.0.0.1:8700"


def put_media(
    *,
    stream: Annotated[str, typer.Option(metavar="NAME", help="Kinesis video stream.")],
    source: Annotated[
        str, typer.Option(metavar="FILE|URL|DEVICE", help="Video file, rtsp://… or /dev/videoN.")
    ],
    endpoint: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar="AWS_ENDPOINT_URL_KINESIS_VIDEO",
            help="The daemon, or aws for AWS itself.",
        ),
    ] = DEFAULT_ENDPOINT,
    fast: Annotated[
        bool, typer.Option("--fast", help="As fast as the stream takes it, not in real time.")
    ] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end.")] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Stop after this much video.")
    ] = None,
    retention_hours: Annotated[int, typer.Option(min=0, help="Of a stream that is made now.")] = 24,
    region: Annotated[str | None, typer.Option(help="AWS region. [default: us-east-1]")] = None,
    audio: Annotated[bool, typer.Option("--audio", help="Send AAC audio, too.")] = False,
    transcode: Annotated[
        bool, typer.Option("--transcode", help="Encode to H.264 with a keyframe every 2 s.")
    ] = False,
    fps: Annotated[
        float | None, typer.Option(min=0.1, help="Frame rate of a source without timestamps.")
    ] = None,
    start_time: Annotated[
        datetime | None, typer.Option(help="Producer time of the first frame, UTC. [default: now]")
    ] = None,
) -> None:
    """Send a source into a stream, which is made if it is missing.

    Nothing is encoded again where Kinesis Video can carry the codec (H.264, H.265). Fragments
    that were not acknowledged are sent again after a broken connection. Ctrl-C ends the
    source and waits for the last acknowledgements.
    """
    from streamd.cli.output import out_console  # noqa: PLC0415
    from streamd.cli.put_media_view import PutMediaView  # noqa: PLC0415
    from streamd.producer import (  # noqa: PLC0415
        KinesisVideoControl,
        Producer,
        ProducerOptions,
        PyavSource,
        SourceError,
        SourceOptions,
    )

    if loop and source.startswith(("rtsp", "/dev/")):
        raise SourceError("--loop is for files: a camera has no end")
    options = SourceOptions(audio=audio, transcode=transcode, frame_rate=fps)
    opened = PyavSource(source, options)
    try:
        control = KinesisVideoControl(endpoint, region=region)
        info = control.ensure_stream(stream, retention_hours=retention_hours)
    except BaseException:
        opened.close()
        raise
    view = PutMediaView(
        out_console(), stream=info, source=opened, is_endless=loop or opened.is_live
    )
    producer = Producer(
        control=control,
        stream=info,
        source=opened,
        reopen=lambda: PyavSource(source, options),
        options=ProducerOptions(
            fast=fast,
            loop=loop,
            max_seconds=seconds,
            start_ns=None if start_time is None else _nanoseconds(start_time),
            give_up_seconds=None if opened.is_live else 60.0,
        ),
        observer=view.take,
    )
    view.begin(producer.stats)
    code = _run(producer, opened, view)
    raise typer.Exit(code)


def _run(producer: Producer, source: PyavSource, view: PutMediaView) -> int:
    import asyncio  # noqa: PLC0415
    import signal  # noqa: PLC0415

    interrupts = 0

    async def send() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None

        def interrupt() -> None:
            nonlocal interrupts
            interrupts += 1
            if interrupts == 1:
                view.say("stopping: waiting for the last acknowledgements (Ctrl-C again: not)")
                producer.stop()
            else:
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        refresher = asyncio.create_task(view.refresh(), name="put-media-view")
        try:
            await producer.run()
        finally:
            refresher.cancel()

    try:
        with view:
            asyncio.run(send())
    except asyncio.CancelledError:
        return 130
    view.summary()
    # A finite source that was cut short did not do what was asked; a camera has no other end.
    return 130 if interrupts and not (source.is_live or view.is_endless) else 0


def _nanoseconds(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000_000) * 1000
