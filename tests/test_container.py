"""What a container leaves behind: files that a workflow reads, messages for people, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from clio_argo.container import MESSAGE_CHARACTERS, part_number, refuse_unreachable, run_part, save_outputs
from clio_argo.errors import BrokenInvariant, SupersededError, UserError
from clio_argo.model.layout import COSTS
from clio_argo.model.parse_request import from_environment
from clio_argo.model.request import Request
from clio_argo.model.run import Costs
from clio_argo.model.step import Part, StepResult
from clio_argo.pipeline import PIPELINE, Pipeline, Step
from clio_argo.runner import run, run_steps
from clio_argo.store.documents import Store
from tests.stacks import contents, demo_slices, request, run_here, write_stack

COMMAND = [sys.executable, "-c", "from clio_argo.container import main; main()"]


def container(*arguments: object, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, **variables},
    )  # fmt: skip


def planned(source: Path, tmp_path: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """The plan of `source` in a container, with what it leaves in tmp_path."""
    (tmp_path / "termination-log").touch()
    return container(
        "plan", "--run", tmp_path / "run",
        CLIO_REQUEST=request(source).model_dump_json(), CLIO_OUTPUTS=str(tmp_path / "outputs"),
        CLIO_TERMINATION_LOG=str(tmp_path / "termination-log"), **variables,
    )  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stack(tmp_path_factory.mktemp("stack"), demo_slices(6))


def test_outputs_are_files_that_a_fan_out_reads(stack: Path, tmp_path: Path) -> None:
    done = planned(stack, tmp_path, CLIO_SET_maxz="3493", CLIO_SET_resolution="8,8,30", CLIO_SET_single_pod_minutes="0")
    assert done.returncode == 0, done.stderr
    parts = json.loads((tmp_path / "outputs" / "reduce_parts").read_text())
    assert parts == [f"{3490 + i}-{3490 + i}" for i in range(4)]
    needs = {name: int((tmp_path / "outputs" / f"{name}_mib").read_text()) for name in ("reduce", "match", "single")}
    assert needs["reduce"] > 0
    assert needs["single"] >= max(needs.values())
    assert (tmp_path / "outputs" / "single").read_text() == "false"
    assert Store(str(tmp_path / "run")).document(Request, "config.json").resolution == (8, 8, 30)
    kept = (tmp_path / "outputs" / "request" / "config.json").read_bytes()
    assert kept == (tmp_path / "run" / "config.json").read_bytes(), "an artifact of the first step"


@pytest.mark.properties
def test_a_pod_is_told_what_its_part_covers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph in Argo's UI then says so too; slices below 0 begin with a dash."""
    source = write_stack(tmp_path / "stack", {z - 3492: s for z, s in demo_slices(4).items()}, "iso.%d.png")
    url, outputs = str(tmp_path / "run"), tmp_path / "outputs"
    monkeypatch.setenv("CLIO_REQUEST", request(source, image="iso.%d.png", max_parts=2).model_dump_json())
    monkeypatch.setenv("CLIO_OUTPUTS", str(outputs))
    run_part(PIPELINE, PIPELINE["plan"], url, 0)
    items = json.loads((outputs / "reduce_parts").read_text())
    assert items == ["-2--1", "0-1"]
    assert [part_number(PIPELINE["reduce"], url, i) for i in (*items, "1")] == [0, 1, 1]
    done = container("reduce", "--run", url, f"--part={items[0]}")
    assert json.loads(done.stdout)["counts"]["done"] == 2, done.stderr
    with pytest.raises(UserError, match=r"no part 0-3 \(it has -2--1, 0-1\); .* submit it again"):
        part_number(PIPELINE["reduce"], url, "0-3")
    with pytest.raises(UserError, match="it runs once"):
        part_number(PIPELINE["solve"], url, "0-3")


