"""Memory that the pods of a workflow are given, and the refusal of more than a node has."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from clio_argo.model.channels import named
from clio_argo.model.values import READ, ValueMap
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.workspace.outputs import memory_of_alignment, memory_of_volumes, memory_problems
from clio_argo.workspace.run import Run


@pytest.mark.parametrize(
    ("kind", "reduce_mib"),
    [("uint8", 384 + 4 * 100), ("uint16", 384 + 4 * 200), ("int8", 384 + 4 * 100), ("float64", 384 + 4 * 800)],
)
def test_reduce_has_room_for_four_slices_and_what_reads_all_slices_for_their_facts(
    kind: str, reduce_mib: int, demo: Path
) -> None:
    plan = Run(Store(str(demo)), PIPELINE["match"], PIPELINE).plan
    values = {"dtype": READ[kind], "values": ValueMap.of(kind)}
    large = plan.model_copy(update={"width": 10 * 1024, "height": 10 * 1024, **values})
    whole = 384 + 3  # 60 slices of 0.04 MiB
    assert memory_of_alignment(large) == {"reduce_mib": reduce_mib, "match_mib": 768, "solve_mib": whole}


def test_reduce_has_room_for_the_colours_of_a_slice(demo: Path) -> None:
    plan = Run(Store(str(demo)), PIPELINE["match"], PIPELINE).plan
    large = plan.model_copy(update={"width": 10 * 1024, "height": 10 * 1024})
    colours = large.model_copy(update={"channels": named(["red", "green", "blue"], rgb=True)})
    assert memory_of_alignment(colours)["reduce_mib"] == 384 + 8 * 100
    assert memory_of_alignment(colours.model_copy(update={"alpha": True}))["reduce_mib"] == 384 + 10 * 100
    assert memory_of_alignment(large.model_copy(update={"alpha": True}))["reduce_mib"] == 384 + 6 * 100


def test_stages_that_write_voxels_have_the_memory_of_a_unit(demo: Path) -> None:
    run = Run(Store(str(demo)), PIPELINE["write"], PIPELINE)
    spec, needs = run.volume, memory_of_volumes(run.volume, run.plan)
    assert needs.pop("publish_mib") == 768 + 3
    assert all(0 <= needs[f"{name}_mib"] - 1024 * spec.memory_gib(name) < 1 for name in ("render", "write", "coarsen"))


def test_slices_that_are_read_together_have_room_in_reduce_and_render(demo: Path) -> None:
    run = Run(Store(str(demo)), PIPELINE["write"], PIPELINE)
    together = run.plan.model_copy(update={"together": 8, "together_mib": 700})
    assert memory_of_alignment(together)["reduce_mib"] - memory_of_alignment(run.plan)["reduce_mib"] == 700
    needs = [memory_of_volumes(run.volume, plan)["render_mib"] for plan in (run.plan, together)]
    assert needs[1] - needs[0] == 700


def test_stages_that_no_node_holds_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = {"render_mib": 2048, "write_mib": 2049}
    assert memory_problems(needs) == []
    monkeypatch.setenv("CLIO_MEMORY_MAX_MIB", "2048")
    (problem,) = memory_problems(needs)
    assert problem.startswith("write needs 2049 MiB, pods of this cluster can have 2048 MiB")


PEAK = """
import resource, sys
from clio_argo.model.request import Request
from clio_argo.workspace.survey import survey
plan, _, _ = survey(Request(id="x", source=sys.argv[1], image="s%d.png", resolution=8))
assert len(plan.channels) == 3
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.properties
def test_plan_has_room_to_look_at_pictures_of_ten_thousand_pixels(tmp_path: Path) -> None:
    peaks, mib = [], []
    for side in (100, 4000):
        noise = np.random.default_rng(0).integers(0, 2**16, (side, side, 3), np.uint16)
        folder = tmp_path / str(side)
        folder.mkdir()
        assert cv2.imwrite(str(folder / "s1.png"), noise, [cv2.IMWRITE_PNG_COMPRESSION, 0])
        told = subprocess.run([sys.executable, "-c", PEAK, folder], capture_output=True, check=True, text=True)
        peaks.append(float(told.stdout))
        mib.append(noise.nbytes / 2**20)
    pictures = (peaks[1] - peaks[0]) / mib[1]
    # four samples of 16 bit
    assert peaks[0] + pictures * 10_000**2 * 8 / 2**20 < float(PIPELINE["plan"].memory)
