"""Short, noisy stacks are placed by all that may have moved them: right fits are followed, wrong ones hardly."""

import numpy as np
import pytest

from benchmarks.drift import Stack, next_ones, noisy_fits, solved
from benchmarks.short import place_px
from clio_argo.model.alignment import Floats, PairFit
from clio_argo.placement.verdicts import pairs_in_noise

SLICES = 20


def noisy(places: Floats, error_px: float, reach: int = 2, seed: int = 0) -> Stack:
    """Fits whose correlation allows 3.9 px of noise, whatever they err by."""
    fits = noisy_fits(np.random.default_rng(~seed % 2**32), places, next_ones(len(places), reach), error_px)
    return Stack(places, (), tuple(f.model_copy(update={"correlation": 0.1, "noise_px": 3.9}) for f in fits))


@pytest.mark.parametrize("seed", range(2))
def test_right_fits_of_noisy_slices_are_followed(seed: int) -> None:
    walk = np.cumsum(np.random.default_rng(seed).uniform(-4, 4, (SLICES, 2)), 0)
    stack = noisy(walk, 0.3, seed=seed)
    assert place_px(stack, True) < place_px(stack, False) + 0.1


@pytest.mark.parametrize("seed", range(2))
def test_wrong_fits_do_not_move_a_stage_that_stays(seed: int) -> None:
    stack = noisy(np.random.default_rng(seed).normal(0, 0.3, (SLICES, 2)), 3.0, seed=seed)
    assert place_px(stack, True) < 0.65 * place_px(stack, False)


@pytest.mark.parametrize("walk_px", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("error_px", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("reach", [1, 2])
def test_slices_end_hardly_further_from_their_places_than_by_fits_alone(
    reach: int, error_px: float, walk_px: float
) -> None:
    """Without second neighbours no loop tells a walk of the stage from noise of fits, which nothing may then undo."""
    for seed in range(4):
        walk = np.cumsum(np.random.default_rng(seed).normal(0, walk_px, (SLICES, 2)), 0)
        stack = noisy(walk, error_px, reach, seed)
        assert place_px(stack, True) < place_px(stack, False) + 0.5


def test_jumps_of_any_size_are_followed() -> None:
    places = np.random.default_rng(0).normal(0, 1, (SLICES, 2))
    places[9:] += 300
    assert place_px(noisy(places, 0.3), True) < 1


def test_turned_and_shifted_copies_of_a_stack_are_placed_alike() -> None:
    stack = noisy(np.cumsum(np.random.default_rng(0).normal(0, 2, (SLICES, 2)), 0), 0.5)
    turned = tuple(
        f.model_copy(update={"matrix": ((1, 0, -f.matrix[1][2]), (0, 1, f.matrix[0][2]))})
        for f in stack.fits
        if f.matrix
    )
    one, other = (
        np.array([m[:2, 2] for m in solved(s).placed.values()]) for s in (stack, Stack(stack.places, (), turned))
    )
    assert np.c_[-one[:, 1], one[:, 0]] == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize(("slices", "noise_px", "further"), [(20, 3.9, 14), (20, 0.2, 0), (80, 3.9, 0)])
def test_second_neighbours_tell_the_noise_of_short_stacks_that_need_it(
    slices: int, noise_px: float, further: int
) -> None:
    pairs = [*next_ones(slices, 1), *((z, z + 2) for z in range(0, slices - 2, 4) if z < 16)]
    fits = [PairFit(z0=a, z1=b, matrix=((1, 0, 0), (0, 1, 0)), noise_px=noise_px) for a, b in pairs]
    found = pairs_in_noise(range(slices), fits)
    assert len(found) == further
    assert not set(found) & set(pairs)
