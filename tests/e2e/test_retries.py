"""What is tried again on a real cluster and what is not: each fault is a step of its own, all of them at once.

Needs KUBECONFIG. The tests make the namespace clio-retries, and remove it.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from clio_argo.argo import actions
from clio_argo.argo.install import install
from clio_argo.argo.kube import KubeClient
from clio_argo.argo.manifests import manifests
from clio_argo.argo.settings import ClusterSettings, Retries, Volume
from clio_argo.argo.submit import workflow
from clio_argo.argo.templates import current_template, reference
from clio_argo.pipeline import Pipeline
from tests.e2e.cluster import RIG, Cluster, Json, namespace, nodes, run, until
from tests.e2e.small import step

NAMESPACE = os.environ.get("CLIO_E2E_NAMESPACE", "clio") + "-retries"
# the first try waits to be taken away
WAIT = "import os, time; time.sleep(600 * (os.environ['TRY'] == '0'))"
FILL = f"open('/tmp/full', 'wb').write(bytes(64 * 2**20 * (__import__('os').environ['TRY'] == '0'))); {WAIT}"
FIRST_FAILS = "import os, sys; sys.exit(75 * (os.environ['TRY'] == '0'))"
CODE = {
    "rejected": "",
    "evicted": FILL,
    "lost": WAIT,
    "unknown": "",
    "late": FIRST_FAILS,
    "slow": WAIT.replace("== '0'", "!= ''"),
    "wrong": "raise SystemExit(2)",
    "saved": "",
}
# what the kubelet writes of an evicted pod whose container it does not find
UNKNOWN = "The container could not be located when the pod was terminated"
STEPS = Pipeline(tuple(step(name, code, env=(("TRY", "{{retries}}"),)) for name, code in CODE.items()))
# `longest` is shorter than the time for which the pod of `late` waits for a node
RETRIES, LATE_S, LIMIT = Retries(limit=2, wait="1s", longest="2s"), 6, "20s"
SETTINGS = ClusterSettings(
    namespace=NAMESPACE, artifacts=None, tmp_size="16Mi", memory_max_mib=256, retries=RETRIES
)  # fmt: skip
KEYS = Volume(name="keys", mount_path="/keys", source={"secret": {"secretName": "gone"}})
# what an installation names that is not there, and a pipeline that reports its end
GONE = {"priority": {"priority_class": "gone"}, "secret": {"volumes": (KEYS,)}}
REPORTED = Pipeline((step("only", ""),), on_exit=step("notify", ""))


def faulty(document: Json) -> Json:
    """The template with what brings the faults about."""
    if document["kind"] != "WorkflowTemplate":
        return document
    made = {t["name"]: t for t in document["spec"]["templates"]}
    if "slow" not in made:
        return document
    node = run("kubectl", "get", "nodes", "--output", "name").split()[0].removeprefix("node/")
    at_first = "{{=asInt(retries) == 0 ? '%s' : '%s'}}"
    # a pod that names its node is not scheduled, but rejected by the node
    patch = made["rejected"]["podSpecPatch"].replace(
        '"requests":{', f'"requests":{{"cpu":"{at_first % (1000, "10m")}",'
    )
    made["rejected"]["podSpecPatch"] = f'{{"nodeName":"{at_first % (node, "")}",{patch[1:]}'
    # nobody but the test tells of a pod on a node that does not exist
    made["unknown"]["podSpecPatch"] = (
        f'{{"nodeName":"{at_first % ("no-such-node", "")}",{made["unknown"]["podSpecPatch"][1:]}'
    )
    made["late"]["nodeSelector"] = {NAMESPACE: "late"}
    made["slow"]["timeout"] = LIMIT
    place = {"bucket": "no-such-bucket", "key": "request"}
    made["saved"]["outputs"] = {"artifacts": [{"name": "request", "path": "/etc/hostname", "gcs": place}]}
    return document


@pytest.fixture(scope="module")
def client() -> KubeClient:
    return KubeClient.from_config(NAMESPACE)


def installed(client: KubeClient, pipeline: Pipeline, settings: ClusterSettings) -> str:
    """The name of the template that is current now."""
    list(install(client, [faulty(d) for file in manifests(pipeline, settings).values() for d in file]))
    return reference(current_template(client))


@pytest.fixture(scope="module")
def cluster(client: KubeClient) -> Iterator[Cluster]:
    """One workflow for each step and for each thing that is not there, all started at once."""
    with namespace(NAMESPACE):
        for gone, settings in GONE.items():
            former = installed(client, REPORTED, SETTINGS.model_copy(update=settings))
            client.create(workflow(former, {"run": "none"}, {"name": gone}, {}))
        template = installed(client, STEPS, SETTINGS)
        for name in CODE:
            client.create(alone(name, template))
        cluster = Cluster(NAMESPACE, {})
        # before Kubernetes removes a pod whose node does not exist, after 40 s
        report_unknown(cluster)
        yield cluster


def report_unknown(cluster: Cluster) -> None:
    """Report the pod on a node that does not exist as a kubelet does that does not find its container."""
    [pod] = until(lambda: cluster.pods("unknown", "unknown", "Pending"), "a pod on a node that does not exist")
    state = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": UNKNOWN}}
    container = {"name": "main", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    status = json.dumps({"status": {"phase": "Failed", "containerStatuses": [container]}})
    cluster.kubectl("patch", "pod", pod, "--subresource", "status", "--type", "merge", "--patch", status)


def alone(name: str, template: str) -> Json:
    """A workflow that runs one step."""
    made = workflow(template, {"run": "none", "part": "0", "mib": "32"}, {"name": name}, {})
    made["spec"]["entrypoint"] = name
    return made


def tries(cluster: Cluster, name: str, step_name: str = "") -> tuple[str, list[str]]:
    """How the workflow ended, and the messages of its step's tries in their order."""
    ended = cluster.ended(name)
    pods = sorted(nodes(ended, step_name or name), key=lambda n: str(n["name"]))
    return ended["status"]["phase"], [n.get("message", "") for n in pods]


