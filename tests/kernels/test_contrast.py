"""Contrast is that of tissue: fill around it changes nothing and stays as it is."""

import numpy as np
import pytest

from clio_argo.kernels.contrast import adjust, clahe
from tests.stacks import FIRST, Image, demo_slice

SIDE, BAND, LIMIT = 320, 110, 0.02
FILLS = {"black": 0, "grey": 128, "white": 255}


def filled(grey: int, noise: float = 0) -> tuple[Image, Image]:
    """A slice of which a third is fill, and the whole slice."""
    whole = demo_slice(FIRST, SIDE)
    fill = grey + np.random.default_rng(0).normal(0, noise, (BAND, SIDE))
    return np.vstack([np.clip(fill, 0, 255).astype(np.uint8), whole[BAND:]]), whole


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("name", FILLS)
def test_fill_does_not_change_the_contrast_of_tissue(name: str, invert: bool) -> None:
    image, whole = filled(FILLS[name])
    tissue = np.s_[BAND + 2 :]
    right = adjust(np.ascontiguousarray(whole[BAND:]), LIMIT, invert, None).astype(int)[2:]
    found = adjust(image, LIMIT, invert, None)
    assert np.abs(found[tissue] - right).mean() < 4
    assert np.abs(clahe(255 - image if invert else image, LIMIT)[tissue] - right).mean() > 8
    assert (found[: BAND - 2] == (255 - FILLS[name] if invert else FILLS[name])).all()


def test_noise_does_not_hide_a_fill() -> None:
    image, whole = filled(100, noise=4)
    right = adjust(np.ascontiguousarray(whole[BAND:]), LIMIT, False, None).astype(int)
    found = adjust(image, LIMIT, False, None)
    assert np.abs(found[BAND + 12 :] - right[12:]).mean() < 4
    assert np.array_equal(found[: BAND - 16], image[: BAND - 16])


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (3000, 2999), (20, 30)])
def test_without_fill_it_is_clahe(shape: tuple[int, int]) -> None:
    image = np.tile(demo_slice(FIRST, SIDE), (10, 10))[: shape[0], : shape[1]]
    assert np.array_equal(adjust(image, LIMIT, False, None), clahe(image, LIMIT))


@pytest.mark.properties
def test_a_slice_that_is_reduced_keeps_its_fill_too() -> None:
    tissue = np.tile(demo_slice(FIRST, SIDE), (10, 10))[:3001, :3001].astype(np.uint16) * 200
    image = tissue.copy()
    image[:, :1000] = 7
    found, right = adjust(image, LIMIT, False, None), clahe(np.ascontiguousarray(tissue[:, 1000:]), LIMIT).astype(int)
    assert (found[:, :990] == 7).all()
    # other tiles, whose histograms hold other parts of the tissue
    assert np.abs(found[:, 1010:] - right[:, 10:]).mean() < 0.02 * 65535


@pytest.mark.parametrize("grey", [0, 255])
def test_nothing_but_fill_stays(grey: int) -> None:
    image = np.full((100, 100), grey, np.uint8)
    assert adjust(image, LIMIT, False, None).shape == image.shape


def test_where_there_is_no_picture_contrast_is_that_of_the_rest() -> None:
    whole = demo_slice(FIRST, SIDE)
    nothing = np.zeros(whole.shape, bool)
    # reaches no side of the frame, so that it is not taken for a fill of itself
    nothing[60:200, 60:200] = True
    image, right = np.where(nothing, np.uint8(0), whole), clahe(whole, LIMIT).astype(int)
    errors = [np.abs(adjust(image, LIMIT, False, None, n) - right)[~nothing].mean() for n in (nothing, None)]
    assert errors[0] < errors[1] / 2
