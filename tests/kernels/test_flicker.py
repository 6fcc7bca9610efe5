"""What flickers is evened out; what is real stays."""

import numpy as np
import pytest

from clio_argo.kernels.contrast import apply_gain
from clio_argo.kernels.flicker import course
from clio_argo.model.alignment import Floats, PlacedSlice, SliceStatistics, Transforms
from clio_argo.placement.flicker import even_out

SLICES, WINDOW = 400, 50


def flickering(course_of_stack: Floats, spread: float) -> Floats:
    return course_of_stack + np.random.default_rng(7).normal(0, spread, len(course_of_stack))


@pytest.mark.parametrize(
    "real",
    [
        np.full(SLICES, 120.0),
        np.linspace(90, 150, SLICES),
        np.where(np.arange(SLICES) < 170, 100.0, 140.0),
        120 + 10 * np.sin(np.arange(SLICES) / 80),
    ],
    ids=["level", "ramp", "step", "wave"],
)
def test_the_course_is_what_the_stack_really_does(real: Floats) -> None:
    found = course(flickering(real, 4.0), WINDOW)
    assert np.sqrt(np.mean((found - real) ** 2)) < 1.2
    assert np.abs(found - real).max() < 8


@pytest.mark.parametrize("real", [np.linspace(90, 150, SLICES), np.where(np.arange(SLICES) < 170, 100.0, 140.0)])
def test_without_flicker_nothing_changes(real: Floats) -> None:
    assert np.abs(course(real, WINDOW) - real).max() < 0.7


def test_odd_slices_and_unknown_ones_do_not_count() -> None:
    values = np.full(SLICES, 120.0)
    values[::7], values[3::7] = 255.0, np.nan
    assert np.allclose(course(values, WINDOW), 120)


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_short_stacks_have_a_course_too(slices: int) -> None:
    assert np.allclose(course(np.full(slices, 120.0), WINDOW), 120)


def _placed(z: int, verdict: str) -> PlacedSlice:
    values = {"z": z, "file": None, "verdict": verdict, "matrix": None, "source_slices": (z,)}
    return PlacedSlice.model_validate(values)


def test_a_bad_slice_drags_no_other_and_one_that_is_not_there_has_no_gain() -> None:
    verdicts = ["good", "bad", "good", "missing"]
    stack = Transforms(width=1, height=1, slices=tuple(_placed(z, v) for z, v in enumerate(verdicts)))
    facts = [SliceStatistics(z=z, digest="", mean=m, std=s) for z, m, s in ((0, 100, 30), (1, 9, 1), (2, 100, 30))]
    assert [s.grey for s in even_out(stack, facts, WINDOW).slices] == [(1, 0), (3, 73), (1, 0), None]
    assert even_out(stack, facts, 0) is stack


def test_gains_have_six_digits_and_offsets_three() -> None:
    stack = Transforms(width=1, height=1, slices=tuple(_placed(z, "good") for z in range(3)))
    facts = [SliceStatistics(z=z, digest="", mean=100 + z**2 / 7, std=30 + z**2 / 3) for z in range(3)]
    _, (gain, offset), _ = (s.grey or (1, 0) for s in even_out(stack, facts, WINDOW).slices)
    assert gain == round(gain, 6) != round(gain, 5)
    assert offset == round(offset, 3) != round(offset, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_values_are_moved_and_saturate(dtype: type) -> None:
    top = np.iinfo(dtype).max
    pixels = np.array([[0, 10, top // 2, top]], dtype)
    assert apply_gain(pixels, 1.2, -6).tolist() == [[0, 6, round(1.2 * (top // 2) - 6), top]]
    assert np.array_equal(apply_gain(pixels, 1, 0), pixels)
