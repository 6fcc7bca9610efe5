"""Slices that are turned or mirrored fit as they did before, and only then is a turn found."""

import numpy as np
import pytest

from clio_argo.kernels.features import Reduced, reduce_slice
from clio_argo.kernels.orientation import fit_oriented, in_words, nearest_orientation, orient, orientation_matrix
from clio_argo.model.alignment import IDENTITY, homogeneous
from tests.stacks import FIRST, Image, demo_slice

WIDTH, HEIGHT = 214, 200
EIGHT = [np.array(o) @ np.diag(signs) for o in (np.eye(2, dtype=int), np.eye(2, dtype=int)[::-1])
         for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1))]  # fmt: skip


def pixels(z: int) -> Image:
    return demo_slice(z, WIDTH)[:HEIGHT]


def reduced(image: Image) -> Reduced:
    return reduce_slice(np.ascontiguousarray(image), (WIDTH, WIDTH))


def as_it_looks(image: Image, orientation: Image) -> Image:
    """The slow way: pixel by pixel."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    matrix = orientation_matrix(orientation, image.shape[1], image.shape[0])
    places = np.rint(np.stack([x.ravel(), y.ravel()], 1) @ matrix[:, :2].T + matrix[:, 2]).astype(int)
    looks = np.zeros(places.max(0)[::-1] + 1, image.dtype)
    looks[places[:, 1], places[:, 0]] = image.ravel()
    return looks


SOME = [pytest.param(o, marks=[] if i in (1, 5) else pytest.mark.properties) for i, o in enumerate(EIGHT)]


@pytest.mark.parametrize("orientation", SOME, ids=str)
def test_pixels_and_features_turn_alike(orientation: Image) -> None:
    slice_ = reduced(pixels(FIRST))
    turned, again = orient(slice_, orientation), reduced(as_it_looks(pixels(FIRST), orientation))
    assert np.array_equal(turned.image, again.image)
    assert np.array_equal(turned.mask, again.mask)
    # most features of SIFT are found again, at their places and with their descriptors
    distance = np.hypot(*(turned.points[:, None] - again.points[None]).transpose(2, 0, 1))
    same = np.argwhere(distance < 1)  # OpenCV detects them half a pixel off
    apart = np.linalg.norm(turned.descriptors[same[:, 0]].astype(float) - again.descriptors[same[:, 1]], axis=1)
    assert (apart < 100).sum() > 0.7 * len(again.points)


@pytest.mark.parametrize("orientation", [EIGHT[3], EIGHT[5], EIGHT[1]], ids=in_words)
def test_a_turned_slice_has_no_fit_but_says_what_it_would_be(orientation: Image) -> None:
    fixed, upright = reduced(pixels(FIRST)), reduced(pixels(FIRST + 1))
    fit = fit_oriented(fixed, reduced(as_it_looks(pixels(FIRST + 1), orientation)), 0, 1)
    assert (fit.matrix, fit.reason) == (None, f"the slices are {in_words(orientation)} against each other")
    assert np.array_equal(nearest_orientation(fit.turned or IDENTITY) @ orientation, np.eye(2))
    back = homogeneous(fit.turned or IDENTITY) @ homogeneous(orientation_matrix(orientation, WIDTH, HEIGHT))
    expected = fit_oriented(fixed, upright, 0, 1)
    assert expected.turned is None
    assert back[:2] == pytest.approx(np.array(expected.matrix), abs=0.05)


def test_noise_has_no_orientation() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    fit = fit_oriented(reduced(pixels(FIRST)), reduced(noise), 0, 1)
    assert (fit.matrix, fit.turned) == (None, None)
