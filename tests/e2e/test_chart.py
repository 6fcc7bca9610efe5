"""The chart's life where pods must be `restricted`: test, upgrade, rollback, a second release; workflows go on."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from clio_argo.argo import ClusterSettings, workflow_template
from tests.e2e.cluster import ASK, BUCKET, CHART, ROOT, Cluster, namespace, nodes, run, until, waiting

CURRENT = "clio-argo/current=true"
RENAMED = {"worker": {"name": "w"}, "executor": {"name": "e"}}
ACCOUNTS = ("w", "clio-argo-worker", "e", "clio-argo-executor")


@pytest.fixture(scope="module")
def release(cluster: Cluster) -> Iterator[Cluster]:
    """A release of its own where every pod must be `restricted`, with the ids that OpenShift would choose."""
    chosen = {"runAsUser": 1000650000, "runAsGroup": 0, "fsGroup": 1000650000}
    found = Cluster(f"{cluster.namespace}-chart", {**cluster.values, "uid": "platform", "podSecurityContext": chosen})
    with namespace(found.namespace):
        run("kubectl", "label", "namespace", found.namespace, "pod-security.kubernetes.io/enforce=restricted")
        found.helm("install")
        yield found


def followed(release: Cluster) -> str:
    """The template that submissions refer to."""
    (found,) = release.objects("workflowtemplates", CURRENT)
    return str(found["metadata"]["annotations"]["clio-argo/template"])


def accounts(release: Cluster) -> set[str]:
    return {a["metadata"]["name"] for a in release.objects("serviceaccounts")}


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


@pytest.mark.whole_cluster
@pytest.mark.usefixtures("secure")
def test_workflows_survive_upgrade_and_rollback(release: Cluster, small: str) -> None:
    """An upgrade to an image that is not there, and to other accounts, harms only what is submitted afterwards."""
    first = followed(release)
    release.submit(small, f"{BUCKET}/runs/upgraded", *ASK, "--name", "upgraded")
    waiting(release, "upgraded")
    other = {n: {**image, "tag": "other"} for n, image in release.values["images"].items()}
    release.helm("upgrade", images=other, accounts=RENAMED)
    second = followed(release)
    assert kept(release) == {first, second}
    assert set(ACCOUNTS) <= accounts(release)
    release.clio("approve", "upgraded")
    until(lambda: nodes(release.workflow("upgraded"), "render-publish"), "pods after the upgrade")
    # the workflow needs its accounts to its end, which a rollback to them does not touch
    run("helm", "rollback", "clio-argo", "1", "--namespace", release.namespace)
    assert followed(release) == first
    assert kept(release) == {first, second}
    assert release.ended("upgraded")["status"]["phase"] == "Succeeded"
    # the rollback was a mistake, and so was taking it back
    release.helm("upgrade", images=other)
    third = followed(release)
    release.helm("upgrade")
    assert followed(release) == first
    assert kept(release) == {first, second, third}


def refers_to(release: Cluster, small: str, *arguments: str) -> str:
    """The template that a submission would use."""
    made = release.submit(small, f"{BUCKET}/runs/second", *arguments, "--server-dry-run")
    return str(re.search(r"workflowTemplateRef:\s+name: (\S+)", made)[1])  # type: ignore[index]


def test_a_second_release_leaves_submissions_alone(release: Cluster, small: str) -> None:
    first = followed(release)
    at = ("--namespace", release.namespace)
    run("helm", "install", "a", CHART, *at, "--set", "parallelism=3")
    try:
        assert refers_to(release, small) == refers_to(release, small, "--release", "clio-argo") == first
        assert refers_to(release, small, "--release", "a").startswith("a-clio-argo-")
    finally:
        run("helm", "uninstall", "a", *at)
        release.kubectl("delete", "workflowtemplate", "--selector", "app.kubernetes.io/instance=a")
    assert followed(release) == first


def test_prune_and_uninstall(release: Cluster) -> None:
    first = followed(release)
    release.helm("upgrade", accounts=RENAMED)
    release.helm("upgrade")
    before = kept(release)
    assert {first} < before
    assert set(ACCOUNTS) <= accounts(release)
    # an upgrade takes the mark from a template that is too old, the next one deletes it
    for left in (before, {first}):
        release.helm("upgrade", revisionHistoryLimit=0)
        assert kept(release) == left
    assert accounts(release).isdisjoint(("w", "e"))
    release.helm("upgrade", parallelism=3)
    release.helm("upgrade")
    assert len(kept(release)) == 2
    release.clio("template", "prune")
    assert kept(release) == {first}
    run("helm", "uninstall", "clio-argo", "--namespace", release.namespace)
    assert kept(release) == {first}
    assert release.objects("workflowtemplates", CURRENT) == []
    release.helm("install")
    assert followed(release) == first


def test_manifests_beside_the_chart_leave_submissions_alone(release: Cluster, small: str, tmp_path: Path) -> None:
    at = ("--namespace", release.namespace)
    run("helm", "uninstall", "clio-argo", *at)
    run("helm", "install", "a", CHART, *at)
    base = os.path.relpath(ROOT / "manifests" / "base", tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(json.dumps({"namespace": release.namespace, "resources": [base]}))
    (tmp_path / "settings.yaml").write_text("parallelism: 3")
    other = workflow_template(cluster=ClusterSettings(parallelism=3, namespace=release.namespace)).name
    # there, to another one, and back: what was applied before does not stay current
    for template in (workflow_template().name, other, workflow_template().name):
        if template == other:
            release.clio("install", "--settings", tmp_path / "settings.yaml")
        else:
            release.kubectl("apply", "--kustomize", tmp_path)
        assert refers_to(release, small).startswith("a-clio-argo-")
        assert refers_to(release, small, "--release", "clio-argo") == template
