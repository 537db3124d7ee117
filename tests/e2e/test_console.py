"""The console as a person uses it: a real browser, a real daemon, real video. One story, in order.

Pictures of every page are taken on the way; ``STREAMD_SCREENSHOTS`` names the folder to keep them
in. ``STREAMD_CONSOLE_PICTURE=deploy/console.png`` makes the README's picture anew (with the shared
media: it shows their footage of the hall).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from PIL import Image

from tests.support.browser import (
    DESKTOP,
    PHONE,
    browser,
    needs_browser,
    opened_page,
    screenshots,
)
from tests.support.daemon import Daemon, wait_until
from tests.support.household import DEAD_CAMERA, GUEST, KEY, NEIGHBOUR, SECRET, household
from tests.support.scenes import astronaut_jpeg

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FloatRect, Page, Request

pytestmark = needs_browser

PATIENCE = 90.0
"""Seconds for what the daemon has to do, on a machine that is busy with other tests."""
GROUNDS: tuple[tuple[Literal["light", "dark"], str], ...] = (
    ("light", "rgb(244, 246, 248)"),
    ("dark", "rgb(14, 17, 21)"),
)
CORNERS = ((0.32, 0.02), (0.82, 0.02), (0.86, 0.9), (0.28, 0.9))
"""The region that is drawn, around where people of both kinds of footage are."""

Shoot = Callable[["Page", str], None]


@pytest.fixture(scope="module")
def shoot(tmp_path_factory: pytest.TempPathFactory) -> Shoot:
    """Take a picture of what a page shows."""
    folder = screenshots(tmp_path_factory)

    def take(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png")

    return take


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Daemon]:
    """The household's daemon; it starts where there is a browser."""
    del chromium
    with household(tmp_path_factory.mktemp("household")) as running:
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


def _sign_in(page: Page, *, key: str = KEY, secret: str = SECRET) -> None:
    page.goto("/console")
    page.get_by_label("Access key ID").fill(key)
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


def _calls(operation: str) -> Callable[[Request], bool]:
    return lambda request: (
        request.headers.get("x-amz-target", "") == f"RekognitionService.{operation}"
    )


def _fits(page: Page) -> None:
    """Fail if something reaches beyond the right edge of the screen."""
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, page.url


def test_signing_in(daemon: Daemon, chromium: Browser, shoot: Shoot) -> None:
    """A wrong secret is told; a right one lets in, survives a reload, and leaves with the user.

    It signs in the browser: no request carries it, and nothing the server writes holds it.
    """
    with opened_page(chromium, daemon.url, **DESKTOP) as page:
        sent: list[str] = []
        page.on(
            "request",
            lambda request: sent.append(f"{request.url} {request.headers} {request.post_data}"),
        )
        _sign_in(page, secret="wrong")
        page.get_by_text("The key was refused").wait_for()
        assert page.get_by_label("Access key ID").input_value() == KEY
        shoot(page, "sign-in-refused")
        page.get_by_label("Secret access key").fill(SECRET)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="front-door-faces").wait_for()
        page.reload()
        page.get_by_role("heading", name="front-door-faces").wait_for()
        assert page.evaluate("localStorage.length") == 0
        assert page.evaluate("document.cookie") == ""
        assert KEY not in page.url
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Access key ID").wait_for()
        assert page.evaluate("sessionStorage.length") == 0
        signed = [one for one in sent if f"Credential={KEY}/" in one]
        assert signed
        assert not [one for one in sent if SECRET in one]
    written = [path for path in daemon.data_dir.rglob("*") if path.is_file()]
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    assert SECRET not in daemon.log()


def test_the_live_view_shows_who_is_there(page: Page) -> None:
    """Frames come one after the other, with a box and the name; a pause holds the picture."""
    _open(page, "front-door-faces")
    page.get_by_text("In view: eileen").wait_for()
    frame = page.get_by_role("img", name="Last analysed frame of front-door-faces")
    seen: set[str | None] = set()

    def several() -> bool:
        seen.add(frame.get_attribute("src"))
        return len(seen) >= 4

    wait_until(several, seconds=PATIENCE, what="one frame after the other")
    page.get_by_text("In view: eileen").wait_for()
    assert page.locator(".live svg rect.box.known").count() == 1
    assert frame.evaluate("image => image.naturalWidth") == 960
    page.locator(".recent .sighting img").first.wait_for()
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("Paused", exact=True).wait_for()
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("Paused", exact=True).wait_for(state="detached")


