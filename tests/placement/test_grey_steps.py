"""A step of the grey values that stays is said with z and factor; flicker, ramps and odd slices are none."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.model.alignment import Floats, SliceStatistics
from clio_argo.placement.grey_steps import grey_steps
from tests.stacks import completion, lossless, request, run_here, write_stack

COUNT = 40


def steps(gains: Floats, offsets: Floats | float = 0.0, odd: tuple[int, ...] = ()) -> tuple[str, ...]:
    """Of slices of a mean of 2000 and a standard deviation of 500 with these gains and offsets."""
    shifts = np.broadcast_to(offsets, gains.shape)
    statistics = [
        SliceStatistics(z=z, digest="", mean=2000 * g + o, std=500 * g)
        for z, (g, o) in enumerate(zip(gains.tolist(), shifts.tolist(), strict=True))
    ]
    return grey_steps(statistics, set(range(len(gains))) - {*odd})


def flicker(seed: int, count: int = COUNT, deviation: float = 0.15) -> Floats:
    return np.asarray(np.exp(np.random.default_rng(seed).normal(0, deviation, count)), np.float64)


@given(st.integers(4, COUNT), st.data(), st.sampled_from([1 / 16, 1 / 4, 4, 16]), st.integers(0, 99))
def test_a_step_is_said_wherever_it_lies(count: int, data: st.DataObject, factor: float, seed: int) -> None:
    at = data.draw(st.integers(2, count - 2))
    gains = flicker(seed, count, 0.03) * np.where(np.arange(count) < at, 1, factor)
    [text] = steps(gains)
    assert f"from z {at - 1} to z {at}:" in text
    assert text.count("from z") == 1


def test_factor_and_ends_of_every_step_are_said() -> None:
    gains = np.repeat([1.0, 16.0, 4.0], 10)
    assert steps(gains) == (
        "the grey values step by a factor of 16 from z 9 to z 10, by a factor of 1/4 from z 19 to z 20: "
        "one window of the viewer suits one side",
    )
    [offset] = steps(np.ones(20), np.repeat([0.0, 32768.0], 10))
    assert offset.startswith("the grey values step by +32768 from z 9 to z 10:")


@pytest.mark.parametrize("seed", range(20))
def test_flicker_ramps_and_lesser_steps_are_none(seed: int) -> None:
    assert steps(flicker(seed)) == ()
    assert steps(flicker(seed, deviation=0.3)) == ()
    assert steps(flicker(seed) * np.geomspace(1, 16, COUNT)) == ()
    assert steps(flicker(seed, deviation=0.05) * np.repeat([1, 2], COUNT // 2)) == ()
    assert steps(flicker(seed), np.linspace(0, 5000, COUNT)) == ()


def test_odd_slices_are_none() -> None:
    gains = np.ones(COUNT)
    gains[[0, 9, 20, 21, 22, COUNT - 1]] = 1 / 16
    assert steps(gains) == ()
    gains[:5] = 1 / 16
    assert steps(gains, odd=tuple(range(5))) == ()
    assert len(steps(gains)) == 1


@pytest.mark.parametrize("gains", [[], [1.0], [1.0, 16.0], [1.0, 16.0, 16.0]])
def test_stacks_too_short_for_a_step(gains: list[float]) -> None:
    assert steps(np.array(gains)) == ()


@pytest.mark.properties
@pytest.mark.parametrize("skip", [True, False])
def test_a_run_of_slices_of_12_and_then_16_bits_is_flagged(skip: bool, demo: Path, tmp_path: Path) -> None:
    ends = {}
    for name, factor in (("alike", 1), ("stepped", 16)):
        slices = {
            z: v.astype(np.uint16) * (16 * factor if z >= 5 else 16)
            for z, v in enumerate(lossless(demo)[:10, 60:260, 60:260])
        }
        config = request(write_stack(tmp_path / name, slices), alignment__skip=skip)
        done = completion(run_here(config, tmp_path / "out" / name))
        ends[name] = (done.status, done.notes)
    note = "the grey values step by a factor of 16 from z 4 to z 5: one window of the viewer suits one side"
    assert ends["alike"] == ("complete", ())
    assert ends["stepped"][0] == "complete_with_flags"
    assert ends["stepped"][1][0] == note
