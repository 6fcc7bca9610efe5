"""Nodes and the pods on them, which share a node's cores: who waits for nothing computes at the same speed."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.cluster_graph import Task
from benchmarks.cluster_site import Delays, Pool

MOST_PODS = 110  # of a node, by default of Kubernetes
TINY_S = 1e-9


@dataclass(frozen=True)
class Segment:
    """A stretch of a pod's life: seconds on a core of its own, and the share of them in which it computes.

    units: units of work that are done when it ends.
    """

    seconds: float
    share: float = 0.0
    units: int = 0

    @classmethod
    def of(cls, cpu_s: float, wait_s: float = 0.0, units: int = 0) -> "Segment":
        total = cpu_s + wait_s
        return cls(total, cpu_s / total if total else 0.0, units)


@dataclass
class Pod:
    """One try of a part. Times are seconds since the workflow was submitted."""

    task: Task
    part: int
    attempt: int
    mib: float
    ready_s: float
    created_s: float = 0.0
    placed_s: float = 0.0
    began_s: float = 0.0
    ended_s: float = 0.0
    noticed_s: float = 0.0
    node: int = -1
    exit_code: int = 0
    units: int = 0
    cpu_s: float = 0.0
    segments: list[Segment] = field(default_factory=list)
    left_s: float = 0.0

    @property
    def cpu(self) -> float:
        return self.task.template.cpu


@dataclass
class Node:
    """A node, from when it was asked for until it is gone."""

    number: int
    pool: Pool
    asked_s: float
    ready_s: float
    gone_s: float | None = None
    reclaimed: bool = False
    idle_since_s: float = 0.0
    at_s: float = 0.0
    version: int = 0
    pods: list[Pod] = field(default_factory=list)
    images: dict[str, float] = field(default_factory=dict)

    @property
    def cpu_left(self) -> float:
        return self.pool.machine.cpu - sum(p.cpu for p in self.pods)

    @property
    def mib_left(self) -> float:
        return self.pool.machine.mib - sum(p.mib for p in self.pods)

    def takes(self, pod: Pod, now: float) -> bool:
        """Whether the pod can be placed on it."""
        there = self.gone_s is None and not self.reclaimed and self.ready_s <= now and len(self.pods) < MOST_PODS
        return there and self.cpu_left + TINY_S >= pod.cpu and self.mib_left + TINY_S >= pod.mib

    def advance(self, now: float) -> list[Pod]:
        """Let its pods work until `now`; those that came to the end of a segment."""
        speed, passed = self._speed(), now - self.at_s
        for pod in self.pods:
            worked = passed * _pace(pod, speed)
            pod.left_s -= worked
            pod.cpu_s += worked * pod.segments[0].share
        self.at_s = now
        return [p for p in self.pods if p.left_s <= TINY_S]

    def next_s(self) -> float | None:
        """When the first of its pods comes to the end of a segment."""
        speed = self._speed()
        return min((self.at_s + max(p.left_s, 0.0) / _pace(p, speed) for p in self.pods), default=None)

    def _speed(self) -> float:
        asked = sum(p.segments[0].share for p in self.pods)
        return min(1.0, self.pool.machine.vcpus / asked) if asked else 1.0


def _pace(pod: Pod, speed: float) -> float:
    """Seconds of its segment that a pod gets done in a second: waiting takes as long as ever."""
    share = pod.segments[0].share
    return 1 / (share / speed + 1 - share)


def fresh_nodes(pods: Iterable[Pod], pool: Pool, rooms: Iterable[tuple[float, float]]) -> int:
    """Nodes to ask for, so that pods that fit into no `rooms` (cores, MiB) of nodes to come find one."""
    machine = pool.machine
    found, asked = [list(room) for room in rooms], 0
    for pod in pods:
        room = next((r for r in found if r[0] + TINY_S >= pod.cpu and r[1] + TINY_S >= pod.mib), None)
        if room is None and pod.cpu <= machine.cpu and pod.mib <= machine.mib:
            room = [machine.cpu, machine.mib]
            found.append(room)
            asked += 1
        if room is not None:
            room[0], room[1] = room[0] - pod.cpu, room[1] - pod.mib
    return asked


def starts(delays: Delays, units: Iterable[Segment]) -> list[Segment]:
    """The segments of a pod: its containers, its process, its units of work, and the end."""
    before = [Segment(delays.pod_s), Segment.of(delays.pod_cpu_s), Segment.of(delays.process_cpu_s)]
    return [*before, *units, Segment(delays.end_s)]
