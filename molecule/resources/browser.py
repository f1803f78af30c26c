# SPDX-License-Identifier: GPL-3.0-or-later
"""Open a page in headless Chromium, and tell what it shows, what it complains about and what it asks the net for."""

from __future__ import annotations

import base64
import contextlib
import json
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import installed
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

#: Where Debian's packages chromium and chromium-driver put their programs.
CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"

#: Where screenshots are kept as build artefacts.
SCREENSHOTS = ROOT / ".cache" / "screenshots"

#: No sandbox: tests run as root in containers. The rest keeps the browser from asking the net for itself.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip

#: Width and height of a phone and of a desk, in CSS pixels.
PHONE, DESK = (360, 780), (1200, 900)

#: No phone is wider than this.
PHONE_WIDTH = 430


class Browser:
    """One Chromium; each page is opened as a new visitor would, with the size and the colours that are asked for."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        """Drive ``driver``."""
        self._driver = driver
        self._page = ""

    def open(self, page: pathlib.Path, size: tuple[int, int] = DESK, dark: bool = False, printed: bool = False) -> None:
        """Open the file ``page``, on paper where ``printed``; what was logged before is forgotten."""
        for kind in ("browser", "performance"):
            self._driver.get_log(kind)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._tell("Emulation.setEmulatedMedia", media="print" if printed else "", features=scheme)
        self.resize(size)
        self._page = page.absolute().as_uri()
        self._driver.get(self._page)

    def resize(self, size: tuple[int, int]) -> None:
        """Show the page that is open in another size; a narrow window is a phone's."""
        width, height = size
        phone = width <= PHONE_WIDTH
        self._tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def complaints(self) -> list[str]:
        """Return what the console got since the page was opened, refused requests among it."""
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since the page was opened, the page itself first."""
        events = [json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance")]
        asked = [
            event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
        ]
        # what the browser's own start page asked for is logged late
        return asked[asked.index(self._page) :] if self._page in asked else asked

    def texts(self, selector: str) -> list[str]:
        """Return the visible text of each element that a CSS selector finds."""
        return [element.text for element in self._driver.find_elements(By.CSS_SELECTOR, selector)]

    def run(self, script: str) -> object:
        """Return what a script returns; the page's own rules do not bind it."""
        return self._driver.execute_script(script)

    def click(self, selector: str) -> None:
        """Click on the first element that a CSS selector finds, as a person does: scripts may not copy."""
        self._driver.find_element(By.CSS_SELECTOR, selector).click()

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        # not innerWidth, which a phone makes as wide as what is too wide
        return int(self.run("const page = document.documentElement; return page.scrollWidth - page.clientWidth"))

    def screenshot(self, name: str, height: int | None = None) -> pathlib.Path:
        """Keep a picture of the whole page, or of its first ``height`` pixels, as a build artefact."""
        whole = int(self.run("return document.documentElement.scrollHeight"))
        width = int(self.run("return window.innerWidth"))
        clip = {"x": 0, "y": 0, "width": width, "height": min(height or whole, whole), "scale": 1}
        shot = self._tell("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / name
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def _tell(self, command: str, **params: object) -> dict:
        return self._driver.execute_cdp_cmd(command, params)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Start a Chromium with a profile of its own, and end it.

    Without Chromium the test fails, or is skipped where MYIA_UNIT_ONLY is set.
    """
    lacking = [path for path in (CHROMIUM, DRIVER) if not shutil.which(path)]
    if lacking:
        installed.missing("%s is not installed. Run `tools/bootstrap browser`." % ", ".join(lacking))
    with tempfile.TemporaryDirectory(prefix="myia-chromium-", ignore_cleanup_errors=True) as profile:
        options = Options()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS, "--user-data-dir=" + profile):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            yield Browser(driver)
        finally:
            driver.quit()


def assert_report(page: Browser, sections: tuple[str, ...]) -> None:
    """Assert of the report that is open: no complaint, nothing asked for but itself, all there, no overflow.

    Args:
        page: the browser.
        sections: ids of the sections that have to be visible.
    """
    complaints, asked = page.complaints(), page.requests()
    assert not complaints, complaints
    assert len([url for url in asked if url.startswith("file:")]) == 1, asked
    assert not [url for url in asked if not url.startswith(("file:", "data:"))], asked
    for name in sections:
        shown = page.texts("#" + name)
        assert len(shown) == 1 and shown[0].strip(), "the section %s is missing or empty" % name
    assert page.overflow() <= 0
