"""Slices are turned and stretched as far as the data proves it, whatever the sign, and no further."""

from functools import cache
from itertools import pairwise

import cv2
import numpy as np
import pytest

from clio_argo.kernels.features import reduce_slice
from clio_argo.kernels.match import fit_pair, looks_like_translation
from clio_argo.kernels.solve import solve_stack
from clio_argo.model.alignment import Floats
from tests.stacks import DEMO, FIRST, Image, demo_slice, truth_of

SIDE, SLICES = 320, 22
NUMBERS = range(FIRST, FIRST + SLICES)


@cache
def still(z: int) -> Image:
    """A slice of the demo stack where it belongs: nothing but tissue changes."""
    place = truth_of(DEMO / "truth.json")[z]
    return np.asarray(cv2.warpAffine(demo_slice(z, SIDE), place[:2], (SIDE, SIDE), flags=cv2.INTER_CUBIC))


def pair_borders_px(turns: Floats, stretches: Floats) -> Floats:
    """Where slices are turned (degrees) and stretched: how far wrong neighbours are placed at a corner, in pixels.

    The place of the middle does not count.
    """
    moves = [cv2.getRotationMatrix2D(((SIDE - 1) / 2,) * 2, t, 1 + s) for t, s in zip(turns, stretches, strict=True)]
    images = [
        cv2.warpAffine(still(z), m, (SIDE, SIDE), flags=cv2.INTER_CUBIC) for z, m in zip(NUMBERS, moves, strict=True)
    ]
    seen = {z: reduce_slice(image, (SIDE, SIDE)) for z, image in zip(NUMBERS, images, strict=True)}
    fits = [fit_pair(seen[a], seen[b], a, b) for a, b in pairwise(NUMBERS)]
    placed = solve_stack(NUMBERS, fits, SIDE, SIDE).placed
    undone = [placed[z][:2, :2] @ m[:, :2] for z, m in zip(NUMBERS, moves, strict=True)]
    return np.array([border_px(np.linalg.inv(a) @ b) for a, b in pairwise(undone)])


def border_px(linear: Floats) -> float:
    return float(np.linalg.norm(linear - np.eye(2)) * SIDE / 2)


@pytest.mark.properties
def test_tissue_alone_turns_and_stretches_next_to_nothing() -> None:
    errors = pair_borders_px(np.zeros(SLICES), np.zeros(SLICES))
    assert np.median(errors) < 0.12
    assert errors.max() < 0.4


@pytest.mark.properties
@pytest.mark.parametrize(("turn", "stretch"), [(0.3, 0.0), (0.0, 0.004)])
def test_real_turns_and_stretches_are_followed_on_both_signs(turn: float, stretch: float) -> None:
    signed = np.random.default_rng(1).normal(0, 1, SLICES)
    assert np.median(pair_borders_px(turn * signed, stretch * signed)) < 0.3


def test_the_limit_is_the_same_for_both_signs() -> None:
    slice_ = reduce_slice(still(FIRST), (SIDE, SIDE))
    for moved in (np.eye(2) * 1e-3, np.array([[0, 1e-3], [-1e-3, 0]]), np.diag([1e-3, -1e-3])):
        at = [looks_like_translation(np.c_[np.eye(2) + s * moved, [3, 4]], slice_, limit)
              for limit in (0.2, 0.25) for s in (1, -1)]  # fmt: skip
        assert at == [False, False, True, True]