@pytest.mark.parametrize(
    ("name", "options"), [("desktop", DESKTOP), ("phone", PHONE)], ids=["desktop", "phone"]
)
def test_every_page_on_every_screen(
    daemon: Daemon, chromium: Browser, shoot: Shoot, name: str, options: dict[str, Any]
) -> None:
    """Each page fits the width of the screen and shows what it is about, in light and dark."""
    with opened_page(chromium, daemon.url, **options) as page:

        def look(what: str) -> None:
            _fits(page)
            for scheme, ground in GROUNDS:
                page.emulate_media(color_scheme=scheme)
                shown = page.evaluate("getComputedStyle(document.body).backgroundColor")
                assert shown == ground
                shoot(page, f"{name}-{scheme}-{what}")

        page.goto("/console")
        page.get_by_label("Access key ID").wait_for()
        look("sign-in")
        _sign_in(page)
        page.get_by_role("link", name="front-door-faces").click()
        page.get_by_text("In view: eileen").wait_for()
        page.locator(".recent .sighting img").first.wait_for(state="attached")
        look("live")
        page.get_by_role("button", name="Edit regions").click()
        page.get_by_role("img", name="A frame of the video stream front-door").wait_for()
        page.get_by_role("button", name="Add a box").click()
        look("regions")
        if name == "phone":
            _tap_a_triangle(page)
        page.goto("/console/#/collections/family")
        page.get_by_role("heading", name="1 person").wait_for()
        look("collection")
        for title, shown in (
            ("Stream processors", page.get_by_role("img", name="eileen")),
            ("Sightings", page.get_by_role("img", name="eileen")),
            ("Collections", page.get_by_role("link", name="family")),
            ("Cameras", page.get_by_role("img", name="Newest picture of hall")),
        ):
            _go(page, title)
            shown.first.wait_for()
            look(title.lower().replace(" ", "-"))


def _tap_a_triangle(page: Page) -> None:
    page.get_by_role("button", name="Draw polygon").tap()
    area = page.locator(".drawing .frame").bounding_box()
    assert area is not None
    for x, y in ((0.1, 0.1), (0.3, 0.1), (0.2, 0.8)):
        page.touchscreen.tap(area["x"] + x * area["width"], area["y"] + y * area["height"])
    page.get_by_role("button", name="Finish polygon").tap()
    page.get_by_text("Polygon of 3 points").wait_for()


