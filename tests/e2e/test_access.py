"""Who may do what, and where pods go."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster import ASK, BUCKET, ROOT, Cluster, Json, nodes, run, until, waiting

SPOT = "cloud.google.com/gke-spot=true"
# what every account may ask: about itself and about the API
EVERYBODY = ("self", "/")


def rights(cluster: Cluster, account: str) -> dict[str, set[str]]:
    """Verbs by resource."""
    who = f"system:serviceaccount:{cluster.namespace}:{account}"
    lines = cluster.kubectl("auth", "can-i", "--list", "--no-headers", "--as", who).splitlines()
    rows = [(line.split()[0], line.rpartition("[")[2].rstrip("]").split()) for line in lines]
    found: dict[str, set[str]] = {}
    for resource, verbs in rows:
        if not resource.startswith((*EVERYBODY, "[")):
            found.setdefault(resource, set()).update(verbs)
    return found


def test_roles_hold_what_is_needed_and_no_more(cluster: Cluster) -> None:
    read = {"get", "list", "watch"}
    submit = {
        "workflows.argoproj.io": {"create", *read},
        "workflowtemplates.argoproj.io": read,
        "pods": read,
        "pods/log": read,
        "events": read,
    }
    assert rights(cluster, "clio-argo-submitter") == submit
    decide = {"patch", "update", "delete"} | submit["workflows.argoproj.io"]
    assert rights(cluster, "clio-argo-approver") == {**submit, "workflows.argoproj.io": decide}
    assert rights(cluster, "clio-argo-executor") == {"workflowtaskresults.argoproj.io": {"create", "patch"}}
    for account in ("clio-argo-worker", "clio-argo-notifier"):
        assert rights(cluster, account) == {}


def with_token(cluster: Cluster, account: str, folder: Path) -> dict[str, str]:
    """Environment of a person who has the token of an account of the chart and nothing else."""
    config = json.loads(run("kubectl", "config", "view", "--raw", "--minify", "--output", "json"))
    token = cluster.kubectl("create", "token", account).strip()
    config["users"] = [{"name": account, "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = account
    file = folder / f"{account}.json"
    file.write_text(json.dumps(config))
    return {"KUBECONFIG": str(file)}


@pytest.fixture
def as_submitter(cluster: Cluster, tmp_path: Path) -> dict[str, str]:
    return with_token(cluster, "clio-argo-submitter", tmp_path)


def test_the_doctor_tells_what_a_person_may(cluster: Cluster, as_submitter: dict[str, str], tmp_path: Path) -> None:
    said = cluster.clio("doctor")
    for found in ("Kubernetes v", "clock: within", "submit", "decide", "template", "images", "nodes"):
        assert re.search(rf"^ok    cluster: {found}", said, re.MULTILINE), said
    said = cluster.clio("doctor", **as_submitter)
    assert "ok    cluster: submit" in said
    assert "?     cluster: decide: approving, stopping and deleting are for others" in said
    assert "?     cluster: nodes: nodes may not be listed" in said
    said = cluster.clio("doctor", check=False, **with_token(cluster, "clio-argo-worker", tmp_path))
    assert f"WRONG cluster: submit: not allowed in namespace {cluster.namespace}: create workflows" in said
    assert "ask an administrator for the role clio-argo-submitter" in said


def test_a_submitter_submits_and_watches_and_decides_nothing(
    cluster: Cluster, small: str, as_submitter: dict[str, str]
) -> None:
    cluster.submit(small, f"{BUCKET}/runs/own", *ASK, "--name", "own", **as_submitter)
    waiting(cluster, "own")
    assert "waits for a decision" in cluster.clio("get", "own", **as_submitter)
    assert "solve" in cluster.clio("logs", "own", **as_submitter)
    for command, verb in (("approve", "patch"), ("stop", "patch"), ("delete", "delete")):
        said = cluster.clio(command, "own", check=False, **as_submitter)
        assert f"clio-argo-submitter may not {verb} workflows in namespace {cluster.namespace}" in said
    assert cluster.phase("own") == "Running"
    cluster.clio("terminate", "own")
    assert "clio-argo workflow retry own" in cluster.clio("wait", "own", check=False, **as_submitter)


@contextmanager
def spot_node() -> Iterator[None]:
    """The node as GKE marks a spot node: a label, and a taint that keeps other pods away."""
    run("kubectl", "taint", "node", "--all", f"{SPOT}:NoSchedule")
    try:
        yield
    finally:
        run("kubectl", "taint", "node", "--all", f"{SPOT}:NoSchedule-")


def unschedulable(cluster: Cluster, name: str, step: str) -> Json | None:
    for pod in cluster.objects("pods", f"workflows.argoproj.io/workflow={name},clio-argo/step={step}"):
        for condition in pod["status"].get("conditions", []):
            if condition.get("reason") == "Unschedulable":
                return dict(condition)
    return None


@pytest.mark.whole_cluster
def test_workers_go_to_spot_nodes_and_others_do_not(cluster: Cluster, small: str) -> None:
    preset = yaml.safe_load((ROOT / "helm/clio-argo/ci/gke-values.yaml").read_text())
    workers = {k: preset[k] for k in ("workers", "workerAnnotations")}
    run("kubectl", "label", "node", "--all", "--overwrite", SPOT)
    try:
        cluster.helm("upgrade", **workers)
        cluster.submit(small, f"{BUCKET}/runs/spot", *ASK, "--name", "spot")
        waiting(cluster, "spot")
        with spot_node():
            cluster.clio("approve", "spot")
            alone = until(lambda: unschedulable(cluster, "spot", "notify"), "a pod that fits nowhere")
        assert "untolerated taint" in alone["message"]
        ended = cluster.ended("spot")
        assert ended["status"]["phase"] == "Succeeded"
        assert [n["phase"] for n in nodes(ended, "render-publish")] == ["Succeeded"]
    finally:
        run("kubectl", "label", "node", "--all", "cloud.google.com/gke-spot-")
        cluster.helm("upgrade")
