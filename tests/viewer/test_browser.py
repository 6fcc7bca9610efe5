"""What a person sees: a real sharded JPEG volume, served and opened in a headless Chromium without internet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tensorstore as ts
from numpy.typing import NDArray

from clio_argo.store.documents import Store
from clio_argo.viewer.layers import Shown
from clio_argo.viewer.objects import Folder, Remote
from clio_argo.viewer.url import neuroglancer_state, viewer_url
from tests.browser import Browser, Page
from tests.serving import served, serving
from tests.stores import Bucket

pytestmark = pytest.mark.browser

SIZE, RESOLUTION_NM, OFFSET = (300, 200, 90), (8, 8, 16), (5, 7, 3493)
# Grey of the octants, [z, y, x]; far apart, so that a flipped or shifted axis cannot pass.
OCTANTS = np.array([[[30, 80], [130, 180]], [[55, 105], [155, 230]]], np.uint8)
READY = "window.viewer && viewer.layerManager.managedLayers.length && viewer.isReady()"
BOX = "(({x, y, width, height}) => [x, y, width, height])(panel.element.getBoundingClientRect())"
PANELS = f"[...viewer.display.panels].map(panel => {BOX})"
PLANES = {"xy": 0, "xz": 1, "yz": 3}  # the position of each plane among the four panels

Grey = NDArray[np.float64]


def write_volume(root: Path, octants: NDArray[np.uint8]) -> None:
    """A precomputed volume with a voxel offset, each octant in its own grey."""
    sharding = {"preshift_bits": 3, "minishard_bits": 0, "shard_bits": 3, "hash": "identity"}
    volume = ts.open(
        {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": str(root / "ng")},
            "multiscale_metadata": {"type": "image", "data_type": "uint8", "num_channels": 1},
            "scale_metadata": {
                "size": SIZE,
                "resolution": RESOLUTION_NM,
                "voxel_offset": OFFSET,
                "encoding": "jpeg",
                "chunk_size": [64, 64, 64],
                "sharding": sharding | {"@type": "neuroglancer_uint64_sharded_v1"},
            },
            "create": True,
        }
    ).result()
    halves = [np.arange(n) * 2 // n for n in SIZE]
    volume[..., 0] = octants.T[np.ix_(*halves)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("octants")
    write_volume(root, OCTANTS)
    with serving(root) as link:
        yield link


@pytest.fixture(scope="module")
def panels(browser: Browser, link: str, tmp_path_factory: pytest.TempPathFactory) -> list[Grey]:
    """The panels of the octants."""
    return look(browser, link, tmp_path_factory.mktemp("picture") / "octants.png")[1]


def look(browser: Browser, link: str, out_png: Path) -> tuple[Page, list[Grey]]:
    """The page, and the picture of each panel as grey [row, column]."""
    page = browser.open(link)
    page.wait(READY)
    page.screenshot(out_png)
    picture = np.asarray(cv2.imread(str(out_png), cv2.IMREAD_GRAYSCALE), np.float64)
    boxes = [[round(side) for side in box] for box in page.evaluate(PANELS)]
    return page, [picture[y : y + height, x : x + width] for x, y, width, height in boxes]


def view(link: str, **changes: Any) -> dict[str, Any]:
    """The state behind `link`, or with `changes` another view of the same volume."""
    x, y, z = (begin + n / 2 + 0.5 for begin, n in zip(OFFSET, SIZE, strict=True))
    return neuroglancer_state(
        f"precomputed://{served(link)[1]}/ng",
        name="octants",
        position_vox=(x, y, z),
        resolution_nm=RESOLUTION_NM,
        size=SIZE,
        **changes,
    )


def half_px(state: dict[str, Any], axes: tuple[int, int]) -> tuple[float, float]:
    """Half of a cross section's width and height on the screen."""
    nm_per_px = state["crossSectionScale"] * min(RESOLUTION_NM)
    across, down = (SIZE[axis] * RESOLUTION_NM[axis] / 2 / nm_per_px for axis in axes)
    return across, down


