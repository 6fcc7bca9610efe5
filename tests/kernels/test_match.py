"""Laws of the fit of two slices, on real tissue: what must not matter does not.

Distances are the largest over nine points of the field, in pixels. Real neighbours share only most of their
tissue, so that two fits of one pair may differ by a few hundredths of a pixel.
"""

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clio_argo.kernels import features, match, register
from clio_argo.kernels.features import Reduced, reduce_slice
from clio_argo.kernels.match import (
    LEAST_SIGMAS,
    MIN_INLIERS,
    RATIO,
    Model,
    at_half_size,
    check_sane,
    fit_pair,
    match_features,
    nearest_pairs,
    phase_shift,
    refine,
)
from clio_argo.kernels.register import NotFound, to_reduced
from clio_argo.kernels.worst_tiles import compare
from clio_argo.model.alignment import Floats, PairFit, homogeneous
from tests.stacks import FIRST, NOISE, Image, demo_slice

SIDE = 320
FEW = settings(max_examples=5)
LOW = st.integers(FIRST, NOISE - 3)
MODELS = st.sampled_from(["auto", "translation", "affine"])


def nine_points(side: int) -> Floats:
    return np.array([(x, y, 1.0) for x in (0, side / 2, side - 1) for y in (0, side / 2, side - 1)])


def apart(a: Floats, b: Floats, side: int = SIDE) -> float:
    return float(np.hypot(*(nine_points(side) @ (a - b).T)[:, :2].T).max())


def reduced(image: Image, largest_px: int = SIDE) -> Reduced:
    return reduce_slice(image, (largest_px, largest_px))


@cache
def neighbour(z: int) -> Reduced:
    return reduced(demo_slice(z, SIDE))


def fit(fixed: Reduced, moving: Reduced, model: Model = "auto") -> PairFit:
    found = fit_pair(fixed, moving, 0, 1, model)
    assert found.matched, found.reason
    return found


def matrix(fixed: Reduced, moving: Reduced, model: Model = "auto") -> Floats:
    return homogeneous(fit(fixed, moving, model).matrix or ())


def shifted(x: float, y: float) -> Floats:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], float)


def turned(degrees: float, stretch: float, x: float, y: float, side: int = SIDE) -> Floats:
    """Rotation and scale about the middle of the field, then a shift."""
    angle, middle = np.deg2rad(degrees), np.array([(side - 1) / 2] * 2)
    linear = stretch * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return homogeneous(np.hstack([linear, (middle + np.array([x, y]) - linear @ middle)[:, None]]))


def resampled(image: Image, moved: Floats) -> Image:
    return cv2.warpAffine(image, moved[:2], image.shape[::-1], flags=cv2.INTER_CUBIC)


@FEW
@given(LOW, st.integers(1, 2), MODELS)
def test_swapping_the_slices_inverts_the_fit(z: int, step: int, model: Model) -> None:
    there = matrix(neighbour(z), neighbour(z + step), model)
    back = matrix(neighbour(z + step), neighbour(z), model)
    assert apart(there @ back, np.eye(3)) < 0.1


@FEW
@given(LOW, st.sampled_from([("translation", 0.1), ("affine", 0.25)]))
def test_two_steps_are_the_fit_over_both(z: int, how: tuple[Model, float]) -> None:
    model, tolerance_px = how
    a, b, c = (neighbour(z + i) for i in range(3))
    assert apart(matrix(a, b, model) @ matrix(b, c, model), matrix(a, c, model)) < tolerance_px


@FEW
@given(LOW, st.floats(-3, 3), st.floats(0.98, 1.02), st.floats(-8, 8), st.floats(-8, 8))
def test_moving_both_slices_alike_moves_the_fit(z: int, degrees: float, stretch: float, x: float, y: float) -> None:
    moved = turned(degrees, stretch, x, y)
    a, b = (reduced(resampled(demo_slice(z + i, SIDE), moved)) for i in range(2))
    expected = moved @ matrix(neighbour(z), neighbour(z + 1), "affine") @ np.linalg.inv(moved)
    assert apart(matrix(a, b, "affine"), expected) < 0.25


