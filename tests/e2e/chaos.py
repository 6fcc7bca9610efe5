"""Chaos in an order that a seed tells: pods are deleted, the controller is killed, the store stumbles."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from clio_argo.argo.nodes import ENDED
from clio_argo.model.base import few
from tests.e2e.cluster import PARTS, RIG, Cluster, Json, no_controller, until
from tests.proxy import Faults
from tests.stacks import contents

# of the slices, in the bucket
SOURCE = "sources/chaos"
# stages of two parts, where there are two units
SEVERAL = (*PARTS, "--set", "max_parts=2", "--set", "part_minutes=0.001")
# requests that are refused, whose connection breaks before they are sent on, and after they were done
STUMBLES = ("503", "reset", "lost")
# more than a small run asks, tries included; afterwards the store is well
REQUESTS = 20_000
# one stage of a small stack takes about as long: blows meet all of them, and let each end
PAUSE_S = (2.0, 12.0)
# pods end in it and nobody looks
AWAY_S = 5.0
# options for a pod that has time to end, and for one that has none
DELETED = {"pod deleted": (), "pod deleted at once": ("--force", "--grace-period=0")}
CONTROLLER = "controller killed"
# the controller where it can be killed
BLOWS = (*DELETED, CONTROLLER) if RIG else (*DELETED,)


@dataclass(frozen=True)
class Blow:
    """Something that is taken away `after_s` seconds after the blow before; `chance` (0 to 1) chooses what."""

    kind: str
    after_s: float
    chance: float


def blows(seed: int, count: int) -> list[Blow]:
    """What is taken away, in this order."""
    random = Random(f"blows {seed}")
    kinds = shuffled(random, BLOWS, count)
    return [Blow(kind, random.uniform(*PAUSE_S), random.random()) for kind in kinds]


def stumbles(seed: int, every: int) -> list[str]:
    """What becomes of the requests, in the order in which they reach the store: of `every` of them, one of each kind.

    A client waits for a second after each, and longer after several.
    """
    well = ["none"] * (every - len(STUMBLES))
    return shuffled(Random(f"stumbles {seed}"), (*STUMBLES, *well), REQUESTS)


def shuffled(random: Random, kinds: Sequence[str], count: int) -> list[str]:
    """So many kinds; each comes once before one comes again."""
    rounds = (random.sample(kinds, len(kinds)) for _ in range(-(-count // len(kinds))))
    return [kind for each in rounds for kind in each][:count]


@dataclass(frozen=True)
class Outcome:
    """What became of a run: how it ended, what it met by kind, and objects that differ from the undisturbed one."""

    seed: int
    workflow: Json
    met: Counter[str]
    differing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return bool(self.workflow["status"]["phase"] == "Succeeded")

    @property
    def told(self) -> str:
        """All of it in a line."""
        status = self.workflow["status"]
        same = (
            f"{len(self.differing)} objects differ: {few(self.differing)}"
            if self.differing
            else "all objects are the same"
        )
        return f"seed {self.seed}: {status['phase']} {status.get('message', '')}, {same}; met {dict(self.met)}"

    @property
    def tries(self) -> Counter[str]:
        """Pods by how they ended."""
        return Counter(n["phase"] for n in self.workflow["status"]["nodes"].values() if n["type"] == "Pod")


@dataclass(frozen=True)
class Chaos:
    """An installation whose pods reach the store through `faults`, and a stack in a bucket.

    expected: `contents` of the same run, undisturbed.
    more: options of `submit`.
    """

    cluster: Cluster
    faults: Faults
    bucket: str
    expected: Mapping[str, str]
    more: tuple[str, ...] = ()

    def run(self, seed: int, count: int, every: int) -> Outcome:
        """A run under `count` blows, whose store stumbles in each way once in `every` requests."""
        name = f"chaos-{seed}"
        out, order = f"{self.bucket}/runs/{name}", stumbles(seed, every)
        self.cluster.submit(f"{self.bucket}/{SOURCE}", out, *SEVERAL, "--name", name, *self.more)
        self.faults.left.extend(order)
        met = batter(self.cluster, name, blows(seed, count))
        ended = self.cluster.ended(name)
        met += Counter(f for f in order[: len(order) - len(self.faults.left)] if f != "none")
        self.faults.left.clear()
        return Outcome(seed, ended, met, differing(contents(out), self.expected))


def differing(found: Mapping[str, str], expected: Mapping[str, str]) -> tuple[str, ...]:
    """Names of objects that are not the same."""
    return tuple(sorted(dict(found.items() ^ expected.items())))


def batter(cluster: Cluster, name: str, order: list[Blow]) -> Counter[str]:
    """Deal the blows until the workflow has ended; how many of each kind there were."""
    dealt = Counter[str]()
    for blow in order:
        time.sleep(blow.after_s)
        if pods := standing(cluster, name):
            deal(cluster, blow, pods)
            dealt[blow.kind] += 1
    return dealt


def standing(cluster: Cluster, name: str) -> list[str]:
    """Pods of a workflow that run, as soon as there is one; none if it has ended."""
    until(lambda: running(cluster, name) or cluster.phase(name) in ENDED, f"a pod of {name}")
    return running(cluster, name)


def running(cluster: Cluster, name: str) -> list[str]:
    pods = cluster.objects("pods", f"workflows.argoproj.io/workflow={name}")
    staying = (p for p in pods if "deletionTimestamp" not in p["metadata"])
    return sorted(p["metadata"]["name"] for p in staying if p["status"]["phase"] == "Running")


def deal(cluster: Cluster, blow: Blow, pods: list[str]) -> None:
    """Take away one of the pods, or the controller for a while."""
    if blow.kind == CONTROLLER:
        with no_controller():
            time.sleep(blow.chance * AWAY_S)
    else:
        pod = pods[int(blow.chance * len(pods))]
        cluster.kubectl("delete", "pod", pod, "--ignore-not-found", "--wait=false", *DELETED[blow.kind])
