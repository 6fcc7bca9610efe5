"""The global solution: exact where it can be, unmoved by outliers, without drift, and honest about gaps."""

import itertools
from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.drift import (
    KINDS,
    Stack,
    as_matched,
    best,
    held,
    moving_tissue,
    next_ones,
    noisy_fits,
    on_tissue,
    pair_px,
    placed,
    rms_px,
    simulated,
    solved,
)
from clio_argo.kernels.anchor import no_anchor
from clio_argo.kernels.noise import noise_px, tissue_px
from clio_argo.kernels.solve import (
    PairFits,
    Solution,
    find_breaks,
    isolated_slices,
    least_squares,
    pin,
    remaining_stiffness,
    robust_weights,
    solve_stack,
    steps_agreed_on,
)
from clio_argo.kernels.trend import Rules
from clio_argo.model.alignment import Break, PairFit, homogeneous, to_matrix

SIDE = 1001
CENTRE = np.array([500.0, 500.0])
Floats = NDArray[np.float64]


def poses(random: np.random.Generator, slices: int, shift_px: float, turn: float) -> Floats:
    """Random affines [slices, 3, 3] from slice to aligned frame."""
    found = np.tile(np.eye(3), (slices, 1, 1))
    found[:, :2, :2] += random.normal(0, turn, (slices, 2, 2))
    moved = CENTRE + random.normal(0, shift_px, (slices, 2))
    found[:, :2, 2] = moved - found[:, :2, :2] @ CENTRE
    return found


def fits_of(placed: Floats, pairs: Iterable[tuple[int, int]]) -> list[PairFit]:
    return [
        PairFit(z0=a, z1=b, matrix=to_matrix(np.linalg.inv(placed[a]) @ placed[b]), correlation=0.98) for a, b in pairs
    ]


def pair_errors(solution: Solution, truth: Floats) -> Floats:
    """Distance at the centre between found and true pair transforms, in pixels."""
    points = homogeneous(np.array([[1, 0, 0], [0, 1, 0]], float)) @ np.append(CENTRE, 1)
    placed = [solution.placed[z] for z in range(len(truth))]
    found = [np.linalg.inv(a) @ b @ points for a, b in itertools.pairwise(placed)]
    wanted = [np.linalg.inv(a) @ b @ points for a, b in itertools.pairwise(truth)]
    return np.hypot(*(np.array(found) - np.array(wanted))[:, :2].T)


def positions(solution: Solution) -> Floats:
    return np.array([(m @ np.append(CENTRE, 1))[:2] - CENTRE for m in solution.placed.values()])


