"""A real Grafana shows the dashboards: a real Prometheus, a real daemon, real video, a browser.

``tests.services.grafana`` says where the Grafana comes from. A picture of each dashboard is taken;
``STREAMD_SCREENSHOTS`` names the folder to keep them in. The README's picture is made anew by
``STREAMD_GRAFANA_PICTURE=deploy/grafana.png STREAMD_GRAFANA_MINUTES=8`` (with the shared media).
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.services.fetched import ServiceUnavailableError
from tests.services.grafana import Grafana, grafana_home
from tests.services.prometheus import Prometheus, PrometheusTools, prometheus_tools
from tests.support.browser import browser, needs_browser, opened_page, screenshots
from tests.support.daemon import Daemon, wait_until
from tests.support.dashboards import DASHBOARDS, FOLDER
from tests.support.grafana import Dashboard, Panel, text_of
from tests.support.household import household
from tests.support.story import status_of
from tests.support.written_table import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MINUTES = float(os.environ.get("STREAMD_GRAFANA_MINUTES", "0"))
"""How much of the household's life is looked at; else it is until every panel has a value."""
SECONDS = 240.0
"""Patience with a machine that others load: two scrapes, 15 s apart, of everything."""
# The first mark of a kind counts.
pytestmark = [
    pytest.mark.timeout(700 + 60 * MINUTES),
    pytest.mark.slow,
    *needs_browser,
]

RULES = ROOT / "deploy" / "prometheus" / "rules" / "streamd.yml"
WIDTH_PX, ROW_PX, AROUND_PX = 1600, 38, 140
"""Of the screen; of one row of Grafana's grid; of what is around the panels."""


@pytest.fixture(scope="module")
def home() -> Path:
    """The folder of a Grafana."""
    try:
        return grafana_home()
    except ServiceUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def tools() -> PrometheusTools:
    """Prometheus's programs."""
    try:
        return prometheus_tools()
    except ServiceUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def chromium(home: Path) -> Iterator[Browser]:
    """A browser."""
    del home
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def grafana(
    home: Path, tools: PrometheusTools, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Grafana]:
    """Grafana over what a household has been for a while."""
    del chromium
    folder = tmp_path_factory.mktemp("grafana")
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(household(tmp_path_factory.mktemp("household")))
        over = threading.Event()
        people = stack.enter_context(ThreadPoolExecutor())
        stack.callback(over.set)
        lived = people.submit(_live, daemon, over)
        prometheus = Prometheus(
            tools, folder, targets=[f"127.0.0.1:{daemon.port}"], rules=RULES, hurried=False
        )
        stack.enter_context(prometheus.running())
        running = Grafana(home, folder, prometheus=prometheus.url)
        stack.enter_context(running.running())
        wait_until(lambda: not _empty(running), seconds=SECONDS, what="a value in every panel")
        # What is looked at begins when all have settled.
        time.sleep(60 * (MINUTES + 1) if MINUTES else 0)
        yield running
        over.set()
        lived.result(60)


def _live(daemon: Daemon, over: threading.Event) -> None:
    """Do what people do: look at the list, begin label detection again, ask for what is not."""
    rekognition = daemon.client("rekognition")
    while not over.wait(2):
        rekognition.list_stream_processors()
        with contextlib.suppress(rekognition.exceptions.ResourceNotFoundException):
            rekognition.describe_stream_processor(Name="garage")
        if status_of(daemon, "hall-people") == "STOPPED":
            rekognition.start_stream_processor(
                Name="hall-people",
                StartSelector={
                    "KVSStreamStartSelector": {"ProducerTimestamp": round(1000 * time.time())}
                },
                StopSelector={"MaxDurationInSeconds": 120},
            )


def _shown(dashboard: Dashboard) -> list[tuple[Panel, dict[str, Any]]]:
    """Return what is described beside what Grafana is given."""
    return list(zip(dashboard.panels, json.loads(text_of(dashboard))["panels"], strict=True))


