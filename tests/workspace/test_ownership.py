"""One root and several requests: joined, refused, or replaced; nothing of two requests is ever mixed."""

import subprocess
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from clio_argo.errors import SupersededError, TransientError, UserError
from clio_argo.maintenance.verify import verify
from clio_argo.model.layout import CONFIG
from clio_argo.model.request import REQUEST, Request
from clio_argo.model.run import ObjectRecord
from clio_argo.model.step import Part, StepResult
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import NoProgress, run, run_step
from clio_argo.steps import plan, render
from clio_argo.store.documents import Store
from clio_argo.workspace.ownership import take_ownership
from clio_argo.workspace.run import Run
from clio_argo.workspace.survey import survey
from clio_argo.workspace.user_inputs import resolved
from tests.proxy import disturbed
from tests.stacks import CLI, FIRST, contents, demo_slices, plain, records, request, run_here, write_stack
from tests.stores import Bucket


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stack(tmp_path_factory.mktemp("slices"), demo_slices(4, 96))


@pytest.mark.properties
def test_two_runs_at_once_give_one_result(slices: Path, tmp_path: Path) -> None:
    command = [CLI, "run", "--source", slices, "--resolution", "10", "--set", "id=test", "--workers", "1", "--out"]
    both = [subprocess.Popen([*command, tmp_path / "out"], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [p.communicate(timeout=100)[1] for p in both]
    assert [p.returncode for p in both] == [0, 0], told
    assert sum("joined" in t for t in told) == 1, told
    assert contents(tmp_path / "out") == contents(run_here(request(slices), tmp_path / "alone"))


class Another(NoProgress):
    """Another runner with other labels, which begins as the first one ends."""

    def __init__(self, request: Request, out: Path, times: int) -> None:
        self._request, self._out, self._left = request, out, times

    def part(self, step: str, part: Part, result: StepResult) -> None:
        if step == "publish" and self._left:
            self._left -= 1
            labels = {"by": str(self._left)}
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(REQUEST, self._request.model_copy(update={"labels": labels}).model_dump_json())
                run_step(PIPELINE["plan"], str(self._out), 0)


@pytest.mark.properties
def test_another_runner_begins_as_one_ends(slices: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(request(slices), out, 1, Another(request(slices), out, 1)).status == "complete"
    with pytest.raises(TransientError, match="began again and again"):
        run(request(slices), out, 1, Another(request(slices), out, 9))


def test_a_request_that_changes_meanwhile_is_asked_for_again(slices: Path, gcs: Bucket) -> None:
    store = Store(gcs.url)
    gcs.fault("POST .*config[.]json", 412, 1)
    assert take_ownership(store, request(slices)) == "", "its own after a second look"
    gcs.fault("POST .*config[.]json", 412, 1)
    with pytest.raises(TransientError, match=r"config\.json: another process changed it .*; try again"):
        take_ownership(store, request(slices, background=1, update=True))
    assert "rerunning what depends on background" in take_ownership(store, request(slices, background=1, update=True))


@pytest.mark.properties
def test_an_update_does_again_what_depends_on_it(slices: Path, tmp_path: Path) -> None:
    run_here(request(slices), tmp_path / "out")
    other = {"viewer__jpeg_quality": 50, "labels": {"by": "me"}}
    with pytest.raises(UserError, match=r"--update\. What differs:\n  - viewer.jpeg_quality: 80 -> 50$"):
        run_here(request(slices, **other), tmp_path / "out")
    results: dict[str, StepResult] = {}
    run_here(request(slices, **other, update=True), tmp_path / "out", results=results)
    assert "depends on viewer.jpeg_quality: 80 -> 50" in results["plan"].note
    assert {s: results[s].counts.done for s in ("reduce", "match", "render", "write")} == {
        "reduce": 0, "match": 0, "render": 0, "write": 1,
    }  # fmt: skip
    fresh = run_here(request(slices, **other), tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(fresh)
    run_here(request(slices, **other), tmp_path / "out", results=results)
    assert "joined" in results["plan"].note


@pytest.mark.properties
def test_units_of_the_older_request_stop(slices: Path, bucket: Bucket) -> None:
    out = f"{bucket.url}/run"
    run_here(request(slices), out, stop_before="render")
    step = PIPELINE["render"]
    older = Run(Store(out), step, PIPELINE)
    assert older.request.contrast.clip_limit == 0.02
    run_here(request(slices, contrast__clip_limit=0, update=True), out, stop_before="reduce")
    with pytest.raises(SupersededError, match="another request replaced this one"):
        render.run(older, [0])
    written = [n for n in Store(out).names() if n.startswith(("manifest/render", "aligned/0/c/", "thumbnails/"))]
    assert not written, "a unit stops before it writes, not only before its record"
    fresh = run_here(request(slices, contrast__clip_limit=0), f"{bucket.url}/fresh")
    assert contents(run_here(request(slices, contrast__clip_limit=0), out)) == contents(fresh)


class TakenOver(NoProgress):
    """Lets another request take a run over as one of its steps begins."""

    def __init__(self, at: str, out: Path, other: Request) -> None:
        self.at, self.out, self.other = at, out, other

    def stage(self, step: str, title: str, parts: Sequence[Part]) -> None:
        if step == self.at:
            take_ownership(Store(str(self.out)), self.other)


@pytest.mark.properties
@pytest.mark.parametrize("at", ["reduce", "frame", "solve", "publish"])
def test_a_run_that_is_taken_over_between_its_units_is_not_called_complete(
    at: str, slices: Path, tmp_path: Path
) -> None:
    wanted, out = request(slices, background=7), tmp_path / "out"
    first = resolved(request(slices), survey(request(slices))[0])
    other = first.model_copy(update={"background": 7, "update": True})
    with pytest.raises(SupersededError, match="choose another --out"):
        run(request(slices), out, 1, TakenOver(at, out, other))
    fresh = run_here(wanted, tmp_path / "fresh")
    assert contents(run_here(wanted, out)) == contents(fresh)


@pytest.mark.properties
def test_a_plan_is_not_recorded_for_the_request_that_replaced_its_own(
    slices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write = tmp_path / "out", plan.write_user_inputs
    first = resolved(request(slices), survey(request(slices))[0])

    def taken_over(store: Store, *given: Any) -> list[ObjectRecord]:
        take_ownership(store, first.model_copy(update={"minz": FIRST + 1, "update": True}))
        return write(store, *given)

    monkeypatch.setattr(plan, "write_user_inputs", taken_over)
    with pytest.raises(SupersededError):
        run_here(request(slices), out, stop_before="reduce")
    assert not Store(str(out)).names("manifest/plan")


@pytest.mark.properties
def test_a_run_whose_beginning_is_done_and_not_answered_is_joined(
    slices: Path, gcs: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever answer is lost: the second try finds what the first one has written."""
    wanted = request(slices)
    with disturbed(gcs.server.endpoint) as proxy:
        for name, value in replace(gcs.server, endpoint=proxy.endpoint).variables.items():
            monkeypatch.setenv(name, value)
        for before in count():
            proxy.left = deque(["none"] * before + ["lost"])
            take_ownership(store := Store(f"{gcs.url}/run-{before}"), wanted)
            if proxy.left:
                break
            assert store.intact(Request, CONFIG) == wanted
    assert before > 2


def test_a_record_is_not_written_when_the_run_changed_hands_meanwhile(slices: Path, tmp_path: Path) -> None:
    run_here(request(slices), tmp_path, stop_before="render")
    older = Run(Store(str(tmp_path)), PIPELINE["render"], PIPELINE)
    record = older.new_record(0)
    run_here(request(slices, contrast__clip_limit=0, update=True), tmp_path, stop_before="reduce")
    with pytest.raises(SupersededError):
        older.write_record(record)
    assert not [n for n in records(tmp_path) if n.startswith("manifest/render")]


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.properties
@pytest.mark.parametrize("writes", range(30, 60, 3))
def test_a_takeover_that_is_killed_leaves_nothing_to_the_next(
    slices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    first = plain(slices, lossless=False)
    out, count = run_here(first, tmp_path / "out"), 0
    write = Store.write

    def dying(store: Store, name: str, data: bytes) -> ObjectRecord:
        nonlocal count
        count += 1
        if count > writes:
            raise Killed
        return write(store, name, data)

    with monkeypatch.context() as patch, suppress(Killed):
        patch.setattr(Store, "write", dying)
        run_here(plain(slices, update=True), out)
    run_here(first.model_copy(update={"update": True}), out)
    assert verify(out, workers=1).faults == ()
    assert contents(out) == contents(run_here(first, tmp_path / "fresh"))