@FEW
@given(LOW, st.sampled_from([2, 4, 8]))
def test_a_long_strip_fits_as_the_square_of_its_area(z: int, strips: int) -> None:
    pair = [np.hstack(np.split(demo_slice(z + i, SIDE), strips)) for i in range(2)]
    found = fit(*(reduce_slice(image, image.shape[::-1]) for image in pair), "translation")
    square = fit(neighbour(z), neighbour(z + 1), "translation")
    assert found.inliers > square.inliers / 3
    assert apart(homogeneous(found.matrix or ()), homogeneous(square.matrix or ())) < 0.5


@FEW
@given(LOW, st.booleans())
def test_an_inverted_slice_is_found_in_the_right_place(z: int, first: bool) -> None:
    slices = [neighbour(z), neighbour(z + 1)]
    expected = matrix(*slices)
    slices[not first] = reduced(255 - demo_slice(z + (not first), SIDE))
    found = fit(*slices)
    assert found.method == "inverted"
    assert apart(homogeneous(found.matrix or ()), expected) < 0.1


@FEW
@given(LOW)
def test_two_inverted_slices_fit_as_they_did(z: int) -> None:
    both = fit(*(reduced(255 - demo_slice(z + i, SIDE)) for i in range(2)))
    assert both.method == "features"
    assert apart(homogeneous(both.matrix or ()), matrix(neighbour(z), neighbour(z + 1))) < 0.01


@FEW
@given(LOW, st.tuples(*[st.integers(0, 60)] * 4), st.sampled_from([0, 77, 255]))
def test_padding_shifts_the_fit(z: int, borders: tuple[int, int, int, int], grey: int) -> None:
    top, _, left, _ = borders
    padded = cv2.copyMakeBorder(demo_slice(z + 1, SIDE), *borders, cv2.BORDER_CONSTANT, value=grey)
    largest = max(padded.shape)
    a, b = (reduced(demo_slice(z + i, SIDE), largest) for i in range(2))
    expected = matrix(a, b, "affine") @ shifted(-left, -top)
    assert apart(matrix(a, reduced(padded, largest), "affine"), expected) < 0.15


@FEW
@given(LOW, st.integers(0, 80), st.integers(0, 80))
def test_cropping_shifts_the_fit(z: int, x: int, y: int) -> None:
    part = np.ascontiguousarray(demo_slice(z + 1, SIDE)[y : y + 240, x : x + 240])
    expected = matrix(neighbour(z), neighbour(z + 1), "translation") @ shifted(x, y)
    # half of the tissue is another, and tissue itself moves
    assert apart(matrix(neighbour(z), reduced(part), "translation"), expected) < 0.6


def mosaic() -> Image:
    """A field of 960 px, tiled from slices far apart; no tile stands twice."""
    tiles = [np.rot90(demo_slice(FIRST + 4 * i, SIDE), i) for i in range(9)]
    return np.ascontiguousarray(np.vstack([np.hstack(tiles[i : i + 3]) for i in (0, 3, 6)]))


@pytest.mark.parametrize("degrees", [20, -12])
@pytest.mark.parametrize("factor", [2, 4])
def test_a_turn_of_reduced_slices_is_exact_in_full_size_pixels(degrees: float, factor: int) -> None:
    # an error of half a pixel in what a reduced pixel covers would be 0.15 px here at least
    field = mosaic()
    moved = turned(degrees, 1.0, 7.3, -4.6, len(field))
    a, b = (reduced(image, 1250 * factor) for image in (field, resampled(field, moved)))
    assert (a.factor, b.factor) == (factor, factor)
    assert apart(matrix(a, b, "rigid") @ moved, np.eye(3), len(field)) < 0.02


def test_a_small_slice_fits_onto_a_large_one_by_every_model() -> None:
    field = mosaic()
    part = np.ascontiguousarray(field[300:500, 400:640])
    for model in ("auto", "translation", "rigid", "affine"):
        found = matrix(reduced(field), reduced(part), model)
        assert apart(found, shifted(400, 300), 200) < 0.05


def test_slices_without_anything_in_common_have_no_fit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
    for other in (noise, np.zeros_like(noise), np.full_like(noise, 130), demo_slice(FIRST + 30, SIDE).T.copy()):
        assert fit_pair(neighbour(FIRST), reduced(other), 0, 1).matrix is None


def smooth_field(seed: int, side: int = SIDE + 40) -> Floats:
    """A random field without anything as small as a feature."""
    field = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (side, side)), (0, 0), 6)
    return (field - field.min()) / np.ptp(field) * 120 + 60


