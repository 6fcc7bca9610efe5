"""Pods, the controller and the workflow itself are taken away: the volume stays the same, nothing is done twice."""

import time
from pathlib import Path

import pytest

from tests.e2e.cluster import BUCKET, RIG, Cluster, download, nodes, run, units_done, until, upload
from tests.stacks import contents, demo_slices, records, request, run_here, write_stack

SLICES, FIRST = 24, 3514
# SIGKILL for the step; the container's first process is Argo's
KILL = (
    "import os, pathlib; [os.kill(int(p.parent.name), 9) for p in pathlib.Path('/proc').glob('[0-9]*/comm') "
    "if p.read_text() == 'clio-argo-step\\n']"
)


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


def start(cluster: Cluster, source: str, name: str) -> str:
    """Submit with two parts a stage; the run's root."""
    cluster.submit(source, f"{BUCKET}/runs/{name}", "--set", "max_parts=2", "--name", name)
    return f"{BUCKET}/runs/{name}"


def the_same(out: str, here: Path, folder: Path) -> None:
    """The volume is that of the undisturbed run, and every unit was made once."""
    assert contents(download(f"{out}/", folder)) == contents(here)
    made = units_done(out)
    for step in ("reduce", "match", "render", "write"):
        assert made[step] == sum(r.step == step for r in records(here).values()), step


def test_a_step_is_killed(cluster: Cluster, source: str, here: Path, tmp_path: Path) -> None:
    out = start(cluster, source, "killed")
    pod = cluster.running("killed", "render")
    cluster.kubectl("exec", pod, "--container", "main", "--", "python", "-c", KILL, check=False)
    ended = cluster.ended("killed")
    assert ended["status"]["phase"] == "Succeeded"
    assert any("exit code 137" in n.get("message", "") for n in nodes(ended, "render"))
    the_same(out, here, tmp_path)


@pytest.mark.skipif(not RIG.exists(), reason="only the rig lets its controller be killed")
def test_the_controller_dies(cluster: Cluster, source: str, here: Path, tmp_path: Path) -> None:
    out = start(cluster, source, "orphan")
    cluster.running("orphan", "reduce")
    run(RIG, "controller", "kill")
    time.sleep(10)
    run(RIG, "controller", "start")
    assert cluster.ended("orphan")["status"]["phase"] == "Succeeded"
    the_same(out, here, tmp_path)


def test_the_workflow_is_deleted(cluster: Cluster, source: str, here: Path, tmp_path: Path) -> None:
    """Submitted again on the same root, the run goes on where it was."""
    out = start(cluster, source, "lost")
    cluster.running("lost", "render")
    cluster.kubectl("delete", "workflow", "lost")
    until(lambda: not cluster.objects("pods", "workflows.argoproj.io/workflow=lost"), "the pods' end")
    start_again = cluster.submit(source, out, "--set", "max_parts=2", "--name", "found", "--wait")
    assert "look at it" in start_again.splitlines()[-1]
    the_same(out, here, tmp_path)