def reasons(cluster: Cluster, name: str) -> list[str]:
    """What each try is told of the one before it."""
    pods = cluster.objects("pods", f"workflows.argoproj.io/workflow={name}")
    env = [e for p in pods for c in p["spec"]["containers"] if c["name"] == "main" for e in c["env"]]
    return sorted(str(e.get("value", "")) for e in env if e["name"] == "CLIO_LOST")


def test_a_late_pod_is_tried_again(cluster: Cluster) -> None:
    """It waited for its node for longer than any pause between tries."""
    until(lambda: "Unschedulable" in str(cluster.workflow("late").get("status")), "a pod without a node")
    time.sleep(LATE_S)
    run("kubectl", "label", "nodes", "--all", f"{NAMESPACE}=late")
    try:
        phase, said = tries(cluster, "late")
    finally:
        run("kubectl", "label", "nodes", "--all", f"{NAMESPACE}-")
    assert (phase, len(said)) == ("Succeeded", 2)
    assert "exit code 75" in said[0]
    assert reasons(cluster, "late") == ["", "fault"]


def test_a_pod_that_its_node_rejects_is_tried_again(cluster: Cluster) -> None:
    phase, said = tries(cluster, "rejected")
    assert (phase, len(said)) == ("Succeeded", 2)
    assert "enough resource: cpu" in said[0]


def test_an_evicted_pod_is_tried_again(cluster: Cluster) -> None:
    phase, said = tries(cluster, "evicted")
    assert (phase, len(said)) == ("Succeeded", 2)
    assert 'volume "tmp" exceeds' in said[0]


@pytest.mark.skipif(not RIG, reason="needs a node on this machine, whose processes can be killed")
def test_a_container_that_its_node_loses_is_tried_again(cluster: Cluster) -> None:
    os.kill(shim(cluster.running("lost", "lost")["metadata"]["name"]), signal.SIGKILL)
    phase, said = tries(cluster, "lost")
    assert (phase, len(said)) == ("Succeeded", 2)


def test_a_pod_whose_container_nobody_knows_is_tried_again(cluster: Cluster) -> None:
    phase, said = tries(cluster, "unknown")
    assert (phase, len(said)) == ("Succeeded", 2)
    assert "ContainerStatusUnknown" in said[0] or UNKNOWN in said[0]


def shim(pod: str) -> int:
    """The process that holds the containers of a pod on the node."""
    process = next(p.parent for p in Path("/proc").glob("[0-9]*/environ") if f"HOSTNAME={pod}\0" in environment(p))
    while "containerd-shim" not in (process / "comm").read_text():
        status = (process / "status").read_text()
        process = Path("/proc") / next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:"))
    return int(process.name)


def environment(file: Path) -> str:
    with suppress(OSError):
        return file.read_text(errors="replace")
    return ""


@pytest.mark.parametrize(
    ("name", "words"), [("slow", "longer than the specified deadline"), ("wrong", "exit code 2"), ("saved", "404")]
)
def test_what_would_fail_again_is_not_tried_again(cluster: Cluster, name: str, words: str) -> None:
    """A step's own time limit, a user's error, and artifacts without a place."""
    phase, said = tries(cluster, name)
    assert (phase, len(said)) in [("Failed", 1), ("Error", 1)]
    assert words in said[0]


def test_what_an_installation_lacked_is_retried_when_it_was_mended(cluster: Cluster, client: KubeClient) -> None:
    # Kubernetes would wait for the secret for ever
    until(lambda: cluster.pods("secret", "only", "Pending"), "a pod without its secret")
    actions.terminate(client, "secret")
    for gone in GONE:
        phase, said = tries(cluster, gone, "only")
        assert phase in ("Failed", "Error")
        assert len(said) == 1
    assert len(nodes(cluster.workflow("priority"), "notify")) == 1, "it cannot start either, and is not tried again"
    mended = installed(client, REPORTED, SETTINGS)
    for again in [actions.retry(client, gone) for gone in GONE]:
        assert cluster.ended(again)["status"]["phase"] == "Succeeded"
        assert cluster.workflow(again)["spec"]["workflowTemplateRef"]["name"] == mended
