"""Pods, the controller and the workflow itself are taken away: the volume stays the same, nothing is done twice."""

import time
from collections import Counter
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
    """The volume is that of the undisturbed run."""
    assert contents(download(f"{out}/", folder)) == contents(here)


def units(folder: Path) -> Counter[str]:
    """Finished units of a run, by stage."""
    return Counter(r.step for r in records(folder).values())


def logged(out: str, here: Path) -> Counter[str]:
    """Units that tries say they have made, by stage. A try that is killed says nothing."""
    return Counter({step: n for step, n in units_done(out).items() if step in units(here)})


def test_a_step_is_killed(cluster: Cluster, source: str, here: Path, tmp_path: Path) -> None:
    out = start(cluster, source, "killed")
    pod = cluster.running("killed", "render")
    cluster.kubectl("exec", pod, "--container", "main", "--", "python", "-c", KILL, check=False)
    ended = cluster.ended("killed")
    assert ended["status"]["phase"] == "Succeeded"
    assert any("exit code 137" in n.get("message", "") for n in nodes(ended, "render"))
    the_same(out, here, tmp_path)
    # what the killed try had finished stands in the manifest, but in no log
    assert logged(out, here) <= units(here)


@pytest.mark.skipif(not RIG.exists(), reason="only the rig lets its controller be killed")
def test_the_controller_dies(cluster: Cluster, source: str, here: Path, tmp_path: Path) -> None:
    out = start(cluster, source, "orphan")
    cluster.running("orphan", "reduce")
    run(RIG, "controller", "kill")
    time.sleep(10)
    run(RIG, "controller", "start")
    assert cluster.ended("orphan")["status"]["phase"] == "Succeeded"
    the_same(out, here, tmp_path)
    assert logged(out, here) == units(here)


def test_the_workflow_is_deleted(cluster: Cluster, source: str, here: Path, tmp_path: Path) -> None:
    """Submitted again on the same root, the run goes on where it was."""
    out = start(cluster, source, "lost")
    cluster.running("lost", "render")
    cluster.kubectl("delete", "workflow", "lost")
    until(lambda: not cluster.objects("pods", "workflows.argoproj.io/workflow=lost"), "the pods' end")
    (tmp_path / "before").mkdir()
    unlogged = units(download(f"{out}/", tmp_path / "before")) - logged(out, here)
    start_again = cluster.submit(source, out, "--set", "max_parts=2", "--name", "found", "--wait")
    assert "look at it" in start_again.splitlines()[-1]
    (tmp_path / "after").mkdir()
    the_same(out, here, tmp_path / "after")
    assert unlogged + logged(out, here) == units(here)