def noisy_pair(seed: int, noise: float) -> tuple[Reduced, Reduced]:
    """A smooth field under noise (standard deviation in grey levels), and the same 9 px to the right and 5 px up."""
    field, random = smooth_field(seed), np.random.default_rng(~seed % 2**32)
    parts = [field[y : y + SIDE, x : x + SIDE] for x, y in ((20, 20), (29, 15))]
    noisy = [np.clip(part + random.normal(0, noise, part.shape), 0, 255) for part in parts]
    a, b = (reduced(image.astype(np.uint8)) for image in noisy)
    return a, b


@pytest.mark.parametrize("seed", range(4))
def test_slices_without_features_are_fitted_by_their_correlation(seed: int) -> None:
    found = fit(*noisy_pair(seed, 100))
    assert found.method == "phase"
    # such noise moves a fit by up to 3 px
    assert apart(homogeneous(found.matrix or ()), shifted(9, -5), 1) < 3.5


@pytest.mark.properties
@pytest.mark.parametrize("seed", range(4))
def test_a_shift_that_the_slices_hardly_confirm_does_not_count(seed: int) -> None:
    """The shift itself stands out, but the correlation in register is 0.2."""
    fixed, moving = noisy_pair(seed, 160)
    assert abs(phase_shift(fixed.enhanced, moving.enhanced).matrix[0, 2] - 9) < 5
    assert not fit_pair(fixed, moving, 0, 1).matched


def test_a_shift_stands_out_of_neighbours_and_not_of_noise() -> None:
    for seed in range(6):
        a, b = (reduced(smooth_field(2 * seed + i, SIDE).astype(np.uint8)) for i in range(2))
        with pytest.raises(NotFound, match="no shift stands out"):
            phase_shift(a, b)
        moved = matrix(neighbour(FIRST + seed), neighbour(FIRST + seed + 1), "translation")
        found = homogeneous(phase_shift(neighbour(FIRST + seed), neighbour(FIRST + seed + 1)).matrix)
        assert apart(found, moved) < 1


@given(st.floats(-20, 20), st.floats(-20, 20), st.integers(150, 211))
@settings(max_examples=15)
def test_parts_of_a_pixel_of_a_shift_are_found_whatever_the_size(x: float, y: float, width: int) -> None:
    """Some sides are primes, of which a Fourier transform is slow."""
    image = demo_slice(FIRST, SIDE)
    fixed, moving = (
        reduced(np.asarray(cv2.warpAffine(image, shifted(dx - 50, dy - 50)[:2], (width, 197)), np.uint8))
        for dx, dy in ((0, 0), (x, y))
    )
    # tissue that leaves the frame is missing
    assert np.abs(phase_shift(fixed, moving).matrix[:, 2] + (x, y)).max() < 0.5


