"""The console as a person uses it: a real browser, a real daemon, real video.

Pictures of every page are taken on the way; ``STREAMD_SCREENSHOTS`` names where to keep them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.browser import (
    DESKTOP,
    PHONE,
    browser,
    needs_browser,
    opened_page,
    screenshots,
)
from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.scenes import astronaut, astronaut_jpeg
from tests.support.story import wait_for_status
from tests.support.video_files import write_video

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FloatRect, Page

pytestmark = needs_browser

ACCOUNT = "000000000000"
KEY, SECRET = "AKIDHOUSEHOLD001", "s" * 32
ARNS = {
    "output": f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/faces",
    "topic": f"arn:aws:sns:us-east-1:{ACCOUNT}:alerts",
    "role": f"arn:aws:iam::{ACCOUNT}:role/streamd",
}
STILL_CAMERA = "dead-end"


def _scene(count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield pictures of 960 x 540 pixels in which somebody moves up and down."""
    for index in range(count):
        top = round(20 * (1 + np.sin(2 * np.pi * index / count)))
        part = astronaut().crop((0, top, 512, top + 288))
        yield np.asarray(part.resize((960, 540), Image.Resampling.BICUBIC), np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of pages go."""
    return screenshots(tmp_path_factory)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A household: two cameras, one of them broken, a collection, a face search, a label one."""
    folder = tmp_path_factory.mktemp("household")
    clip = write_video(folder / "clip.mkv", fps=10, gop=10, pictures=_scene(60))
    cameras = {"front-door": {"url": str(clip)}, STILL_CAMERA: {"url": "rtsp://127.0.0.1:9/x"}}
    credentials = [{"access_key_id": KEY, "secret_access_key": SECRET}]
    env = {
        "STREAMD_AUTH__MODE": "sigv4",
        "STREAMD_AUTH__CREDENTIALS": json.dumps(credentials),
        "STREAMD_CAMERAS": json.dumps(cameras),
        "STREAMD_SERVER__WORKERS": "1",
    }
    with running_daemon(folder / "data", env) as running:
        running.credentials = (KEY, SECRET)
        rekognition = running.client("rekognition")
        rekognition.create_collection(CollectionId="family")
        rekognition.index_faces(
            CollectionId="family", ExternalImageId="eileen", Image={"Bytes": astronaut_jpeg()}
        )
        video = running.client("kinesisvideo")

        def arn() -> list[str]:
            streams = video.list_streams()["StreamInfoList"]
            return [one["StreamARN"] for one in streams if one["StreamName"] == "front-door"]

        source = {"KinesisVideoStream": {"Arn": wait_until(arn, what="the camera's stream")[0]}}
        for name in ("front-door-faces", "spare"):
            rekognition.create_stream_processor(
                Name=name,
                Input=source,
                Output={"KinesisDataStream": {"Arn": ARNS["output"]}},
                Settings={"FaceSearch": {"CollectionId": "family", "FaceMatchThreshold": 85}},
                RoleArn=ARNS["role"],
            )
        rekognition.create_stream_processor(
            Name="porch-people",
            Input=source,
            Output={"S3Destination": {"Bucket": "bucket"}},
            NotificationChannel={"SNSTopicArn": ARNS["topic"]},
            Settings={"ConnectedHome": {"Labels": ["PERSON"]}},
            RoleArn=ARNS["role"],
        )
        rekognition.start_stream_processor(Name="front-door-faces")
        wait_for_status(running, "front-door-faces", "RUNNING")
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser."""
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def desktop(daemon: Daemon, chromium: Browser) -> Iterator[Page]:
    """A page on a desktop, signed in."""
    with opened_page(chromium, daemon.url, **DESKTOP) as opened:
        _sign_in(opened)
        yield opened


@pytest.fixture
def page(desktop: Page) -> Page:
    """The page, at its beginning."""
    desktop.goto("/console/#/")
    desktop.get_by_role("heading", name="Stream processors", level=1).wait_for()
    return desktop


def _sign_in(page: Page, secret: str = SECRET) -> None:
    page.goto("/console")
    page.get_by_label("Access key id").fill(KEY)
    page.get_by_label("Secret access key").fill(secret)
    page.get_by_role("button", name="Sign in").click()


def _go(page: Page, name: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name=name).click()
    page.get_by_role("heading", name=name, level=1).wait_for()


def _open(page: Page, processor: str) -> None:
    page.goto(f"/console/#/processors/{processor}")
    page.get_by_role("heading", name=processor, level=1).wait_for()


def _status(page: Page, status: str) -> None:
    page.locator(".title .badge").get_by_text(status, exact=True).wait_for()


def _described(daemon: Daemon, name: str) -> dict[str, Any]:
    found: dict[str, Any] = daemon.client("rekognition").describe_stream_processor(Name=name)
    return found


def test_signing_in(daemon: Daemon, chromium: Browser, pictures: Path) -> None:
    """A wrong secret is told; a right one lets in, survives a reload, and leaves with the user."""
    with opened_page(chromium, daemon.url, **DESKTOP) as page:
        _sign_in(page, "wrong")
        page.get_by_text("The key was refused").wait_for()
        page.screenshot(path=pictures / "sign-in.png")
        _sign_in(page)
        page.get_by_role("heading", name="front-door-faces").wait_for()
        page.reload()
        page.get_by_role("heading", name="front-door-faces").wait_for()
        assert page.evaluate("localStorage.length") == 0
        assert page.evaluate("document.cookie") == ""
        assert KEY not in page.url
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Access key id").wait_for()
        assert page.evaluate("sessionStorage.length") == 0


def test_the_list_tells_state_and_last_result(page: Page, pictures: Path) -> None:
    """Each stream processor stands there with its status; who was seen last has a picture."""
    card = page.get_by_role("link", name="front-door-faces")
    card.get_by_text("RUNNING").wait_for()
    card.get_by_role("img", name="eileen").wait_for()
    page.get_by_role("link", name="porch-people").get_by_text("STOPPED").wait_for()
    page.screenshot(path=pictures / "list.png")


def test_the_live_view_shows_who_is_there(page: Page, pictures: Path) -> None:
    """Frames come one after the other, with a box and the name; a pause holds the picture."""
    _open(page, "front-door-faces")
    page.get_by_text("In view: eileen").wait_for()
    frame = page.get_by_role("img", name="Last analysed frame of front-door-faces")
    first = frame.get_attribute("src")
    wait_until(lambda: frame.get_attribute("src") != first, what="another frame")
    assert page.locator(".live svg rect.box.known").count() == 1
    assert frame.evaluate("image => image.naturalWidth") == 960
    page.locator(".recent .sighting img").first.wait_for()
    page.screenshot(path=pictures / "live.png")
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("Paused", exact=True).wait_for()


@pytest.mark.parametrize(
    ("name", "options"),
    [("dark", {**DESKTOP, "color_scheme": "dark"}), ("phone", PHONE)],
    ids=["dark", "phone"],
)
def test_every_page_in_the_dark_and_on_a_phone(
    daemon: Daemon, chromium: Browser, pictures: Path, name: str, options: dict[str, Any]
) -> None:
    """Each page fits the width of the screen and shows what it is about."""
    with opened_page(chromium, daemon.url, **options) as page:
        _sign_in(page)
        page.get_by_role("link", name="front-door-faces").click()
        page.get_by_text("In view: eileen").wait_for()
        page.screenshot(path=pictures / f"{name}-live.png")
        page.get_by_role("button", name="Edit regions").click()
        page.get_by_role("img", name="A frame of the video stream front-door").wait_for()
        page.screenshot(path=pictures / f"{name}-regions.png")
        for title in ("Stream processors", "Sightings", "Collections", "Cameras"):
            _go(page, title)
            page.locator(".card").first.wait_for()
            width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert width <= 0, f"{title} is wider than the screen"
            page.screenshot(path=pictures / f"{name}-{title.lower().replace(' ', '-')}.png")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (dark == "rgb(14, 17, 21)") is (name == "dark")


def test_regions_are_drawn_changed_and_saved(daemon: Daemon, page: Page, pictures: Path) -> None:
    """A box by dragging, a triangle by clicking, moved by keyboard: the API has what was drawn."""
    _open(page, "porch-people")
    page.get_by_text("It is stopped.").wait_for()
    page.get_by_role("button", name="Edit regions").click()
    page.get_by_text("No regions: the whole frame is looked at.").wait_for()
    page.get_by_role("img", name="A frame of the video stream front-door").wait_for()
    area = page.locator(".drawing .frame").bounding_box()
    assert area is not None
    _drag(page, area, (0.1, 0.2), (0.5, 0.7))
    page.get_by_text("Box, 40 % by 50 % of the frame").wait_for()
    page.get_by_role("button", name="Draw polygon").click()
    for x, y in ((0.6, 0.1), (0.9, 0.1), (0.75, 0.5)):
        page.mouse.click(area["x"] + x * area["width"], area["y"] + y * area["height"])
    page.keyboard.press("Enter")
    page.get_by_text("Polygon of 3 points").wait_for()
    page.get_by_role("button", name="Region 2, point 3").focus()
    page.keyboard.press("Shift+ArrowDown")
    page.screenshot(path=pictures / "regions.png")
    page.get_by_role("button", name="Save regions").click()
    page.get_by_role("button", name="Edit regions").wait_for()

    box, polygon = _described(daemon, "porch-people")["RegionsOfInterest"]
    assert box["BoundingBox"] == pytest.approx(
        {"Left": 0.1, "Top": 0.2, "Width": 0.4, "Height": 0.5}, abs=0.01
    )
    assert [(point["X"], point["Y"]) for point in polygon["Polygon"]] == [
        pytest.approx(corner, abs=0.01) for corner in ((0.6, 0.1), (0.9, 0.1), (0.75, 0.55))
    ]

    page.get_by_role("button", name="Edit regions").click()
    for _ in range(2):
        page.get_by_role("button", name="Remove region 1").click()
    page.get_by_role("button", name="Save regions").click()
    page.get_by_role("button", name="Edit regions").wait_for()
    assert not _described(daemon, "porch-people").get("RegionsOfInterest")


def _drag(
    page: Page, area: FloatRect, start: tuple[float, float], end: tuple[float, float]
) -> None:
    page.get_by_role("button", name="Draw box").click()
    page.mouse.move(area["x"] + start[0] * area["width"], area["y"] + start[1] * area["height"])
    page.mouse.down()
    page.mouse.move(area["x"] + end[0] * area["width"], area["y"] + end[1] * area["height"])
    page.mouse.up()


def test_saving_regions_of_what_runs_starts_it_again(daemon: Daemon, page: Page) -> None:
    """A face search that runs is stopped, updated and started, after the user was told."""
    _open(page, "front-door-faces")
    _status(page, "RUNNING")
    page.get_by_role("button", name="Edit regions").click()
    page.get_by_role("button", name="Add a box").click()
    page.get_by_text("Saving stops it").wait_for()
    page.get_by_role("button", name="Save regions").click()
    page.get_by_role("button", name="Edit regions").wait_for(timeout=60_000)
    _status(page, "RUNNING")
    assert len(_described(daemon, "front-door-faces")["RegionsOfInterest"]) == 1


def test_starting_and_stopping(daemon: Daemon, page: Page) -> None:
    """Start makes it run, Stop ends it, and a label detection asks for how long."""
    _open(page, "spare")
    page.get_by_role("button", name="Start", exact=True).click()
    _status(page, "RUNNING")
    page.get_by_role("button", name="Stop", exact=True).click()
    _status(page, "STOPPED")
    _open(page, "porch-people")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_label("Seconds of video, 1 to 120").fill("60")
    page.get_by_role("dialog").get_by_role("button", name="Start").click()
    page.get_by_text("In view: PERSON").wait_for()
    assert page.locator(".live svg rect.box.person").count() == 1
    page.get_by_role("button", name="Stop", exact=True).click()
    _status(page, "STOPPED")
    assert _described(daemon, "porch-people")["Status"] == "STOPPED"


def test_deleting_asks_first(daemon: Daemon, page: Page) -> None:
    """Escape leaves it; who confirms deletes it and is led back to the list."""
    _open(page, "spare")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog", name="Delete spare?").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Stream processors", level=1).wait_for()
    names = daemon.client("rekognition").list_stream_processors()["StreamProcessors"]
    assert "spare" not in [one["Name"] for one in names]


def test_a_person_is_added_by_photo_and_removed(
    daemon: Daemon, page: Page, pictures: Path, tmp_path: Path
) -> None:
    """A photo without a face is refused with advice; a good one adds the person; both can go."""
    wall = tmp_path / "wall.png"
    Image.new("RGB", (300, 300), "gray").save(wall)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(astronaut_jpeg())
    _go(page, "Collections")
    page.get_by_label("New collection").fill("guests")
    page.get_by_role("button", name="Create").click()
    page.get_by_text("Nobody is in it yet.").wait_for()
    page.get_by_label("Name").fill("collins")
    page.get_by_label("Photo with one face").set_input_files(wall)
    page.get_by_role("button", name="Add person").click()
    page.get_by_text("No face was found in the photo.").wait_for()
    page.get_by_label("Photo with one face").set_input_files(photo)
    page.get_by_role("img", name="The chosen photo").wait_for()
    page.get_by_role("button", name="Add person").click()
    page.get_by_text("collins was added.").wait_for()
    page.get_by_role("heading", name="1 person").wait_for()
    page.screenshot(path=pictures / "collection.png")
    rekognition = daemon.client("rekognition")
    faces = rekognition.list_faces(CollectionId="guests")["Faces"]
    assert [face["ExternalImageId"] for face in faces] == ["collins"]
    page.get_by_role("button", name="Remove collins").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_text("Nobody is in it yet.").wait_for()
    assert rekognition.list_faces(CollectionId="guests")["Faces"] == []
    page.get_by_role("button", name="Delete collection").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Collections", level=1).wait_for()
    assert "guests" not in rekognition.list_collections()["CollectionIds"]


def test_the_timeline_shows_who_was_seen(page: Page, pictures: Path) -> None:
    """Sightings have pictures and times, and can be narrowed to one stream processor."""
    _go(page, "Sightings")
    page.get_by_role("img", name="eileen as seen by the camera").first.wait_for()
    page.get_by_label("Stream processor").select_option("front-door-faces")
    assert page.locator(".sighting").count() >= 1
    page.get_by_label("Who or what").select_option("eileen")
    page.screenshot(path=pictures / "sightings.png")


def test_cameras_show_what_they_send(page: Page, pictures: Path) -> None:
    """The camera that sends is live with a picture, the other says what to do."""
    _go(page, "Cameras")
    page.get_by_role("img", name="Newest picture of front-door").wait_for()
    live = page.locator("article", has=page.get_by_role("heading", name="front-door"))
    live.get_by_text("LIVE", exact=True).wait_for()
    dead = page.locator("article", has=page.get_by_role("heading", name=STILL_CAMERA))
    dead.get_by_text("No video has come yet.").wait_for()
    page.screenshot(path=pictures / "cameras.png")


def test_the_keyboard_alone_will_do(page: Page) -> None:
    """From the top: skip to the content, along the links, into a stream processor by Enter."""
    page.get_by_role("heading", name="front-door-faces").wait_for()
    page.reload()
    page.get_by_role("heading", name="front-door-faces").wait_for()
    names = []
    for _ in range(8):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent"))
    assert names[0] == "Skip to content"
    assert [name.strip() for name in names[1:7]] == [
        "streamd",
        "Stream processorsProcessors",
        "SightingsSightings",
        "CollectionsCollections",
        "CamerasCameras",
        "Sign out",
    ]
    assert "front-door-faces" in names[7]
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="front-door-faces", level=1).wait_for()
    assert page.evaluate("document.activeElement.id") == "main"