def test_pods_of_a_workflow_do_not_work_for_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They start when they start, and the run's config.json is then that of who came last."""
    source, url = write_stack(tmp_path / "stack", demo_slices(3)), str(tmp_path / "run")

    def pod(workflow: str, step: str) -> None:
        monkeypatch.setenv("CLIO_WORKFLOW", workflow)
        run_part(PIPELINE, PIPELINE[step], url, 0)

    first = request(source, image="iso.%05d.png")
    monkeypatch.setenv("CLIO_REQUEST", first.model_dump_json())
    pod("first", "plan")
    pod("same", "plan")
    pod("first", "reduce")
    later = first.model_copy(update={"resolution": (9, 9, 30), "update": True})
    monkeypatch.setenv("CLIO_REQUEST", later.model_dump_json())
    pod("later", "plan")
    for workflow in ("first", "same"):
        with pytest.raises(SupersededError, match="another request replaced this one"):
            pod(workflow, "match")
    pod("first", "notify")
    pod("later", "reduce")


@pytest.mark.parametrize(
    ("run", "source", "mounted", "words"),
    [
        ("fly/out", "gs://lab/f", "", ["run fly/out: write gs://fly/out if it is a bucket; pods see no such folder"]),
        ("", "", "", ["run '': empty", "source: give one"]),
        ("gs:///out", "/data/fly", "", ["run gs:///out: names no bucket", "source /data/fly: pods see no such folder"]),
        ("/dat/out", "gs://lab/f", "/data:/tapes", ["run /dat/out: pods see no such folder, only what lies in /data"]),
        ("/data/out", "/tapes/fly", "/data:/tapes", []),
        ("gs://bucket/out", "gs://lab/f", "", []),
    ],
)
def test_places_of_a_form_that_no_pod_reaches_are_refused(
    run: str, source: str, mounted: str, words: list[str]
) -> None:
    given = {"CLIO_REQUEST": "", "CLIO_SET_source": source, "CLIO_SET_id": "", "CLIO_MOUNTED": mounted}
    with pytest.raises(UserError) if words else nullcontext() as refused:
        refuse_unreachable(run, given)
    assert all(f"\n  - {w}" in str(refused.value) for w in words)


def test_a_pod_refuses_a_run_that_it_would_lose(stack: Path, tmp_path: Path) -> None:
    done = planned(stack, tmp_path, CLIO_MOUNTED="/data")
    assert done.returncode == 2
    assert f"run {tmp_path / 'run'}: pods see no such folder, only what lies in /data" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_form_without_an_id_takes_the_name_of_its_source() -> None:
    form = {"CLIO_REQUEST": " ", "CLIO_SET_source": " gs://bucket/fly 42/ ", "CLIO_SET_id": "", "CLIO_SET_minz": "3"}
    found = from_environment(form)
    assert found
    assert (found.id, found.source, found.minz) == ("fly-42", "gs://bucket/fly 42/", 3)
    assert from_environment({**form, "CLIO_SET_id": "own"}).id == "own"


@pytest.mark.properties
def test_outputs_are_all_that_the_graph_refers_to(stack: Path, tmp_path: Path) -> None:
    results: dict[str, StepResult] = {}
    run_here(request(stack), tmp_path / "run", results=results)
    wanted = {step.name: set(PIPELINE.outputs_of(step.name)) for step in PIPELINE.steps}
    missing = {n: o - results[n].outputs.keys() for n, o in wanted.items() if o}
    assert missing == {"plan": set(), "suspects": set(), "solve": set(), "publish": set()}
    assert results["plan"].outputs["single"] is True


def test_parts_are_cut_for_the_pods_of_a_workflow(stack: Path, tmp_path: Path) -> None:
    assert planned(stack, tmp_path, CLIO_PARALLELISM="100").returncode == 0
    assert json.loads((tmp_path / "outputs" / "match_parts").read_text()) == ["3490-3495"]