def test_what_is_drawn_is_saved_and_looked_at(daemon: Daemon, page: Page, shoot: Shoot) -> None:
    """A box by dragging, a polygon by clicking, both changed by keyboard: the API has them.

    Started, the label detection looks there, and the live view shows box, name and region.
    """
    _open(page, "hall-people")
    page.get_by_text("It is stopped.").wait_for()
    page.get_by_role("button", name="Edit regions").click()
    page.get_by_text("No regions: the whole frame is looked at.").wait_for()
    page.get_by_role("img", name="A frame of the video stream hall").wait_for()
    area = page.locator(".drawing .frame").bounding_box()
    assert area is not None
    _drag(page, area, (0.02, 0.1), (0.22, 0.6))
    page.get_by_text("Box, 20 by 50 % of the frame").wait_for()
    page.get_by_role("button", name="Draw polygon").click()
    for x, y in CORNERS:
        page.mouse.click(area["x"] + x * area["width"], area["y"] + y * area["height"])
    page.keyboard.press("Enter")
    page.get_by_text("Polygon of 4 points").wait_for()
    for point in ("3", "4"):
        page.get_by_role("button", name=f"Region 2, point {point}").focus()
        page.keyboard.press("Shift+ArrowDown")
    shoot(page, "regions")
    with page.expect_request(_calls("UpdateStreamProcessor")):
        page.get_by_role("button", name="Save regions").click()
    page.get_by_role("button", name="Edit regions").wait_for()
    box, polygon = _described(daemon, "hall-people")["RegionsOfInterest"]
    assert box["BoundingBox"] == pytest.approx(
        {"Left": 0.02, "Top": 0.1, "Width": 0.2, "Height": 0.5}, abs=0.01
    )
    assert [(point["X"], point["Y"]) for point in polygon["Polygon"]] == [
        pytest.approx((x, y + 0.05 if y > 0.5 else y), abs=0.01) for x, y in CORNERS
    ]

    page.get_by_role("button", name="Edit regions").click()
    page.get_by_role("img", name="A frame of the video stream hall").wait_for()
    page.get_by_role("button", name="Region 1, Box").focus()
    page.keyboard.press("Delete")
    page.get_by_role("button", name="Save regions").click()
    page.get_by_role("button", name="Edit regions").wait_for()
    assert _described(daemon, "hall-people")["RegionsOfInterest"] == [polygon]

    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_label("Seconds of video, 1 to 120").fill("120")
    shoot(page, "start-label-detection")
    page.get_by_role("dialog").get_by_role("button", name="Start").click()
    page.locator(".recent .sighting img").first.wait_for()
    page.get_by_text("In view: PERSON").wait_for()
    assert page.locator(".live svg polygon.region").count() == 1
    assert page.locator(".live svg rect.box.person").count() >= 1
    shoot(page, "live-labels")
    _picture_of_the_readme(page)
    page.get_by_role("button", name="Stop", exact=True).click()
    _status(page, "STOPPED")
    assert _described(daemon, "hall-people")["Status"] == "STOPPED"


def _drag(
    page: Page, area: FloatRect, start: tuple[float, float], end: tuple[float, float]
) -> None:
    page.get_by_role("button", name="Draw box").click()
    page.mouse.move(area["x"] + start[0] * area["width"], area["y"] + start[1] * area["height"])
    page.mouse.down()
    page.mouse.move(area["x"] + end[0] * area["width"], area["y"] + end[1] * area["height"])
    page.mouse.up()


def _picture_of_the_readme(page: Page) -> None:
    """Write the page to the file that ``STREAMD_CONSOLE_PICTURE`` names, in 256 colours."""
    named = os.environ.get("STREAMD_CONSOLE_PICTURE")
    if named is None:
        return
    page.set_viewport_size({"width": 1280, "height": 780})
    page.get_by_text("In view: PERSON").wait_for()
    page.screenshot(path=named)
    with Image.open(named) as picture:
        colours = picture.convert("RGB")
        palette = colours.quantize(256, kmeans=2)
        colours.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(named)
    page.set_viewport_size(DESKTOP["viewport"])


def test_saving_regions_of_what_runs_starts_it_again(daemon: Daemon, page: Page) -> None:
    """A face search that runs is stopped, updated and started, after the user was told."""
    _open(page, "front-door-faces")
    _status(page, "RUNNING")
    page.get_by_role("button", name="Edit regions").click()
    page.get_by_role("button", name="Add a box").click()
    page.get_by_text("Saving stops it").wait_for()
    page.get_by_role("button", name="Save regions").click()
    page.get_by_role("button", name="Edit regions").wait_for()
    _status(page, "RUNNING")
    assert len(_described(daemon, "front-door-faces")["RegionsOfInterest"]) == 1


def test_starting_stopping_and_deleting(daemon: Daemon, page: Page, shoot: Shoot) -> None:
    """Start makes it run, Stop ends it. Deleting asks: Escape leaves it, who confirms deletes."""
    _open(page, "spare")
    page.get_by_role("button", name="Start", exact=True).click()
    _status(page, "RUNNING")
    assert page.get_by_role("button", name="Delete").is_disabled()
    page.get_by_role("button", name="Stop", exact=True).click()
    _status(page, "STOPPED")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog", name="Delete spare?").wait_for()
    shoot(page, "delete")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    assert _described(daemon, "spare")["Status"] == "STOPPED"
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Stream processors", level=1).wait_for()
    names = daemon.client("rekognition").list_stream_processors()["StreamProcessors"]
    assert "spare" not in [one["Name"] for one in names]