@pytest.mark.properties
@given(st.integers(2, 40), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_exact_fits_are_met_exactly(slices: int, reach: int, seed: int) -> None:
    truth = poses(np.random.default_rng(seed), slices, 0.0, 0.0)
    solution = solve_stack(range(slices), fits_of(truth, next_ones(slices, reach)), SIDE, SIDE)
    assert pair_errors(solution, truth).max() < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_slices_out_of_place_follow_their_fits(seed: int) -> None:
    truth = poses(np.random.default_rng(seed), 100, 4.0, 0.001)
    solution = solve_stack(range(100), fits_of(truth, next_ones(100, 2)), SIDE, SIDE)
    assert np.median(pair_errors(solution, truth)) < 0.05


@pytest.mark.properties
@pytest.mark.parametrize("kind", KINDS)
def test_recorded_positions_stop_the_random_walk_as_well_as_can_be(kind: str) -> None:
    stacks = [KINDS[kind](seed, 3000) for seed in range(4)]
    for stack in stacks:
        solution = solved(stack)
        assert solution.jumps == stack.jumps
        assert pair_px(placed(solution), stack) <= 0.25
    found, least = ([rms_px(of(s), s) ** 2 for s in stacks] for of in (lambda s: placed(solved(s)), best))
    assert np.mean(found) < 1.1**2 * np.mean(least)


def test_jumps_in_quick_succession_are_followed() -> None:
    stack = simulated(3, 400, 8, next_ones(400))
    assert min(np.diff(stack.jumps)) < 30
    assert solved(stack).jumps == stack.jumps
    assert rms_px(placed(solved(stack)), stack) < 1.5 * rms_px(best(stack), stack)


def test_an_anchor_lets_go_of_positions_that_drift() -> None:
    random = np.random.default_rng(0)
    places = np.cumsum(random.normal(0, 0.5, (2000, 2)), 0) + random.normal(0, 2, (2000, 2))
    stack = Stack(places, (), noisy_fits(random, places, as_matched(2000)))
    assert solved(stack).jumps == ()
    assert pair_px(placed(solved(stack)), stack) < pair_px(held(stack, no_anchor(0.2)), stack) + 0.005


@pytest.mark.properties
def test_what_tissue_adds_up_is_no_drift_of_the_stage() -> None:
    stacks = [moving_tissue(seed, 3000) for seed in range(4)]
    found, free, least = (
        np.mean([rms_px(of(s), s) ** 2 for s in stacks])
        for of in (lambda s: placed(solved(s)), lambda s: placed(solved(s, anchor=False)), best)
    )
    assert found < 1.3**2 * least
    assert found < 0.5**2 * free
    assert all(solved(s).jumps == s.jumps for s in stacks)


@pytest.mark.parametrize("seed", range(4))
def test_jumps_too_close_to_be_told_apart_are_followed(seed: int) -> None:
    """They are a tenth of all steps, of a stage that drifts besides."""
    random = np.random.default_rng(seed)
    places = np.cumsum(random.normal(0, 1.5, (60, 2)), 0) + random.normal(0, 2, (60, 2))
    for z in (12, 17, 21, 27, 46, 54):
        places[z:] += random.normal(0, 80, 2)
    stack = on_tissue(Stack(places, (), ()), random)
    held, free = (placed(solved(stack, anchor=a)) for a in (True, False))
    assert np.abs(np.diff(held - free, axis=0)).max() < 0.1


@given(st.floats(0.1, 1), st.floats(0.05, 1))
def test_noise_in_all_slices_is_no_tissue(tissue: float, noise: float) -> None:
    near, far = np.full(9, tissue * noise), np.full(9, tissue**2 * noise)
    assert tissue_px(near, near, far) == pytest.approx(noise_px(tissue), abs=1e-6)
    assert tissue_px(near, near, near) == pytest.approx(0, abs=1e-6)
    assert tissue_px(near, near, 0 * far) == 0


@pytest.mark.parametrize("jitter_px", [0.0, 2.0])
@pytest.mark.parametrize("count", [1, 2, 3, 200])
def test_slices_that_were_put_elsewhere_follow_their_fits(jitter_px: float, count: int) -> None:
    """Single ones, some too few to be seen as a jump, and all from one on; whether frames lie still or not."""
    random = np.random.default_rng(0)
    places = random.normal(0, jitter_px, (400, 2))
    places[200 : 200 + count] += (300, 0)
    fits = noisy_fits(random, places, as_matched(400))
    held, free = (placed(solve_stack(range(400), fits, SIDE, SIDE, rules=Rules(anchored=a))) for a in (True, False))
    assert np.abs(np.diff(held - free, axis=0)).max() < 0.8


@pytest.mark.parametrize("degrees", [-0.3, 3.0])
@pytest.mark.parametrize("count", [1, 3, 50])
def test_slices_that_were_turned_follow_their_fits(degrees: float, count: int) -> None:
    random, turn = np.random.default_rng(0), cv2.getRotationMatrix2D((500, 500), degrees, 1)
    truth = np.tile(np.eye(3), (100, 1, 1))
    truth[50 : 50 + count, :2] = turn
    fits = []
    for fit in fits_of(truth, as_matched(100)):
        matrix = np.array(fit.matrix)
        error = random.normal(0, 0.2 / 707, (2, 2))
        noisy = matrix + np.c_[error, -error @ CENTRE]
        fits.append(fit.model_copy(update={"matrix": to_matrix(noisy), "noise_px": 0.2}))
    placed = list(solve_stack(range(100), fits, SIDE, SIDE).placed.values())
    errors = [
        np.linalg.norm((np.linalg.inv(a) @ b - np.linalg.inv(c) @ d)[:2, :2]) * 707
        for (a, b), (c, d) in zip(itertools.pairwise(placed), itertools.pairwise(truth), strict=True)
    ]
    assert max(errors) < 0.06 * abs(np.deg2rad(degrees)) * 707 + 0.8


def test_one_fit_in_ten_may_be_nonsense() -> None:
    stack = simulated(0, 1000, 0, next_ones(1000))
    random = np.random.default_rng(1)
    wrong = [
        f.model_copy(update={"matrix": ((1, 0, random.normal(0, 50)), (0, 1, random.normal(0, 50)))})
        if random.random() < 0.1
        else f
        for f in stack.fits
    ]
    solution = solve_stack(range(1000), wrong, SIDE, SIDE)
    steps = np.hypot(*np.diff(placed(solution) - stack.places, axis=0).T)
    assert np.median(steps) < 0.25
    assert np.quantile(steps, 0.95) < 0.6


@pytest.mark.parametrize("seed", range(3))
def test_fits_that_are_a_little_wrong_are_the_outliers_and_no_others(seed: int) -> None:
    """One in ten is off by 6 to 12 px; its neighbours by 0.2 px on each axis."""
    random, pairs = np.random.default_rng(seed), next_ones(400)
    places = random.normal(0, 3, (400, 2))
    fits = list(noisy_fits(random, places, pairs))
    wrong = random.choice(len(fits), len(fits) // 10, replace=False).tolist()
    for i, angle, off_px in zip(wrong, random.uniform(0, 6.28, 400), random.uniform(6, 12, 400), strict=False):
        (_, _, x), (_, _, y) = np.array(fits[i].matrix)
        matrix = ((1, 0, x + off_px * np.cos(angle)), (0, 1, y + off_px * np.sin(angle)))
        fits[i] = fits[i].model_copy(update={"matrix": matrix})
    assert set(solve_stack(range(400), fits, SIDE, SIDE).outliers) == {(fits[i].z0, fits[i].z1) for i in wrong}


def test_shapes_that_all_fits_agree_on_are_held_as_far_as_tissue_misleads_fits() -> None:
    """Loops close exactly, so that only the correlation of fits tells how far to follow them."""
    truth = np.tile(np.eye(3), (200, 1, 1))
    truth[:, :2, :2] += np.cumsum(np.random.default_rng(0).normal(0, 0.1 / 707, (200, 2, 2)), 0)
    truth[:, :2, 2] = CENTRE - truth[:, :2, :2] @ CENTRE
    fits = [f.model_copy(update={"noise_px": 0.2}) for f in fits_of(truth, next_ones(200, 2))]
    placed = np.array(list(solve_stack(range(200), fits, SIDE, SIDE).placed.values()))
    # tissue walks to 3.2 px at the border
    assert np.linalg.norm(placed[:, :2, :2] - np.eye(2), axis=(1, 2)).max() * 707 < 1


def test_a_gap_without_fits_is_a_break_and_the_parts_stay_where_they_were_recorded() -> None:
    fits = fits_of(np.tile(np.eye(3), (10, 1, 1)), [p for p in next_ones(10, 1) if p != (4, 5)])
    solution = solve_stack(range(10), fits, SIDE, SIDE)
    assert solution.breaks == (Break(below=4, above=5),)
    np.testing.assert_allclose(positions(solution), np.zeros((10, 2)), atol=1e-6)


def test_a_slice_without_fits_is_not_placed() -> None:
    fits = fits_of(np.tile(np.eye(3), (5, 1, 1)), [(0, 1), (1, 3), (3, 4)])
    solution = solve_stack(range(5), fits, SIDE, SIDE)
    assert solution.isolated == {2}
    assert set(solution.placed) == {0, 1, 3, 4}
    assert solution.breaks == ()


@pytest.mark.properties
def test_no_stack_shears_or_shrinks_by_what_its_fits_add_up() -> None:
    """Tissue that seems to turn and stretch by 1e-4 from slice to slice would come to 20 % over 2,000 slices."""
    random = np.random.default_rng(1)
    fits = []
    for a, b in next_ones(2000, 2):
        linear = np.eye(2) + (b - a) * 1e-4 + random.normal(0, 1e-4, (2, 2))
        fits.append(PairFit(z0=a, z1=b, matrix=to_matrix(np.c_[linear, CENTRE - linear @ CENTRE])))
    placed = np.array(list(solve_stack(range(2000), fits, SIDE, SIDE).placed.values()))
    assert np.abs(placed[:, :2, :2] - np.eye(2)).max() < 0.03


# --- parts of the solution, by their definitions ---


def test_weights_are_those_of_huber_and_of_geman_and_mcclure() -> None:
    """Huber's fall beyond one standard deviation; Geman and McClure's have a scale of three of them."""
    errors = np.array([0.0, 1.0, 3.0, 4.0, 9.0])
    columns, noise = np.stack([errors, errors], 1) * 0.5, np.full(5, 0.5)
    assert robust_weights(columns, noise, cut=False) == pytest.approx([1, 1, 3**-0.5, 0.5, 1 / 3])
    assert robust_weights(columns, noise, cut=True) == pytest.approx([1, 0.9, 0.5, 9 / 25, 0.1])


def test_a_tie_is_released_beyond_four_standard_deviations_with_the_fourth_power() -> None:
    departures = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 16.0], [12.0, 16.0]])
    assert remaining_stiffness(departures, 2.0) == pytest.approx([1, 1, 1 / 16, (2 / 5) ** 4])


