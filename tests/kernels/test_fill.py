"""Fills around a slice are found whatever their grey value, noise and JPEG's traces; tissue is left as it is."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clio_argo.kernels.features import histogram, percentiles, reduce_slice, tissue_histogram
from clio_argo.kernels.fill import BORDER, fill_mask, tissue_mask
from clio_argo.kernels.match import fit_pair
from clio_argo.model.alignment import IDENTITY
from tests.defects import bytes_of
from tests.stacks import DEMO, FIRST, NOISE, Image, demo_slice

SIZE = 320
GREY = st.integers(0, 255)
NO_BORDER = np.s_[BORDER:-BORDER, BORDER:-BORDER]


def cover(image: Image, fill: Image, box: tuple[int, int, int, int], degrees: float = 0.0) -> tuple[Image, Image]:
    """A slice of which a turned rectangle shows, and where that is: both [y, x]. box: left, top, right, bottom."""
    shown = np.zeros(image.shape, np.uint8)
    shown[box[1] : box[3], box[0] : box[2]] = 1
    turn = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), degrees, 1)
    shown = np.asarray(cv2.warpAffine(shown, turn, image.shape[::-1], flags=cv2.INTER_NEAREST)).astype(bool)
    return bytes_of(np.where(shown, image, fill)), shown


def fill_of(grey: int, noise: float) -> Image:
    return grey + np.random.default_rng(0).normal(0, noise, (SIZE, SIZE))


def jpeg(image: Image, quality: int) -> Image:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))


@given(GREY, st.floats(0, 12), st.sampled_from([100, 95, 75]), st.sampled_from([0, 5, -30]))
@settings(max_examples=20)
def test_a_fill_is_found(grey: int, noise: float, quality: int, degrees: float) -> None:
    image, shown = cover(demo_slice(FIRST, SIZE), fill_of(grey, noise), (60, 50, 300, 290), degrees)
    mask = tissue_mask(jpeg(image, quality))
    # thin tips of wedges at the corners stay, if the fill is noisy
    assert (mask & ~shown).sum() < 0.002 * shown.sum()
    assert mask[shown].mean() > 0.6


@pytest.mark.parametrize("z", [z for z in range(FIRST, FIRST + len(list(DEMO.glob("*.png"))), 3) if z != NOISE])
def test_tissue_is_no_fill(z: int) -> None:
    clean, noise = demo_slice(z, SIZE), np.random.default_rng(z).normal(0, 25, (SIZE, SIZE))
    for image in (clean, bytes_of(128 + (clean - 128.0) * 0.4 + noise)):
        assert tissue_mask(image)[NO_BORDER].all()


@pytest.mark.parametrize("size", [64, 128, 200, 240])
def test_tissue_of_a_small_field_is_no_fill(size: int) -> None:
    """There, one organelle may reach along a side."""
    for z in range(FIRST, NOISE, 2):
        assert tissue_mask(demo_slice(z, size))[NO_BORDER].all()


@pytest.mark.parametrize("grey", [0, 110, 255])
def test_a_fill_that_jumps_drags_nothing(grey: int) -> None:
    """Slices in register under a frame of noisy grey that jumps by 20 px."""
    boxes = ((40, 30, 280, 270), (60, 45, 300, 285))
    a, b = (
        reduce_slice(jpeg(cover(demo_slice(z, SIZE), fill_of(grey, 5), box)[0], 90), (SIZE, SIZE))
        for z, box in zip((FIRST, FIRST + 1), boxes, strict=True)
    )
    plain = [reduce_slice(demo_slice(z, SIZE), (SIZE, SIZE)) for z in (FIRST, FIRST + 1)]
    fits = (fit_pair(*pair, 0, 1, "translation").matrix or IDENTITY for pair in ((a, b), plain))
    assert np.abs(np.subtract(*map(np.array, fits))).max() < 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_values_are_those_of_tissue(dtype: type) -> None:
    tissue = demo_slice(FIRST, 280).astype(dtype)
    tissue = tissue if dtype is np.uint8 else tissue * 10 + 29000
    padded = np.pad(tissue, 20)
    seen, alone = (reduce_slice(image, (320, 320)) for image in (padded, tissue))
    assert np.allclose(seen.window, alone.window, rtol=0.03)
    counts = [tissue_histogram(i, r, histogram(i)) for i, r in ((padded, seen), (tissue, alone))]
    assert np.allclose(*(percentiles(c, (0.005, 0.995)) for c in counts), rtol=0.03)


def test_a_slice_of_fill_alone_has_a_histogram() -> None:
    nothing = np.full((64, 64), 7, np.uint8)
    assert tissue_histogram(nothing, reduce_slice(nothing, (64, 64)), histogram(nothing)).nonzero()[0].tolist() == [7]


def test_connected_parts_are_not_told_where_no_fill_reaches_the_border(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than all else of a slice without fill."""
    monkeypatch.delattr(cv2, "connectedComponents")
    assert not fill_mask(demo_slice(FIRST, SIZE)).any()
