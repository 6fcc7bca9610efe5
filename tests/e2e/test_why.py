"""Why a workflow goes on, ends or does not start, as people see it: on a real controller, in one small installation."""

import copy
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from clio_argo.argo.follow import look
from clio_argo.argo.install import install
from clio_argo.argo.kube import WORKFLOW_LABEL, KubeClient
from clio_argo.argo.manifests import manifests
from clio_argo.argo.settings import Artifacts, Cleanup
from clio_argo.argo.submit import workflow
from clio_argo.argo.summary import Summary, summarise
from clio_argo.argo.templates import current_template
from clio_argo.argo.why import Reason
from clio_argo.clusters import check_secrets
from clio_argo.errors import UserError
from tests.e2e.cluster import Json, namespace, run
from tests.e2e.small import SETTINGS, SMALL
from tests.stacks import cli

NAMESPACE = "clio-why"
# what makes the first pod of a workflow impossible, and the words of Kubernetes for it
CHANGES: dict[str, Callable[[Json], object]] = {
    "image": lambda s: first(s).update(image=NO_IMAGE),
    "nodes": lambda s: s.update(nodeSelector={"no": "such"}),
    "account": lambda s: s.update(serviceAccountName="no-such"),
    "secret": lambda s: mount(s, {"secret": {"secretName": NO_SECRET}}),
    "size": lambda s: plan(s).update(podSpecPatch=plan(s)["podSpecPatch"].replace(MIB, "64")),
    "security": lambda s: s.update(securityContext={}),
}
# what a pod asks for, in place of which it gets more than a LimitRange allows
MIB = "asInt(inputs.parameters.mib)"
NO_IMAGE, NO_SECRET = "127.0.0.1:9/no-such:1", "no-such-key"
WRONG = {
    "image": NO_IMAGE,
    "nodes": "node(s) didn't match Pod's node affinity/selector",
    "account": 'serviceaccount "no-such" not found',
    "secret": f'secret "{NO_SECRET}" not found in namespace {NAMESPACE}',
}
# what a LimitRange says of a container, the template that it refuses ("": the current one), what Kubernetes and the
# doctor say
RANGES: list[tuple[Json, str, str, str]] = [
    ({"max": {"memory": "48Mi"}}, "wrong-size", "maximum memory usage per Container is 48Mi, but limit is 64Mi",
     "has at most 48Mi of memory, a pod may ask for"),
    ({"default": {"cpu": "5m"}}, "", "must be less than or equal to cpu limit of 5m", "limits cpu to 5m by default"),
]  # fmt: skip
pytestmark = [pytest.mark.e2e, pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="needs a cluster")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[KubeClient]:
    """A namespace with the small template."""
    found = KubeClient.from_config(NAMESPACE)
    # Argo keeps the logs, and pods that succeeded are gone at once
    changes = {"namespace": NAMESPACE, "artifacts": Artifacts(), "cleanup": Cleanup(pod_delay="1s")}
    settings = SETTINGS.model_copy(update=changes)
    with namespace(NAMESPACE):
        documents = [d for file in manifests(SMALL, settings).values() for d in file]
        list(install(found, [*documents, *(wrong(documents[-1], what, change) for what, change in CHANGES.items())]))
        yield found


def plan(spec: Json) -> Json:
    """The template of the step that comes first."""
    found: Json = next(t for t in spec["templates"] if t["name"] == "plan")
    return found


def first(spec: Json) -> Json:
    """Its container."""
    found: Json = plan(spec)["container"]
    return found


def mount(spec: Json, source: Json) -> None:
    """A volume in the first pod; the kubelet leaves out one that no container mounts."""
    spec["volumes"].append({"name": "key", **source})
    first(spec)["volumeMounts"].append({"name": "key", "mountPath": "/key"})


def wrong(template: Json, what: str, change: Callable[[Json], object]) -> Json:
    """The template with one fault; nobody follows it."""
    spec = copy.deepcopy(template["spec"])
    change(spec)
    return {**template, "metadata": {"name": f"wrong-{what}", "namespace": NAMESPACE}, "spec": spec}


def start(cluster: KubeClient, name: str, template: str = "", spec: Json | None = None, **arguments: str) -> str:
    given = {"run": "gs://none/run", "config": '{"labels": {}}', **arguments}
    made = workflow(template or current_template(cluster)["metadata"]["name"], given, {"name": name}, {})
    cluster.create({**made, "spec": {**made["spec"], **(spec or {})}})
    return name


def until(cluster: KubeClient, name: str, reached: Callable[[Summary], object], seconds: float = 90) -> Summary:
    end = time.monotonic() + seconds
    while not reached(found := summarise(cluster.get(name))):
        assert time.monotonic() < end, found
        time.sleep(1)
    return found


def resume(name: str, **body: str) -> None:
    """What the buttons of Argo's UI send."""
    server = f"http://{os.environ['CLIO_ARGO_SERVER']}/api/v1/workflows/{NAMESPACE}/{name}/resume"
    requests.put(server, json=body, timeout=10).raise_for_status()


