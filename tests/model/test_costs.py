"""Estimates and their costs: laws that hold for every stack and cluster, and what is refused."""

import json
import math
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.__main__ import RESULTS
from benchmarks.figures import read_results
from benchmarks.rates import derived
from clio_argo.errors import UserError
from clio_argo.kernels.features import FEATURE_PX as SOUGHT_PX
from clio_argo.kernels.features import REDUCED_PX as REFINED_PX
from clio_argo.model.costs import FEATURE_PX, PAIRS_PER_SLICE, REDUCED_PX, Estimate, UnitCosts
from clio_argo.model.grid import GREY, Channels, build_volume
from clio_argo.model.layout import LOSSLESS, VIEWER
from clio_argo.model.plan import FanOut, Plan, slices_per_unit
from clio_argo.model.prices import Bill, Cluster, Prices, bill, local_wall_s
from clio_argo.model.request import Request
from clio_argo.model.sizes import SizeRun
from clio_argo.model.volume import VolumeChannel
from clio_argo.pipeline import PIPELINE, Pipeline
from clio_argo.steps.match import LOOP_EVERY, REACH
from clio_argo.workspace.estimate import estimate

SIDES, SLICES = st.integers(16, 12_000), st.integers(1, 100_000)
DTYPES: st.SearchStrategy[Literal["uint8", "uint16"]] = st.sampled_from(["uint8", "uint16"])
MACHINES = st.sampled_from(sorted(Prices.reference().machines))


def estimated(
    slices: int, width: int, height: int, dtype: Literal["uint8", "uint16"] = "uint8", pipeline: Pipeline = PIPELINE,
    held: Channels = GREY,
) -> Estimate:  # fmt: skip
    work = FanOut.of(-(-slices // slices_per_unit(slices, width * height)), 500)
    plan = Plan(
        source="somewhere", minz=0, maxz=slices - 1, width=width, height=height, dtype=dtype, usable=slices,
        sizes=(SizeRun(z=0, slices=slices, width=width, height=height),), source_bytes=1, digest="",
        unit_slices=slices_per_unit(slices, width * height), reduce=work, match=work,
    )  # fmt: skip
    request = Request(id="x", source="somewhere", memory_gib=200)
    volume = build_volume(request, (0, 0, 0), (slices, height, width), dtype, None, held)
    return estimate(plan, volume, UnitCosts.reference(), pipeline)


def billed(found: Estimate, nodes: int = 15, machine: str = "n2d-standard-8", spot: bool = False) -> Bill:
    return bill(found, Cluster(prices=Prices.reference(), machine=machine, nodes=nodes, spot=spot))


@given(SLICES, SIDES, SIDES, DTYPES, st.integers(1, 1000), MACHINES, st.booleans())
def test_no_figure_is_negative_or_no_number(
    slices: int, width: int, height: int, dtype: Literal["uint8", "uint16"], nodes: int, machine: str, spot: bool
) -> None:
    found = estimated(slices, width, height, dtype)
    costs = billed(found, nodes, machine, spot)
    times = [found.cpu_s, local_wall_s(found, 3), costs.wall_s, costs.total, *(s.wall_s for s in costs.stages)]
    assert all(math.isfinite(t) and t > 0 for t in times)
    assert all(size > 0 for size in found.sizes_bytes.values())


@given(SLICES, SLICES, SIDES, SIDES)
def test_more_slices_take_more_time_and_bytes(one: int, more: int, width: int, height: int) -> None:
    few, many = (estimated(slices, width, height) for slices in (one, one + more))
    assert many.cpu_s > few.cpu_s
    assert all(many.sizes_bytes[folder] > size for folder, size in few.sizes_bytes.items())


# slabs and units of short stacks have fewer slices, so that a longer stack may have fewer objects
@given(st.integers(512, 100_000), st.integers(1, 10_000), st.integers(64, 10_000))
def test_more_slices_cost_more(slices: int, more: int, side: int) -> None:
    few, many = (billed(estimated(n, side, side)) for n in (slices, slices + more))
    assert many.compute >= few.compute
    assert many.total >= few.total


@given(SLICES, SIDES, st.integers(1, 500), st.integers(1, 500), MACHINES)
def test_more_nodes_are_never_slower(slices: int, side: int, nodes: int, more: int, machine: str) -> None:
    found = estimated(slices, side, side)
    assert billed(found, nodes + more, machine).wall_s <= billed(found, nodes, machine).wall_s


@given(SLICES, SIDES, st.integers(1, 100), st.integers(1, 100))
def test_more_workers_are_never_slower(slices: int, side: int, workers: int, more: int) -> None:
    found = estimated(slices, side, side)
    assert local_wall_s(found, workers + more) <= local_wall_s(found, workers) + 1e-9


def test_channels_are_rendered_and_stored_one_by_one() -> None:
    red, green, blue, gfp = (VolumeChannel(name=name) for name in ("red", "green", "blue", "GFP"))
    grey, two = estimated(64, 2000, 2000), estimated(64, 2000, 2000, held=Channels((gfp, red)))
    colour = estimated(64, 2000, 2000, held=Channels((red, green, blue), rgb=True))
    assert two.sizes_bytes == {folder: 2 * size for folder, size in grey.sizes_bytes.items()}
    assert colour.sizes_bytes == {VIEWER: 1.5 * grey.sizes_bytes[VIEWER], LOSSLESS: 3 * grey.sizes_bytes[LOSSLESS]}
    for found, factor in ((two, 2), (colour, 3)):
        for one, several in zip(grey.stages, found.stages, strict=True):
            assert (several.cpu_s > 1.5 * one.cpu_s) == (one.step in ("render", "write")), one.step
        assert found.objects > factor * grey.objects / 2


@given(SLICES, SIDES)
def test_one_pod_does_what_all_stages_do_and_is_paid_less(slices: int, side: int) -> None:
    found = estimated(slices, side, side)
    one = found.in_one_pod
    assert one.cpu_s == pytest.approx(found.cpu_s)
    assert one.memory_mib == found.memory_mib
    assert (billed(one).writes, billed(one).reads) == (billed(found).writes, billed(found).reads)
    assert billed(one, 1).compute <= billed(found, 1).compute


def test_spot_nodes_are_cheaper_and_as_fast() -> None:
    found = estimated(1000, 5000, 5000)
    spot, usual = billed(found, spot=True), billed(found)
    assert spot.compute < usual.compute
    assert spot.wall_s == usual.wall_s


def test_an_unknown_machine_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UserError, match=r"machine z80: no price is known; there are n2d-standard-16, n2d-standard-32"):
        billed(estimated(10, 100, 100), machine="z80")


def test_a_machine_that_is_too_small_is_refused() -> None:
    with pytest.raises(UserError, match=r"machine n2d-standard-4: reduce needs a pod of 0.8 vCPU and \d+ MiB"):
        billed(estimated(100, 70_000, 70_000, "uint16"), machine="n2d-standard-4")


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf, None, "much"])
@pytest.mark.parametrize("place", [("machines", "n2d-standard-8", "spot"), ("storage", "gib_month", "standard"),
                                   ("storage", "thousand_reads"), ("delays", "pod_s")])  # fmt: skip
