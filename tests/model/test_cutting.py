"""Parts of a stage: as large as wanted, no more than pods can use, and never smaller than their pods are worth."""

import math

from hypothesis import given
from hypothesis import strategies as st

from clio_argo.model.cutting import WORTH, Cutting, pod_s
from clio_argo.model.plan import FanOut, slices_per_unit
from clio_argo.model.request import Request

UNITS, SECONDS = st.integers(1, 7000), st.floats(0, 1e6)
CUTTINGS = st.builds(Cutting, st.integers(1, 3000), st.floats(0.1, 1e5), st.integers(1, 500))


def usual(units: int, cpu_s: float, at_once: int = 100, **settings: float) -> int:
    return (
        Cutting.of(Request.model_validate({"id": "x", "source": "y", **settings}), at_once)
        .fan_out(FanOut.of(units), cpu_s)
        .parts
    )


def test_a_small_stage_is_one_part_however_many_units_it_has() -> None:
    assert usual(600, WORTH * pod_s() * 1.9) == 1
    assert usual(600, 0) == 1


def test_pods_that_may_run_at_a_time_have_work_as_far_as_each_is_worth_its_start() -> None:
    assert usual(600, 600 * pod_s()) == 100
    assert usual(600, 60 * pod_s()) == 12
    assert usual(600, 60 * pod_s(), at_once=4) == 4


def test_parts_take_the_wanted_time_in_whole_waves_of_pods() -> None:
    assert usual(6000, 200 * 180) == 200
    assert usual(6000, 240 * 180) == 200
    assert usual(6000, 260 * 180) == 300
    assert usual(600, 600, at_once=2, part_minutes=1) == 10
    assert usual(6000, 6000 * 180) == 500
    assert usual(8, 1e6) == 8


def test_a_person_may_have_a_part_for_each_unit() -> None:
    assert usual(6, 1, part_minutes=0.001) == 6


@given(UNITS, SECONDS, CUTTINGS, st.integers(1, 5))
def test_parts_are_no_more_than_allowed_and_worth_their_pods(
    units: int, cpu_s: float, cutting: Cutting, together: int
) -> None:
    work = cutting.fan_out(FanOut.of(units * together, together=together), cpu_s)
    assert 1 <= work.parts <= min(units, cutting.most)
    assert sum(len(work.part(p)) for p in range(work.parts)) == units * together
    smallest = min(len(work.part(p)) for p in range(work.parts))
    assert work.parts == 1 or smallest >= together
    wanted = max(cutting.at_once, 1.5 * math.ceil(cpu_s / cutting.part_s))
    assert work.parts <= wanted
    if work.parts > max(1, math.ceil(cpu_s / cutting.part_s)) and work.parts <= cutting.at_once:
        assert smallest * cpu_s / (units * together) >= WORTH * pod_s() * (1 - 1e-9)


def test_nothing_to_do_is_no_part() -> None:
    assert usual(0, 0) == 0


@given(UNITS, SECONDS, st.integers(1, 3000))
def test_workers_of_one_machine_get_small_parts(units: int, cpu_s: float, most: int) -> None:
    assert Cutting(most, 180).fan_out(FanOut.of(units), cpu_s).parts == min(units, most)


@given(st.integers(1, 100_000), st.integers(1, 20_000**2))
def test_units_hold_more_small_slices_only_where_they_stay_many_and_as_much_work_as_usual(slices: int, px: int) -> None:
    size = slices_per_unit(slices, px)
    assert size == min(16, -(-slices // 8)) or (size <= 64 and size * px <= 64 * 512**2 and slices >= 32 * size)
    assert slices < 64 * 32 or px > 512**2 or size == 64
