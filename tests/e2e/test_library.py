"""A cluster from Python: a run is submitted, watched, read and stopped by handles."""

import json
import os
import warnings
from pathlib import Path

import pytest
from hera.workflows import DAG, Container, Parameter, Task, Workflow

import clio_argo
from clio_argo.argo import volume_stage
from clio_argo.errors import UserError
from tests.e2e.cluster import BUCKET, Cluster, nodes, until
from tests.stacks import request


@pytest.fixture(params=["kubeconfig", "argo-server"])
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A way to the cluster that is the one taken."""
    if request.param == "argo-server":
        monkeypatch.setenv("ARGO_SERVER", os.environ["CLIO_ARGO_SERVER"])
        monkeypatch.setenv("ARGO_SECURE", "false")
    return str(request.param)


def test_a_run_is_submitted_waited_for_and_opened(cluster: Cluster, small: str, door: str) -> None:
    name = f"library-{door}"
    asked, root = request(small, id="library", image="iso.%05d.png"), f"{BUCKET}/runs/{name}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = clio_argo.submit(asked, root, cluster.namespace, name=name, wait=True)
    assert (made.name, made.status, made.summary.succeeded) == (name, "Succeeded", True)
    assert [s.name for s in made.stages][:2] == ["plan", "all"]
    assert {s.phase for s in made.stages} == {"Succeeded"}
    assert made.run == root
    assert made.open().completion.link == made.outputs["link"]
    assert any("plan" in line.pod for line in made.logs())
    assert repr(made) == f"<clio-argo workflow {name} in namespace {cluster.namespace}>"
    assert name in [w.name for w in clio_argo.list_runs(cluster.namespace)]


def test_a_run_is_stopped_and_what_is_wrong_is_told_before_anything_is_made(
    cluster: Cluster, small: str, door: str
) -> None:
    with pytest.raises(UserError, match="no such argument"):
        clio_argo.submit(request(small), f"{BUCKET}/runs/none", cluster.namespace, arguments={"aproval": "ask"})
    with pytest.raises(UserError, match="cannot be submitted"):
        clio_argo.submit(request(small), "/on/this/machine", cluster.namespace)
    asked, name = request(small, id="stopped", image="iso.%05d.png"), f"stopped-{door}"
    made = clio_argo.submit(asked, f"{BUCKET}/runs/{name}", cluster.namespace, name=name, arguments={"approval": "ask"})
    until(lambda: made.summary.waiting, f"the question of {name}")
    made.stop()
    assert not made.wait().succeeded


def test_a_run_is_a_task_of_somebody_elses_workflow(cluster: Cluster, small: str, tmp_path: Path) -> None:
    """Three stages: what the first one writes becomes a volume, whose place the last one is told."""
    source, run, image = f"{BUCKET}/{cluster.namespace}/small", f"{BUCKET}/runs/stage", "python:3.11-slim-bookworm"
    told = "import sys; print(sys.argv[1])"
    cluster.kubectl("create", "serviceaccount", "stage")
    for role in ("submitter", "executor"):
        whom = ("--role", f"clio-argo-{role}", "--serviceaccount", f"{cluster.namespace}:stage")
        cluster.kubectl("create", "rolebinding", f"stage-{role}", *whom)
    with Workflow(name="outer", entrypoint="all", service_account_name="stage") as outer:
        Container(name="ingest", image=image, command=["python", "-c", "print('ingested')"])
        volume_stage(request("set by the task", id="stage", image="iso.%05d.png"))
        mesh = Container(name="mesh", image=image, command=["python", "-c", told, "{{inputs.parameters.volume}}"])
        mesh.inputs = [Parameter(name="volume")]
        with DAG(name="all"):
            first = Task(name="ingest", template="ingest")
            second = Task(name="volume", template="volume", arguments={"source": source, "run": run})
            volume = "{{tasks.volume.outputs.parameters.volume}}"
            third = Task(name="mesh", template="mesh", arguments={"volume": volume})
            first >> second >> third
    (tmp_path / "outer.json").write_text(json.dumps(outer.to_dict()))
    cluster.kubectl("create", "--filename", tmp_path / "outer.json")
    ended = cluster.ended("outer")
    messages = {n["displayName"]: n.get("message") for n in ended["status"]["nodes"].values()}
    assert ended["status"]["phase"] == "Succeeded", messages
    [last] = nodes(ended, "mesh")
    assert last["inputs"]["parameters"] == [{"name": "volume", "value": f"{run}/ng"}]
    assert clio_argo.open(run).completion.slices == 6
    [inner] = [w for w in cluster.objects("workflows") if w["metadata"]["name"].startswith("stage-")]
    assert inner["metadata"]["ownerReferences"][0]["name"] == "outer"
