"""The built site: its pages, links, pictures and search, as a browser shows them."""

import inspect
import re
import shutil
import subprocess
import sys
import threading
import time
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

import skrl
from skrl import (
    callbacks,
    displays,
    environments,
    estimator_checks,
    policies,
    qfunctions,
    runners,
    studies,
)

DOCS = Path(__file__).parents[2] / "docs"
DESKTOP, PHONE = (1400, 1000), (390, 844)
# Elements of the text that reach beyond the right edge, outside of everything that scrolls.
TOO_WIDE = """
const scrolls = element => ["auto", "scroll", "hidden"].includes(getComputedStyle(element).overflowX);
const isCut = element => element.getBoundingClientRect().right > innerWidth + 1;
const hasScroller = element => {
  for (let e = element.parentElement; !e.matches(".bd-article"); e = e.parentElement)
    if (scrolls(e)) return true;
  return false;
};
return [...document.querySelectorAll(".bd-article :not(.headerlink)")]
  .filter(element => isCut(element) && !hasScroller(element))
  .map(element => element.textContent.trim().slice(0, 60));
"""
MODULES = (
    skrl,
    callbacks,
    displays,
    environments,
    estimator_checks,
    policies,
    qfunctions,
    runners,
    studies,
)


def objects(names, module):
    """The classes and functions of these names."""
    found = [getattr(module, name) for name in names]
    return {thing for thing in found if inspect.isclass(thing) or inspect.isfunction(thing)}


def test_the_reference_has_every_public_name():
    listed = set()
    for page in (DOCS / "api").glob("*.rst"):
        module = None
        for line in page.read_text().splitlines():
            if line.startswith(".. currentmodule::"):
                module = sys.modules[line.split()[-1]]
            elif line.startswith("   ") and line.strip().isidentifier():
                listed |= objects([line.strip()], module)
    for module in MODULES:
        missing = objects(module.__all__, module) - listed
        assert not missing, f"docs/api lacks {missing} of {module.__name__}."


class Page(HTMLParser):
    """The links of a page, the files that it shows, and its anchors."""

    def __init__(self, file):
        super().__init__()
        self.targets, self.anchors = [], set()
        self.feed(file.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes.get("id"), attributes.get("name")}
        self.targets += [attributes[key] for key in ("href", "src") if attributes.get(key)]


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def site():
    """The folder of the site, built if something changed."""
    html = DOCS / "_build" / "html"
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", DOCS, html],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return html


@pytest.fixture(scope="module")
def pages(site):
    return sorted(file for file in site.rglob("*.html") if "_static" not in file.parts)


@pytest.fixture(scope="module")
def address(site):
    """Where the site is served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=site))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.fail("The test needs a browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


def resize(browser, size):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE},
    )


def wait_for(condition, seconds=20):
    """Wait until a condition holds, and give whether it does."""
    end = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return holds


def visit(browser, address, site, page):
    browser.get(f"{address}/{page.relative_to(site)}")


@pytest.mark.slow
def test_internal_links_resolve(site, pages):
    parsed = {page.resolve(): Page(page) for page in pages}
    broken = []
    for page, content in parsed.items():
        for target in content.targets:
            path, anchor = urldefrag(target)
            if re.match(r"\w+:|//", target):
                continue
            file = (page.parent / unquote(path).split("?")[0]).resolve() if path else page
            known = parsed[file].anchors if anchor and file in parsed else {anchor}
            if not file.exists() or unquote(anchor) not in known:
                broken.append(f"{page.relative_to(site.resolve())}: {target}")
    assert not broken, "\n".join(broken)


@pytest.mark.slow
def test_no_page_needs_the_network(pages):
    loads = re.compile(r'<(?:script|link|img)[^>]* (?:src|href)="(\w+://[^"]*)"')
    loaded = {page.name: loads.findall(page.read_text()) for page in pages}
    assert not any(loaded.values()), loaded


@pytest.mark.slow
def test_pages_fit_on_a_phone_and_report_no_errors(browser, address, site, pages):
    resize(browser, PHONE)
    problems = []
    for page in pages:
        visit(browser, address, site, page)
        width = browser.execute_script("return document.documentElement.scrollWidth")
        if width > PHONE[0]:
            problems.append(f"{page.relative_to(site)} is {width} pixels wide.")
        for text in browser.execute_script(TOO_WIDE)[:1]:
            problems.append(f"{page.relative_to(site)} is cut off at {text!r}.")
        errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        problems += [f"{page.relative_to(site)}: {entry['message']}" for entry in errors]
    assert not problems, "\n".join(problems)


@pytest.mark.slow
def test_the_search_finds_epsilon(browser, address):
    resize(browser, DESKTOP)
    browser.get(f"{address}/search.html?q=epsilon")
    results = partial(browser.find_elements, By.CSS_SELECTOR, "#search-results ul.search li a")
    assert wait_for(results)
    assert wait_for(lambda: any("EpsilonGreedy" in result.text for result in results()))


@pytest.mark.slow
def test_gallery_pages_show_their_plots(browser, address, site, pages):
    resize(browser, DESKTOP)
    with_plots = [page for page in pages if "sphx-glr-single-img" in page.read_text()]
    assert with_plots, "No page of the gallery has a plot."
    for page in with_plots:
        visit(browser, address, site, page)
        for image in browser.find_elements(By.CSS_SELECTOR, "img.sphx-glr-single-img"):
            assert wait_for(lambda image=image: image.get_property("naturalWidth") > 100), page


@pytest.mark.slow
def test_an_animation_of_the_gallery_plays(browser, address):
    resize(browser, DESKTOP)
    browser.get(f"{address}/auto_examples/plot_values_spread.html")
    video = browser.find_element(By.TAG_NAME, "video")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", video)
    assert wait_for(lambda: video.get_property("currentTime") > 0)
    first = video.screenshot_as_png
    assert wait_for(lambda: video.screenshot_as_png != first)


@pytest.mark.slow
def test_the_animation_of_the_front_page_plays(browser, address):
    resize(browser, DESKTOP)
    browser.get(address)
    animation = browser.find_element(By.CSS_SELECTOR, 'img[src$=".gif"]')
    assert wait_for(lambda: animation.get_property("naturalWidth") > 100)
    first = animation.screenshot_as_png
    assert wait_for(lambda: animation.screenshot_as_png != first)
