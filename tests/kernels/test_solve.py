"""The global solution: exact where it can be, unmoved by outliers, without drift, and honest about gaps."""

import itertools
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clio_argo.kernels.solve import Solution, solve_stack
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
        PairFit(z0=a, z1=b, matrix=to_matrix(np.linalg.inv(placed[a]) @ placed[b]), correlation=0.98)
        for a, b in pairs
    ]


def neighbours(slices: int, reach: int) -> list[tuple[int, int]]:
    return [(z, z + r) for z in range(slices) for r in range(1, reach + 1) if z + r < slices]


def pair_errors(solution: Solution, truth: Floats) -> Floats:
    """Distance at the centre between found and true pair transforms, in pixels."""
    points = homogeneous(np.array([[1, 0, 0], [0, 1, 0]], float)) @ np.append(CENTRE, 1)
    placed = [solution.placed[z] for z in range(len(truth))]
    found = [np.linalg.inv(a) @ b @ points for a, b in itertools.pairwise(placed)]
    wanted = [np.linalg.inv(a) @ b @ points for a, b in itertools.pairwise(truth)]
    return np.hypot(*(np.array(found) - np.array(wanted))[:, :2].T)


def simulated(
    slices: int, link_px: float, jitter_px: float, jumps: int, seed: int
) -> tuple[Floats, list[PairFit]]:
    """True positions [slices, 2] in a frame without drift, and noisy links to the next three slices."""
    random = np.random.default_rng(seed)
    stage = random.normal(0, jitter_px, (slices, 2))
    for at in random.choice(np.arange(50, slices - 50), jumps, replace=False):
        angle = random.uniform(0, 2 * np.pi)
        stage[at:] += 40 * np.array([np.cos(angle), np.sin(angle)])
    truth = -stage
    fits = []
    for a, b in neighbours(slices, 3):
        x, y = truth[b] - truth[a] + random.normal(0, link_px, 2)
        fits.append(PairFit(z0=a, z1=b, matrix=((1, 0, x), (0, 1, y))))
    return truth, fits


def positions(solution: Solution) -> Floats:
    return np.array([(m @ np.append(CENTRE, 1))[:2] - CENTRE for m in solution.placed.values()])


@given(st.integers(2, 40), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_exact_links_are_met_exactly(slices: int, reach: int, seed: int) -> None:
    truth = poses(np.random.default_rng(seed), slices, 0.0, 0.0)
    solution = solve_stack(range(slices), fits_of(truth, neighbours(slices, reach)), SIDE, SIDE)
    assert pair_errors(solution, truth).max() < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_slices_out_of_place_follow_their_links(seed: int) -> None:
    truth = poses(np.random.default_rng(seed), 100, 4.0, 0.001)
    solution = solve_stack(range(100), fits_of(truth, neighbours(100, 2)), SIDE, SIDE)
    assert np.median(pair_errors(solution, truth)) < 0.05


def test_recorded_positions_stop_the_random_walk() -> None:
    squares, pairs = [], []
    for seed in range(4):
        truth, fits = simulated(5000, link_px=0.2, jitter_px=3.0, jumps=10, seed=seed)
        solution = solve_stack(range(5000), fits, SIDE, SIDE)
        error = positions(solution) - truth
        assert len(solution.jumps) == 10
        squares.append(((error - error.mean(0)) ** 2).sum(1).mean())
        pairs.append(np.median(np.hypot(*np.diff(error, axis=0).T)))
    # ten jumps cut the anchor into eleven pieces, so that single stacks differ: 0.8 to 1.7 px
    assert np.sqrt(np.mean(squares)) <= 1.5
    assert max(pairs) <= 0.25


def test_one_link_in_ten_may_be_nonsense() -> None:
    truth, fits = simulated(1000, link_px=0.2, jitter_px=3.0, jumps=0, seed=0)
    random = np.random.default_rng(1)
    wrong = [
        f.model_copy(update={"matrix": ((1, 0, random.normal(0, 50)), (0, 1, random.normal(0, 50)))})
        if random.random() < 0.1
        else f
        for f in fits
    ]
    steps = np.hypot(*np.diff(positions(solve_stack(range(1000), wrong, SIDE, SIDE)) - truth, axis=0).T)
    assert np.median(steps) < 0.25
    assert np.quantile(steps, 0.95) < 0.6


def test_a_gap_without_links_is_a_break_and_the_parts_stay_where_they_were_recorded() -> None:
    fits = fits_of(np.tile(np.eye(3), (10, 1, 1)), [p for p in neighbours(10, 1) if p != (4, 5)])
    solution = solve_stack(range(10), fits, SIDE, SIDE)
    assert solution.breaks == (Break(below=4, above=5),)
    np.testing.assert_allclose(positions(solution), np.zeros((10, 2)), atol=1e-6)


def test_a_slice_without_links_is_not_placed() -> None:
    fits = fits_of(np.tile(np.eye(3), (5, 1, 1)), [(0, 1), (1, 3), (3, 4)])
    solution = solve_stack(range(5), fits, SIDE, SIDE)
    assert solution.lonely == {2}
    assert set(solution.placed) == {0, 1, 3, 4}
    assert solution.breaks == ()


def test_no_stack_shears_or_shrinks_by_what_its_links_add_up() -> None:
    """Tissue that seems to turn and stretch by 1e-4 from slice to slice would come to 20 % over 2,000 slices."""
    random = np.random.default_rng(1)
    fits = []
    for a, b in neighbours(2000, 2):
        linear = np.eye(2) + (b - a) * 1e-4 + random.normal(0, 1e-4, (2, 2))
        fits.append(PairFit(z0=a, z1=b, matrix=to_matrix(np.c_[linear, CENTRE - linear @ CENTRE])))
    placed = np.array(list(solve_stack(range(2000), fits, SIDE, SIDE).placed.values()))
    assert np.abs(placed[:, :2, :2] - np.eye(2)).max() < 0.03