def quadrants(panel: Grey, half: tuple[float, float]) -> Grey:
    """Median grey [row, column] of the quadrants of a cross section around the middle of `panel`.

    `half` is what `half_px` gives. The boxes of 20 px lie near its corners: no axis line or
    frame is there, and they are inside of the section only if it is shown whole and at the expected scale.
    """
    down, across = panel.shape[0] / 2, panel.shape[1] / 2
    rows = [int(down + side * (half[1] - 20)) for side in (-1, 1)]
    columns = [int(across + side * (half[0] - 20)) for side in (-1, 1)]
    boxes = [[panel[row - 10 : row + 10, column - 10 : column + 10] for column in columns] for row in rows]
    return np.asarray(np.median(boxes, axis=(2, 3)), np.float64)


@pytest.mark.parametrize(
    ("plane", "axes", "expected"),
    [
        ("xy", (0, 1), OCTANTS[1]),
        ("xz", (0, 2), OCTANTS[:, 1]),
        ("yz", (2, 1), OCTANTS[:, :, 1].T[:, ::-1]),  # neuroglancer lets z run to the left here
    ],
)
def test_each_plane_shows_the_whole_volume_where_it_belongs(
    link: str, panels: list[Grey], plane: str, axes: tuple[int, int], expected: NDArray[np.uint8]
) -> None:
    seen = quadrants(panels[PLANES[plane]], half_px(view(link), axes))
    np.testing.assert_allclose(seen, expected, atol=4)


@pytest.mark.properties
def test_a_run_in_a_bucket_and_one_on_this_machine_lie_over_each_other(
    browser: Browser, link: str, panels: list[Grey], gcs: Bucket, tmp_path: Path
) -> None:
    write_volume(tmp_path, OCTANTS)
    for file in (f for f in tmp_path.rglob("*") if f.is_file()):
        Store(f"{gcs.url}/octants").write(file.relative_to(tmp_path).as_posix(), file.read_bytes())
    private = Shown("private", Remote(Store(f"{gcs.url}/octants/ng")))
    with serving(private, Shown("here", Folder(tmp_path / "ng"))) as both:
        page, seen = look(browser, both, tmp_path / "both.png")
    assert page.evaluate("viewer.layerManager.managedLayers.map(layer => layer.name)") == ["private", "here"]
    assert [url for url in page.failures if not url.endswith("/favicon.ico")] == []
    assert any("octants%2Fng%2F8_8_16%2F" in line for line in gcs.log())
    for plane, axes in (("xy", (0, 1)), ("xz", (0, 2)), ("yz", (2, 1))):
        one, two = (quadrants(each[PLANES[plane]], half_px(view(link), axes)) for each in (panels, seen))
        np.testing.assert_allclose(two, one, atol=2)


@pytest.mark.properties
def test_a_volume_without_objects_is_black(browser: Browser, panels: list[Grey], tmp_path: Path) -> None:
    write_volume(tmp_path, np.zeros_like(OCTANTS))
    assert list(tmp_path.rglob("*.shard")) == []
    with serving(tmp_path) as link:
        _, empty = look(browser, link, tmp_path / "empty.png")
    np.testing.assert_allclose(quadrants(empty[PLANES["xy"]], half_px(view(link), (0, 1))), np.zeros((2, 2)))
    for index in PLANES.values():
        assert np.mean(np.abs(panels[index] - empty[index]) > 20) > 0.2


@pytest.mark.properties
def test_window_sets_black_and_white(browser: Browser, link: str, tmp_path: Path) -> None:
    state = view(link, window=(55, 155), layout="xy")
    _, (panel,) = look(browser, viewer_url(state, served(link)[0] + "/v/run"), tmp_path / "window.png")
    seen = quadrants(panel, half_px(state, (0, 1)))
    np.testing.assert_allclose(seen, np.array([[0, 127.5], [255, 255]]), atol=8)


@pytest.mark.properties
def test_the_client_asks_this_machine_only_and_has_nothing_to_complain_about(
    browser: Browser, link: str, tmp_path: Path
) -> None:
    page, _ = look(browser, link, tmp_path / "page.png")
    assert f"{served(link)[1]}/ng/info" in page.requests
    assert [
        url for url in page.requests if not url.startswith((link.partition("/neuroglancer")[0], "data:", "blob:"))
    ] == []
    # Browsers ask for an icon of their own accord.
    assert [url for url in page.failures if not url.endswith("/favicon.ico")] == []
    assert set(page.console) <= {"python state event source connected"}


@pytest.mark.properties
def test_the_short_address_leads_to_the_volume(browser: Browser, link: str) -> None:
    page = browser.open(link.partition("neuroglancer")[0])
    page.wait(READY)
    assert "precomputed" in page.evaluate("location.hash")