def test_prices_that_are_none_are_refused(place: tuple[str, ...], wrong: object) -> None:
    known = inner = json.loads(Prices.reference().to_bytes())
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = wrong
    with pytest.raises(UserError, match=rf"(?s)mine: not a valid Prices document.*{place[-1]}"):
        Prices.from_bytes(json.dumps(known).encode(), "mine")


def test_steps_of_other_pipelines_take_a_pod_of_usual_size() -> None:
    own = replace(PIPELINE["solve"], name="mine", memory="elsewhere.mib", units="elsewhere.parts")
    found = estimated(10, 100, 100, pipeline=replace(PIPELINE, steps=(*PIPELINE.steps, own)))
    assert (found.stages[-1].step, found.stages[-1].parts, found.stages[-1].memory_mib) == ("mine", 0, 1024)
    assert billed(found).wall_s > 0


def test_sizes_of_reduced_slices_are_those_of_the_kernels() -> None:
    assert (FEATURE_PX, REDUCED_PX) == (SOUGHT_PX, REFINED_PX)
    assert 1 + (REACH - 1) / LOOP_EVERY == PAIRS_PER_SLICE
    assert UnitCosts.reference().stages.keys() == {s.name for s in PIPELINE.steps}


def test_rates_of_the_package_are_those_that_the_benchmark_measured() -> None:
    # `python -m benchmarks.rates` writes them
    found = derived(read_results(RESULTS)["estimate"])
    for step, rate in UnitCosts.reference().stages.items():
        assert rate.model_dump() == pytest.approx(found.stages[step].model_dump(), rel=0.01), step
    assert UnitCosts.reference().start_s == pytest.approx(found.start_s)
