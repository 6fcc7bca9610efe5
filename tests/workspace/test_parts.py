"""Parts are cut for the pods of a workflow where there is one; a run that goes on elsewhere does nothing again."""

from pathlib import Path

import pytest

from clio_argo.maintenance.clean import clean
from clio_argo.maintenance.repair import repair
from clio_argo.model.alignment import RematchUnit
from clio_argo.model.cutting import Cutting
from clio_argo.model.layout import VOLUME
from clio_argo.model.plan import FanOut, Plan
from clio_argo.model.sizes import SizeRun
from clio_argo.model.step import StepResult
from clio_argo.model.volume import VolumeSpec
from clio_argo.store.documents import Store
from clio_argo.workspace.parts import PARALLELISM, cut_pairs, cut_slices
from tests.stacks import contents, demo_slices, request, run_here, write_stack

UNITS = ("reduce", "match", "render", "write")


def parts(results: dict[str, StepResult]) -> dict[str, int]:
    return {name: len(of) for result in results.values() for name, of in result.parts.items()}


@pytest.mark.properties
def test_a_run_goes_on_on_a_cluster_with_other_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = request(write_stack(tmp_path / "source", demo_slices(9, 96)))
    here, there = dict[str, StepResult](), dict[str, StepResult]()
    out = run_here(config, tmp_path / "out", results=here)
    assert parts(here) == {"reduce_parts": 5, "match_parts": 5, "rematch_parts": 0,
                           "render_parts": 3, "write_parts": 1, "coarsen_parts": 0}  # fmt: skip
    clean(out)
    before = contents(out)
    monkeypatch.setenv(PARALLELISM, "100")
    run_here(config, out, results=there)
    assert set(parts(there).values()) == {0, 1}
    assert [there[step].counts.done for step in UNITS] == [0] * 4
    assert contents(out) == before
    # what is laid out again on another machine keeps its parts
    monkeypatch.delenv(PARALLELISM)
    (out / "aligned" / "zarr.json").unlink()
    volume = (out / VOLUME).read_bytes()
    assert repair(out, workers=1).left.faults == ()
    assert (out / VOLUME).read_bytes() == volume
    assert Store(str(out)).document(VolumeSpec, VOLUME).render == FanOut(units=3, parts=1)


def stack(slices: int, side: int, **more: object) -> Plan:
    units = FanOut.of(-(-slices // 16))
    return Plan.model_validate({
        "source": "x", "minz": 0, "maxz": slices - 1, "width": side, "height": side, "dtype": "uint8",
        "usable": slices, "sizes": (SizeRun(z=0, slices=slices, width=side, height=side),), "source_bytes": 0,
        "digest": "", "unit_slices": 16, "reduce": units, "match": units, **more,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("slices", "side", "reduce"), [(500, 500, 1), (2000, 5000, 8), (14_000, 10_000, 100), (40_000, 10_000, 200)]
)
def test_parts_of_slices_follow_what_they_take(slices: int, side: int, reduce: int) -> None:
    plan = cut_slices(stack(slices, side), Cutting(500, 180, 100))
    assert plan.reduce.parts == reduce
    assert plan.match.parts <= reduce
    assert plan.uncut == stack(slices, side)


def test_few_pairs_are_one_part_and_many_are_as_many_as_those_of_match() -> None:
    plan, cutting = stack(14_000, 5000), Cutting(500, 180, 100)
    units = [
        RematchUnit(unit=u, last=u, pairs=tuple((z, z + 1) for z in range(16 * u, 16 * u + 10))) for u in range(875)
    ]
    assert cut_pairs(plan, units[:1], cutting).parts == 1
    assert cut_pairs(plan, units, cutting) == cut_slices(plan, cutting).match
    assert cut_pairs(plan, [], cutting).parts == 0
