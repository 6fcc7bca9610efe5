"""Two runs of a stack beside each other: what differs is told, and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest

from clio_argo.errors import UserError
from clio_argo.model.alignment import Transforms
from clio_argo.model.two_runs import compare_runs
from clio_argo.store.documents import Store
from tests.stacks import NOISE, cli, transforms

SIZE = (192, 192)


def moved(run: Transforms, z: int, x_px: float) -> Transforms:
    """The same with a slice moved to the right."""

    def shift(s: object) -> object:
        matrix = np.array(s.matrix) + np.array([[0, 0, x_px], [0, 0, 0]])
        return s.model_copy(update={"matrix": tuple(map(tuple, matrix.tolist()))})

    return run.model_copy(update={"slices": tuple(shift(s) if s.z == z else s for s in run.slices)})


def test_a_run_is_like_itself_wherever_its_canvas_begins(demo: Path) -> None:
    run = transforms(demo)
    everywhere = run
    for s in run.slices:
        everywhere = moved(everywhere, s.z, 7.0) if s.matrix else everywhere
    found = compare_runs(run, everywhere, (), SIZE)
    assert (found.alike, found.verdicts, found.median_px) == (True, (), 0.0)


def test_what_moved_and_what_was_judged_otherwise_is_told(demo: Path) -> None:
    run = transforms(demo)
    z = run.slices[10].z
    other = moved(run, z, 2.5)
    other = other.model_copy(
        update={"slices": tuple(s.model_copy(update={"verdict": "good", "reason": ""}) if s.z == NOISE else s
                                for s in other.slices)}
    )  # fmt: skip
    found = compare_runs(run, other, (), SIZE)
    assert {(p.z0, p.z1) for p in found.largest} == {(z - 1, z), (z, z + 1)}
    assert [p.px for p in found.largest] == pytest.approx([2.5, 2.5], abs=0.01)
    [verdict] = found.verdicts
    assert (verdict.z, verdict.first.partition(",")[0], verdict.second) == (NOISE, "bad", "good")


def test_stacks_with_nothing_in_common_are_refused(demo: Path) -> None:
    run = transforms(demo)
    other = run.model_copy(
        update={"slices": tuple(s.model_copy(update={"z": s.z + 1000}) for s in run.slices), "fits": ()}
    )
    with pytest.raises(UserError, match="no slice in common"):
        compare_runs(run, other, (), SIZE)


@pytest.mark.properties
def test_the_command_shows_settings_and_places(demo: Path, tmp_path: Path) -> None:
    for name in ("config.json", "plan.json", "transforms.json", "volume.json"):
        (tmp_path / name).write_bytes((demo / name).read_bytes())
    config = json.loads((demo / "config.json").read_text())
    config["alignment"]["trend"] = "images"
    (tmp_path / "config.json").write_text(json.dumps(config))
    run = transforms(demo)
    Store(str(tmp_path)).write("transforms.json", moved(run, run.slices[5].z, 3.0).to_bytes())
    told = cli("report", demo, tmp_path)
    assert told.returncode == 0, told.stderr
    assert "setting  alignment.trend: 'auto' -> 'images'" in told.stdout
    assert f"z {run.slices[4].z}, {run.slices[5].z}" in told.stdout
    assert "3.00 px" in told.stdout
    found = json.loads(cli("report", demo, tmp_path, "-o", "json").stdout)
    assert found["largest"][0]["px"] == pytest.approx(3.0, abs=0.01)
    assert "the same verdicts and lie at the same places" in cli("report", demo, demo).stdout
    assert cli("report", demo, tmp_path / "none").returncode == 2
