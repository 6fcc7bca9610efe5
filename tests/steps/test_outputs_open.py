"""What people open the outputs of a real run with: neuroglancer in a browser, napari's reader, a browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from clio_argo.viewer.url import Point, neuroglancer_state, viewer_url
from tests.browser import Browser
from tests.cloud_volume import cloud_volume
from tests.serving import served, serving
from tests.stacks import lossless
from tests.store.test_volumes import pyramid, volumes, write_all

READY = "window.viewer && viewer.layerManager.managedLayers.length && viewer.isReady()"
# grey values of each layer at a quarter of a voxel from each other along each axis through a point
PROFILES = """viewer.layerManager.managedLayers.map(({layer}) => [0, 1, 2].map(axis =>
    [...Array(80).keys()].map(n => {
        const at = Float32Array.from(POINT);
        at[axis] += (n - 40) / 4 + 0.125;
        return Number(layer.getValueAt(at, {pickedRenderLayer: null}) ?? -1);
    })))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


def seen(browser: Browser, link: str, picture: Path) -> NDArray[np.float64]:
    """The upper left panel, x and y, as grey [row, column]."""
    page = browser.open(link)
    page.wait(READY)
    page.screenshot(picture)
    grey = np.asarray(cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE), np.float64)
    return grey[100:330, 180:430]


@pytest.mark.properties
@pytest.mark.browser
def test_both_volumes_show_the_same_tissue_in_the_same_place(browser: Browser, demo: Path, tmp_path: Path) -> None:
    depth, height, width = lossless(demo).shape
    with serving(demo) as link:
        client, objects = served(link)
        jpeg = seen(browser, link, tmp_path / "ng.png")
        state = neuroglancer_state(
            f"zarr://{objects}/aligned/",
            name="aligned",
            position_vox=(width / 2, height / 2, 3490 + depth / 2),
            resolution_nm=(10, 10, 10),
            size=(width, height, depth),
        )
        zarr = seen(browser, viewer_url(state, f"{client}/v/run"), tmp_path / "zarr.png")
    assert jpeg.std() > 30  # tissue after CLAHE, not an empty panel
    assert np.corrcoef(jpeg.ravel(), zarr.ravel())[0, 1] > 0.95


@pytest.mark.properties
@pytest.mark.browser
@pytest.mark.parametrize(
    ("resolution", "zoom"), [((8, 8, 8), 1), ((4, 8, 20), 1), ((4, 8, 20), 6)], ids=["isotropic", "finest", "coarsest"]
)
def test_a_landmark_has_one_position_in_both_volumes(
    browser: Browser, tmp_path: Path, resolution: Point, zoom: float
) -> None:
    written = volumes(tmp_path, (24, 530, 90), z=3493, resolution=resolution)
    finest = np.zeros(written.spec.scales[0].size, np.uint8)
    # whole voxels of each scale: x 40 to 44, y 200 to 208, z 3501 to 3505
    finest[8:12, 200:208, 40:44] = 240
    write_all(written, pyramid(written.spec, finest))
    middle = (42.0, 204.0, 3503.0)
    with serving(tmp_path) as link:
        client, objects = served(link)
        state = neuroglancer_state(
            f"precomputed://{objects}/ng", name="ng", position_vox=middle, resolution_nm=resolution, size=(90, 530, 24)
        )
        state["layers"].append({"type": "image", "source": f"zarr://{objects}/aligned/", "name": "aligned"})
        state["crossSectionScale"] = zoom
        page = browser.open(viewer_url(state, f"{client}/v/run"))
        page.wait(READY.replace(".length", ".length === 2"))
        profiles = np.array(page.evaluate(PROFILES.replace("POINT", str(list(middle)))))
    quarters = np.arange(-40, 40) / 4 + 0.125
    expected = [np.abs(quarters) < half for half in (2, 4, 2)]
    assert np.array_equal(profiles > 120, [expected] * 2)
    assert profiles.min() == 0  # -1 is a voxel that was not loaded


@pytest.mark.browser
def test_report_of_a_run_opens_with_all_its_pictures(browser: Browser, demo: Path) -> None:
    page = browser.open((demo / "report.html").as_uri())
    page.wait("document.readyState === 'complete'")
    widths = page.evaluate("[...document.images].map(image => image.naturalWidth)")
    # three views before and after, and the slice that is flagged
    assert len(widths) == 7
    assert min(widths) > 100
    assert page.failures == []


@pytest.mark.properties
@pytest.mark.parametrize(("program", "shows"), [("cloud-volume", "part"), ("igneous", "labels"), ("Fiji", "part")])
def test_recipes_do_what_they_say(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, shows: str
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "guide" / "recipes.md").read_text()
    recipe = re.search(rf"^## {program}$.*?^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert recipe
    monkeypatch.chdir(tmp_path)
    code = recipe[1].replace("/data/fly-volume", str(demo)).replace('"fly-volume/"', repr(str(demo)))
    values: dict[str, Any] = {}
    exec(code.replace("/data", str(tmp_path)), values)  # noqa: S102
    whole = lossless(demo)
    if program == "cloud-volume":
        part = np.asarray(values[shows])[..., 0].T
        assert np.corrcoef(part.ravel(), whole[10:30, 100:200, 100:300].ravel())[0, 1] > 0.98
    elif program == "igneous":
        written = np.asarray(cloud_volume(tmp_path / "fly-labels")[:, :, 3490:3550])[..., 0].T
        np.testing.assert_array_equal(written, values[shows])
    else:
        with tifffile.TiffFile("part.tif") as tiff:
            np.testing.assert_array_equal(tiff.asarray(), whole[10:30, 100:200, 100:300])
            assert (tiff.imagej_metadata or {})["spacing"] == 0.01
            assert tiff.pages.first.tags["XResolution"].value == (100, 1)


@pytest.mark.properties
def test_napari_reads_the_lossless_volume(demo: Path) -> None:
    from napari_ome_zarr import napari_get_reader

    reader = napari_get_reader(str(demo / "aligned"))
    assert reader is not None
    [(scales, settings, *_)] = reader(str(demo / "aligned"))
    first = scales[0] if isinstance(scales, list) else scales
    np.testing.assert_array_equal(np.asarray(first), lossless(demo))
    assert settings["axis_labels"] == ("z", "y", "x")
    assert settings["scale"] == [10, 10, 10]