def between(pairs: Iterable[tuple[int, int]], pinned: Iterable[int] = ()) -> PairFits:
    """Fits between slices by index; `pinned` counts them."""
    z, w = np.array(list(pairs)).T
    held = np.isin(np.arange(len(z)), list(pinned))
    return PairFits(z, w, np.tile(np.eye(3), (len(z), 1, 1)), np.ones(len(z)), held)


@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_the_banded_system_is_that_of_all_equations_at_once(slices: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pairs = [(a, b) for a, b in itertools.combinations(range(slices), 2) if b - a < 4 and random.random() < 0.7]
    fits, count = between(pairs or [(0, 1)]), len(pairs or [(0, 1)])
    differences, weights = random.normal(0, 5, (count, 2)), random.uniform(0.1, 4, count)
    ties, steps = random.uniform(0, 1, slices), random.uniform(0, 1, slices - 1)
    steps[random.random(slices - 1) < 0.2] = 0
    anchor = replace(no_anchor(0.2), jitter_px=2.0, walk_px=0.7, hold_px=30.0)
    one, nothing = np.eye(slices), np.zeros((slices, slices))
    walk = np.maximum(steps / 0.7**2, 1e-8)[:, None] ** 0.5
    equations = np.concatenate(
        [
            np.hstack([(one[fits.w] - one[fits.z]) * weights[:, None], nothing[fits.z]]),
            np.hstack([one, -one]) * ties[:, None] ** 0.5 / 2.0,
            np.hstack([nothing[1:], np.diff(one, axis=0)]) * walk,
            np.hstack([nothing, one]) / 30.0,
            np.hstack([nothing[:1], one[:1]]) / 0.7,
        ]
    )
    wanted = np.zeros((len(equations), 2))
    wanted[:count] = differences * weights[:, None]
    solution = np.linalg.lstsq(equations, wanted, rcond=None)[0]
    assert np.vstack(least_squares(fits, differences, weights, anchor, ties, steps)) == pytest.approx(
        solution, abs=1e-3
    )


def test_a_step_counts_where_more_than_half_of_the_fits_that_cross_it_are_trusted() -> None:
    fits = between([(0, 1), (0, 2), (2, 1), (2, 3), (2, 4), (3, 4)])
    trusted = steps_agreed_on(fits, 5, np.array([0.51, 0.4, 0.6, 0.5, 0.9, 0.9]))
    assert trusted.tolist() == [False, False, False, True]


def test_manual_fits_have_their_weight_whatever_they_measure() -> None:
    assert pin(between([(0, 1), (1, 2)], [1]), np.array([0.3, 0.3])).tolist() == [0.3, 100]


def test_a_break_is_where_a_part_begins_that_no_fit_connects() -> None:
    kept = [4, 5, 7, 8, 9]
    assert find_breaks(kept, between([(0, 2), (1, 2), (3, 4)])) == (Break(below=7, above=8),)
    assert find_breaks(kept, between([(0, 1), (1, 3), (4, 2)])) == (Break(below=5, above=7),)
    assert find_breaks(kept, between([(0, 4), (1, 2), (2, 3), (3, 4)])) == ()


def test_only_slices_among_others_are_isolated() -> None:
    (fit,) = fits_of(np.tile(np.eye(3), (2, 1, 1)), [(0, 1)])
    assert isolated_slices([0], []) == frozenset()
    assert isolated_slices([0, 1], []) == {0, 1}
    assert isolated_slices([0, 1, 2], [fit]) == {2}
    assert list(solve_stack([7], [], SIDE, SIDE).placed) == [7]


@pytest.mark.parametrize(("width", "height"), [(SIDE, SIDE), (801, 301), (302, 800)])
def test_slices_turned_about_the_centre_of_the_field_stay_there(width: int, height: int) -> None:
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    turns = [cv2.getRotationMatrix2D(tuple(centre), 3 * (z % 2), 1.0) for z in range(6)]
    truth = np.array([homogeneous(turn) for turn in turns])
    found = solve_stack(range(6), fits_of(truth, next_ones(6)), width, height).placed.values()
    for matrix in found:
        assert (matrix @ np.append(centre, 1))[:2] == pytest.approx(centre, abs=1e-3)


def test_of_fits_that_contradict_each_other_the_noisier_gives_way() -> None:
    """A loop that errs by 0.3 px is closed by its fits in proportion to their variances, 1 : 1 : 16."""
    fits = [
        PairFit(z0=a, z1=b, matrix=((1, 0, x), (0, 1, 0)), correlation=0.98, noise_px=noise)
        for a, b, x, noise in ((0, 1, 0.0, 0.5), (1, 2, 0.0, 0.5), (0, 2, 0.3, 2.0))
    ]
    first, _, last = positions(solve_stack(range(3), fits, SIDE, SIDE, rules=Rules(anchored=False)))[:, 0]
    assert last - first == pytest.approx(0.3 * 2 / 18, abs=0.002)
