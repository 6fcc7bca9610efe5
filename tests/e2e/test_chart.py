"""The chart's life: test, upgrade, rollback, uninstall; and workflows that go on meanwhile."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import ASK, BUCKET, Cluster, namespace, nodes, run, until, waiting

CURRENT = "clio-argo/current=true"


@pytest.fixture(scope="module")
def release(cluster: Cluster) -> Iterator[Cluster]:
    """A release of its own."""
    found = Cluster(f"{cluster.namespace}-chart", cluster.values)
    with namespace(found.namespace):
        found.helm("install")
        yield found


def followed(release: Cluster) -> str:
    """The template that submissions refer to."""
    (found,) = release.objects("workflowtemplates", CURRENT)
    return str(found["metadata"]["annotations"]["clio-argo/template"])


def kept(release: Cluster) -> set[str]:
    return {t["metadata"]["name"] for t in release.objects("workflowtemplates")} - {"clio-argo"}


def test_doctor_under_half_a_core(release: Cluster, small: str) -> None:
    """`helm test` runs it with a limit of 500m: one process, one thread, slices and store answer."""
    run("helm", "test", "clio-argo", "--namespace", release.namespace)
    (pod,) = [p for p in release.objects("pods") if p["metadata"]["name"] == "clio-argo-doctor"]
    assert pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "500m"
    said = release.kubectl("logs", "clio-argo-doctor")
    assert "ok    threads: 1 per worker" in said
    assert f"ok    source {small}: read: iso.03490.png has 192 x 192 pixels of 8 bit" in said
    assert f"ok    {BUCKET}/doctor: delete" in said
    assert "WRONG" not in said


@pytest.fixture
def secure(release: Cluster, tmp_path: Path) -> Iterator[None]:
    """Argo in the mode in which a workflow ends with an error once its template is not what it began with."""
    own = {"entrypoint": "none", "templates": [{"name": "none", "suspend": {"duration": "0"}}]}
    head = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": "inline-"}}
    (tmp_path / "inline.json").write_text(json.dumps({**head, "spec": own}))

    def refused() -> bool:
        made = release.kubectl("create", "--filename", tmp_path / "inline.json", "--output", "name")
        return bool(release.ended(made.strip().rpartition("/")[2])["status"]["phase"] == "Error")

    try:
        restrict("{templateReferencing: Secure}")
        until(refused, "a controller that refuses what refers to no template")
        yield
    finally:
        restrict(None)


def restrict(mode: str | None) -> None:
    """Tell the controller which workflows it may run; it reads its settings when they change."""
    settings = ("--namespace", "argo", "configmap", "workflow-controller-configmap")
    patch = json.dumps({"data": {"workflowRestrictions": mode}})
    run("kubectl", "patch", *settings, "--type", "merge", "--patch", patch)


@pytest.mark.usefixtures("secure")
def test_workflows_survive_upgrade_and_rollback(release: Cluster, small: str) -> None:
    """An upgrade to an image that is not there harms only what is submitted afterwards."""
    first = followed(release)
    release.submit(small, f"{BUCKET}/runs/upgraded", *ASK, "--name", "upgraded")
    waiting(release, "upgraded")
    other = {n: {**image, "tag": "other"} for n, image in release.values["images"].items()}
    release.helm("upgrade", images=other)
    second = followed(release)
    assert kept(release) == {first, second}
    release.clio("approve", "upgraded")
    until(lambda: nodes(release.workflow("upgraded"), "render-publish"), "pods after the upgrade")
    run("helm", "rollback", "clio-argo", "1", "--namespace", release.namespace)
    assert followed(release) == first
    assert kept(release) == {first, second}
    assert release.ended("upgraded")["status"]["phase"] == "Succeeded"
    # the rollback was a mistake, and so was taking it back
    for images, template in ((other, second), (release.values["images"], first)):
        release.helm("upgrade", images=images)
        assert followed(release) == template
        assert kept(release) == {first, second}


def test_prune_and_uninstall(release: Cluster) -> None:
    first = followed(release)
    release.clio("template", "prune")
    assert kept(release) == {first}
    run("helm", "uninstall", "clio-argo", "--namespace", release.namespace)
    assert kept(release) == {first}
    assert release.objects("workflowtemplates", CURRENT) == []
    release.helm("install")
    assert followed(release) == first
