"""The report where scripts run: what the pointer tells, zooming, and slices with their neighbours."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from urllib.request import urlopen

import imagecodecs
import numpy as np
import pytest

from clio_argo.model.layout import thumbnail_name
from clio_argo.report.data import ReportData
from clio_argo.report.html import report_html
from clio_argo.report.script import source
from tests.browser import Browser, Page
from tests.report.example import example
from tests.serving import served, serving

pytestmark = pytest.mark.browser

DRAWN = "document.readyState === 'complete' && document.querySelectorAll('.chart canvas').length"
BOX = "(({x, y, width, height}) => [x, y, width, height])(document.querySelectorAll('.u-over')[%d].getClientRects()[0])"
LOADED = (
    "[...document.querySelectorAll('.walk img')].map(i => [i.getAttribute('src'), i.complete && i.naturalWidth > 0])"
)

SHOWN = "document.querySelector('.walk header b').textContent"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


def write(folder: Path, data: ReportData, pictures: Sequence[int] = ()) -> str:
    """Write a report with pictures of these planes, and return its address."""
    image = imagecodecs.jpeg_encode(np.full((40, 50), 128, np.uint8))
    for name in (*map(thumbnail_name, pictures), *(data.slice_pictures.values() if pictures else ())):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image)
    (folder / "report.html").write_text(report_html(data), encoding="utf-8")
    return (folder / "report.html").as_uri()


def press(page: Page, key: str) -> None:
    """Press and release a key."""
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key=key)


def ink(page: Page, chart: int, colour: str) -> float:
    """The share of the columns of a plot in which a colour of the page is drawn."""
    return float(
        page.evaluate(f"""(() => {{
      const canvas = document.querySelectorAll('.chart canvas')[{chart}], {{width, height}} = canvas;
      const value = getComputedStyle(document.documentElement).getPropertyValue('{colour}').trim();
      const wanted = [1, 3, 5].map(at => parseInt(value.slice(at, at + 2), 16));
      const {{data}} = canvas.getContext('2d').getImageData(0, 0, width, height), columns = new Set();
      for (let i = 0; i < data.length; i += 4)
        if (wanted.every((c, k) => Math.abs(data[i + k] - c) < 40) && data[i + 3] > 200) columns.add(i / 4 % width);
      return columns.size / width;
    }})()""")
    )


class Walker:
    """A person with a mouse, in front of the plot with the number `chart`. `first` and `count` of its slices."""

    def __init__(self, page: Page, first: int, count: int, chart: int = 1) -> None:
        page.wait(f"{DRAWN} === 6")
        self.page, self.chart = page, chart
        self.low, self.high = first - 0.5, first + count - 0.5
        page.evaluate(f"document.querySelectorAll('.chart')[{chart}].scrollIntoView({{block: 'center'}})")

    def at(self, z: float) -> tuple[float, float]:
        """Where a slice is on the screen, in the middle of the plot's height."""
        left, top, width, height = self.page.evaluate(BOX % self.chart)
        return round(left + (z - self.low) / (self.high - self.low) * width), top + height // 2

    def z_at(self, x: float) -> float:
        """What is there on the screen."""
        left, _, width, _ = self.page.evaluate(BOX % self.chart)
        return self.low + (x - left) / width * (self.high - self.low)

    def mouse(self, kind: str, z: float, **more: Any) -> None:
        x, y = self.at(z)
        self.page.call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **more)

    def point(self, z: float) -> list[str]:
        """What the plots tell with the pointer on a slice."""
        self.mouse("Moved", z)
        self.page.wait(f"document.querySelector('.readout').textContent.startsWith('z {round(z)} ')", 10)
        return list(self.page.evaluate("[...document.querySelectorAll('.readout')].map(r => r.textContent)"))

    def click(self, z: float, times: int = 1) -> None:
        self.mouse("Moved", z)
        for kind in ("Pressed", "Released"):
            self.mouse(kind, z, button="left", clickCount=times)

    def drag(self, low: float, high: float) -> None:
        """Zoom to slices."""
        self.mouse("Moved", low)
        self.mouse("Pressed", low, button="left", clickCount=1)
        self.mouse("Moved", high, button="left", buttons=1)
        self.mouse("Released", high, button="left", clickCount=1)
        self.settle()
        # the pointer is on whole pixels
        self.low, self.high = (self.z_at(self.at(z)[0]) for z in (low, high))

    def settle(self) -> None:
        """Wait until what was asked for is drawn, in the plots that are not on the screen, too."""
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 300)))")

    @property
    def panel(self) -> str:
        """The text of the slices that are shown."""
        return str(self.page.evaluate("document.querySelector('.walk').innerText"))


