"""Windows of planes are compared by a quarter of their values, and are displaced as by all of them."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.kernels.similarity import Tiles, compare, displacement, sample
from tests.defects import noise
from tests.stacks import FIRST, Image, demo_slice

SIDE, EDGE = 224, 30
SHIFTS = st.floats(-12, 12)


def window(z: int, x: float = 0, y: float = 0, side: int = SIDE) -> Image:
    """A part of a slice of the demo, whose content is moved by (x, y) pixels."""
    image = demo_slice(z, 320)
    moved = cv2.warpAffine(image, np.array([[1.0, 0, x], [0, 1.0, y]]), image.shape[::-1], flags=cv2.INTER_CUBIC)
    return np.ascontiguousarray(moved[EDGE : EDGE + side, EDGE : EDGE + side])


def tiles(image: Image, most_step: int) -> Tiles:
    windows = sample(image, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), image.shape[::-1])
    return Tiles(windows.tiles, windows.covered, windows.factor, most_step)


@pytest.mark.properties
@given(SHIFTS, SHIFTS)
def test_shifts_are_found_wherever_they_lie_between_pixels(x: float, y: float) -> None:
    planes = window(FIRST), window(FIRST, x, y)
    quarter, every = (np.median(displacement(*(tiles(p, step) for p in planes)), axis=0) for step in (2, 1))
    assert quarter == pytest.approx(every, rel=0.02, abs=0.2)
    # what leaves windows and comes into them draws shifts to zero
    assert quarter == pytest.approx((x, y), rel=0.03, abs=0.3)


@pytest.mark.properties
@pytest.mark.parametrize("side", [SIDE, 201, 2 * 87])
@given(st.floats(-3, 3), st.floats(-3, 3))
def test_a_quarter_of_the_values_tells_the_same_of_neighbours(side: int, x: float, y: float) -> None:
    planes = window(FIRST, side=side), window(FIRST + 1, x, y, side)
    quarter, every = (compare(*(tiles(image, step) for image in planes)) for step in (2, 1))
    assert quarter.found == pytest.approx(every.found, abs=0.25)
    assert quarter.correlation == pytest.approx(every.correlation, abs=0.01)
    assert np.nanmedian(quarter.distances) == pytest.approx(np.nanmedian(every.distances), abs=0.3)
    assert quarter.gain == pytest.approx(every.gain, rel=0.3, abs=0.2)


@pytest.mark.parametrize("side", [1, 2, 3, 5, 64, 255])
def test_planes_of_any_size_can_be_compared(side: int) -> None:
    plane = tiles(window(FIRST, side=side), 2)
    assert plane.step == min(2, max(1, side // 2))
    found = displacement(plane, plane)
    assert np.nan_to_num(found) == pytest.approx(np.zeros_like(found), abs=1e-3)


def test_nothing_stands_out_where_neighbours_have_nothing_in_common() -> None:
    image = window(FIRST)
    assert np.isnan(displacement(tiles(image, 2), tiles(noise(image), 2))).all()
    assert np.isnan(compare(tiles(image, 2), tiles(noise(image), 2)).gain)