def test_a_users_error_reaches_people_and_keeps_its_exit_code(stack: Path, tmp_path: Path) -> None:
    done = planned(stack, tmp_path, CLIO_SET_source=str(tmp_path / "nowhere"))
    assert done.returncode == 2
    message = (tmp_path / "termination-log").read_text()
    assert message.startswith("error: ")
    assert "nowhere" in message
    assert (tmp_path / "outputs" / "error").read_text() == message
    assert "Traceback" not in done.stderr


@pytest.mark.properties
def test_a_long_message_keeps_its_start(stack: Path, tmp_path: Path) -> None:
    source = write_stack(tmp_path / "damaged", demo_slices(40))
    for z in range(3491, 3530):
        (source / f"iso.{z:05d}.png").write_bytes(b"")
    done = planned(source, tmp_path)
    message = (tmp_path / "termination-log").read_text()
    assert done.returncode == 1
    assert len(done.stderr) > MESSAGE_CHARACTERS >= len(message)
    assert message.startswith("error: 39 of 40 slices are missing or unusable")


def test_text_that_a_workflow_would_replace_is_refused(stack: Path, tmp_path: Path) -> None:
    done = planned(stack, tmp_path, CLIO_SET_id="{{workflow.name}}")
    assert done.returncode == 2
    assert "id: holds '{{'" in done.stderr


def test_pods_that_no_node_can_hold_are_refused(stack: Path, tmp_path: Path) -> None:
    done = planned(stack, tmp_path, CLIO_MEMORY_MAX_MIB="500")
    assert done.returncode == 2
    assert "pods of this cluster can have 500 MiB" in done.stderr
    assert "match needs 768 MiB" in done.stderr
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.properties
def test_progress_and_the_report(stack: Path, tmp_path: Path) -> None:
    url = run_here(request(stack), tmp_path / "run", stop_before="publish")
    progress, outputs = tmp_path / "progress", tmp_path / "outputs"
    variables = {"ARGO_PROGRESS_FILE": str(progress), "CLIO_OUTPUTS": str(outputs)}
    assert container("render", "--run", url, "--part", 0, CLIO_LOST="preempted", **variables).returncode == 0
    assert progress.read_text() == "1/1\n"
    assert container("publish", "--run", url, CLIO_LOST="memory", **variables).returncode == 0
    lost = {s.step: s.lost for s in Store(str(url)).document(Costs, COSTS).stages if s.lost}
    assert lost == {"render": {"preempted": 1}, "publish": {"memory": 1}}
    page = (outputs / "report" / "index.html").read_text()
    shown = [p.relative_to(outputs / "report") for p in (outputs / "report").rglob("*.png")]
    assert shown
    assert all(f'"{name}"' in page for name in shown)
    assert (outputs / "link").read_text().startswith("clio-argo view ")


def test_one_pod_does_what_is_left_after_the_plan(stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step in one process: what is there is skipped, progress grows, and nothing differs from other runs."""
    here = run_here(request(stack), tmp_path / "here")
    url = run_here(request(stack), tmp_path / "run", stop_before="match")
    monkeypatch.setenv("ARGO_PROGRESS_FILE", str(progress := tmp_path / "progress"))
    whole, shown, done = PIPELINE.joined(asked=False)["all"], [0], list[StepResult]()
    for _, result in run_steps(whole, str(url), 0):
        done.append(result)
        shown.append(int(progress.read_text().removesuffix("/100\n")))
    assert (done[0].counts.done, done[0].counts.skipped) == (0, 6)
    assert contents(url) == contents(here)
    assert shown == sorted(shown)
    assert len(set(shown)) > 5
    assert progress.read_text() == "100/100\n"


@pytest.mark.properties
def test_a_pod_of_several_steps_leaves_outputs_and_report(stack: Path, tmp_path: Path) -> None:
    """Two pods with a question between them; steps of one's own may fan out over the lists of either."""
    url, outputs = run_here(request(stack), tmp_path / "run", stop_before="reduce"), tmp_path / "outputs"
    placed = container("reduce-solve", "--run", url, CLIO_OUTPUTS=str(outputs))
    assert placed.returncode == 0, placed.stderr
    assert (outputs / "report" / "index.html").exists()
    own = Step("own", fan_out="solve.write_parts", units="volume.write")
    assert [part_number(own, str(url), item) for item in json.loads((outputs / "write_parts").read_text())] == [0]
    done = container("render-publish", "--run", url, CLIO_OUTPUTS=str(outputs))
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["counts"]["skipped"] for line in done.stdout.splitlines()] == [0, 0, 0, 0]
    assert (outputs / "link").read_text().startswith("clio-argo view ")
    assert (outputs / "report" / "index.html").exists()