@pytest.mark.properties
def test_the_pointer_tells_a_drag_zooms_and_a_click_shows_a_slice_with_its_neighbours(
    tmp_path: Path, browser: Browser
) -> None:
    data = example(60, broken=True).model_copy(
        update={"viewer_url": f"https://x.org/#!{json.dumps({'position': [1, 2, 3]})}"}
    )
    bad, fits = data.transforms.flagged[0], {f.z1: f for f in data.transforms.fits if f.matched and f.z1 - f.z0 == 1}
    walker = Walker(browser.open(write(tmp_path, data, range(3493, 3553))), 3493, 60)
    told = walker.point(3521)
    residual = fits[3521].residual_px
    assert told[2] == f"z 3521 good \N{MIDDLE DOT} residual {residual:.4g} px"
    assert len(told) == 6
    assert f"z {bad.z} bad \N{MIDDLE DOT} {bad.reason}" in walker.point(bad.z)[0]
    assert "no match between" in walker.point(bad.z)[0]
    walker.drag(3499.5, 3509.5)
    # the scale is another one in all plots
    assert walker.point(3501)[5].startswith("z 3501 good \N{MIDDLE DOT} focus 0.3")
    walker.click(3505)
    walker.page.wait("document.querySelectorAll('.walk img').length === 5")
    walker.page.wait(f"{LOADED}.every(([, loaded]) => loaded)")
    names = {z: thumbnail_name(z) for z in range(3503, 3508)} | {bad.z: data.slice_pictures[bad.z]}
    assert [src for src, _ in walker.page.evaluate(LOADED)] == list(names.values())
    assert "iso.03505.png" in walker.panel
    link = walker.page.evaluate("document.querySelector('.walk header a').href")
    assert json.loads(unquote(link.partition("#!")[2])) == {"position": [1, 2, 3505.5]}
    walker.click(3505, times=2)
    walker.settle()
    walker.low, walker.high = 3492.5, 3552.5
    assert walker.point(3550)[0].startswith("z 3550 ")
    assert walker.page.console == []
    assert not [name for name in walker.page.failures if "thumbnails" in name]


@pytest.mark.properties
def test_keys_and_buttons_go_on_and_the_address_leads_to_the_slice(tmp_path: Path, browser: Browser) -> None:
    page = browser.open(write(tmp_path, example(60)) + "#slice=3510")
    page.wait(f"{DRAWN} === 6")
    assert page.evaluate(SHOWN) == "z 3510"
    for key, slice_shown in (("ArrowRight", "z 3511"), ("ArrowLeft", "z 3510"), ("ArrowLeft", "z 3509")):
        press(page, key)
        assert page.evaluate(SHOWN) == slice_shown
    page.evaluate("document.querySelector('.walk li:first-child button').click()")
    assert page.evaluate(SHOWN) == "z 3507"
    assert page.evaluate("location.hash") == "#slice=3507"
    # there are no pictures, which is said
    page.wait("document.querySelectorAll('.walk .none').length === 5")
    press(page, "Escape")
    assert page.evaluate("getComputedStyle(document.querySelector('.walk')).display") == "none"


@pytest.mark.properties
@pytest.mark.parametrize(("asked", "first", "there"), [(3493, "z 3493", 3), (3552, "z 3552", 3), (99999, "z 3552", 3)])
def test_the_ends_of_a_stack_have_fewer_neighbours(
    tmp_path: Path, browser: Browser, asked: int, first: str, there: int
) -> None:
    page = browser.open(write(tmp_path, example(60)) + f"#slice={asked}")
    page.wait(f"{DRAWN} === 6")
    assert page.evaluate(SHOWN) == first
    assert page.evaluate("document.querySelectorAll('.walk li > *').length") == there


@pytest.mark.properties
def test_slices_below_0(tmp_path: Path, browser: Browser) -> None:
    page = browser.open(write(tmp_path, example(9, first=-4), range(-4, 5)) + "#slice=-3")
    page.wait(f"{DRAWN} === 6")
    assert page.evaluate(SHOWN) == "z -3"
    assert page.evaluate("document.querySelector('.walk .chosen').getAttribute('href')") == thumbnail_name(-3)


