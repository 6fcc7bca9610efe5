"""A magnification that changes is told from tissue that tapers and from slices that are scaled at random."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clio_argo.kernels.magnification import log_scale
from clio_argo.model.alignment import IDENTITY, Floats, PairFit, PlacedSlice, Transforms
from clio_argo.placement.magnification import magnification_notes

SIDE = 480
# of neighbours in medulla: what their correlation predicts (px), and the error of the scale of 550 features
NOISE_PX, ERROR = 0.19, 1.5e-4


def notes(scales: Floats, side: int = SIDE, unknown: int | None = None) -> tuple[str, ...]:
    """Of slices that are scaled so against the first one, in fields of side x side pixels."""
    steps = np.diff(np.log(scales), prepend=0.0)
    fits = tuple(
        PairFit(z0=z - 1, z1=z, matrix=IDENTITY, noise_px=NOISE_PX, log_scale=None if z == unknown else (-step, ERROR))
        for z, step in enumerate(steps.tolist())
        if z
    )
    slices = tuple(
        PlacedSlice(z=z, file="", verdict="good", matrix=IDENTITY, source_slices=(z,)) for z in range(len(scales))
    )
    return magnification_notes(Transforms(width=side, height=side, fits=fits, slices=slices), side, side)


def tapering(count: int, per_slice: float = 0.0003) -> Floats:
    """Registered medulla: 1.6 % over 58 slices."""
    return np.asarray((1 - per_slice) ** np.arange(count), np.float64)


# a running median leaves the last slice out
def test_a_gradual_zoom_is_said_with_its_ends() -> None:
    assert notes(np.linspace(1, 1.03, 30)) == ("the magnification changes by +2.8% from z 0 to z 28",)
    assert notes(np.linspace(1, 0.97, 30)) == ("the magnification changes by -2.8% from z 0 to z 28",)


@pytest.mark.parametrize(("by", "said"), [(1.006, "+0.6%"), (0.994, "-0.6%"), (1.1, "+10.0%")])
def test_a_step_is_said_with_its_place(by: float, said: str) -> None:
    scales = np.where(np.arange(35) < 20, 1, by) * tapering(35, 0.0001)
    assert f"the magnification steps by {said} from z 19 to z 20" in notes(scales)


def test_of_several_steps_the_largest_is_said() -> None:
    scales = np.ones(30)
    scales[10:], scales[20:] = 1.008, 1.02
    assert "the magnification steps by +1.2% from z 19 to z 20, most of all" in notes(scales)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_tissue_that_tapers_and_slices_scaled_at_random_are_no_change(seed: int) -> None:
    jitter = np.random.default_rng(seed).normal(0, 0.0007, 58)
    assert notes(tapering(58) * (1 + jitter)) == ()


def test_a_pair_without_a_scale_counts_as_unscaled() -> None:
    assert notes(np.where(np.arange(30) < 15, 1, 1.02), unknown=15) == ()


def test_one_cell_may_taper_in_a_small_field() -> None:
    assert notes(tapering(58, 0.002), side=200) == ()
    assert notes(tapering(58, 0.002), side=300)


@settings(max_examples=20)
@given(st.floats(0.8, 1.25), st.floats(-np.pi, np.pi), st.floats(-100, 100))
def test_the_scale_of_features_is_that_of_their_similarity(scale: float, angle: float, shift: float) -> None:
    moving = np.random.default_rng(0).uniform(0, 300, (40, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = log_scale(scale * moving @ turn.T + shift, moving)
    assert found == pytest.approx((np.log(scale), 0), abs=1e-9)


def test_the_error_is_that_of_many_tries() -> None:
    rng, moving = np.random.default_rng(0), np.random.default_rng(1).uniform(0, 300, (40, 2))
    tries = np.array([log_scale(moving + rng.normal(0, 1, moving.shape), moving) for _ in range(300)])
    assert tries[:, 0].std() == pytest.approx(tries[:, 1].mean(), rel=0.15)


@pytest.mark.parametrize("points", [np.zeros((0, 2)), np.ones((2, 2)), np.ones((5, 2))])
def test_points_without_a_scale_have_none(points: Floats) -> None:
    assert log_scale(points, points) is None
