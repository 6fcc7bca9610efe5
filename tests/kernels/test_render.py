"""Slices on the canvas, and pictures of planes."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.kernels import render
from clio_argo.kernels.render import THUMBNAIL_PX, cut, footprint, jpeg, on_canvas, place, png, thumbnail
from clio_argo.model.alignment import Matrix
from tests.stacks import FIRST, Image, demo_slice


@pytest.fixture(scope="module", autouse=True, params=[0, 2**40], ids=["compiled", "OpenCV"])
def least_px(request: pytest.FixtureRequest) -> Iterator[None]:
    """Slices are small here; by which way they are resampled is chosen by their size."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(render, "COMPILED_PX", request.param)
        yield


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


def reference(image: Image, matrix: Matrix, shape: tuple[int, int], background: int) -> np.ndarray:
    """Grey values [y, x] of a canvas in double precision, not rounded, each by 16 pixels with Keys' cubic weights."""
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    y, x = np.indices(shape)
    place_x, place_y = (back[row, 0] * x + back[row, 1] * y + back[row, 2] for row in (0, 1))
    reach = 6
    padded = np.pad(image.astype(float), reach, constant_values=background)
    values = np.zeros(shape)
    for dy in range(-1, 3):
        for dx in range(-1, 3):
            at_y, at_x = (np.floor(p).astype(int) + d for p, d in ((place_y, dy), (place_x, dx)))
            weight = keys(np.abs(place_y - at_y)) * keys(np.abs(place_x - at_x))
            inside = [np.clip(at + reach, 0, n - 1) for at, n in zip((at_y, at_x), padded.shape, strict=True)]
            values += weight * padded[*inside]
    return np.clip(values, 0, np.iinfo(image.dtype).max)


def keys(distance: np.ndarray) -> np.ndarray:
    near = 1.25 * distance**3 - 2.25 * distance**2 + 1
    far = -0.75 * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


@pytest.mark.properties
@given(
    linear=st.lists(st.floats(-1, 1), min_size=4, max_size=4),
    size=st.sampled_from([0, 1e-7, 1e-5, 1e-4, 3e-4, 1e-3, 0.02]),
    shift=st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    background=st.integers(0, 255),
)
def test_every_slice_is_moved_as_its_matrix_says(
    image: Image, linear: list[float], size: float, shift: tuple[float, float], dtype: type, background: int
) -> None:
    pixels = image[:100, :150].astype(dtype)
    a, b, c, d = (size * v for v in linear)
    matrix = ((1 + a, b, shift[0]), (c, 1 + d, shift[1]))
    canvas = np.full((120, 170), background, dtype)
    place(pixels, matrix, canvas, background)
    left, top, right, bottom = (max(0, side) for side in footprint(matrix, 150, 100))
    shown, beyond = np.s_[top:bottom, left:right], canvas.copy()
    beyond[shown] = background
    assert (beyond == background).all()
    wrong = np.abs(canvas.astype(float) - reference(pixels, matrix, canvas.shape, background))[shown]
    assert wrong.max() <= 0.51


@given(
    linear=st.lists(st.floats(-1e-3, 1e-3), min_size=4, max_size=4),
    shift=st.tuples(st.integers(-90_000, 90_000), st.integers(-90_000, 90_000)),
    corner=st.tuples(st.integers(0, 400), st.integers(0, 300)),
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
)
def test_a_part_of_a_canvas_shows_what_the_whole_shows(
    image: Image, linear: list[float], shift: tuple[int, int], corner: tuple[int, int], size: tuple[int, int]
) -> None:
    (a, b, c, d), (x, y), (left, top) = linear, (0.001 * s for s in shift), corner
    whole, part = np.zeros((500, 600), np.uint8), np.zeros(size[::-1], np.uint8)
    place(image, ((1 + a, b, x + 120), (c, 1 + d, y + 120)), whole, 0)
    place(image, ((1 + a, b, x + 120 - left), (c, 1 + d, y + 120 - top)), part, 0)
    assert np.array_equal(part, whole[top : top + size[1], left : left + size[0]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_slice_moved_by_whole_pixels_is_copied(image: Image, dtype: type) -> None:
    pixels = image.astype(dtype) * np.iinfo(dtype).max // 255
    canvas = np.zeros((210, 330), dtype)
    place(pixels, shift(4, 3), canvas, 0)
    assert np.array_equal(canvas[3:203, 4:324], pixels)


def test_a_slice_beside_the_canvas_changes_nothing(image: Image) -> None:
    canvas = np.full((210, 330), 7, np.uint8)
    for x, y in ((-400, 0), (400, 0), (0, -300), (0, 300), (-321, -201)):
        place(image, shift(x, y), canvas, 9)
    assert (canvas == 7).all()