@pytest.mark.properties
def test_a_bad_slice_is_shown_as_recorded_and_a_missing_one_by_what_is_in_its_place(
    tmp_path: Path, browser: Browser
) -> None:
    data = example(60)
    bad, missing = data.transforms.flagged[:2]
    address = write(tmp_path, data)
    for z, said, picture in (
        (bad.z, "bad, as recorded", data.slice_pictures[bad.z]),
        (missing.z, "missing; what is in its place", thumbnail_name(missing.z)),
    ):
        page = browser.open(f"{address}#slice={z}")
        page.wait(f"{DRAWN} === 6")
        assert page.evaluate("document.querySelector('.walk .chosen .verdict').textContent") == said
        assert page.evaluate("document.querySelector('.walk .chosen').getAttribute('href')") == picture
        # it has no place of its own
        assert "Position" not in page.evaluate("document.querySelector('.walk').innerText")


@pytest.mark.properties
def test_numbers_that_are_dates(tmp_path: Path, browser: Browser) -> None:
    first, data = 20_260_101, example(9, first=20_260_101)
    walker = Walker(browser.open(write(tmp_path, data)), first, 9)
    fits = [f for f in data.transforms.fits if f.matched and f.z0 == f.z1 - 2 and f.z1 - 1 not in data.slice_pictures]
    assert fits
    for fit in fits:
        assert f"residual, longer pairs {fit.residual_px:.4g} px" in walker.point(fit.z1)[2]


@pytest.mark.properties
def test_grey_values_of_16_bits_are_told_whole(tmp_path: Path, browser: Browser) -> None:
    data = example(9, bad_every=99)
    bright = tuple(s.model_copy(update={"mean": 43217.0}) for s in data.statistics)
    walker = Walker(browser.open(write(tmp_path, data.model_copy(update={"statistics": bright}))), 3493, 9)
    assert "in the file 43217 grey value" in walker.point(3495)[4]


ABOVE = """document.querySelector('[title="Slice above"]')"""


@pytest.mark.properties
def test_a_slice_is_shown_without_a_mouse_and_when_the_address_changes(tmp_path: Path, browser: Browser) -> None:
    page = browser.open(write(tmp_path, example(60)))
    page.wait(f"{DRAWN} === 6")
    press(page, "Enter")
    assert page.evaluate("document.querySelector('.walk').hidden"), "nothing has the focus"
    page.evaluate("document.querySelector('.chart').focus()")
    press(page, "Enter")
    assert page.evaluate(SHOWN) == "z 3523"
    page.evaluate(f"{ABOVE}.focus()")
    for z in (3524, 3525):
        page.evaluate("document.activeElement.click()")
        assert page.evaluate(SHOWN) == f"z {z}"
    page.evaluate("location.hash = '#slice=3500'")
    page.wait(f"{SHOWN} === 'z 3500'")
    page.evaluate("location.hash = '#z3504'")
    page.evaluate("new Promise(done => setTimeout(done, 100))")
    assert page.evaluate(SHOWN) == "z 3500", "the card of a slice is elsewhere on the page"


@pytest.mark.properties
def test_paper_shows_the_whole_stack_in_dark_ink(tmp_path: Path, browser: Browser) -> None:
    walker = Walker(browser.open(write(tmp_path, example(60)) + "#slice=3500"), 3493, 60)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    shown = "[...document.querySelectorAll('%s')].map(e => getComputedStyle(e).display !== 'none')"
    for media, drawn in (("print", True), ("", False)):
        walker.page.call("Emulation.setEmulatedMedia", media=media, features=dark)
        walker.settle()
        assert walker.page.evaluate(shown % "figure.plot svg") == [drawn] * 6
        assert walker.page.evaluate(shown % ".chart, .readout, .walk") == [not drawn] * 13
        ink = walker.page.evaluate("getComputedStyle(document.body).color")
        assert (ink == "rgb(27, 36, 48)") is drawn
        # browsers print no backgrounds, and those of legends are what they say
        kept = walker.page.evaluate("getComputedStyle(document.querySelector('.key')).printColorAdjust")
        assert (kept == "exact") is drawn


@pytest.mark.properties
def test_the_wheel_scrolls_the_page_and_zooms_with_ctrl(tmp_path: Path, browser: Browser) -> None:
    walker = Walker(browser.open(write(tmp_path, example(600))), 3493, 600)
    top = walker.page.evaluate("scrollY")
    walker.mouse("Wheel", 3700, deltaX=0, deltaY=100)
    walker.page.wait(f"scrollY > {top}")
    walker.mouse("Wheel", 3700, deltaX=0, deltaY=-800, modifiers=2)
    walker.settle()
    # it stays where the pointer is
    assert walker.point(3700)[0].startswith("z 3700 ")
    walker.mouse("Moved", 3493)
    walker.page.wait("!document.querySelector('.readout').textContent.startsWith('z 3700')")
    left = int(walker.page.evaluate("document.querySelector('.readout').textContent").split()[1])
    assert 3650 < left < 3700
    walker.mouse("Wheel", 3700, deltaX=100, deltaY=0)
    walker.settle()
    walker.mouse("Moved", 3494)
    walker.settle()
    assert int(walker.page.evaluate("document.querySelector('.readout').textContent").split()[1]) > left


