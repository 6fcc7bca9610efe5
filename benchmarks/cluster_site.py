"""Nodes, prices and delays of a cluster, each with where it is known from."""

import math
from dataclasses import dataclass, field
from typing import Any

from clio_argo.model.costs import UnitCosts
from clio_argo.model.prices import Prices

GIB_MIB, HOUR_S = 1024, 3600
PRICES = Prices.reference()
# what Google reserves of a node: of the first core, the second, the next two, and each more; of the first 4 GiB, the
# next 4, 8 and 112, and the rest (GKE's documentation of node sizing)
CPU_STEPS = ((1, 0.06), (1, 0.01), (2, 0.005), (math.inf, 0.0025))
MEMORY_STEPS = ((4, 0.25), (4, 0.20), (8, 0.10), (112, 0.06), (math.inf, 0.02))
EVICTION_MIB = 100
# the kernel keeps a part of the memory for itself
SEEN = 0.977
# daemons of every node, measured by others on GKE: cores and MiB
DAEMONS = (0.443, 600)
# $ an hour of e2-standard-4 in us-central1, 2026-11
E2 = 0.134


@dataclass(frozen=True)
class Machine:
    """A type of node: what it has, what pods can ask of it, and what it costs in $ an hour."""

    name: str
    vcpus: int
    cpu: float
    mib: float
    price: float


def _reserved(amount: float, steps: tuple[tuple[float, float], ...]) -> float:
    taken = 0.0
    for width, share in steps:
        taken += min(amount, width) * share
        amount = max(0.0, amount - width)
    return taken


def machine(name: str, vcpus: int, gib: float, price: float) -> Machine:
    """A type of node of GKE, less what system and daemons take."""
    cpu = vcpus - _reserved(vcpus, CPU_STEPS) - DAEMONS[0]
    mib = (gib * SEEN - _reserved(gib, MEMORY_STEPS)) * GIB_MIB - EVICTION_MIB - DAEMONS[1]
    return Machine(name, vcpus, cpu, mib, price)


@dataclass(frozen=True)
class Pool:
    """Nodes of one machine, `least` of them always. Spot nodes are reclaimed."""

    machine: Machine
    most: int
    least: int = 0
    spot: bool = False


def _known(value: float, unit: str, source: str) -> Any:
    return field(default=value, metadata={"unit": unit, "source": source})


PACKAGE = f"prices.json of {PRICES.date}, as `clio-argo estimate` has it"
NOT_SEEN = "assumed: nothing was run on Google Cloud"


@dataclass(frozen=True)
class Delays:
    """What happens between pods, and how often; each with its unit and where it is known from."""

    requeue_s: float = _known(10, "s", "DEFAULT_REQUEUE_TIME: a change of a pod is looked at so long after it")
    pods_per_s: float = _known(20, "pods/s", "--qps of the controller: one pod is one request")
    burst: float = _known(30, "pods", "--burst of the controller")
    scan_s: float = _known(10, "s", "scan interval of the cluster autoscaler, its default")
    node_s: float = _known(PRICES.delays.node_s, "s", f"a node, from being asked for to taking pods; {PACKAGE}")
    idle_s: float = _known(PRICES.delays.idle_s, "s", f"an idle node stays so long, and is paid; {PACKAGE}")
    pull_s: float = _known(PRICES.delays.pull_s, "s", f"an image that a node does not have; {PACKAGE}")
    pod_s: float = _known(4, "s", "start of a pod besides its CPU time: 4 to 8 s from start to end were seen")
    pod_cpu_s: float = _known(2.3, "CPU s", "of starting and ending a pod: 482 pods took 1.15 s each of two cores")
    process_cpu_s: float = _known(UnitCosts.reference().start_s, "CPU s", "start of a process, unit_costs.json")
    end_s: float = _known(2, "s", "Argo's container keeps outputs and logs, inside of the 4 to 8 s")
    store_mb_s: float = _known(150, "MB/s", f"between a pod and the store; {NOT_SEEN}")
    request_s: float = _known(0.05, "s", f"an answer of the store; {NOT_SEEN}")
    preemptions_per_h: float = _known(0.05, "a node hour", f"reclaimed spot nodes; {NOT_SEEN}")
    grace_s: float = _known(15, "s", "a reclaimed node is paid so long after its pods got SIGTERM and ended")


@dataclass(frozen=True)
class Site:
    """A cluster: a pool of workers, a pool of all other pods (the same if None), and its delays."""

    workers: Pool
    others: Pool | None = None
    delays: Delays = field(default_factory=Delays)

    @property
    def pools(self) -> tuple[Pool, ...]:
        return (self.workers, self.others) if self.others else (self.workers,)

    def pool_of(self, selector: tuple[tuple[str, str], ...]) -> Pool:
        """The pool that takes pods with this selector."""
        return self.workers if selector or self.others is None else self.others


def gke(vcpus: int, quota: int, delays: Delays | None = None) -> Site:
    """As manifests/gke/create.sh makes it: spot workers from none up to a quota of vCPUs, small nodes for others."""
    name = f"n2d-standard-{vcpus}"
    node = PRICES.machine(name)
    workers = Pool(machine(name, vcpus, node.memory_gib, node.spot), quota // vcpus, spot=True)
    return Site(workers, Pool(machine("e2-standard-4", 4, 16, E2), 3, 1), delays or Delays())


def rig(requeue_s: float, cores: int = 2, mib: float = math.inf) -> Site:
    """A cluster of one node (docs/testing.md), with images and store beside it."""
    node = Machine("the rig", cores, cores, mib, 0)
    delays = Delays(requeue_s=requeue_s, pull_s=0, preemptions_per_h=0, request_s=0.005, store_mb_s=300)
    return Site(Pool(node, 1, 1), delays=delays)
