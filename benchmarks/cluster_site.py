"""Nodes, prices and delays of a cluster, each with where it is known from."""

import math
from dataclasses import dataclass, field

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
# $ an hour of e2-standard-2 in us-central1, 2026-11
E2 = 0.067


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


@dataclass(frozen=True)
class Delays:
    """Seconds unless they say otherwise. docs/benchmarks.md shows each with its source."""

    requeue_s: float = 10.0
    pods_per_s: float = 20.0
    burst: int = 30
    scan_s: float = 10.0
    node_s: float = PRICES.delays.node_s
    idle_s: float = PRICES.delays.idle_s
    pull_s: float = PRICES.delays.pull_s
    pod_s: float = 4.0
    pod_cpu_s: float = 2.3
    process_cpu_s: float = UnitCosts.reference().start_s
    end_s: float = 2.0
    store_mb_s: float = 150.0
    request_s: float = 0.05
    preemptions_per_h: float = 0.05
    grace_s: float = 15.0


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
    return Site(workers, Pool(machine("e2-standard-2", 2, 8, E2), 3, 1), delays or Delays())


def rig(requeue_s: float) -> Site:
    """A cluster of one node on this machine (docs/testing.md): two cores, images and store beside them."""
    node = Machine("this machine", 2, 2, math.inf, 0)
    delays = Delays(requeue_s=requeue_s, pull_s=0, preemptions_per_h=0, request_s=0.005, store_mb_s=300)
    return Site(Pool(node, 1, 1), delays=delays)