def test_half_size_compares_a_quarter_of_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes of it only leads to the fit of the whole slices."""
    fixed, moving = (reduced(cv2.resize(demo_slice(z, SIDE), (1100, 1100)), 1100) for z in (FIRST, FIRST + 1))
    grids, make = list[int](), register._grid
    monkeypatch.setattr(register, "_grid", lambda *given: grids.append((made := make(*given)).mask.size) or made)
    few, *_ = refine(fixed, moving, np.eye(2, 3), "affine")
    assert grids == [275**2, 550**2]
    # of a whole slice of this size every second pixel counts as well
    monkeypatch.setattr(match, "PIXELS", 4 * match.PIXELS)
    assert apart(homogeneous(few), homogeneous(refine(fixed, moving, np.eye(2, 3), "affine")[0]), 1100) < 2e-3
    assert grids[2:] == [550**2, 550**2]


def lit(image: Image) -> Image:
    """Weak tissue under light from the right."""
    return np.asarray(0.3 * image + np.linspace(0, 170, image.shape[1]), np.uint8)


def sheared(image: Image) -> Image:
    """The slice sheared by 12 %."""
    return resampled(image, SHEAR)


SHEAR = np.array([[1, 0.12, -20], [0, 1, 0], [0, 0, 1]])
TISSUE, OTHER = demo_slice(FIRST, SIDE), demo_slice(FIRST + 30, SIDE).T.copy()
UNRELATED = {
    "tissue": (TISSUE, sheared(OTHER)),
    "tissue under uneven light": (lit(TISSUE), lit(sheared(OTHER))),
    "coarse texture": (smooth_field(1, SIDE).astype(np.uint8), sheared(smooth_field(2, SIDE).astype(np.uint8))),
    "noise": (np.random.default_rng(1).integers(0, 256, (SIDE, SIDE), np.uint8), sheared(OTHER)),
}
RELATED = {
    "neighbours": (TISSUE, sheared(demo_slice(FIRST + 1, SIDE))),
    "under uneven light": (lit(TISSUE), lit(sheared(demo_slice(FIRST + 1, SIDE)))),
    "64 px": (TISSUE[:64, :64], demo_slice(FIRST + 1, SIDE)[:64, :64]),
}


def sigmas(fixed: Image, moving: Image) -> tuple[float, float]:
    """How far slices fitted with a shear of 12 % are above chance, and their correlation."""
    a, b = reduced(np.ascontiguousarray(fixed)), reduced(np.ascontiguousarray(moving))
    start = np.linalg.inv(SHEAR) if len(moving) == SIDE else np.eye(3)
    found, correlation, _ = refine(a, b, start[:2], "affine")
    halves = at_half_size(a, b)
    return compare(*halves, to_reduced(found, *halves)).tiles.sigmas, correlation


@pytest.mark.parametrize("what", UNRELATED)
def test_a_fit_of_unrelated_slices_is_no_better_than_chance(what: str) -> None:
    assert sigmas(*UNRELATED[what])[0] < LEAST_SIGMAS - 1


def test_correlation_proves_nothing_where_light_is_uneven() -> None:
    assert sigmas(*UNRELATED["tissue under uneven light"])[1] > 0.8


def test_what_an_eighth_of_two_slices_shares_proves_no_fit() -> None:
    """Features agree there on a shear of 12 %, and all of it correlates by 0.1."""
    shared, patch = demo_slice(FIRST + 15, SIDE), np.s_[190:305, 190:305]
    fixed, moving = TISSUE.copy(), OTHER.copy()
    fixed[patch], moving[patch] = shared[patch], sheared(shared)[patch]
    a, b = reduced(fixed), reduced(moving)
    start = match_features(a, b)
    assert start.inliers > MIN_INLIERS
    assert refine(a, b, start.matrix, "affine")[1] > 0.1
    assert "no more alike than by chance" in fit_pair(a, b, 0, 1).reason


@pytest.mark.parametrize("what", RELATED)
def test_a_fit_of_neighbours_stands_out_of_chance(what: str) -> None:
    assert sigmas(*RELATED[what])[0] > LEAST_SIGMAS + 2


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("degrees", "stretch", "reason"), [(31, 1.0, "by 31 degrees"), (0, 1.26, "stretches"), (29, 1 / 1.26, "stretches")]
)
def test_a_fit_that_no_section_could_need_is_refused(sign: int, degrees: float, stretch: float, reason: str) -> None:
    for largest in (1.24, 1 / 1.24):
        check_sane(turned(sign * 29, largest, 3, -4)[:2])
    with pytest.raises(NotFound, match=reason):
        check_sane(turned(sign * degrees, stretch, 3, -4)[:2])


@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(0, 12), st.integers(0, 4))
def test_nearest_features_are_clearly_nearer_than_the_second(seed: int, fixed: int, moving: int, spread: int) -> None:
    random = np.random.default_rng(seed)
    a, b = (random.integers(0, spread + 1, (n, 128), np.uint8) for n in (fixed, moving))
    found = list(zip(*(each.tolist() for each in nearest_pairs(a, b)), strict=True))
    square = ((b[:, None].astype(int) - a[None].astype(int)) ** 2).sum(2)
    clear = [(int(d.argmin()), i) for i, d in enumerate(square) if fixed > 1 and d.min() < RATIO**2 * np.sort(d)[1]]
    assert found == clear


def test_a_slice_is_enhanced_once_however_many_pairs_it_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    tissue, *noise = map(reduced, [demo_slice(FIRST, 96), *random.integers(0, 256, (2, 96, 96), np.uint8)])
    made, find = list[object](), features.find_features
    monkeypatch.setattr(features, "find_features", lambda *given: made.append(given) or find(*given))
    assert not any(fit_pair(tissue, other, FIRST, FIRST + 1).matched for other in noise)
    # each of the three finely and coarsely
    assert len(made) == 6
