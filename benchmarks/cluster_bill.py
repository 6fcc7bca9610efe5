"""What a simulated run took, cost, and waited for."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.cluster_loop import Run
from benchmarks.cluster_nodes import Node, Pod
from benchmarks.cluster_site import HOUR_S, Delays

KINDS = ("controller and limits", "nodes", "start of pods", "store", "computing", "end of pods")


@dataclass(frozen=True)
class Bill:
    """Hours of spot vCPUs that are paid, those after the workflow ended among them, and $."""

    vcpu_h: float
    after_h: float
    dollars: float


def bill(run: Run, idle_s: float) -> Bill:
    """Of spot nodes, from when each was asked for until it is gone; idle ones go after `idle_s`."""
    spot = [n for n in run.nodes if n.pool.spot]
    hours = [(gone_s(n, run, idle_s) - n.asked_s) / HOUR_S for n in spot]
    after = sum(n.pool.machine.vcpus * max(0.0, gone_s(n, run, idle_s) - run.ended_s) for n in spot) / HOUR_S
    return Bill(
        vcpu_h=sum(n.pool.machine.vcpus * h for n, h in zip(spot, hours, strict=True)),
        after_h=after,
        dollars=sum(n.pool.machine.price * h for n, h in zip(spot, hours, strict=True)),
    )


def gone_s(node: Node, run: Run, idle_s: float) -> float:
    """When a node is gone, which may be after the workflow ended."""
    if node.gone_s is not None:
        return node.gone_s
    return max(run.ended_s, max(node.idle_since_s, node.ready_s) + idle_s)


def last_pods(run: Run) -> Iterator[Pod]:
    """The pod that each task waited for, in the order of the tasks."""
    for name in dict.fromkeys(p.task.name for p in run.pods):
        yield max((p for p in run.pods if p.task.name == name), key=lambda p: p.noticed_s)


def path_s(run: Run, delays: Delays) -> dict[str, dict[str, float]]:
    """The critical path: seconds by task, and of these by kind of what the task's last pod did or waited for.

    Times before its last try, if it had several, are those of the controller.
    """
    found: dict[str, dict[str, float]] = {}
    ended_s = 0.0
    for pod in last_pods(run):
        worked_s = max(0.0, pod.ended_s - delays.end_s - pod.began_s)
        computed_s = min(worked_s, max(0.0, pod.cpu_s - delays.pod_cpu_s - delays.process_cpu_s))
        parts = (
            pod.created_s - ended_s,
            pod.placed_s - pod.created_s,
            pod.began_s - pod.placed_s,
            worked_s - computed_s,
            computed_s,
            delays.end_s + pod.noticed_s - pod.ended_s,
        )
        found[pod.task.name], ended_s = dict(zip(KINDS, parts, strict=True)), pod.noticed_s
    return found