@pytest.mark.properties
def test_sigterm_ends_a_busy_step_and_the_next_try_goes_on(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "stack", {z: s.repeat(12, 0).repeat(12, 1) for z, s in demo_slices(20).items()})
    url = run_here(request(source, max_parts=1), tmp_path / "run", stop_before="reduce")
    step = subprocess.Popen([*COMMAND, "reduce", "--run", str(url)], stderr=subprocess.PIPE, text=True)
    while not list(url.glob("manifest/reduce/*.json")):
        time.sleep(0.05)
    told = time.monotonic()
    step.send_signal(signal.SIGTERM)
    _, said = step.communicate(timeout=15)
    assert (step.returncode, time.monotonic() - told < 15) == (143, True)
    assert "stopped by SIGTERM" in said
    done = json.loads(container("reduce", "--run", url).stdout)["counts"]
    assert done["skipped"] >= 1
    assert done["skipped"] + done["done"] == 7


def test_more_tasks_than_a_workflow_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1501 parts, at most 1500 are safe: set a smaller max_parts"):
        save_outputs(StepResult(parts={"a_parts": (Part(part=0),) * 1501}), tmp_path)
    with pytest.raises(BrokenInvariant, match="output name has 256001 bytes"):
        save_outputs(StepResult(published={"name": "x" * 256_001}), tmp_path)


def test_fewer_parts_do_the_same_units(stack: Path, tmp_path: Path) -> None:
    results: dict[str, StepResult] = {}
    run_here(request(stack, max_parts=2), tmp_path / "run", "match", results)
    assert results["plan"].outputs["reduce_parts"] == ("3490-3492", "3493-3495")


@pytest.mark.properties
def test_a_pipeline_of_ones_own_runs_its_steps(tmp_path: Path) -> None:
    own = Path(tmp_path / "own_steps.py")
    own.write_text(
        "from clio_argo.model.step import Step, StepResult\n"
        "from clio_argo.pipeline import PIPELINE\n"
        "def count(run, units): return StepResult(published={'counted': len(run.store.names())})\n"
        "MINE = PIPELINE.with_step(Step('count', 'own_steps:count', ('publish',)))\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = container("count", "--run", tmp_path / "run", CLIO_PIPELINE="own_steps:MINE", PYTHONPATH=path)
    assert json.loads(done.stdout)["published"] == {"counted": 0}
    assert (
        "CLIO_PIPELINE own_steps:count"
        in container("plan", "--run", "x", CLIO_PIPELINE="own_steps:count", PYTHONPATH=path).stderr
    )


def test_a_local_run_refuses_containers(stack: Path, tmp_path: Path) -> None:
    own = PIPELINE.with_step(Step("segment", after=("verify",), image="segment:1", command=("segment",)))
    with pytest.raises(UserError, match=r"which only a cluster runs: segment \(image segment:1\)"):
        run(request(stack), tmp_path / "run", pipeline=own)
    assert not (tmp_path / "run").exists()


def test_steps_wait_for_one_that_is_put_before_them() -> None:
    own: Pipeline = PIPELINE.with_step(Step("segment", after=("verify",)), before=("publish",))
    names = [s.name for s in own.steps]
    assert names.index("segment") == names.index("publish") - 1
    assert own["publish"].after == ("verify", "segment")
    assert own.after("segment") == {"publish"}
