"""A namespace in which much is wrong: the doctor names all of it in one look, each with what to do."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from clio_argo.argo import ClusterSettings
from clio_argo.argo.install import install
from clio_argo.argo.kube import KubeClient
from clio_argo.argo.manifests import manifests
from clio_argo.argo.settings import Artifacts, Volume
from tests.e2e.cluster import Cluster, namespace, run
from tests.e2e.conftest import NAMESPACE

WHERE = f"{NAMESPACE}-doctor"
SETTINGS = ClusterSettings(
    namespace=WHERE,
    priority_class="nobody-made-it",
    memory_max_mib=2**20,
    artifacts=Artifacts(kind="s3"),
    volumes=(Volume(name="slices", mount_path="/data", source={"hostPath": {"path": "/data"}}),),
)
LIMITS = {"limits": [{"type": "Container", "max": {"memory": "128Mi"}, "default": {"memory": "128Mi"}}]}
REFUSING = [
    {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": {"hard": {"limits.cpu": "8"}}},
    {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "lab"}, "spec": LIMITS},
]
WRONG = {
    "accounts": "there is no account clio-argo-worker; there is no account clio-argo-executor",
    "executor": "account clio-argo-executor may not create workflowtaskresults",
    "secrets": "there is no secret clio-argo-executor.service-account-token",
    "priority class": "the cluster has no priority class nobody-made-it",
    "quota": "quota team: limits.cpu must be set on every container",
    "limits": "LimitRange lab: Container has at most 128Mi of memory",
    "Pod Security": "pod-security.kubernetes.io/enforce=baseline refuses pods with the volume slices (hostPath)",
    "reports": "keeps reports as s3, Argo's artifact repository is gcs",
    "nodes": "set memoryMaxMib to less (it is 1048576)",
}


@pytest.fixture
def ill(tmp_path: Path) -> Iterator[Cluster]:
    with namespace(WHERE):
        found = Cluster(WHERE, {})
        list(install(KubeClient.from_config(WHERE), [d for file in manifests(cluster=SETTINGS).values() for d in file]))
        run("kubectl", "label", "namespace", WHERE, "pod-security.kubernetes.io/enforce=baseline")
        file = tmp_path / "refusing.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": REFUSING}))
        found.kubectl("create", "--filename", file)
        found.kubectl("delete", "serviceaccount", "clio-argo-worker", "clio-argo-executor")
        found.kubectl("delete", "rolebinding", "clio-argo-executor")
        found.kubectl("delete", "secret", "clio-argo-executor.service-account-token", "--ignore-not-found")
        yield found


def test_all_that_is_wrong_is_told_at_once(ill: Cluster) -> None:
    said = ill.clio("doctor", check=False).splitlines()
    wrong = [n for n, line in enumerate(said) if line.startswith("WRONG cluster: ")]
    lines = {said[n].removeprefix("WRONG cluster: ").partition(":")[0]: n for n in wrong}
    assert lines.keys() == WRONG.keys()
    for name, words in WRONG.items():
        assert words in said[lines[name]]
    assert all(said[n + 1].startswith("      do: ") for name, n in lines.items() if name != "nodes")


def test_a_namespace_that_does_not_exist() -> None:
    said = Cluster(f"{WHERE}-none", {}).clio("doctor", check=False)
    assert f"WRONG cluster: namespace: there is no namespace {WHERE}-none\n      do: kubectl create namespace" in said
    assert "template" not in said
