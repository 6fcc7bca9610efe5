"""A place where one slice shows something else than those beside it is found; noise, defects and borders are none."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from clio_argo.kernels.features import Bounds
from clio_argo.kernels.patches import look, strange_places
from clio_argo.model.alignment import IDENTITY
from tests.stacks import FIRST, NOISE, Image, lossless

SIDE, COUNT = 80, 12
RANDOM = np.random.default_rng(0)
Change = Callable[[Image], Image]


@pytest.fixture(scope="module")
def right(demo: Path) -> list[Image]:
    """Small pictures of registered slices, as they are read from thumbnails."""
    volume = np.delete(lossless(demo)[:, 40:280, 40:280], NOISE - FIRST, axis=0)
    return [cv2.resize(v, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for v in volume]


def places(stack: Sequence[Image] | Mapping[int, Image]) -> dict[int, Bounds]:
    by_z = stack if isinstance(stack, Mapping) else dict(enumerate(stack))
    return strange_places((z, look(p, IDENTITY, p.shape[::-1])) for z, p in by_z.items())


def pasted(right: list[Image], z: int, x: int, y: int, side: int) -> list[Image]:
    """The first slices, with a square of another place of the stack at (x, y) of slice z."""
    stack, other, square = [p.copy() for p in right[:COUNT]], np.rot90(right[40]), np.s_[y : y + side, x : x + side]
    stack[z][square] = other[square]
    return stack


@pytest.mark.parametrize("z", [0, 5, COUNT - 1], ids=["first", "middle", "last"])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (54, 0), (27, 30)])
def test_a_ninth_of_one_slice_that_shows_another_place_is_found(z: int, x: int, y: int, right: list[Image]) -> None:
    [(found, (left, top, end, bottom))] = places(pasted(right, z, x, y, 26)).items()
    assert found == z
    # a window may lie half beside it
    half = SIDE // 12
    assert x - 2 * half <= left < end <= x + 26 + 2 * half
    assert y - 2 * half <= top < bottom <= y + 26 + 2 * half


def test_the_same_place_of_two_slices_in_a_row_is_found(right: list[Image]) -> None:
    stack = pasted(right, 5, 20, 10, 26)
    stack[6] = pasted(right[1:], 5, 20, 10, 26)[5]
    assert places(stack).keys() == {5, 6}


def grain(image: Image, sigma: float) -> Image:
    return np.asarray(np.clip(image + RANDOM.normal(0, sigma, image.shape), 0, 255), np.uint8)


def light(image: Image) -> Image:
    """Flicker, and light that falls to one side."""
    slope = np.linspace(-30, 30, SIDE) * RANDOM.normal()
    return np.asarray(np.clip((image - 128.0) * np.exp(RANDOM.normal(0, 0.2)) + 128 + slope, 0, 255), np.uint8)


def fold(image: Image) -> Image:
    x = int(RANDOM.integers(10, SIDE - 10))
    return np.asarray(cv2.line(image.copy(), (x, 0), (x + 15, SIDE), 20, 2))


def dirt(image: Image) -> Image:
    x, y = RANDOM.integers(5, SIDE - 5, 2).tolist()
    return np.asarray(cv2.circle(image.copy(), (x, y), 3, 10, -1))


def curtains(image: Image) -> Image:
    waves: Image = cv2.GaussianBlur(RANDOM.normal(0, 25, (1, SIDE)).astype(np.float32), (0, 0), 1.0)
    return np.asarray(np.clip(image + waves, 0, 255), np.uint8)


def ragged(image: Image) -> Image:
    """Fill with noise at two borders."""
    mask = np.zeros(image.shape, bool)
    mask[:, : RANDOM.integers(0, 8)] = mask[: RANDOM.integers(0, 8)] = True
    return np.where(mask, grain(np.full_like(image, 128), 2), image)


CHANGES: dict[str, Change] = {
    "none": lambda v: v,
    "noise": lambda v: grain(v, 20),
    "blur": lambda v: np.asarray(cv2.GaussianBlur(v, (0, 0), 1.5)),
    **{f.__name__: f for f in (light, fold, dirt, curtains, ragged)},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("every", [1, 4])
def test_right_stacks_have_no_such_place(change: Change, every: int, right: list[Image]) -> None:
    assert places([change(p) if z % every == 0 else p for z, p in enumerate(right)]) == {}


@pytest.mark.parametrize("step", [2, 5, 10])
def test_thick_sections_have_none(step: int, right: list[Image]) -> None:
    assert places(right[::step]) == {}


@pytest.mark.parametrize("far", [2, 5, 10])
def test_a_slice_beyond_a_gap_at_an_end_is_none(far: int, right: list[Image]) -> None:
    before = {z: p for z, p in enumerate(right) if z == 0 or z >= far}
    assert places(before) == {}
    assert places({-z: p for z, p in reversed(before.items())}) == {}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_of_two_slices_nobody_knows_which_is_right(count: int, right: list[Image]) -> None:
    assert places(pasted(right, 1, 0, 0, SIDE // 2)[:count]) == {}
    assert set(places(pasted(right, 1, 0, 0, SIDE // 2)[:3])) == {1}


@pytest.mark.parametrize("grey", [0, 128])
def test_a_place_where_one_slice_holds_nothing_is_found(grey: int, right: list[Image]) -> None:
    stack = [p.copy() for p in right]
    stack[5][:26, :26] = grey
    [(z, (left, top, end, bottom))] = places(stack).items()
    assert (z, left, top) == (5, 0, 0)
    assert max(end, bottom) <= 26 + SIDE // 12
    assert places([np.full_like(p, grey) if z == 5 else p for z, p in enumerate(right)]).keys() == {5}
    assert places([np.full((1, 1), grey, np.uint8)] * 4) == {}


@pytest.mark.parametrize("shape", [(1, 80), (2, 80), (5, 80), (80, 3), (1, 1), (2, 3)])
def test_pictures_of_any_shape_are_looked_at(shape: tuple[int, int], right: list[Image]) -> None:
    height, width = shape
    assert places([p[:height, :width] for p in right[:8]]) == {}


def test_fill_that_neighbours_share_is_no_such_place(right: list[Image]) -> None:
    stack = [p.copy() for p in right]
    for z in (5, 6):
        stack[z][:26, :26] = 0
    assert places(stack) == {}
