"""What recorded positions of the stage do for the places of slices."""

import numpy as np
import pytest

from clio_argo.kernels.solve import identities, solve_stack
from clio_argo.model.alignment import Floats, PairFit, to_matrix

SIDE, SLICES = 1000, 3000


def drifting_stage(seed: int) -> tuple[Floats, list[PairFit]]:
    """Places [slices, 2] of a stage that wanders by hundreds of pixels, and links that err by 0.2 px."""
    random = np.random.default_rng(seed)
    truth = np.cumsum(random.normal(0, 5, (SLICES, 2)), axis=0)
    links = [(z, z + k) for z in range(SLICES) for k in ((1,) if z % 4 else (1, 2)) if z + k < SLICES]
    fits = []
    for z, w in links:
        shift = truth[w] - truth[z] + random.normal(0, 0.2, 2)
        matrix = to_matrix(np.column_stack([np.eye(2), shift]))
        fits.append(PairFit(z0=z, z1=w, matrix=matrix, model="translation", correlation=0.97))
    return truth, fits


def rms_px(truth: Floats, placed: Floats) -> float:
    error = placed - truth
    return float(np.sqrt(((error - error.mean(0)) ** 2).sum(1).mean()))


@pytest.mark.properties
def test_recorded_positions_stop_the_drift_of_a_stack_that_follows_a_wandering_stage() -> None:
    truth, fits = drifting_stage(5)
    recorded = truth + np.random.default_rng(6).normal(0, 3, truth.shape)
    positions = {z: (float(x), float(y)) for z, (x, y) in enumerate(recorded)}
    placed = [
        np.array([m[:2, 2] for m in solve_stack(range(SLICES), fits, SIDE, SIDE, given).placed.values()])
        for given in ({}, positions)
    ]
    without, with_positions = (rms_px(truth, p) for p in placed)
    assert without > 4
    assert with_positions < 1.5


def test_positions_place_slices_that_are_not_aligned() -> None:
    placed = identities([1, 2], {1: (3.0, 4.0), 2: (5.0, 6.0)}).placed
    assert placed[2][:2, 2].tolist() == [5, 6]


def test_a_link_of_a_person_is_followed_against_all_others() -> None:
    shift = {(0, 1): 0, (1, 2): 0, (0, 2): 0, (1, 3): 0, (2, 3): 0}
    fits = [PairFit(z0=a, z1=b, matrix=((1, 0, x), (0, 1, 0)), correlation=0.97) for (a, b), x in shift.items()]
    mine = PairFit(z0=1, z1=2, matrix=((1, 0, 8), (0, 1, 0)), correlation=1, method="person")
    placed = solve_stack(range(4), [mine if (f.z0, f.z1) == (1, 2) else f for f in fits], SIDE, SIDE).placed
    assert abs(placed[2][0, 2] - placed[1][0, 2] - 8) < 0.05