def _asked(grafana: Grafana, shown: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask a panel's queries through Grafana's data source, as its page does."""
    queries = [
        {
            **target,
            "expr": target["expr"].replace("$instance", ".*").replace("$stream_processor", ".*"),
            "datasource": {"type": "prometheus", "uid": "prometheus"},
            "intervalMs": 15_000,
            "maxDataPoints": 500,
        }
        for target in shown["targets"]
    ]
    answer = grafana.ask("/api/ds/query", {"queries": queries, "from": "now-5m", "to": "now"})
    assert answer.get("results", {}).keys() == {query["refId"] for query in queries}, answer
    return list(answer["results"].values())


def _has_values(result: dict[str, Any]) -> bool:
    return any(
        value is not None
        for frame in result.get("frames", ())
        for _, *columns in [frame["data"]["values"] or [()]]
        for column in columns
        for value in column
    )


def _empty(grafana: Grafana) -> list[str]:
    return [
        f"{dashboard.name}: {panel.title}"
        for dashboard in DASHBOARDS
        for panel, shown in _shown(dashboard)
        if not panel.may_be_empty and not any(map(_has_values, _asked(grafana, shown)))
    ]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda d: d.name)
def test_it_loads_the_dashboard_and_answers_every_query(
    grafana: Grafana, dashboard: Dashboard
) -> None:
    """It is there, in its folder, panel by panel; no query of it is refused."""
    found = grafana.ask(f"/api/dashboards/uid/streamd-{dashboard.name}")
    assert found["meta"]["provisioned"]
    assert found["meta"]["folderTitle"] == "streamd"
    document = json.loads((FOLDER / f"{dashboard.name}.json").read_text())
    # Newer versions bring the rest of a panel up to date.
    assert _asks(found["dashboard"]) == _asks(document)
    for panel, shown in _shown(dashboard):
        for result in _asked(grafana, shown):
            assert "error" not in result, (panel.title, result)


def _asks(document: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [
        (panel["title"], [target["expr"] for target in panel["targets"]])
        for panel in document["panels"]
    ]


def test_it_has_nothing_to_say_against_its_provisioning(grafana: Grafana) -> None:
    """Data source and dashboards are all there is, and its log complains of neither."""
    (source,) = grafana.ask("/api/datasources")
    assert (source["uid"], source["isDefault"], source["readOnly"]) == ("prometheus", True, True)
    listed = grafana.ask("/api/search?type=dash-db")
    assert {one["uid"] for one in listed} == {f"streamd-{one.name}" for one in DASHBOARDS}
    assert "provisioning" in grafana.log()
    assert [line for line in grafana.complaints() if "provisioning" in line] == []


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda d: d.name)
def test_its_page_shows_every_panel(
    grafana: Grafana,
    chromium: Browser,
    dashboard: Dashboard,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Nothing on it is an error, and only what may be empty is; its pictures are taken."""
    folder = screenshots(tmp_path_factory)
    places = [shown["gridPos"] for _, shown in _shown(dashboard)]
    rows = max(place["y"] + place["h"] for place in places)
    screen = {"width": WIDTH_PX, "height": rows * ROW_PX + AROUND_PX}
    drawn = sum(panel.kind in ("timeseries", "state-timeline") for panel in dashboard.panels)
    unsaid = {panel.nothing for panel in dashboard.panels if panel.nothing}
    with opened_page(
        chromium, grafana.url, viewport=screen, extra_http_headers=grafana.headers
    ) as page:
        for theme in ("dark", "light"):
            _open(page, dashboard, f"theme={theme}")
            page.screenshot(path=folder / f"grafana-{theme}-{dashboard.name}.png")
            assert page.locator(_ERRORS).count() == 0
            empty = sum(page.get_by_text(said, exact=True).count() for said in ("No data", *unsaid))
            assert empty <= sum(panel.may_be_empty for panel in dashboard.panels)
            assert page.locator(".uplot canvas").count() >= drawn - empty
        if dashboard.name == "overview":
            _picture_of_the_readme(page, dashboard, rows * ROW_PX + AROUND_PX // 2)


_ERRORS = (
    ".panel-info-corner--error, [data-testid='data-testid Panel status error'], "
    "[data-testid='data-testid Alert error']"
)
_BUSY = ".panel-loading, [aria-label='Panel loading bar']"
"""Of several versions of Grafana."""


def _open(page: Page, dashboard: Dashboard, how: str) -> None:
    minutes = max(5, round(MINUTES))
    with page.expect_response(lambda answer: "/api/ds/query" in answer.url):
        page.goto(f"/d/streamd-{dashboard.name}/?from=now-{minutes}m&to=now&{how}")
    for panel in dashboard.panels:
        page.get_by_text(panel.title, exact=True).first.wait_for()
    page.wait_for_load_state("networkidle")
    page.wait_for_function(f'document.querySelectorAll("{_BUSY}").length == 0')


def _picture_of_the_readme(page: Page, dashboard: Dashboard, height_px: int) -> None:
    """Write the page to the file that ``STREAMD_GRAFANA_PICTURE`` names, in 256 colours."""
    named = os.environ.get("STREAMD_GRAFANA_PICTURE")
    if named is None:
        return
    # The panels, and no menus.
    page.set_viewport_size({"width": WIDTH_PX, "height": height_px})
    _open(page, dashboard, "theme=light&kiosk=tv")
    page.screenshot(path=named)
    with Image.open(named) as picture:
        colours = picture.convert("RGB")
        palette = colours.quantize(256, kmeans=2)
        colours.quantize(palette=palette, dither=Image.Dither.NONE).save(named, optimize=True)
