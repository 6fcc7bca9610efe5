"""A run opened from Python: its documents, its volume as arrays, and what it says where something is not there."""

import json
import shutil
import sys
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

import clio_argo
from clio_argo.errors import NewerDocument, UserError
from clio_argo.model.alignment import Transforms
from clio_argo.model.layout import (
    COMPLETE,
    ESTIMATE,
    PLAN,
    QUALITY,
    SUSPECTS,
    TRANSFORMS,
    TRANSFORMS_TABLE,
    VOLUME,
    log_name,
    record_name,
)
from clio_argo.model.volume import VolumeSpec
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.store.volumes import Volumes
from clio_argo.workspace.logs import log_attempt
from tests.maintenance.conftest import SLICES
from tests.stacks import FIRST


@pytest.mark.properties
def test_documents_are_those_that_lie_there(whole: Path) -> None:
    run = clio_argo.open(str(whole))
    for document, name in ((run.completion, COMPLETE), (run.transforms, TRANSFORMS)):
        assert document.to_bytes() == (whole / name).read_bytes()
    assert run.plan.minz == FIRST
    assert run.request.setting("viewer.chunk") == 256
    assert run.link == run.completion.link
    assert run.report == f"{run.url}report.html"
    assert repr(run) == f"<clio-argo run {run.url}: complete>"


def test_documents_are_told_in_a_line(whole: Path) -> None:
    run = clio_argo.open(str(whole))
    documents = (run.plan, run.transforms, run.completion, run.progress, run.quality, run.costs)
    said = [f"{d}" for d in documents]
    assert said == [repr(d) for d in documents]
    plan, transforms, completion, progress, quality, costs = said
    assert progress == "<Progress: 12 of 12 stages are done>"
    assert quality == "<Quality: 5 pairs, 0 outliers>"
    assert costs.startswith("<Costs: CPU ")
    assert plan == f"<Plan: 6 slices, z {FIRST} to {FIRST + 5}, 2100 x 24 px uint8>"
    assert transforms.startswith("<Transforms: 6 slices, 0 flagged, 0 suspect, canvas 2")
    assert completion.startswith(f"<Completion of {run.request.id}: complete, 6 slices, 0 flagged, ")


def test_transforms_are_a_table(whole: Path) -> None:
    transforms = clio_argo.open(str(whole)).transforms
    assert transforms.to_csv() == (whole / TRANSFORMS_TABLE).read_text()
    table = transforms.to_pandas()
    assert table.index.tolist() == [s.z for s in transforms.slices]
    assert table.loc[FIRST, ["a", "b", "tx", "c", "d", "ty"]].tolist() == list(np.ravel(transforms.slices[0].matrix))


