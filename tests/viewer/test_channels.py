"""Colours on the screen: red, green and blue as recorded, and other channels, which add up and can be hidden."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from clio_argo.model.grid import Channels, build_volume
from clio_argo.model.layout import VOLUME
from clio_argo.model.request import Request, Viewer
from clio_argo.model.volume import VolumeChannel
from clio_argo.store.documents import Store
from clio_argo.store.volumes import Volumes
from clio_argo.viewer.channels import volume_layers
from tests.browser import Browser, Page
from tests.serving import serving
from tests.viewer.test_browser import BOX, READY

SIZE = (64, 128, 128)
# red, green, blue of the quadrants [y, x], far apart; and which of them GFP fills
QUADRANTS = np.array([[[200, 40, 40], [40, 180, 60]], [[50, 60, 200], [90, 90, 90]]], np.uint8)
GFP = np.array([[0, 0], [60, 60]], np.uint8)
CHANNELS = tuple(
    VolumeChannel(name=name, number=i, colour=colour)
    for i, (name, colour) in enumerate({"R": "ff0000", "G": "00ff00", "B": "0000ff", "GFP": "00ff00"}.items())
)
Colours = NDArray[np.float64]


def write_volume(root: Path, channels: Channels, values: NDArray[np.uint8]) -> Volumes:
    """A volume of `values` [c, row, column], each of which fills a quadrant of every plane."""
    config = Request(id="stack", source="s", viewer=Viewer(jpeg_quality=95), resolution=(8, 8, 8), memory_gib=0.5)
    volumes = Volumes(Store(str(root)), build_volume(config, (0, 0, 0), SIZE, "uint8", None, channels))
    spec = volumes.spec
    volumes.store.write(VOLUME, spec.to_bytes())
    volumes.create({})
    whole = values.repeat(SIZE[1] // 2, 1).repeat(SIZE[2] // 2, 2)
    for layer, members in enumerate(spec.layers):
        planes = np.stack([np.broadcast_to(whole[c], SIZE) for c in members])
        volumes.write_viewer(0, spec.scales[0].box, planes if len(members) > 1 else planes[0], layer)
    return volumes


def test_a_grey_volume_is_one_layer() -> None:
    assert volume_layers(None, "precomputed://x/ng", "stack") == [
        {"type": "image", "source": "precomputed://x/ng", "name": "stack"}
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    root = tmp_path_factory.mktemp("folder") / "stack"
    write_volume(root, Channels(CHANNELS, rgb=True), np.stack([*np.moveaxis(QUADRANTS, 2, 0), GFP]))
    with serving(root, layout="xy") as link, Browser() as browser:
        page = browser.open(link)
        page.wait(READY)
        yield page


def colours(page: Page, picture: Path) -> Colours:
    """Red, green and blue of the middle of each quadrant [row, column, 3] of the one panel, as a person sees them."""
    page.wait(READY)
    page.screenshot(picture)
    image = np.asarray(cv2.imread(str(picture)), np.float64)[..., ::-1]
    x, y, width, height = page.evaluate(f"[...viewer.display.panels].map(panel => {BOX})")[0]
    # the whole canvas is shown, and half a quadrant is far from axis lines
    at = [[(y + height / 2 + dy * height / 5, x + width / 2 + dx * height / 5) for dx in (-1, 1)] for dy in (-1, 1)]
    return np.array([[image[int(r), int(c)] for r, c in row] for row in at])


@pytest.mark.properties
@pytest.mark.browser
def test_colours_are_those_that_were_recorded_and_channels_add_up(page: Page, tmp_path: Path) -> None:
    assert page.evaluate("viewer.layerManager.managedLayers.map(layer => layer.name)") == ["stack", "stack GFP"]
    together = QUADRANTS.astype(int)
    together[1, :, 1] += 60
    np.testing.assert_allclose(colours(page, tmp_path / "both.png"), together, atol=6)


@pytest.mark.properties
@pytest.mark.browser
@pytest.mark.parametrize("hidden", [0, 1])
def test_each_layer_can_be_hidden(page: Page, tmp_path: Path, hidden: int) -> None:
    page.evaluate(f"viewer.layerManager.managedLayers[{hidden}].setVisible(false)")
    seen = colours(page, tmp_path / "one.png")
    page.evaluate(f"viewer.layerManager.managedLayers[{hidden}].setVisible(true)")
    gfp = np.zeros((2, 2, 3))
    gfp[1, :, 1] = 60
    np.testing.assert_allclose(seen, QUADRANTS if hidden else gfp, atol=6)
