"""Slices on the canvas, and pictures of planes."""

import cv2
import numpy as np
import pytest

from clio_argo.kernels.render import THUMBNAIL_PX, cut, jpeg, on_canvas, place, png, thumbnail
from clio_argo.model.alignment import Matrix
from tests.stacks import FIRST, Image, demo_slice


@pytest.fixture(scope="module")
def image() -> Image:
    """Wider than high, so that swapped axes show."""
    return np.ascontiguousarray(demo_slice(FIRST, 320)[:200])


def shift(x: float, y: float) -> Matrix:
    return ((1, 0, x), (0, 1, y))


def decoded(picture: bytes) -> Image:
    return cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_UNCHANGED)


def test_a_thumbnail_shows_the_plane(image: Image) -> None:
    plane = np.kron(image, np.ones((2, 2), np.uint8))
    small = decoded(jpeg(thumbnail(plane)))
    assert small.shape == (133, 213)
    assert max(small.shape) <= THUMBNAIL_PX
    means = plane[:399, :639].reshape(133, 3, 213, 3).mean((1, 3))
    assert np.abs(small - means).mean() < 3
    assert np.corrcoef(small.ravel(), means.ravel())[0, 1] > 0.99


def test_a_png_holds_the_very_pixels(image: Image) -> None:
    assert np.array_equal(decoded(png(image)), image)


def test_a_slice_is_placed_where_its_matrix_says(image: Image) -> None:
    canvas = np.full((210, 330), 7, np.uint8)
    place(image, shift(9, 4), canvas, 7)
    assert np.array_equal(canvas[4:204, 9:329], image)
    assert (canvas[:4] == 7).all()
    assert (canvas[:, :9] == 7).all()
    place(image, shift(-9, -4), canvas, 7)
    assert np.array_equal(canvas[:196, :311], image[4:, 9:])


def test_what_a_turned_slice_does_not_reach_is_background(image: Image) -> None:
    canvas = np.zeros((320, 320), np.uint8)
    place(image, ((0.8, -0.6, 100), (0.6, 0.8, 0)), canvas, 7)
    assert (canvas[:100, :10] == 7).all()
    assert abs(int(canvas[140, 180]) - int(image[64, 148])) < 8  # (180, 140) less the shift, turned back


def test_a_canvas_begins_where_the_first_slice_does() -> None:
    moved, size = on_canvas({3: np.array(shift(-5, 2)), 4: np.array(shift(10, -1))}, {3: (20, 10), 4: (20, 10)})
    assert moved == {3: shift(0, 3), 4: shift(15, 0)}
    assert size == (35, 13)


def test_a_part_of_a_reduced_canvas_shows_the_reduced_slice(image: Image) -> None:
    assert np.array_equal(cut(image, (4, 4), shift(8, -12), (2, -3, 322, 197)), image)
