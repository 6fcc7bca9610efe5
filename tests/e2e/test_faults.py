"""Pods, the controller and the workflow itself are taken away: the volume stays the same, nothing is done twice."""

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from clio_argo.pipeline import PIPELINE
from tests.e2e.cluster import (
    BUCKET,
    PARTS,
    Cluster,
    Json,
    download,
    no_controller,
    nodes,
    units_done,
    until,
    upload,
)  # fmt: skip
from tests.e2e.holds import held, hold
from tests.stacks import contents, demo_slices, records, request, run_here, write_stack

SLICES, FIRST, MOST = 24, 3514, 2
# SIGKILL for the step; the container's first process is Argo's
KILL = (
    "import os, pathlib; [os.kill(int(p.parent.name), 9) for p in pathlib.Path('/proc').glob('[0-9]*/comm') "
    "if p.read_text() == 'clio-argo-step\\n']"
)
# a part for each unit, if that were not more
TWO_PARTS = (*PARTS, "--set", f"max_parts={MOST}", "--set", "part_minutes=0.001")
# less than the interpreter needs with its libraries; doubled with each try
SMALL_MIB = "48"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stack(tmp_path_factory.mktemp("stack"), demo_slices(SLICES, first=FIRST))


@pytest.fixture(scope="module")
def here(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run on this machine, undisturbed."""
    return run_here(request(folder, id="e2e", image="iso.%05d.png"), tmp_path_factory.mktemp("here"))


@pytest.fixture(scope="module")
def source(cluster: Cluster, folder: Path) -> str:
    return upload(folder, f"{BUCKET}/sources/faults")


@pytest.fixture(scope="module")
def starved(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The template with too little memory for write; its name."""
    template = cluster.objects("workflowtemplates", "clio-argo/current=true")[0]
    tasks = next(t for t in template["spec"]["templates"] if t["name"] == "parts")["dag"]["tasks"]
    given = next(t for t in tasks if t["name"] == "write")["arguments"]["parameters"]
    next(p for p in given if p["name"] == "mib")["value"] = SMALL_MIB
    file = tmp_path_factory.mktemp("template") / "starved.json"
    file.write_text(json.dumps({**template, "metadata": {"name": "starved"}}))
    cluster.kubectl("create", "--filename", file)
    return "starved"


def record(name: str, step: str) -> str:
    """The second record of a step's first part."""
    return f"runs/{name}/manifest/{step}/000001.json"


def start(cluster: Cluster, source: str, name: str, *more: str) -> str:
    """Submit; the run's root."""
    out = f"{BUCKET}/runs/{name}"
    cluster.submit(source, out, "--name", name, *more)
    return out


def the_same(out: str, here: Path, folder: Path) -> None:
    """The volume is that of the undisturbed run."""
    assert contents(download(f"{out}/", folder)) == contents(here)


def units(folder: Path) -> Counter[str]:
    """Finished units of a run, by stage that has several."""
    return Counter(r.step for r in records(folder).values() if PIPELINE[r.step].fan_out)


def logged(out: str, here: Path) -> Counter[str]:
    """Units that tries say they have made, by stage. A try that is killed says nothing."""
    return Counter({step: n for step, n in units_done(out).items() if step in units(here)})


def messages(workflow: Json, step: str) -> list[str]:
    return [n.get("message", "") for n in nodes(workflow, step)]


def taken_away(cluster: Cluster, name: str, step: str) -> None:
    """Delete a pod that runs by force, and wait for the next.

    Argo gives that a name of its own, or, where the first had no time to report its end, the same one.
    """
    pod = cluster.running(name, step)["metadata"]
    cluster.kubectl("delete", "pod", pod["name"], "--force", "--grace-period=0")
    # the node needs seconds to end it, in which it must not go on
    cluster.running(name, step, but=pod["uid"])


def test_pods_die(cluster: Cluster, source: str, starved: str, here: Path, tmp_path: Path) -> None:
    """Deleted, killed, out of memory: each time the next try does what was lost, and no more."""
    match, render = (record("deaths", step) for step in ("match", "render"))
    hold(match, render)
    out = start(cluster, source, "deaths", *TWO_PARTS, "--template", starved)
    with held(match):
        taken_away(cluster, "deaths", "match")
    with held(render):
        pod = cluster.running("deaths", "render")["metadata"]
        cluster.kubectl("exec", pod["name"], "--container", "main", "--", "python", "-c", KILL, check=False)
    ended = cluster.ended("deaths")
    assert ended["status"]["phase"] == "Succeeded"
    assert any("exit code 137" in m for m in messages(ended, "render"))
    assert any("OOMKilled" in m for m in messages(ended, "write"))
    names = [n["displayName"] for n in ended["status"]["nodes"].values() if n["type"] == "Retry"]
    assert any(name.startswith("reduce(0:3514-") for name in names)
    the_same(out, here, tmp_path)
    # the first unit of both tries stands in the manifest, but in no log
    assert units(here) - logged(out, here) == Counter(match=1, render=1)


def test_the_pod_of_a_small_run_dies(cluster: Cluster, source: str, here: Path, tmp_path: Path) -> None:
    """The next try goes on in the middle of the stage that it was in."""
    render = record("small", "render")
    hold(render)
    out = start(cluster, source, "small")
    with held(render):
        taken_away(cluster, "small", "all")
    ended = cluster.ended("small")
    assert ended["status"]["phase"] == "Succeeded"
    the_same(out, here, tmp_path)
    # the unit whose record was held is the only one that was done in part
    assert units(here) - logged(out, here) == Counter(render=1)


def test_controller_and_workflow_go_away(cluster: Cluster, source: str, here: Path, tmp_path: Path) -> None:
    """Without a controller pods go on to their end. Submitted again on the same root, a run goes on where it was."""
    reduce, render = (record("lost", step) for step in ("reduce", "render"))
    hold(reduce, render)
    out = start(cluster, source, "lost", *TWO_PARTS)
    with ExitStack() as gone:
        with held(reduce):
            gone.enter_context(no_controller())
        until(lambda: len(cluster.pods("lost", "reduce", "Succeeded")) == MOST, "pods that nobody watches")
    with held(render):
        cluster.kubectl("delete", "workflow", "lost")
        until(lambda: not cluster.objects("pods", "workflows.argoproj.io/workflow=lost"), "the pods' end")
    (tmp_path / "before").mkdir()
    before, said = units(download(f"{out}/", tmp_path / "before")), logged(out, here)
    assert before["reduce"] == said["reduce"] == units(here)["reduce"]
    assert 0 < before["render"] < units(here)["render"]
    again = cluster.submit(source, out, *TWO_PARTS, "--name", "found", "--wait")
    assert "look at it" in again.splitlines()[-1]
    (tmp_path / "after").mkdir()
    the_same(out, here, tmp_path / "after")
    # a try that is ended says nothing of the units that it had finished
    assert before - said + logged(out, here) == units(here)
