"""A step of one's own is one `Step` value: it runs, is recorded, verified and repaired like the others."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clio_argo.errors import ClioError, UserError
from clio_argo.maintenance.repair import repair
from clio_argo.maintenance.verify import verify
from clio_argo.model.layout import VIEWER
from clio_argo.model.step import Pipeline, Step, StepResult
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run
from clio_argo.workspace.run import Run
from clio_argo.workspace.units import Done, Outcome, each_unit, once, record_whole
from tests.stacks import cli, demo_slices, plain, records, request, run_here, write_stack

SLICES = 12


def label_name(unit: int) -> str:
    return f"{VIEWER}/labels/{unit}"


def label(run: Run, units: Sequence[int]) -> StepResult:
    """Label every slab with the numbers of its planes."""
    return each_unit(units, lambda unit: _label(run, unit))


def _label(run: Run, unit: int) -> Outcome:
    box = run.volume.slab_box(unit)
    text = f"{run.settings.background}: {box.begin[0]} to {box.end[0]}".encode()
    return once(run, unit, box.model_dump(), lambda: Done([run.store.write(label_name(unit), text)]))


def labels(run: Run, unit: int) -> Iterator[str]:
    yield label_name(unit)


def tell(run: Run, units: Sequence[int]) -> int:
    return len(units)


LABEL = Step(
    "label", f"{__name__}:label", ("render",), "solve.render_parts", title="label slabs", units="volume.render",
    objects=f"{__name__}:labels", settings=("background",), version=3,
)  # fmt: skip
OWN: Pipeline = PIPELINE.with_step(LABEL, before=("verify",))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_stack(tmp_path / "source", demo_slices(SLICES, 64))


def test_its_units_are_recorded_and_done_once(source: Path, tmp_path: Path) -> None:
    results: dict[str, StepResult] = {}
    out = run_here(plain(source), tmp_path / "out", results=results, pipeline=OWN)
    own = [r for r in records(out).values() if r.step == "label"]
    assert [r.algorithm for r in own] == [3] * len(own) != []
    run_here(plain(source), out, results=results, pipeline=OWN)
    assert (results["label"].counts.done, results["label"].counts.skipped) == (0, 1)


@pytest.mark.properties
def test_a_setting_that_it_reads_does_its_units_again(source: Path, tmp_path: Path) -> None:
    out = run_here(plain(source), tmp_path / "out", pipeline=OWN)
    run_here(plain(source, background=7, update=True), out, pipeline=OWN)
    assert (out / label_name(0)).read_bytes().startswith(b"7: ")
    run_here(plain(source, viewer__jpeg_quality=50, background=7, update=True), out, pipeline=OWN)
    assert verify(out, workers=1, pipeline=OWN).faults == ()


@pytest.mark.properties
def test_what_it_wrote_is_verified_and_repaired(source: Path, tmp_path: Path) -> None:
    out = run_here(plain(source), tmp_path / "out", pipeline=OWN)
    before = (out / label_name(1)).read_bytes()
    (out / label_name(1)).unlink()
    found = verify(out, workers=1, pipeline=OWN)
    assert [(f.name, f.step, f.unit) for f in found.faults] == [(label_name(1), "label", 1)]
    repaired = repair(out, workers=1, pipeline=OWN)
    assert (repaired.again, repaired.left.faults) == ({"label": 1}, ())
    assert (out / label_name(1)).read_bytes() == before


@pytest.mark.properties
def test_it_runs_with_workers(source: Path, tmp_path: Path) -> None:
    done = run(request(source), tmp_path / "out", workers=1, pipeline=OWN)
    assert done.objects > 0
    assert (tmp_path / "out" / label_name(0)).exists()


@pytest.mark.properties
def test_the_command_line_takes_the_pipeline_by_name(source: Path, tmp_path: Path) -> None:
    own = ("--pipeline", f"{__name__}:OWN", "--workers", 1)
    where = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = cli("run", "--source", source, "--out", tmp_path / "out", *own, **where)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out" / label_name(0)).unlink()
    assert cli("verify", tmp_path / "out", *own, **where).returncode == 1
    assert "1 of label" in cli("repair", tmp_path / "out", *own, **where).stdout
    wrong = cli("run", "--source", source, "--out", tmp_path / "out", "--pipeline", "nowhere:OWN")
    assert (wrong.returncode, "nowhere" in wrong.stderr) == (2, True)


def test_without_its_pipeline_it_is_not_called_broken(source: Path, tmp_path: Path) -> None:
    out = run_here(plain(source), tmp_path / "out", pipeline=OWN)
    for look in (verify, repair):
        with pytest.raises(UserError, match="was made with the steps label; name their pipeline by --pipeline"):
            look(out, workers=1)


EXTRA = f"{VIEWER}/extra"


def describe(run: Run, units: Sequence[int]) -> None:
    """A step without units that writes one object each time."""
    record_whole(run, [run.store.write(EXTRA, b"extra")])


def extra(run: Run, unit: int) -> Iterator[str]:
    yield EXTRA


@pytest.mark.properties
@pytest.mark.parametrize("after", ["solve", "render"])
def test_an_object_of_a_step_without_units_is_repaired(source: Path, tmp_path: Path, after: str) -> None:
    step = Step("describe", f"{__name__}:describe", (after,), objects=f"{__name__}:extra")
    pipeline = PIPELINE.with_step(step, before=("verify",))
    out = run_here(plain(source), tmp_path / "out", pipeline=pipeline)
    (out / EXTRA).write_bytes(b"extrA")
    repaired = repair(out, workers=1, pipeline=pipeline)
    assert (repaired.again, repaired.left.faults) == ({"describe": 1}, ())
    assert verify(out, workers=1, pipeline=pipeline).faults == ()


@pytest.mark.properties
def test_a_step_between_others_does_not_hide_what_these_are_made_from(source: Path, tmp_path: Path) -> None:
    pipeline = PIPELINE.with_step(LABEL, before=("write",))
    out = run_here(plain(source, lossless=False), tmp_path / "out", pipeline=pipeline)
    whole = {p: p.read_bytes() for p in (out / VIEWER).rglob("*.shard")}
    shutil.rmtree(out / "tmp")
    for shard in whole:
        shard.unlink()
    assert repair(out, workers=1, pipeline=pipeline).left.faults == ()
    assert {p: p.read_bytes() for p in whole} == whole


@pytest.mark.properties
def test_a_pipeline_without_a_step_or_with_another_runs(source: Path, tmp_path: Path) -> None:
    pipeline = OWN.without("label").replace(replace(PIPELINE["coarsen"], title="coarsen, in words of my own"))
    assert {s.name: pipeline.after(s.name) for s in pipeline.steps} == {
        s.name: PIPELINE.after(s.name) for s in PIPELINE.steps
    }
    results: dict[str, StepResult] = {}
    out = run_here(plain(source), tmp_path / "out", results=results, pipeline=pipeline)
    assert "publish" in results
    assert "label" not in results
    assert verify(out, workers=1, pipeline=pipeline).faults == ()


def test_a_volume_that_nobody_verified_is_not_called_complete(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ClioError, match=r"verify\.json"):
        run_here(plain(source), tmp_path / "out", pipeline=PIPELINE.without("verify"))
    assert not (tmp_path / "out" / "complete.json").exists()


WRONG: dict[str, tuple[Callable[[], Pipeline], list[str]]] = {
    "a name twice": (lambda: PIPELINE.with_step(Step("plan", after=("solve",))), ["two steps are called plan"]),
    "waits for nobody": (lambda: with_label(after=("rendr",)), ["waits for rendr, which is no step"]),
    "two faults": (
        lambda: with_label(after=("a",), fan_out="b.parts"), ["label: waits for a,", "label: reads from b,"],
    ),
    "a circle": (lambda: with_label("plan", after=("publish",)), ["label: waits for publish"]),
    "before nobody": (lambda: with_label("rendr"), ["there is no step rendr; steps are plan"]),
    "without what others read": (lambda: PIPELINE.without("solve"), ["render: reads from solve", "approval: there is"]),
    "without what others are made from": (lambda: PIPELINE.without("render"), ["write: is made from units of render"]),
    "without nobody": (lambda: PIPELINE.without("rendr"), ["there is no step rendr"]),
    "another nobody": (lambda: PIPELINE.replace(LABEL), ["there is no step label"]),
}  # fmt: skip


def with_label(*before: str, **changes: Any) -> Pipeline:
    return PIPELINE.with_step(replace(LABEL, **changes), before=before)


@pytest.mark.parametrize("what", WRONG)
def test_a_pipeline_that_cannot_run_is_refused_with_all_reasons(what: str) -> None:
    make, reasons = WRONG[what]
    with pytest.raises(UserError) as refused:
        make()
    assert [r for r in reasons if r not in str(refused.value)] == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"entry": "nowhere:label"}, "nowhere:label: No module named 'nowhere'; install its package"),
        ({"entry": f"{__name__}:nothing"}, "has no attribute 'nothing'"),
        ({"entry": f"{__name__}:LABEL"}, "expected a function, found Step"),
        ({"objects": "labels"}, "labels: expected MODULE:NAME"),
        ({"entry": "leaves:label"}, "leaves:label: cannot be imported: SystemExit: no licence"),
        ({"settings": ("backgroud",)}, "there is no setting backgroud"),
        ({"settings": ("contrast.clip",)}, "there is no setting contrast.clip"),
        ({"entry": "nowhere:label", "settings": ("clip",)}, r"nowhere:label: .*\nstep label: there is no setting clip"),
    ],
)
def test_what_is_not_there_is_refused_before_anything_is_spent(
    source: Path, tmp_path: Path, wrong: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaves.py").write_text("raise SystemExit('no licence')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=f"step label: .*{said}"):
        run(plain(source), tmp_path / "out", pipeline=OWN.replace(replace(LABEL, **wrong)))
    assert not (tmp_path / "out").exists()


def test_a_step_that_returns_something_else_ends_with_an_error(source: Path, tmp_path: Path) -> None:
    pipeline = OWN.replace(replace(LABEL, entry=f"{__name__}:tell"))
    with pytest.raises(UserError, match=f"{__name__}:tell returned 1; return a StepResult"):
        run_here(plain(source), tmp_path / "out", pipeline=pipeline)
