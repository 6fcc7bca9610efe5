"""The chart's life: test, upgrade, rollback, uninstall; and workflows that go on meanwhile."""

from collections.abc import Iterator

import pytest

from tests.e2e.cluster import ASK, BUCKET, Cluster, run, waiting

CURRENT = "clio-argo/current=true"


@pytest.fixture(scope="module")
def release(cluster: Cluster) -> Iterator[Cluster]:
    """A release of its own."""
    found = Cluster(f"{cluster.namespace}-chart", cluster.values)
    run("kubectl", "create", "namespace", found.namespace)
    found.helm("install")
    yield found
    run("kubectl", "delete", "namespace", found.namespace)


def followed(release: Cluster) -> str:
    """The template that submissions refer to."""
    (found,) = release.objects("workflowtemplates", CURRENT)
    return str(found["metadata"]["annotations"]["clio-argo/template"])


def kept(release: Cluster) -> set[str]:
    return {t["metadata"]["name"] for t in release.objects("workflowtemplates")} - {"clio-argo"}


def test_doctor_under_half_a_core(release: Cluster) -> None:
    """`helm test` runs it with a limit of 500m: one process, one thread, and the store answers."""
    run("helm", "test", "clio-argo", "--namespace", release.namespace)
    (pod,) = [p for p in release.objects("pods") if p["metadata"]["name"] == "clio-argo-doctor"]
    assert pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "500m"
    said = release.kubectl("logs", "clio-argo-doctor")
    assert "threads: 1 in this process" in said
    assert f"ok    {BUCKET}/doctor" in said
    assert "WRONG" not in said


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
    assert release.ended("upgraded")["status"]["phase"] == "Succeeded"
    run("helm", "rollback", "clio-argo", "1", "--namespace", release.namespace)
    assert followed(release) == first
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
