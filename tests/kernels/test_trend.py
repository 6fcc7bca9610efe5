"""What of the slow part of a path follows the recorded positions, and what the images."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.drift import SIDE_PX, Stack, as_matched, noisy_fits, on_tissue, placed
from clio_argo.kernels.anchor import estimate_anchor
from clio_argo.kernels.solve import Solution, solve_stack
from clio_argo.kernels.trend import Rules, split
from clio_argo.model.alignment import Floats, PairFit, to_matrix

SLICES = 120
OBLIQUE: dict[str, Callable[[Floats], Floats]] = {
    "straight": lambda z: 0.3 * z,
    "there and back": lambda z: 0.3 * np.minimum(z, z.max() - z),
    "one arc": lambda z: 0.3 * z.max() / np.pi * np.sin(np.pi * z / z.max()),
}


def solved(stack: Stack, rules: Rules) -> Solution:
    return solve_stack(range(len(stack.places)), stack.fits, SIDE_PX, SIDE_PX, rules=rules)


def rms_px(solution: Solution, places: Floats) -> float:
    error = placed(solution) - places
    return float(np.sqrt(((error - error.mean(0)) ** 2).sum(1).mean()))


def running(path: Floats, places: Floats, seed: int = 0) -> Stack:
    """Frames at `places` [slices, 2] on tissue that runs along `path` [slices] on both axes, and changes besides."""
    random = np.random.default_rng(seed)
    seen = on_tissue(Stack(places + np.stack([path, -path], 1), (), ()), random)
    return Stack(places, (), seen.fits)


@pytest.mark.parametrize("shape", OBLIQUE)
def test_frames_that_nothing_moved_stay_on_oblique_tissue_unless_the_images_are_followed(shape: str) -> None:
    path, still = OBLIQUE[shape](np.arange(SLICES, dtype=float)), np.zeros((SLICES, 2))
    stack = running(path, still)
    held = solved(stack, Rules())
    assert held.trends[0].follows == "recorded"
    assert rms_px(held, still) < 1
    free = solved(stack, Rules(trend="images"))
    assert rms_px(free, np.stack([path, -path], 1)) < 3 < rms_px(free, still)


def test_a_stage_that_drifts_steadily_is_followed_by_one_setting() -> None:
    z = np.arange(SLICES, dtype=float)
    places = np.stack([0.3 * z, 0.3 * z], 1) + np.random.default_rng(1).normal(0, 0.5, (SLICES, 2))
    stack = running(0 * z, places)
    steps = [np.diff(placed(solved(stack, Rules(trend=t))) - places, axis=0).mean(0) for t in ("images", "recorded")]
    assert np.abs(steps[0]).max() < 0.06
    assert steps[1] == pytest.approx([-0.3, -0.3], abs=0.06)


@pytest.mark.parametrize("seed", range(3))
def test_a_stage_that_wanders_is_followed_by_itself(seed: int) -> None:
    random = np.random.default_rng(seed)
    velocity = np.zeros((SLICES, 2))
    for z in range(1, SLICES):
        velocity[z] = 0.9 * velocity[z - 1] + random.normal(0, 0.5 * np.sqrt(0.19), 2)
    places = np.cumsum(velocity, 0) + random.normal(0, 2, (SLICES, 2))
    stack = running(np.zeros(SLICES), places, seed)
    held, free = (solved(stack, rules) for rules in (Rules(), Rules(anchored=False)))
    assert held.trends[0].follows == "images"
    errors = [np.median(np.hypot(*np.diff(placed(s) - places, axis=0).T)) for s in (held, free)]
    assert errors[0] < errors[1] + 0.01


def test_turn_and_stretch_have_trends_of_their_own() -> None:
    """Tissue that turns steadily is no turn of the frame, and is followed only by setting, up to 1 %."""
    centre, fits = np.array([500.0, 500.0]), []
    for a, b in as_matched(SLICES):
        turn = np.array([[1, -1], [1, 1]]) * [[1, (b - a) * 1e-4], [(b - a) * 1e-4, 1]]
        matrix = to_matrix(np.c_[turn, centre - turn @ centre])
        fits.append(PairFit(z0=a, z1=b, matrix=matrix, correlation=0.97, noise_px=0.2))
    held, free, loose = (
        solve_stack(range(SLICES), fits, SIDE_PX, SIDE_PX, rules=rules)
        for rules in (Rules(), Rules(trend="images"), Rules(anchored=False))
    )
    ends = [s.placed[SLICES - 1][1, 0] - s.placed[0][1, 0] for s in (held, free, loose)]
    assert [t.follows for t in held.trends] == ["recorded"] * 3
    assert [t.follows for t in loose.trends] == ["images"] * 3
    assert abs(ends[0]) < 1e-3
    assert ends[1] > 3e-3
    assert ends[2] == pytest.approx(ends[1], rel=1e-3)


def test_without_an_anchor_the_images_are_followed() -> None:
    stack = running(0.3 * np.arange(SLICES), np.zeros((SLICES, 2)))
    assert solved(stack, Rules(anchored=False)).trends[0].follows == "images"
    assert solved(stack, Rules(anchored=False, trend="recorded")).trends[0].follows == "recorded"


@given(st.floats(-3, 3), st.floats(0, 20), st.integers(0, 2**32 - 1))
def test_the_slow_part_is_the_line_and_long_waves_without_jumps_and_slices_put_elsewhere(
    slope: float, wave_px: float, seed: int
) -> None:
    random, z = np.random.default_rng(seed), np.arange(200)
    slow = slope * z + wave_px * np.cos(np.pi * 2 * (z + 0.5) / 200)
    path = np.stack([slow, slow], 1) + random.normal(0, 0.1, (200, 2))
    path[100:] += 40
    path[random.choice(200, 3, replace=False)] += 300
    found = split(path, np.arange(199) == 99, 50).slow[:, 0]
    assert found - found.mean() == pytest.approx(slow - slow.mean(), abs=2.0)


@pytest.mark.parametrize(("jitter_px", "walk_px"), [(2.0, 0.5), (0.1, 1.0), (3.0, 0.0)])
def test_jitter_and_walk_are_read_off_a_path_with_jumps(jitter_px: float, walk_px: float) -> None:
    random, fit_px = np.random.default_rng(0), 0.2
    path = np.cumsum(random.normal(0, np.hypot(walk_px, fit_px), (3000, 2)), 0) + random.normal(0, jitter_px, (3000, 2))
    path[1000:] += 50
    found = estimate_anchor(path, np.arange(2999) == 999, fit_px)
    assert found.jitter_px == pytest.approx(max(jitter_px, fit_px), rel=0.15)
    assert found.walk_px == pytest.approx(walk_px, abs=0.12)


def test_an_anchor_stays_out_where_no_loop_tells_how_noisy_fits_are() -> None:
    """Noise in the slices lowers their correlation, and these fits are right all the same."""
    random = np.random.default_rng(0)
    places = np.cumsum(random.uniform(-4, 4, (80, 2)), 0)
    fits = [
        f.model_copy(update={"correlation": 0.1, "noise_px": 3.9})
        for f in noisy_fits(random, places, [(z, z + 1) for z in range(79)], 0.2)
    ]
    held, free = (placed(solved(Stack(places, (), tuple(fits)), Rules(anchored=a))) for a in (True, False))
    assert held == pytest.approx(free)


def test_jumps_of_a_short_stack_are_not_spread_over_its_fits() -> None:
    random, places = np.random.default_rng(0), np.zeros((48, 2))
    for z, step in ((6, 34), (13, 70), (26, 49)):
        places[z:] += step
    stack = Stack(places, (), noisy_fits(random, places, as_matched(48), 0.4))
    assert np.abs(np.diff(placed(solved(stack, Rules())) - places, axis=0)).max() < 2
