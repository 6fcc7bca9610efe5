"""Prices of machines and storage, and what an estimated run takes and costs on a cluster."""

import math
from importlib.resources import files
from typing import Annotated, Self

from pydantic import ConfigDict, Field

from clio_argo.errors import UserError
from clio_argo.model.base import Document, Value
from clio_argo.model.costs import Estimate, StageEstimate
from clio_argo.model.step import Step

# seconds of an hour, and bytes of what buckets and machines count as GB
HOUR_S, MIB_PER_GIB, GIB = 3600, 1024, 2**30
# nodes that are priced unless others are asked for; they hold the 100 pods that a workflow has at a time by default
MACHINE, NODES = "n2d-standard-8", 12
# what the pod of a step asks for
POD_VCPUS = int(Step.cpu.removesuffix("m")) / 1000


class Finite(Value):
    """A value whose numbers are neither negative nor infinite nor none."""

    model_config = ConfigDict(allow_inf_nan=False)


class Machine(Finite):
    """A type of node. Prices are $ an hour."""

    vcpus: int = Field(ge=1)
    memory_gib: float = Field(gt=0)
    on_demand: float = Field(ge=0)
    spot: float = Field(ge=0)


class Storage(Finite):
    """Prices of a bucket in $."""

    gib_month: dict[str, Annotated[float, Field(ge=0)]] = Field(
        description="Of a GiB for a month, by the class of storage."
    )
    thousand_writes: float = Field(ge=0, description="Of a thousand objects written or listings (class A).")
    thousand_reads: float = Field(ge=0, description="Of a thousand objects read (class B).")


class Delays(Finite):
    """Seconds that pass before a pod computes."""

    node_s: float = Field(ge=0, description="Until a new node takes pods.")
    pull_s: float = Field(ge=0, description="Until a new node has the images.")
    pod_s: float = Field(ge=0, description="Until a pod on a node that has the images computes, and after it ended.")
    idle_s: float = Field(ge=0, description="Until a node that is idle is taken away.")


class Prices(Document):
    """Machines with their prices, prices of storage, and how long nodes and pods take to start.

    A file in the package has those of one region at one date; a file of one's own takes its place.
    """

    date: str
    source: str
    machines: dict[str, Machine]
    storage: Storage
    delays: Delays
    reserved_vcpus: float = Field(ge=0, description="Of each node, what system and daemons take.")
    reserved_memory: float = Field(ge=0, lt=1, description="The same as a fraction of its memory.")

    @classmethod
    def reference(cls) -> Self:
        """Those of the package."""
        return cls.from_bytes(files(__package__).joinpath("prices.json").read_bytes(), "prices.json")

    def machine(self, name: str) -> Machine:
        """A type of node. Raises `UserError` if it has no price."""
        if name not in self.machines:
            known = ", ".join(sorted(self.machines))
            raise UserError(f"machine {name}: no price is known; there are {known}; --prices FILE brings others")
        return self.machines[name]


