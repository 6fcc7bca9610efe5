"""The report is there to look at whatever becomes of the run."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from clio_argo.errors import GateStopped
from clio_argo.model.run import Attempt, StageTime
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step
from clio_argo.store.documents import Store
from clio_argo.store.volumes import Volumes
from clio_argo.workspace import pictures
from clio_argo.workspace.logs import log_attempt, read_attempts
from clio_argo.workspace.pictures import make_views
from clio_argo.workspace.reconcile import stage_times
from clio_argo.workspace.run import Run
from tests.stacks import DEMO, FIRST, Image, completion, demo_slices, plain, request, run_here, write_stack


@pytest.fixture(scope="module")
def only_aligned(stack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`stack` with its contrast as it is, up to `solve`."""
    config = request(stack, contrast__clip_limit=0)
    return run_here(config, tmp_path_factory.mktemp("only"), stop_before="render")


def view(out: Path, name: str) -> Image:
    return np.asarray(cv2.imread(str(out / "views" / f"{name}.png"), cv2.IMREAD_UNCHANGED))


def test_an_aligned_run_has_a_report_before_it_has_a_volume(only_aligned: Path) -> None:
    page = (only_aligned / "report.html").read_text()
    assert "Aligned, not rendered yet" in page
    assert "No volume to open." in page
    assert not (only_aligned / "ng").exists() or not list((only_aligned / "ng").rglob("*.shard"))


@pytest.mark.properties
@pytest.mark.parametrize("name", ["xy", "xz", "yz"])
def test_pictures_before_rendering_show_what_will_be_rendered(
    name: str, only_aligned: Path, stack: Path, tmp_path: Path
) -> None:
    before = view(only_aligned, f"{name}_after")
    rendered = view(run_here(request(stack, contrast__clip_limit=0), tmp_path), f"{name}_after")
    assert before.shape == rendered.shape
    # border pixels are mixed with background
    inside = cv2.erode(((rendered > 0) & (before > 0)).astype(np.uint8), np.ones((3, 3))) > 0
    assert inside.mean() > 0.8
    assert np.corrcoef(before[inside], rendered[inside])[0, 1] > 0.99


@pytest.mark.parametrize("name", ["xz", "yz"])
def test_a_cut_through_a_thin_stack_is_high_enough_to_see_and_as_wide_as_the_slices(
    name: str, only_aligned: Path
) -> None:
    (height, width), top = view(only_aligned, f"{name}_after").shape, view(only_aligned, "xy_after")
    assert 120 < height <= 240
    assert width == top.shape[1 if name == "xz" else 0]


def test_of_a_long_stack_that_is_not_rendered_the_middle_is_shown(
    only_aligned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clio_argo.workspace.pictures.MOST_REDUCED", 2)
    pictures = make_views(Run(Store(str(only_aligned)), PIPELINE["solve"], PIPELINE), None)
    assert {p.caption.rpartition("; ")[2] for p in pictures} == {f"z {FIRST + 2} to {FIRST + 3}"}


def test_times_and_memory_of_a_stage_are_those_of_all_its_attempts(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for part, (started, wall, memory) in enumerate([(10.0, 5.0, 300.0), (12.0, 1.0, 100.0)]):
        attempt = Attempt(
            step="match", part=part, host="h", started=started, wall_s=wall, cpu_s=2, peak_mib=memory, done=3
        )
        log_attempt(store, attempt)
    assert stage_times(read_attempts(store)[0]) == (
        StageTime(step="match", units=6, wall_s=5, cpu_s=4, busy_s=6, peak_mib=300),
    )


def test_a_part_has_one_log_of_its_latest_attempts_that_did_something(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for started in range(9):
        facts = {"host": "h", "started": started, "wall_s": 1, "cpu_s": 1, "peak_mib": 1}
        log_attempt(store, Attempt(step="match", part=0, done=1, **facts))
        log_attempt(store, Attempt(step="match", part=0, skipped=3, **facts))
    # of version 0.1
    store.write("process/logs/match-00001-17.json", Attempt(step="match", part=1, **facts).to_bytes())
    attempts, unread = read_attempts(store)
    assert [(a.part, a.started) for a in attempts] == [*((0, k) for k in range(4, 9)), (1, 8)]
    assert unread == 0


@pytest.mark.properties
def test_a_run_that_a_gate_stopped_has_a_report_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(GateStopped) as stopped:
        run_here(request(DEMO, image="iso.%05d.png", minz=3508, maxz=3518), tmp_path)
    _, flag, report, *details = str(stopped.value).splitlines()
    assert flag.endswith("max_bad: 1 in the request, or plan, align, run and submit with --allow-bad-slices 1")
    assert report == f"the report shows them: {(tmp_path / 'report.html').as_uri()}"
    assert details[0].startswith("    z 3513 iso.03513.png: bad")
    page = (tmp_path / "report.html").read_text()
    assert "Stopped: before rendering" in page
    assert "1 of 11 slices is bad or missing, at most 0 may be" in page
    assert (tmp_path / "views" / "xz_after.png").exists()


def test_a_damaged_log_costs_a_note(tmp_path: Path) -> None:
    source, out = write_stack(tmp_path / "source", demo_slices(2, 64)), tmp_path / "out"
    run_here(plain(source), out, stop_before="publish")
    logs = sorted((out / "process" / "logs").iterdir())
    logs[0].write_bytes(b"{")
    logs[1].write_bytes(b"")
    run_step(PIPELINE["publish"], Store(str(out)).url, 0)
    assert completion(out).status
    assert "2 logs under process/logs could not be read" in (out / "report.html").read_text()


def test_pictures_are_cut_at_the_finest_scale_that_is_hardly_larger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = {z: np.tile(image, (2, 2)) for z, image in demo_slices(3, 300).items()}
    config = plain(write_stack(tmp_path / "source", slices), alignment__skip=True)
    run = Run(Store(str(run_here(config, tmp_path / "out"))), PIPELINE["publish"], PIPELINE)
    scales, read = set[int](), Volumes.read
    monkeypatch.setattr(pictures, "VIEW_PX", max(run.volume.scales[1].size) // 2)
    monkeypatch.setattr(Volumes, "read", lambda self, scale, *of: scales.add(scale) or read(self, scale, *of))
    make_views(run, run.volume)
    assert scales == {1}
