"""What people do with workflows, through a kubeconfig and through Argo Server, on a real controller.

Needs KUBECONFIG and, for the other way, CLIO_ARGO_SERVER (HOST:PORT, without TLS); CLIO_GCS_ENDPOINT is a GCS emulator.
The tests make the namespace clio-client, and remove it.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from kubernetes import client as k8s

from clio_argo.argo import ClusterSettings, workflow_template
from clio_argo.argo.client import Client
from clio_argo.argo.faults import Conflict, Refused
from clio_argo.argo.install import install, uninstall
from clio_argo.argo.kube import JSON_PATCH, WORKFLOWS, KubeClient
from clio_argo.argo.manifests import manifests
from clio_argo.argo.nodes import pack, raw_nodes
from clio_argo.argo.server import ArgoServer
from clio_argo.argo.submit import workflow
from clio_argo.argo.summary import Summary, summarise
from clio_argo.argo.templates import current_template, reference
from clio_argo.errors import ClioError, UserError
from tests.e2e.cluster import namespace
from tests.e2e.small import SETTINGS, SMALL, documents
from tests.stacks import CLI, NAME, TYPED, cli, demo_slices, encoded

NAMESPACE, BUCKET = str(SETTINGS.namespace), "clio-client"
DOORS = ("kubeconfig", "argo-server")
NOWHERE = "workflows.argoproj.io/controller-instanceid=nobody"
pytestmark = [pytest.mark.e2e, pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="needs a cluster")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[KubeClient]:
    """A namespace with the small template, and slices in a bucket."""
    found = KubeClient.from_config(NAMESPACE)
    with namespace(NAMESPACE):
        list(install(found, documents()))
        fill_bucket()
        yield found


def fill_bucket() -> None:
    """Three slices under sound/, and a stack with a hole under holed/."""
    endpoint = os.environ["CLIO_GCS_ENDPOINT"]
    requests.post(f"{endpoint}/storage/v1/b?project=rig", json={"name": BUCKET}, timeout=10)
    for folder, kept in (("sound", (0, 1, 2)), ("holed", (0, 2))):
        for z, image in ((z, i) for n, (z, i) in enumerate(demo_slices(3, 64).items()) if n in kept):
            url = f"{endpoint}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={folder}/{NAME % z}"
            requests.post(url, data=encoded(image), timeout=10).raise_for_status()


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, cluster: KubeClient) -> str:
    return str(request.param)


@pytest.fixture
def client(door: str, cluster: KubeClient) -> Client:
    if door == "kubeconfig":
        return cluster
    return ArgoServer(f"http://{os.environ['CLIO_ARGO_SERVER']}", NAMESPACE)


def run(door: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """A command through one of the doors."""
    server = os.environ["CLIO_ARGO_SERVER"] if door == "argo-server" else ""
    storage = os.environ["CLIO_GCS_ENDPOINT"]
    return cli(
        *arguments, "-n", NAMESPACE, ARGO_SERVER=server, ARGO_SECURE="false", COLUMNS="200",
        STORAGE_EMULATOR_HOST=storage, TENSORSTORE_GCS_HTTP_URL=storage, GOOGLE_AUTH_TOKEN_FOR_TESTING="x",
    )  # fmt: skip


def submit(door: str, *more: object, source: str = "sound") -> "subprocess.CompletedProcess[str]":
    return run(door, "submit", "--source", f"gs://{BUCKET}/{source}", "--run", f"gs://{BUCKET}/run", *more)


def submitted(door: str, *more: object) -> str:
    told = submit(door, "-o", "name", *more)
    assert told.returncode == 0, told.stderr
    return told.stdout.strip()


def until(client: Client, name: str, reached: Any) -> Summary:
    """The workflow once something holds of it."""
    end = time.monotonic() + 120
    while not reached(found := summarise(client.get(name))):
        assert time.monotonic() < end, found
        time.sleep(1)
    return found


def ended(found: Summary) -> bool:
    return found.ended


# --- before anything is created -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "source", "code", "words"),
    [
        (("--set", "nope=1"), "sound", 2, "unknown setting 'nope'"),
        (("-p", "approvel=ask"), "sound", 2, "-p approvel: the template has no such argument; it has approval"),
        (("-p", "approval=maybe"), "sound", 2, "use one of automatic, ask"),
        (("-p", "minz=9999999999"), "sound", 2, "minz"),
        ((), "none", 2, "found no slice"),
        ((), "holed", 1, "z 3491: missing"),
        (("--source", "gs://no-such-bucket/x"), "sound", 1, "there is no bucket gs://no-such-bucket"),
    ],
)
def test_what_cannot_run_is_refused_and_nothing_is_created(
    more: tuple[str, ...], source: str, code: int, words: str, cluster: KubeClient
) -> None:
    before = len(cluster.find())
    told = submit("kubeconfig", *more, source=source)
    assert (told.returncode, words in told.stderr, "Traceback" in told.stderr) == (code, True, False), told.stderr
    assert len(cluster.find()) == before


def test_dry_runs_create_nothing(door: str, client: Client) -> None:
    before = len(client.find())
    for kind in ("--dry-run", "--server-dry-run"):
        told = submit(door, kind)
        assert told.returncode == 0, told.stderr
        assert "kind: Workflow" in told.stdout or "workflowTemplateRef" in told.stdout
    assert len(client.find()) == before


# --- a run with an approval ----------------------------------------------------------------------------------


def test_a_run_that_is_approved_succeeds(door: str, client: Client) -> None:
    name = submitted(door, "-p", "approval=ask", "-l", "grant=x")
    waiting = until(client, name, lambda s: s.waiting or s.ended)
    assert {s.name: (s.done, s.total, s.retries) for s in waiting.stages} == {
        "plan": (1, 1, 0), "match": (2, 2, 1), "ask": (0, 1, 0), "publish": (0, 1, 0),
    }  # fmt: skip
    assert "approve" in run(door, "resume", name).stderr
    assert "waits for a decision" in run(door, "get", name).stdout
    assert name in run(door, "list", "-l", "grant=x").stdout
    results = decide_at_once(client, name, waiting)
    assert sorted(type(r).__name__ for r in results) == ["Conflict", "NoneType"]
    winner = ("approve", "reject")[results.index(None)]
    found = until(client, name, ended)
    assert str(found.decision) == f"{winner} by {winner}r"
    told = run(door, "wait", name)
    if winner == "approve":
        assert (told.returncode, told.stdout.splitlines()[-1]) == (0, "done; look at it: https://viewer/#!fly")
    else:
        assert (told.returncode, f"rejected ({winner} by" in told.stderr) == (1, True)
    assert "part 0" in run(door, "logs", name).stdout
    assert run(door, "delete", name).returncode == 0
    assert f"there is no workflow {name}" in run(door, "get", name).stderr


def decide_at_once(client: Client, name: str, found: Summary) -> list[ClioError | None]:
    """Two people decide at the same time: what each was told."""
    assert found.waiting
    told: list[ClioError | None] = [None, None]

    def decide(person: int, decision: str, node: str) -> None:
        try:
            client.decide(name, node, decision, f"{decision} by {decision}r")
        except Conflict as error:
            told[person] = error

    people = [
        threading.Thread(target=decide, args=(i, d, found.waiting.id)) for i, d in enumerate(("approve", "reject"))
    ]
    for person in people:
        person.start()
    for person in people:
        person.join()
    return told


def test_compressed_nodes_are_read_and_decided(cluster: KubeClient) -> None:
    name = submitted("kubeconfig", "-p", "approval=ask")
    waiting = until(cluster, name, lambda s: s.waiting or s.ended)
    compress(cluster, name)
    assert "compressedNodes" in cluster.get(name)["status"]
    server = ArgoServer(f"http://{os.environ['CLIO_ARGO_SERVER']}", NAMESPACE)
    assert summarise(server.get(name)).stages == summarise(cluster.get(name)).stages == waiting.stages
    told = run("kubeconfig", "reject", name)
    assert told.returncode == 0, told.stderr
    found = until(cluster, name, ended)
    assert found.rejected
    assert [s.phase for s in found.stages] == ["Succeeded", "Succeeded", "Succeeded", "Skipped"]
    assert "has ended (rejected)" in run("argo-server", "approve", name).stderr


def compress(cluster: KubeClient, name: str) -> None:
    """Exchange the nodes for what the controller writes of a large workflow."""
    packed = pack(raw_nodes(cluster.get(name)))
    body = [
        {"op": "remove", "path": "/status/nodes"},
        {"op": "add", "path": "/status/compressedNodes", "value": packed},
    ]
    cluster.patch(WORKFLOWS, name, body, JSON_PATCH)


# --- failures, and going on -----------------------------------------------------------------------------------


def test_a_failure_is_told_and_retried(door: str, client: Client) -> None:
    told = submit(door, "--wait", "--set", "labels.broken=x")
    assert told.returncode == 1
    *_, reason, last = told.stderr.splitlines()
    assert reason.endswith("match(2:70-79): slice 74 cannot be read")
    name = last.split(" retry ")[1].split()[0]
    assert last == f"fix this, then continue where it stopped: {TYPED} workflow retry {name} -n {NAMESPACE}"
    again = run(door, "retry", name)
    assert again.returncode == 0, again.stderr
    repeated = again.stdout.split()[0]
    assert repeated != name
    assert "has not ended" in run(door, "retry", repeated).stderr
    assert run(door, "terminate", repeated).returncode == 0
    assert until(client, repeated, ended).phase == "Failed"


def test_suspended_stopped_and_resumed(door: str, client: Client) -> None:
    name = submitted(door, "-p", "approval=automatic")
    assert run(door, "suspend", name).returncode == 0
    assert until(client, name, lambda s: s.suspended)
    assert "Suspended" in run(door, "get", name).stdout
    assert run(door, "resume", name).returncode == 0
    assert until(client, name, lambda s: not s.suspended)
    assert run(door, "stop", name).returncode == 0
    assert until(client, name, ended).phase == "Failed"
    assert "has ended" in run(door, "stop", name).stderr


def test_logs_are_followed_to_the_end(door: str, cluster: KubeClient) -> None:
    told = submit(door, "--log")
    assert told.returncode == 0, told.stderr
    *lines, last = told.stdout.splitlines()
    assert {"planned 2 parts", "part 0", "part 1"} <= {line.partition(": ")[2] for line in lines}
    assert last == "done; look at it: https://viewer/#!fly"


# --- what is named ---------------------------------------------------------------------------------------------


def test_a_workflow_that_nobody_takes_up(cluster: KubeClient) -> None:
    told = submit("kubeconfig", "-l", NOWHERE)
    assert told.returncode == 1
    assert "is Argo's workflow-controller running" in told.stderr


def test_ctrl_c_ends_the_watching_only(cluster: KubeClient) -> None:
    made = workflow("none", {}, {"name": "watched"}, dict([NOWHERE.split("=")]))
    cluster.create(made)
    watching = subprocess.Popen([CLI, "wait", "watched", "-n", NAMESPACE], stderr=subprocess.PIPE, text=True)
    time.sleep(15)
    watching.send_signal(signal.SIGINT)
    _, told = watching.communicate(timeout=20)
    assert watching.returncode == 130
    assert told.strip() == f"watched keeps running; watch it with: {TYPED} workflow watch watched -n {NAMESPACE}"
    cluster.delete("watched")


def test_who_may_not_is_told_what(cluster: KubeClient) -> None:
    token = k8s.CoreV1Api(cluster.api).create_namespaced_service_account_token(
        "nobody", NAMESPACE, {"spec": {"expirationSeconds": 600}}
    )
    settings = k8s.Configuration()
    settings.host, settings.ssl_ca_cert = (cluster.api.configuration.host, cluster.api.configuration.ssl_ca_cert)
    settings.api_key = {"authorization": f"Bearer {token.status.token}"}
    nobody = KubeClient(k8s.ApiClient(settings), NAMESPACE)
    with pytest.raises(Refused, match=f"clio-client:nobody may not list workflows in namespace {NAMESPACE}"):
        nobody.find()
    with pytest.raises(Refused, match="may not create workflows"):
        nobody.create({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "x"}, "spec": {}})


def test_a_new_template_takes_over_and_the_old_one_is_pruned(cluster: KubeClient) -> None:
    name = reference(current_template(cluster))
    kept, followed = manifests(SMALL, SETTINGS.model_copy(update={"parallelism": 3}))["workflowtemplate.yaml"]
    by_hand = {**kept, "metadata": {**followed["metadata"], "name": "by-hand"}}
    said = list(install(cluster, [by_hand])) + list(install(cluster, [kept, followed]))
    assert said[-1] == "WorkflowTemplate by-hand is no longer current"
    new = reference(current_template(cluster))
    assert new == kept["metadata"]["name"] != name
    cluster.create(workflow(name, {}, {"name": "refers"}, dict([NOWHERE.split("=")])))
    assert run("kubeconfig", "template", "prune").stdout == "by-hand deleted\n"
    for found in cluster.find():
        cluster.delete(found["metadata"]["name"])
    told = run("argo-server", "template", "prune")
    assert (told.returncode, told.stdout) == (0, f"{name} deleted\n"), told.stderr
    assert {t["metadata"]["name"] for t in cluster.templates()} == {"clio-argo", new}


def test_nothing_is_removed_under_a_running_workflow(cluster: KubeClient) -> None:
    cluster.create(workflow("none", {}, {"name": "runs"}, dict([NOWHERE.split("=")])))
    with pytest.raises(UserError, match="still runs runs"):
        list(uninstall(cluster, documents()))
    cluster.delete("runs")
    other = ClusterSettings(namespace=NAMESPACE, fullname_override="other", artifacts=None)
    list(install(cluster, manifests(SMALL, other)["workflowtemplate.yaml"][1:]))
    list(uninstall(cluster, documents()))
    assert [t["metadata"]["name"] for t in cluster.templates()] == ["other"]
    cluster.delete_template("other")


def test_the_real_template_is_installed_and_removed_by_commands(cluster: KubeClient) -> None:
    told = run("kubeconfig", "install")
    assert (told.returncode, told.stdout.splitlines()[-1][:9]) == (0, "installed"), told.stderr
    assert reference(current_template(cluster)) == workflow_template().name
    assert run("kubeconfig", "uninstall").returncode == 0
    assert list(cluster.templates()) == []
    assert "clio-argo install" in submit("argo-server").stderr
