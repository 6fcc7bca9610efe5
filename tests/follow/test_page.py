"""The page of a stack that is recorded, in a browser that stays open."""

import time
from pathlib import Path

import numpy as np
import pytest

from tests.browser import Browser
from tests.follow.desk import Desk, settled
from tests.stacks import FIRST, demo_slice, demo_slices

SIZE = 128
# nothing is there while the page loads anew
JUDGED = "(document.querySelector('.status li') || {textContent: ''}).textContent"


@pytest.mark.properties
def test_an_open_page_shows_what_came_with_its_pictures_and_loads_nothing_else(tmp_path: Path) -> None:
    with settled(), Browser() as browser:
        desk = Desk(tmp_path, follow__every="1s")
        for z, image in demo_slices(5, SIZE).items():
            desk.record(z, image)
        desk.look()
        page = browser.open((desk.out / "follow.html").as_uri())
        page.wait("document.readyState === 'complete'")
        assert page.evaluate(JUDGED) == "5 slices judged, 0 to be looked at, 0 missing."
        desk.record(FIRST + 6, demo_slice(FIRST + 6, SIZE))
        desk.record(FIRST + 7, np.zeros((SIZE, SIZE), np.uint8))
        desk.look()
        page.wait(f"({JUDGED}).startsWith('7 slices judged, 1 to be looked at, 1 missing')", timeout=20)
        page.wait("document.images.length && [...document.images].every(i => i.complete && i.naturalWidth > 100)")
        assert page.evaluate("document.querySelectorAll('svg path.line').length") >= 5
        assert page.failures == []
        assert page.console == []


def test_a_page_of_a_stack_that_ended_rests(tmp_path: Path) -> None:
    with settled():
        desk = Desk(tmp_path, follow__until_idle="0.2s")
        desk.record(FIRST, demo_slice(FIRST, SIZE))
        desk.look()
        assert 'http-equiv="refresh"' in desk.page
        time.sleep(0.3)
        desk.look()
    assert 'http-equiv="refresh"' not in desk.page
    assert "No slice came any more" in desk.page


@pytest.mark.parametrize("name", ["<b>fly</b>", "fly & mouse"])
def test_text_stays_text(tmp_path: Path, name: str) -> None:
    with settled():
        desk = Desk(tmp_path, id=name)
        desk.record(FIRST, demo_slice(FIRST, SIZE))
        desk.look()
    assert name not in desk.page.replace("fly &amp; mouse", "")