@pytest.mark.properties
def test_every_slice_of_14000_can_be_reached_and_outliers_are_drawn(tmp_path: Path, browser: Browser) -> None:
    data = example(14_000)
    walker = Walker(browser.open(write(tmp_path, data)), 3493, 14_000)
    jump = data.transforms.jumps[6]
    # fourteen slices share a column; the line of their medians is in each
    assert ink(walker.page, 2, "--a") > 0.9
    walker.drag(jump - 700, jump + 700)
    walker.drag(jump - 20, jump + 20)
    assert "the stage moved between" in walker.point(jump)[1]
    flagged = next(s for s in data.transforms.flagged if s.z > jump - 18)
    walker.click(flagged.z)
    walker.settle()
    assert walker.panel.startswith(f"z {flagged.z}\n{flagged.verdict}")
    assert flagged.reason in walker.panel


@pytest.mark.properties
def test_plots_follow_the_colours_of_the_page(tmp_path: Path, browser: Browser) -> None:
    walker = Walker(browser.open(write(tmp_path, example(600))), 3493, 600)
    for scheme in ("dark", "light"):
        walker.page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        walker.settle()
        assert ink(walker.page, 2, "--a") > 0.3


@pytest.mark.properties
@pytest.mark.parametrize("slices", [1, 2, 3])
def test_short_stacks(tmp_path: Path, browser: Browser, slices: int) -> None:
    page = browser.open(write(tmp_path, example(slices)) + "#slice=3493")
    page.wait(f"{DRAWN} > 0")
    assert page.evaluate(SHOWN) == "z 3493"
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.console == []


@pytest.mark.properties
def test_hostile_names_stay_text(tmp_path: Path, browser: Browser) -> None:
    name = "</script><img src=x onerror='document.title = \"taken\"'>\u2028<b>\u202e"
    data = example(9)
    placed = [
        s.model_copy(update={"file": f"{s.z}{name}", "verdict": "suspect", "reason": name})
        for s in data.transforms.slices
    ]
    transforms = data.transforms.model_copy(update={"slices": tuple(placed)})
    hostile = data.model_copy(update={"transforms": transforms, "viewer_url": name, "run": name, "slice_pictures": {}})
    walker = Walker(browser.open(write(tmp_path, hostile)), 3493, 9)
    assert name[:40] in walker.point(3495)[0]
    walker.click(3495)
    walker.settle()
    for text in (f"3495{name[:-1]}", f"{name[:-1]}\\u202e --z 3495"):
        assert text in walker.page.evaluate("document.querySelector('.walk').textContent")
    assert walker.page.evaluate("document.title") != "taken"
    assert walker.page.evaluate("document.querySelectorAll('.walk b b, .walk img[onerror], .readout *').length") == 0
    assert walker.page.console == []


@pytest.mark.properties
def test_view_serves_the_report_with_its_pictures_and_leads_to_each_slice(aligned: Path, browser: Browser) -> None:
    with serving(aligned, script=source()) as link:
        walker = Walker(browser.open(f"{served(link)[1]}/report.html?view"), 3490, 6)
        walker.click(3492)
        walker.page.wait("document.querySelectorAll('.walk img').length === 5")
        walker.page.wait(f"{LOADED}.every(([, loaded]) => loaded)")
        address = walker.page.evaluate("document.querySelector('.walk header a').href")
        with urlopen(address) as answer:
            shown = answer.url
        assert walker.page.console == []
    assert shown.partition("#")[0] == link.partition("#")[0]
    assert json.loads(unquote(shown.partition("#!")[2]))["position"][2] == 3492.5


@pytest.mark.properties
def test_view_runs_no_other_script(aligned: Path, tmp_path: Path, browser: Browser) -> None:
    run = shutil.copytree(aligned, tmp_path / "run")
    page = (run / "report.html").read_text(encoding="utf-8")
    (run / "report.html").write_text(page.replace("'use strict';", "'use strict'; document.title = 'taken';"))
    with serving(run, script=source()) as link:
        shown = browser.open(f"{served(link)[1]}/report.html?view")
        shown.wait("document.readyState === 'complete'")
        assert shown.evaluate("document.title") != "taken"
        assert shown.evaluate("document.querySelectorAll('figure.plot svg').length") == 6
