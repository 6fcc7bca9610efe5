"""The same run on a real cluster (docs/testing.md, "On a cluster"), three times, and what was kept of one."""

import json
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster_costs import work_of
from benchmarks.cluster_graph import cores, read_graph, seconds
from benchmarks.cluster_loop import simulate
from benchmarks.cluster_site import rig
from benchmarks.cluster_stack import planned
from benchmarks.figures import Figure, Result
from benchmarks.measure import REPEATS
from benchmarks.rig import namespace, submitted
from benchmarks.sources import real_slices
from benchmarks.stacks import write_stack
from clio_argo.argo.kube import KubeClient
from clio_argo.argo.manifests import manifests
from clio_argo.argo.nodes import ENDED
from clio_argo.argo.settings import ClusterSettings, Image
from clio_argo.argo.summary import summarise
from clio_argo.model.request import Request
from clio_argo.pipeline import PIPELINE
from tests.e2e.cluster import TAG, make_bucket, upload

SLICES, SIDE_PX = 64, 2048
QUICK_SLICES, QUICK_PX = 16, 512
# small stacks would be one pod, of which little is to be learnt
MANY_PODS = {"part_minutes": 0.01, "single_pod_minutes": 0}
NAMESPACE, EVERY_S = "clio-cluster", 1.0
WHAT = "on the rig, {} slices of {} px: median of three runs"
REQUEUE = "DEFAULT_REQUEUE_TIME"  # of the controller, where it was started with another than its default


@dataclass(frozen=True)
class Measured:
    """What a run took on a cluster of one node, and what the simulator has to know of it."""

    slices: int
    side: int
    seconds: float
    requeue_s: float
    cores: int
    note: str

    @property
    def what(self) -> str:
        return WHAT.format(self.slices, self.side)


def measured(work: Path, quick: bool, before: Result | None) -> Measured | None:
    """Runs where there is a cluster; otherwise what an earlier measurement found, if there was one."""
    if os.environ.get("KUBECONFIG") and os.environ.get("CLIO_GCS_ENDPOINT"):
        return _run(work, QUICK_SLICES, QUICK_PX, 1) if quick else _run(work, SLICES, SIDE_PX, REPEATS)
    kept = [f for f in before.figures if f.what == WHAT.format(SLICES, SIDE_PX)] if before else []
    return _kept(kept[0]) if kept else None


def _kept(figure: Figure) -> Measured:
    requeue, node = figure.note.split("; ")[1:]
    return Measured(SLICES, SIDE_PX, figure.value, float(requeue.split()[1]), int(node.split()[0]), figure.note)


def simulated_s(found: Measured) -> float:
    """Seconds that the simulator tells for the same run."""
    request = Request.model_validate({"id": "fly", "source": "gs://s/fly", "resolution": 8, **MANY_PODS})
    cluster = settings({})
    stack = planned(request, found.slices, found.side, found.side, at_once=cluster.parallelism)
    graph = read_graph(manifests(PIPELINE, cluster)["workflowtemplate.yaml"][0])
    site = rig(found.requeue_s, found.cores)
    return simulate(graph, stack, site, work_of(stack, PIPELINE, site.delays), PIPELINE).ended_s


def settings(env: Mapping[str, str]) -> ClusterSettings:
    """The real template with the real images; pods share the cores of a small node."""
    images = {n: Image(repository=f"clio-argo-{n}", tag=TAG) for n in ("align", "write")}
    return ClusterSettings(
        namespace=NAMESPACE, images=images, cpu="20m", memory_max_mib=4096, artifacts=None, env=dict(env)
    )


def _run(work: Path, slices: int, side: int, repeats: int) -> Measured:
    endpoint = os.environ["CLIO_GCS_ENDPOINT"]
    emulator = {"TENSORSTORE_GCS_HTTP_URL": endpoint, "STORAGE_EMULATOR_HOST": endpoint,
                "GOOGLE_AUTH_TOKEN_FOR_TESTING": "x"}  # fmt: skip
    os.environ.update(emulator)
    bucket = make_bucket(f"gs://{NAMESPACE}-{time.time_ns():x}")
    write_stack(real_slices(), work / "source", side, slices)
    upload(work / "source", f"{bucket}/slices")
    with namespace(settings(emulator)) as client:
        taken_s = [_taken_s(client, bucket, number) for number in range(repeats)]
        node_cores = _cores(client)
    requeue_s = seconds(os.environ.get(REQUEUE, "10s"))
    each = ", ".join(f"{s:.0f}" for s in taken_s)
    note = f"{each} s; requeue {requeue_s:g} s; {node_cores} cores"
    return Measured(slices, side, statistics.median(taken_s), requeue_s, node_cores, note)


def _taken_s(client: KubeClient, bucket: str, number: int) -> float:
    """Seconds of one workflow, as Argo tells them."""
    arguments = {"id": "fly", "source": f"{bucket}/slices", "image": "iso.%05d.png", "resolution": "8",
                 "config": json.dumps(MANY_PODS)}  # fmt: skip
    name = submitted(client, {**arguments, "run": f"{bucket}/run{number}"})
    while (found := client.get(name)).get("status", {}).get("phase") not in ENDED:
        time.sleep(EVERY_S)
    summary = summarise(found)
    if not summary.succeeded or summary.started is None or summary.finished is None:
        raise RuntimeError(f"{name} ended as {summary.phase}: {summary.failures}")
    return (summary.finished - summary.started).total_seconds()


def _cores(client: KubeClient) -> int:
    from kubernetes import client as k8s

    (node,) = k8s.CoreV1Api(client.api).list_node().to_dict()["items"]
    return int(cores(node["status"]["allocatable"]["cpu"]))
