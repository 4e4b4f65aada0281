"""The page: what it shows, that nothing from outside takes it over, and how a browser shows it."""

import html.parser
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.monitor.page.markup import Markup, element, joined
from hps.monitor.page.render import page
from hps.monitor.pulse import Pulse
from hps.monitor.status import ModelStatus, MonitorStatus
from hps.monitor.transitions import Outcome
from hps.monitor.web import Views, served
from tests.monitor import snapshots
from tests.monitor.snapshots import host
from tests.monitor.telling import Telling

NOW = 1_800_007_200.0
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
in_a_browser = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="needs chromium and chromedriver"
)
EVERYTHING = (
    snapshots.calm(),
    snapshots.refused(),
    snapshots.awaiting(),
    snapshots.dead(),
    snapshots.empty(),
)

ORDER = ["formula", "seal", "ocr", "table", "layout"]


class Reader(html.parser.HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(*models: ModelStatus) -> Reader:
    return Reader(page(host(*models, now=NOW)))


def test_the_page_says_what_is_live_and_what_was_refused_and_why() -> None:
    text = read(*EVERYTHING).text
    for words in (
        "5 models: 2 not served, 4 to look at.",
        ": release 12 (2026.11) of ocr, channel stable",
        "Generation 2 was refused: it is older than what was live already.",
        "release 3 is older than release 12, which was live",
        "hps monitor approve table --number 2",
        "The model server does not serve the live generation.",
        "The source cannot be reached.",
        "nothing has gone live yet",
        "Nothing has gone live yet. The last look: nothing is offered.",
        "should serve generation 1: release 1 of ocr, channel stable",
        "What to do: look at the model server and its log.",
        "hps monitor rollback layout",
        "2027-01-15 09:",
        " UTC",
    ):
        assert words in text, words


def test_what_needs_a_person_comes_first_and_open() -> None:
    seen = read(*EVERYTHING, *(snapshots.calm() for _ in range(3))).seen
    names = [attributes["id"] for tag, attributes in seen if tag == "article"]
    assert names[-4:] == ["model-layout"] * 4
    opened = ["open" in attributes for tag, attributes in seen if tag == "details"]
    assert opened == [True] * 4 + [False] * 4


def test_a_model_that_is_not_served_does_not_serve_on() -> None:
    assert "serves on" not in read(snapshots.dead()).text
    assert "serves on" in read(snapshots.refused()).text


def test_a_server_that_does_not_answer_is_told_and_nothing_is_claimed() -> None:
    text = read(snapshots.model(Telling().live(1), serving=None)).text
    assert "Nobody knows whether users are served." in text
    assert "live for" not in text


def test_what_is_under_way_is_said_in_words_and_what_failed_with_what_to_do() -> None:
    telling = Telling().live(1).offer(2)
    assert "Generation 2 is being pulled." in read(snapshots.model(telling)).text
    telling.fail(Outcome.PASSING, "refused", "401")
    text = read(snapshots.model(telling)).text
    assert "It is tried again." in text
    assert "What to do: mend user, password or token, here or there." in text


def test_a_group_names_its_members() -> None:
    text = read(snapshots.model(Telling().live(1), members=("det", "rec"))).text
    assert "Go live togetherdet, rec" in text
    assert "Go live together" not in read(snapshots.calm()).text


def test_hundreds_of_calm_models_are_a_list() -> None:
    calm = [replace(snapshots.calm(), name=f"m{number}") for number in range(200)]
    seen = read(*calm, snapshots.dead()).seen
    classes = [attributes.get("class") for tag, attributes in seen if tag == "article"]
    assert classes == ["attention", *["calm"] * 200]
    few = [attributes.get("class") for tag, attributes in read(*calm[:3]).seen if tag == "article"]
    assert few == [None] * 3


def test_no_models_are_no_fault() -> None:
    assert "No models are watched." in read().text


def test_without_a_script_it_is_loaded_again_by_itself() -> None:
    seen = read(*EVERYTHING).seen
    names = [tag for tag, _ in seen]
    refresh = seen[names.index("noscript") + 1]
    assert refresh == ("meta", {"http-equiv": "refresh", "content": "30"})


def test_nothing_is_loaded_from_elsewhere_and_no_script_stands_in_the_page() -> None:
    for tag, attributes in read(*EVERYTHING, snapshots.hostile()).seen:
        for name in ("src", "href"):
            assert (attributes.get(name) or "page.js") in {
                "page.js",
                "page.css",
                "icon.svg",
                "status",
                "metrics",
            }
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag


def test_hostile_names_stay_text() -> None:
    reader = read(snapshots.hostile())
    assert [tag for tag, _ in reader.seen].count("script") == 1
    assert not [tag for tag, _ in reader.seen if tag == "img"]
    assert "<script>document.title='owned'</script>" in reader.text
    assert "\x1b" not in reader.text
    assert "\u202e" not in reader.text


@given(st.text(), st.text())
def test_elements_hold_what_they_were_given_and_nothing_else(text: str, value: str) -> None:
    made = element("p", text, element("b", text), title=value)
    reader = Reader(made)
    assert [tag for tag, _ in reader.seen] == ["p", "b"]
    shown = "".join(one if one.isprintable() else "\ufffd" for one in text)
    assert reader.text == shown * 2
    title = reader.seen[0][1]["title"]
    assert title == "".join(one if one.isprintable() else "\ufffd" for one in value)


def test_attributes_that_are_absent_are_left_out() -> None:
    assert (
        element("p", hidden=True, open=False, title=None, class_="x") == '<p hidden class="x"></p>'
    )
    assert joined("<", Markup("<b>")) == "&lt;<b>"


# --- in a browser ---------------------------------------------------------------------------------


class Watched:
    """A monitor whose models a test changes while a browser looks."""

    def __init__(self) -> None:
        self.models: tuple[ModelStatus, ...] = EVERYTHING
        self.now = NOW
        self.asked = threading.Event()

    def status(self) -> MonitorStatus:
        self.asked.set()
        return host(*self.models, now=self.now)

    @property
    def views(self) -> Views:
        return Views(self.status, Pulse().late, lambda _: (b"", "text/plain"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    folder = tmp_path_factory.mktemp("browser")
    for argument in (
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={folder}",
        *["--no-sandbox"] * (os.geteuid() == 0),  # chromium's own does not start as root
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.implicitly_wait(20)
    yield driver
    driver.quit()


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def shown(browser: Any, watched: Watched) -> Iterator[Any]:
    """A browser with the page; at the end nothing may stand in its console."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    browser.set_window_size(1200, 900)
    with served("127.0.0.1:0", watched.views) as url:
        browser.get(url)
        browser.get_log("browser")
        yield browser
        browser.get("about:blank")


def wait_for(browser: Any, condition: Callable[[Any], Any]) -> Any:
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, 30).until(condition)


def texts(browser: Any, selector: str) -> list[str]:
    return list(
        browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(one => one.innerText)",
            selector,
        )
    )


def keep_picture(browser: Any, name: str) -> None:
    """For people: `HPS_PICTURES=FOLDER` keeps what the browser showed."""
    if folder := os.environ.get("HPS_PICTURES"):
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


@in_a_browser
def test_a_browser_shows_it_with_styles_and_without_a_complaint(shown: Any) -> None:
    keep_picture(shown, "wide")
    assert shown.title == "(4) Models on gpu-17"
    assert texts(shown, "h2") == ORDER
    assert "Not served" in texts(shown, ".mood")[0]
    radius = shown.execute_script(
        "return getComputedStyle(document.querySelector('article')).borderRadius"
    )
    assert radius == "8px"
    assert shown.get_log("browser") == []


@in_a_browser
def test_it_becomes_fresh_by_itself_and_keeps_what_a_person_has_closed(
    shown: Any, watched: Watched
) -> None:
    shown.execute_script("document.querySelector('#model-ocr summary').click()")
    shown.execute_script("document.querySelector('#model-table summary').focus()")
    shown.execute_script("window.same = true")
    watched.models = (*EVERYTHING[1:], snapshots.model(Telling().live(1), "new"))
    wait_for(shown, lambda one: "new" in texts(one, "h2"))
    assert shown.execute_script("return window.same")  # it was not loaded anew
    assert texts(shown, "h2") == [*ORDER[:-1], "new"]
    assert not shown.execute_script("return document.querySelector('#model-ocr details').open")
    assert shown.execute_script("return document.querySelector('#model-table details').open")
    focused = shown.execute_script("return document.activeElement.closest('article').id")
    assert focused == "model-table"
    assert shown.get_log("browser") == []


@in_a_browser
def test_a_monitor_that_has_gone_is_told_and_what_was_shown_stays(
    browser: Any, watched: Watched
) -> None:
    with served("127.0.0.1:0", watched.views) as url:
        browser.get(url)
    wait_for(browser, lambda one: "has not answered" in texts(one, "#away")[0])
    keep_picture(browser, "away")
    assert texts(browser, "h2") == ORDER
    listen = url.removeprefix("http://").removesuffix("/")
    with served(listen, watched.views):
        wait_for(browser, lambda one: texts(one, "#away") == [""])


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_and_can_be_read_in_light_and_dark_and_on_phones(
    shown: Any, scheme: str, width: int
) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    shown.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        keep_picture(shown, f"{scheme}-{width}")
        room, needed = shown.execute_script(
            "return [document.documentElement.clientWidth, document.documentElement.scrollWidth]"
        )
        assert needed <= room
        low = [(text, ratio) for text, ratio in shown.execute_script(_CONTRAST) if ratio < 4.5]
        assert low == []  # WCAG 2.2, 1.4.3: contrast (minimum)
    finally:
        shown.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@in_a_browser
def test_hostile_names_do_nothing_in_a_browser(shown: Any, watched: Watched) -> None:
    watched.models = (snapshots.hostile(),)
    wait_for(shown, lambda one: len(texts(one, "h2")) == 1)
    keep_picture(shown, "hostile")
    first = texts(shown, "h2")[0]
    shown.refresh()
    assert texts(shown, "h2")[0] == first
    assert first.startswith("<script>document.title='owned'</script>")
    assert shown.title == "(1) Models on gpu-17"
    assert shown.execute_script("return document.images.length") == 0
    assert shown.get_log("browser") == []


@in_a_browser
def test_what_slips_in_nevertheless_is_stopped_by_the_policy(shown: Any) -> None:
    shown.execute_script(
        "const one = document.createElement('div');"
        "one.innerHTML = '<img src=x onerror=\"document.title=1\">';"
        "document.body.append(one);"
        "const two = document.createElement('script');"
        "two.textContent = 'document.title = 2'; document.body.append(two);"
    )
    wait_for(shown, lambda one: "Content Security Policy" in json.dumps(one.get_log("browser")))
    assert shown.title == "(4) Models on gpu-17"


@in_a_browser
def test_it_works_without_a_script(shown: Any, watched: Watched) -> None:
    shown.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        shown.refresh()
        heading = shown.find_elements("css selector", "h2")
        assert [one.text for one in heading] == ORDER
        summary = shown.find_element("css selector", "#model-ocr summary")
        summary.click()
        assert not shown.find_element("css selector", "#model-ocr dl").is_displayed()
    finally:
        shown.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@in_a_browser
def test_a_keyboard_and_a_screen_reader_get_everywhere(shown: Any) -> None:
    tree = shown.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = {node["role"]["value"] for node in tree if not node.get("ignored")}
    assert {"main", "status", "heading", "table", "columnheader", "article"} <= roles
    nameless = [
        node["role"]["value"]
        for node in tree
        if not node.get("ignored")
        and node["role"]["value"] in {"link", "region", "heading", "table", "DisclosureTriangle"}
        and not node.get("name", {}).get("value")
    ]
    assert nameless == []
    reached = []
    body = shown.find_element("css selector", "body")
    for _ in range(12):
        body.send_keys("\ue004")  # the tab key
        body = shown.switch_to.active_element
        reached.append(body.tag_name)
    assert reached.count("summary") == 5


_CONTRAST = """
const channel = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
function paper(one) {
  for (; one; one = one.parentElement) {
    const found = numbers(getComputedStyle(one).backgroundColor);
    if (found.length < 4 || found[3] > 0) return found;
  }
  return [255, 255, 255];
}
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const one = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !one.checkVisibility()) continue;
  const pair = [light(numbers(getComputedStyle(one).color)), light(paper(one))].sort((a, b) => a - b);
  found.push([walker.currentNode.data, (pair[1] + 0.05) / (pair[0] + 0.05)]);
}
return found;
"""