def test_a_person_is_added_by_photo_and_removed(
    daemon: Daemon, page: Page, shoot: Shoot, tmp_path: Path
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
    shoot(page, "collection-refused")
    page.get_by_role("button", name="Add person").click()
    page.get_by_text("collins was added.").wait_for()
    page.get_by_role("heading", name="1 person").wait_for()
    shoot(page, "collection")
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


def test_the_list_tells_state_health_and_last_result(page: Page, shoot: Shoot) -> None:
    """Each stream processor stands there with its status; who was seen last has a picture."""
    card = page.get_by_role("link", name="front-door-faces")
    card.get_by_text("RUNNING").wait_for()
    card.get_by_role("img", name="eileen").wait_for()
    page.get_by_role("link", name="hall-people").get_by_text("STOPPED").wait_for()
    page.get_by_role("link", name="hall-people").get_by_role("img", name="PERSON").wait_for()
    ailing = page.get_by_role("link", name="yard-faces")
    ailing.locator(".warn-text, .bad-text").wait_for()
    shoot(page, "list")


def test_the_timeline_shows_who_was_seen(page: Page, shoot: Shoot) -> None:
    """Sightings have hero frames and times, and can be narrowed to one stream processor."""
    _go(page, "Sightings")
    page.get_by_role("img", name="eileen as seen by the camera").first.wait_for()
    page.get_by_role("img", name="PERSON as seen by the camera").first.wait_for()
    shoot(page, "sightings")
    page.get_by_label("Stream processor").select_option("front-door-faces")
    page.get_by_role("img", name="PERSON as seen by the camera").wait_for(state="detached")
    page.get_by_label("Who or what").select_option("eileen")
    assert page.locator(".sighting").count() >= 1


def test_cameras_show_what_they_send(page: Page) -> None:
    """The cameras that send are live with a picture, the other says what to do."""
    _go(page, "Cameras")
    for name in ("front-door", "hall"):
        page.get_by_role("img", name=f"Newest picture of {name}").wait_for()
        live = page.locator("article", has=page.get_by_role("heading", name=name))
        live.get_by_text("LIVE", exact=True).wait_for()
    dead = page.locator("article", has=page.get_by_role("heading", name=DEAD_CAMERA))
    dead.get_by_text("No video has come yet.").wait_for()
    assert "password" not in dead.inner_text()


def test_nothing_yet_and_nothing_allowed(daemon: Daemon, chromium: Browser, shoot: Shoot) -> None:
    """An account without anything is told the next step; a key without rights is told that."""
    with opened_page(chromium, daemon.url, **PHONE) as page:
        _sign_in(page, key=NEIGHBOUR)
        for title, told in (
            ("Stream processors", "No stream processors yet"),
            ("Sightings", "Nobody and nothing was seen yet"),
            ("Collections", "No collections yet"),
            ("Cameras", "No cameras yet"),
        ):
            _go(page, title)
            page.get_by_role("heading", name=told).wait_for()
            _fits(page)
            shoot(page, f"empty-{title.lower().replace(' ', '-')}")
        page.goto("/console/#/processors/nobody")
        page.get_by_role("alert").get_by_text("ResourceNotFoundException").wait_for()
        shoot(page, "error-not-found")
    with opened_page(chromium, daemon.url, **DESKTOP) as page:
        _sign_in(page, key=GUEST)
        card = page.get_by_role("link", name="front-door-faces")
        card.get_by_text("Not visible to this key").wait_for()
        shoot(page, "list-without-rights")
        page.get_by_role("link", name="front-door-faces").click()
        page.get_by_role("alert").get_by_text("AccessDeniedException").first.wait_for()
        shoot(page, "error-denied")


def test_the_keyboard_alone_will_do(page: Page, shoot: Shoot) -> None:
    """From the top: skip to the content, along the links, into a stream processor by Enter."""
    page.get_by_role("heading", name="front-door-faces").wait_for()
    page.reload()
    page.get_by_role("heading", name="front-door-faces").wait_for()
    names = []
    for _ in range(8):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", names[-1]
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
    shoot(page, "keyboard")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="front-door-faces", level=1).wait_for()
    assert page.evaluate("document.activeElement.id") == "main"
