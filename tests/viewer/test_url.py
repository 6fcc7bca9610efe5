"""Laws of the link: neuroglancer gets back the state that went in, and the canvas fits into every panel."""

import json
import re
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.viewer.url import PUBLIC_HOST, Point, neuroglancer_state, viewer_url

SIZE, RESOLUTION_NM = (15000, 12000, 13696), (8.0, 8.0, 16.0)
LAYOUTS = ("4panel", "4panel-alt", "xy", "xz", "yz", "xy-3d", "xz-3d", "yz-3d", "3d")


def state(size: tuple[int, int, int] = SIZE, resolution_nm: Point = RESOLUTION_NM, **changes: Any) -> dict[str, Any]:
    plain = {"name": "medulla", "position_vox": (1.5, 2.5, 3493.5), "size": size, "resolution_nm": resolution_nm}
    return neuroglancer_state("precomputed://gs://bucket/run/ng", **(plain | changes))


def test_state_names_source_position_and_metres() -> None:
    seen = state(layout="xy")
    assert seen["dimensions"] == {"x": [8e-9, "m"], "y": [8e-9, "m"], "z": [16e-9, "m"]}
    assert seen["position"] == [1.5, 2.5, 3493.5]
    assert seen["layers"] == [{"type": "image", "source": "precomputed://gs://bucket/run/ng", "name": "medulla"}]
    assert seen["layout"] == "xy"


def test_window_becomes_the_range_of_the_default_shader() -> None:
    assert state(window=(10, 230))["layers"][0]["shaderControls"] == {"normalized": {"range": [10, 230]}}


def test_link_is_the_form_that_neuroglancer_itself_writes() -> None:
    link = viewer_url({"name": "a, (b)'s; 100%*!", "url": "gs://é"})
    assert link == (
        "https://neuroglancer-demo.appspot.com/#!"
        "%7B%22name%22:%22a%2C%20%28b%29%27s%3B%20100%25%2A%21%22%2C%22url%22:%22gs://%C3%A9%22%7D"
    )


@pytest.mark.parametrize("host", ["http://127.0.0.1:1/neuroglancer", "http://127.0.0.1:1/neuroglancer/"])
def test_host_may_end_with_a_slash(host: str) -> None:
    assert viewer_url({}, host) == "http://127.0.0.1:1/neuroglancer/#!%7B%7D"


@given(name=st.text(st.characters(exclude_categories=["Cs"])), lo=st.floats(0, 1e5), hi=st.floats(0, 1e5))
def test_link_round_trips_and_holds_only_safe_characters(name: str, lo: float, hi: float) -> None:
    before = state(name=name, window=(lo, hi))
    link = viewer_url(before)
    host, fragment = link.split("#!")
    assert host == f"{PUBLIC_HOST}/"
    assert re.fullmatch(r"[A-Za-z0-9%/?:@&=+$#._~-]*", fragment)
    assert json.loads(unquote(fragment)) == before


@given(
    size=st.tuples(*[st.integers(1, 200_000)] * 3),
    resolution_nm=st.tuples(*[st.floats(0.5, 100)] * 3),
    layout=st.sampled_from(LAYOUTS),
)
def test_every_side_that_a_layout_shows_fits(size: tuple[int, int, int], resolution_nm: Point, layout: str) -> None:
    across = [n * nm for n, nm in zip(size, resolution_nm, strict=True)]
    nm_per_px = state(size, resolution_nm, layout=layout)["crossSectionScale"] * min(resolution_nm)
    shown = ["xyz".index(axis) for axis in layout[:2]] if layout[0] in "xyz" else [0, 1, 2]
    # A browser window of 1280 x 720 leaves 1280 x 674 to the panels.
    columns, rows = (1, 1) if len(layout) == 2 else (2, 1) if layout[2:] == "-3d" and layout[0] in "xyz" else (2, 2)
    assert max(across[axis] for axis in shown) <= nm_per_px * 1280 / columns
    assert min(across[axis] for axis in shown) <= nm_per_px * 674 / rows


def test_the_canvas_is_not_shown_smaller_than_needed() -> None:
    assert state((1200, 600, 1), (8, 8, 8), layout="xy")["crossSectionScale"] == 1.0
    assert state((1200, 600, 300), (8, 8, 16), layout="4panel")["crossSectionScale"] == 2.0