def test_only_a_choice_or_the_time_that_ran_out_ends_a_run(cluster: KubeClient) -> None:
    ask = {"approval": "ask", "approval_otherwise": "reject"}
    names = [start(cluster, f"ask-{n}", **ask) for n in ("toolbar", "dialog", "reject")]
    late = start(cluster, "ask-late", **ask, approval_wait="1s")
    for name in names:
        until(cluster, name, lambda s: s.waiting)
    resume("ask-toolbar")
    resume("ask-dialog", nodeFieldSelector="displayName=decide")
    asked = summarise(cluster.get("ask-reject"))
    assert asked.waiting
    cluster.decide("ask-reject", asked.waiting.id, "reject", "reject by bob")
    ended = {name: until(cluster, name, lambda s: s.ended) for name in (*names, late)}
    assert {n: s.succeeded for n, s in ended.items()} == {
        "ask-toolbar": True, "ask-dialog": True, "ask-reject": False, "ask-late": False,
    }  # fmt: skip
    assert [ended[n].outputs["decision"] for n in ("ask-toolbar", "ask-late")] == ["approve", "reject"]
    assert str(ended["ask-late"].decision) == "reject, because nobody decided within 1s"
    skipped = next(n for n in cluster.get(late)["status"]["nodes"].values() if n["displayName"] == "publish")
    assert "because nobody decided within 1s" in skipped["message"]
    logs_outlive_pods("ask-toolbar")


def logs_outlive_pods(name: str) -> None:
    """Through both doors; the bucket itself is read where there is no Argo Server."""
    storage = os.environ.get("CLIO_ARTIFACTS_ENDPOINT") or os.environ["CLIO_GCS_ENDPOINT"]
    store = {
        "STORAGE_EMULATOR_HOST": storage,
        "TENSORSTORE_GCS_HTTP_URL": storage,
        "GOOGLE_AUTH_TOKEN_FOR_TESTING": "x",
    }
    pods = run("kubectl", "get", "pods", "-n", NAMESPACE, "-o", "name")
    assert f"{name}-plan" not in pods
    for server in ("", os.environ["CLIO_ARGO_SERVER"]):
        told = cli("logs", name, "-n", NAMESPACE, ARGO_SERVER=server, ARGO_SECURE="false", **store)
        assert "planned 2 parts" in told.stdout, told.stderr


def test_what_keeps_a_pod_from_starting_is_told(cluster: KubeClient) -> None:
    """In the words of Kubernetes, within 15 s (30 where two cores also run the other tests)."""
    for what in WRONG:
        start(cluster, f"not-{what}", f"wrong-{what}", run="gs://none/run//")
    start(cluster, "not-late", "wrong-image", {"activeDeadlineSeconds": 20})
    for what, words in WRONG.items():
        told(cluster, f"not-{what}", words)
    with pytest.raises(UserError, match=f"namespace {NAMESPACE}: there is no secret {NO_SECRET}\nNo pod would start"):
        check_secrets(cluster, cluster.template("wrong-secret"))
    check_secrets(cluster, cluster.template("wrong-image"))
    [pod] = cluster.core("list_namespaced_pod", NAMESPACE, label_selector=f"{WORKFLOW_LABEL}=not-nodes")["items"]
    [main] = [c for c in pod["spec"]["containers"] if c["name"] == "main"]
    assert {"name": "CLIO_RUN", "value": "gs://none/run"} in main["env"]
    waited = cli("wait", "not-image", "-n", NAMESPACE, "--pending-limit", "3s", ARGO_SERVER="")
    assert (waited.returncode, NO_IMAGE in waited.stderr) == (75, True), waited.stderr
    listed = cli("list", "-n", NAMESPACE, ARGO_SERVER="").stdout
    assert "no-such" in next(line for line in listed.splitlines() if line.startswith("not-account"))
    server = os.environ["CLIO_ARGO_SERVER"]
    for door in ("", server):
        listed = cli("list", "-A", "-n", "default", ARGO_SERVER=door, ARGO_SECURE="false", COLUMNS="400").stdout
        assert NO_SECRET in next(line for line in listed.splitlines() if " not-secret " in line)
    shown = cli("get", "not-account", "-n", NAMESPACE, ARGO_SERVER=server, ARGO_SECURE="false").stdout
    assert "no-such" in shown
    late = until(cluster, "not-late", lambda s: s.ended)
    assert any("setting deadlineHours" in f.reason for f in late.failures), late.failures


def told(cluster: KubeClient, name: str, words: str) -> None:
    end = time.monotonic() + 30
    while not any(words in r.reason for r in told_now(cluster, name)):
        assert time.monotonic() < end, told_now(cluster, name)
        time.sleep(1)


def told_now(cluster: KubeClient, name: str) -> list[Reason]:
    found = look(cluster, name)
    return [*found.pending, *found.retried, *found.failures]


@pytest.mark.parametrize(("limits", "template", "words", "found"), RANGES)
def test_what_a_limit_range_refuses_is_told(
    limits: Json, template: str, words: str, found: str, cluster: KubeClient, tmp_path: Path
) -> None:
    """By those who look at the workflow, and by the doctor before there is one."""
    made = {"spec": {"limits": [{"type": "Container", **limits}]}, "metadata": {"name": "lab"}}
    file = tmp_path / "range.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "LimitRange", **made}))
    run("kubectl", "create", "--filename", file, "-n", NAMESPACE)
    try:
        told(cluster, start(cluster, f"not-{'-'.join(limits)}", template), words)
        said = cli("doctor", "-n", NAMESPACE, ARGO_SERVER="").stdout
    finally:
        run("kubectl", "delete", "limitrange", "lab", "-n", NAMESPACE)
    assert f"WRONG cluster: limits: LimitRange lab: Container {found}" in said


def test_what_a_namespace_forbids_is_told(cluster: KubeClient) -> None:
    run("kubectl", "create", "quota", "few", "--hard=pods=0", "-n", NAMESPACE)
    told(cluster, start(cluster, "not-quota"), "exceeded quota: few")
    run("kubectl", "delete", "quota", "few", "-n", NAMESPACE)
    run("kubectl", "label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    told(cluster, start(cluster, "not-secure", "wrong-security"), 'violates PodSecurity "restricted')