def test_a_table_without_pandas_is_explained(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        clio_argo.open(str(whole)).transforms.to_pandas()


@pytest.mark.parametrize("viewer", [False, True])
def test_every_scale_is_an_array_in_voxels_of_that_scale(whole: Path, viewer: bool) -> None:
    run, spec = clio_argo.open(str(whole)), Store(str(whole)).document(VolumeSpec, VOLUME)
    volumes = Volumes(Store(str(whole)), spec)
    assert len(spec.scales) > 2
    for scale, shape in enumerate(spec.scales):
        array = run.volume(scale, viewer=viewer)
        assert array.domain.labels == ("z", "y", "x")
        assert array.domain.inclusive_min == shape.begin
        read = volumes.read_viewer if viewer else volumes.read
        assert np.array_equal(array.read().result(), read(scale, shape.box))
        assert run.resolution(scale) == shape.resolution
    assert run.volume()[FIRST + SLICES - 1].read().result().any()


def test_what_is_not_there_is_named(out: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        clio_argo.open(str(tmp_path / "nothing"))
    run = clio_argo.open(str(out))
    with pytest.raises(UserError, match=r"has no scale 9, only 0 to \d"):
        run.volume(9)
    with pytest.raises(UserError, match="has no scale -1"):
        run.resolution(-1)
    with pytest.raises(UserError, match="has no channel 1, only 0 to 0"):
        run.volume(channel=1)
    (out / COMPLETE).write_text(json.dumps({**json.loads((out / COMPLETE).read_text()), "aligned": None}))
    with pytest.raises(UserError, match=r"was not kept; use volume\(viewer=True\)"):
        clio_argo.open(str(out)).volume()
    (out / COMPLETE).write_text("{")
    assert "not complete" in repr(run)
    (out / COMPLETE).unlink()
    assert "not complete" in repr(run)
    with pytest.raises(UserError, match=r"complete\.json does not exist: the run has not come so far"):
        clio_argo.open(str(out)).link  # noqa: B018


def test_a_run_of_a_newer_version_says_so_and_one_of_an_older_version_is_read(out: Path, older: Path) -> None:
    later = {**json.loads((out / TRANSFORMS).read_text()), "schema_version": Transforms.SCHEMA_VERSION + 1}
    (out / TRANSFORMS).write_text(json.dumps(later))
    run = clio_argo.open(str(out))
    with pytest.raises(NewerDocument, match=r"transforms\.json: written by a newer version .*install the newer"):
        run.transforms  # noqa: B018
    assert run.plan.minz == FIRST
    read = clio_argo.open(str(older))
    assert [s.z for s in read.transforms.slices] == [*range(FIRST, FIRST + 6)]
    assert read.volume()[FIRST].read().result().any()
    assert {s.share for s in read.progress.stages} == {1.0}


def test_progress_of_a_run_that_has_ended(demo: Path) -> None:
    run = clio_argo.open(demo)
    assert [s.step for s in run.progress.stages] == [s.name for s in PIPELINE.steps]
    assert {s.share for s in run.progress.stages} == {1.0}
    assert run.progress.left_s == 0
    assert str(run.progress["render"]) == "60 of 60 slices"
    assert run.progress.rate("reduce")[0][0] > run.progress.attempts[0].started
    assert run.costs.cpu_s == pytest.approx(sum(a.cpu_s for a in run.progress.attempts), abs=0.1)
    assert run.quality.pairs[0].z0 == run.plan.minz


def test_progress_of_a_run_that_goes_on(demo: Path, tmp_path: Path) -> None:
    shutil.copytree(demo, out := tmp_path / "run", ignore=shutil.ignore_patterns("aligned", "ng"))
    for gone in (COMPLETE, QUALITY, record_name("publish", 0), log_name("publish", 0), log_name("verify", 0)):
        (out / gone).unlink()
    for unit in range(5, 15):
        (out / record_name("render", unit)).unlink()
    before = clio_argo.open(out).progress
    log_attempt(Store(str(out)), before.attempts[0].model_copy(update={"step": "follow", "wall_s": 1e6, "done": 60}))
    progress = clio_argo.open(out).progress
    assert progress == before, "the weeks of the acquisition tell nothing of the run"
    assert str(progress["render"]) == "20 of 60 slices"
    assert [s.step for s in progress.stages if s.share < 1] == ["render", "verify", "publish"]
    assert (progress.left_s or 0) > 0
    for document in (VOLUME, SUSPECTS):
        (out / document).unlink()
    early = clio_argo.open(out).progress
    assert (early["rematch"].units, early["render"].units) == (0, 15), "as expected"
    (out / PLAN).unlink()
    assert str(clio_argo.open(out).progress["match"]).endswith(" units"), "as while one follows an acquisition"
    with pytest.raises(UserError, match=r"plan\.json does not exist: .* has not come so far"):
        _ = clio_argo.open(out).costs
    (out / ESTIMATE).unlink()
    unknown = clio_argo.open(out).progress
    assert (str(unknown["render"]), unknown.left_s) == ("not known yet", None)


@pytest.mark.usefixtures("here")
def test_a_run_is_verified(whole: Path) -> None:
    assert clio_argo.open(str(whole)).verify().faults == ()


def test_names_are_told_before_they_are_used() -> None:
    assert {*clio_argo.__all__, "open", "__version__"} <= {*dir(clio_argo)}
    assert clio_argo.__version__ == version("clio-argo")
    assert "open" not in clio_argo.__all__


@pytest.mark.parametrize("name", [*clio_argo.__all__, "open"])
def test_signatures_are_short(name: str) -> None:
    if isinstance(found := getattr(clio_argo, name), FunctionType):
        assert len(str(signature(found))) < 500, "a few lines of a screen"


def test_notebooks_show_tables_in_which_text_is_text(demo: Path) -> None:
    run = clio_argo.open(demo)
    assert "<th>z 3513</th><td>bad: " in run.transforms._repr_html_()
    assert run.plan._repr_html_().startswith("<b>Plan: 60 slices, z 3490 to 3549, ")
    assert "<th>flagged</th><td>z 3513</td>" in run.completion._repr_html_()
    named = run.completion.model_copy(update={"notes": ("<script>",)})
    assert "&lt;script&gt;" in named._repr_html_()