class Cluster(Value):
    """Nodes of one type.

    nodes: at most so many at a time.
    """

    prices: Prices
    machine: str
    nodes: int = Field(ge=1)
    spot: bool = False

    @property
    def node(self) -> Machine:
        """The type of its nodes."""
        return self.prices.machine(self.machine)

    def pods_per_node(self, memory_mib: int) -> int:
        """Pods of so much memory that a node holds; 0: it is too small for one."""
        memory = self.node.memory_gib * MIB_PER_GIB * (1 - self.prices.reserved_memory)
        return min(math.floor(self.free_vcpus / POD_VCPUS), math.floor(memory / memory_mib))

    @property
    def free_vcpus(self) -> float:
        """Those of a node that pods may use."""
        return self.node.vcpus - self.prices.reserved_vcpus

    @property
    def pods(self) -> int:
        """Pods that all nodes hold at a time, if memory allows it."""
        return self.nodes * self.pods_per_node(1)

    def nodes_of(self, stage: StageEstimate) -> int:
        """Nodes that a stage fills. Raises `UserError` if its pods fit on none."""
        fit = self.pods_per_node(stage.memory_mib)
        if fit < 1:
            raise UserError(
                f"machine {self.machine}: {stage.step} needs a pod of {POD_VCPUS:g} vCPU and {stage.memory_mib} "
                "MiB, which fits on no such node; choose a larger machine, or set a smaller memory_gib"
            )
        return min(self.nodes, -(-stage.parts // fit))

    def waves(self, stage: StageEstimate) -> int:
        """How often its nodes are filled with pods until all parts are done."""
        return -(-stage.parts // (self.nodes_of(stage) * self.pods_per_node(stage.memory_mib)))


class StageBill(Value):
    """What one stage takes on a cluster."""

    step: str
    parts: int
    waves: int
    wall_s: float
    vcpu_h: float = Field(description="Of its pods, from their start to their end.")


class Bill(Value):
    """Time and costs in $ of an estimated run on a cluster."""

    nodes: int = Field(description="Nodes at a time, at most.")
    wall_s: float = Field(description="Until the last pod has ended.")
    start_s: float = Field(description="The part of it until the first node takes pods and has the images.")
    busy_vcpu_h: float = Field(description="Hours of vCPUs that are paid while pods run.")
    idle_vcpu_h: float = Field(description="The same of nodes that start, or wait to be taken away.")
    compute: float
    writes: int
    reads: int
    operations: float
    month: dict[str, dict[str, float]] = Field(description="$ of a month, by folder and class of storage.")
    stages: tuple[StageBill, ...]

    @property
    def total(self) -> float:
        """What the run itself costs, without keeping its volumes."""
        return self.compute + self.operations


def bill(estimate: Estimate, cluster: Cluster) -> Bill:
    """Time and costs of a run. Raises `UserError` if the pods of a stage fit on no node."""
    stages = tuple(_stage(s, estimate.start_s, cluster) for s in estimate.stages if s.parts)
    nodes = max(cluster.nodes_of(s) for s in estimate.stages if s.parts)
    delays, node, prices = cluster.prices.delays, cluster.node, cluster.prices.storage
    start_s = delays.node_s + delays.pull_s
    idle_h = nodes * node.vcpus * (start_s + delays.idle_s) / HOUR_S
    # pods leave a part of a node free, which is paid as well
    busy_h = sum(s.vcpu_h for s in stages) * node.vcpus / cluster.free_vcpus
    writes, reads = (sum(getattr(s, name) for s in estimate.stages) for name in ("writes", "reads"))
    return Bill(
        nodes=nodes,
        wall_s=start_s + sum(s.wall_s for s in stages),
        start_s=start_s,
        busy_vcpu_h=busy_h,
        idle_vcpu_h=idle_h,
        compute=(busy_h + idle_h) / node.vcpus * (node.spot if cluster.spot else node.on_demand),
        writes=writes,
        reads=reads,
        operations=(writes * prices.thousand_writes + reads * prices.thousand_reads) / 1000,
        month={
            folder: {kind: size / GIB * price for kind, price in prices.gib_month.items()}
            for folder, size in estimate.sizes_bytes.items()
        },
        stages=stages,
    )


def _stage(stage: StageEstimate, start_s: float, cluster: Cluster) -> StageBill:
    fit, waves = cluster.pods_per_node(stage.memory_mib), cluster.waves(stage)
    # where memory and not vCPUs fills a node, each pod keeps more of it busy; where pods are many, they share vCPUs
    vcpus = cluster.free_vcpus / fit
    pod_s = cluster.prices.delays.pod_s + (start_s + stage.cpu_s / stage.parts) / min(1.0, vcpus)
    vcpu_h = stage.parts * pod_s * vcpus / HOUR_S
    return StageBill(step=stage.step, parts=stage.parts, waves=waves, wall_s=waves * pod_s, vcpu_h=vcpu_h)


def seconds_by_stage(estimate: Estimate, at_once: int, pod_s: float = 0.0) -> dict[str, float]:
    """Seconds by the clock of each stage where so many parts run at once; each takes `pod_s` more to start and end."""
    return {s.step: -(-s.parts // at_once) * (pod_s + s.cpu_s / s.parts) for s in estimate.stages if s.parts}


def local_wall_s(estimate: Estimate, workers: int) -> float:
    """Seconds by the clock of a run on one machine with so many workers, each of which has a core."""
    return estimate.start_s + sum(seconds_by_stage(estimate, workers).values())


def local_cpu_s(estimate: Estimate, workers: int) -> float:
    """CPU seconds of such a run, the start of each process included."""
    return estimate.cpu_s + estimate.start_s * (workers + 1)
