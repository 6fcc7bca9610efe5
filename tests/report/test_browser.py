"""The report as a person sees it, and as a workflow's artifact page serves it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from clio_argo.report.html import report_html
from tests.browser import Browser, Page
from tests.report.example import example

# what Argo Workflows sends with every artifact
ARTIFACT_POLICY = "sandbox; base-uri 'none'; default-src 'none'; img-src 'self'; style-src 'self' 'unsafe-inline'"
LOADED_PICTURES = "[...document.images].filter(i => i.complete && i.naturalWidth).length"
CONTRASTS = """
[...document.querySelectorAll('h1,h2,td,th,dt,dd,figcaption,summary,.status,.figures span,.note,text')].map(e => {
  const rgb = t => (t.match(/[\\d.]+/g) || []).map(Number);
  const light = c => { const [r, g, b] = c.slice(0, 3).map(
    v => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  let back = e; while (rgb(getComputedStyle(back).backgroundColor)[3] === 0) back = back.parentElement;
  const style = getComputedStyle(e);
  const pair = [light(rgb(e.tagName === 'text' ? style.fill : style.color)),
                light(rgb(getComputedStyle(back).backgroundColor))];
  return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
})
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


def _write(folder: Path, slices: int) -> Path:
    (folder / "views").mkdir()
    picture = imagecodecs.png_encode(np.tile(np.arange(250, dtype=np.uint8), (60, 4)))
    for view in ("xy", "xz", "yz"):
        for when in ("before", "after"):
            (folder / "views" / f"{view}_{when}.png").write_bytes(picture)
    data = example(slices, broken=True)
    (folder / "views" / "slices").mkdir()
    for name in data.slice_pictures.values():
        (folder / name).write_bytes(picture)
    report = folder / "report.html"
    report.write_text(report_html(data), encoding="utf-8")
    return report


def _check(page: Page) -> None:
    page.wait("document.readyState === 'complete'")
    assert page.failures == []
    assert page.console == []
    asked = [url for url in page.requests if not url.endswith("/favicon.ico")]
    assert len(asked) == 1 + page.evaluate("document.images.length")
    assert page.evaluate(LOADED_PICTURES) == page.evaluate("document.images.length") > 6


@pytest.mark.properties
@pytest.mark.browser
@pytest.mark.parametrize("slices", [60, 14_000])
def test_opens_from_a_folder(tmp_path: Path, browser: Browser, slices: int) -> None:
    page = browser.open(_write(tmp_path, slices).as_uri())
    _check(page)
    for width in (1280, 800, 390):
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=720, deviceScaleFactor=1, mobile=False)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.properties
@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(tmp_path: Path, browser: Browser, scheme: str) -> None:
    page = browser.open(_write(tmp_path, 60).as_uri())
    _check(page)
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    assert min(page.evaluate(CONTRASTS)) >= 4.5


@pytest.mark.browser
def test_opens_under_the_policy_of_an_artifact_page(tmp_path: Path, browser: Browser) -> None:
    report = _write(tmp_path, 60)
    with served_as_artifact(report.parent) as url:
        page = browser.open(f"{url}/{report.name}")
        _check(page)
        assert page.evaluate("getComputedStyle(document.querySelector('section')).borderRadius") == "10px"
        # no script runs, and the page is whole without
        assert page.evaluate("document.querySelectorAll('figure.plot svg').length") == 6
        assert page.evaluate("document.querySelectorAll('canvas, .readout, .walk').length") == 0


class _ArtifactPage(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        # asked for by the browser, not by the page
        if self.path == "/favicon.ico":
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", ARTIFACT_POLICY)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served_as_artifact(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_ArtifactPage, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
