"""A cluster from Python: a run is submitted, watched, read and stopped by handles."""

import warnings

import pytest

import clio_argo
from clio_argo.errors import UserError
from tests.e2e.cluster import BUCKET, Cluster, until
from tests.stacks import request


def test_a_run_is_submitted_waited_for_and_opened(cluster: Cluster, small: str) -> None:
    asked = request(small, id="library", image="iso.%05d.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = clio_argo.submit(asked, f"{BUCKET}/runs/library", cluster.namespace, name="library", wait=True)
    assert (made.name, made.status, made.summary.succeeded) == ("library", "Succeeded", True)
    assert [s.name for s in made.stages][:2] == ["plan", "all"]
    assert {s.phase for s in made.stages} == {"Succeeded"}
    assert made.run == f"{BUCKET}/runs/library"
    assert made.open().completion.link == made.outputs["link"]
    assert any("plan" in line.pod for line in made.logs())
    assert repr(made) == f"<clio-argo workflow library in namespace {cluster.namespace}>"
    assert "library" in [w.name for w in clio_argo.list_runs(cluster.namespace)]


def test_a_run_is_stopped_and_what_is_wrong_is_told_before_anything_is_made(cluster: Cluster, small: str) -> None:
    with pytest.raises(UserError, match="no such argument"):
        clio_argo.submit(request(small), f"{BUCKET}/runs/none", cluster.namespace, arguments={"aproval": "ask"})
    with pytest.raises(UserError, match="cannot be submitted"):
        clio_argo.submit(request(small), "/on/this/machine", cluster.namespace)
    asked = request(small, id="stopped", image="iso.%05d.png")
    made = clio_argo.submit(
        asked, f"{BUCKET}/runs/stopped", cluster.namespace, name="stopped", arguments={"approval": "ask"}
    )
    until(lambda: made.summary.waiting, "the question of stopped")
    made.stop()
    assert not made.wait().succeeded
