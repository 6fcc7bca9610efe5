"""What a run takes: rates of its stages on one machine, and the estimate that follows from them."""

from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from pydantic import Field

from clio_argo.model.base import Document, Value

if TYPE_CHECKING:
    # the command line knows steps, and must start without numpy
    from clio_argo.model.plan import Plan

# features are sought at 200 px, fits are refined at about 1250 px, whatever a slice has (kernels/features.py)
FEATURE_PX, REDUCED_PX = 200, 1250
# seconds of a minute
MINUTE_S = 60
# the task of a workflow that does all behind `plan` in one pod
ALL = "all"
# every slice with the next one, every fourth with its second neighbour (steps/match.py)
PAIRS_PER_SLICE = 1.25
# of stacks with fewer bytes most time is that of starting, and $ per TB would say nothing of larger ones
LEAST_BYTES = 10**9
# fields of a rate that are times
TIMES = ("_s", "_ms", "_ns")
# of a chunk of ng/ that shows nothing: tables of JPEG, and its place in the shard's index
CHUNK_BYTES = 350
# the estimate counts as much as this share of the run that was seen
TRUSTED = 0.05
Basis = Literal["headers", "sample", "run"]


class Amount(NamedTuple):
    """What the time of a stage grows with, each summed over all slices or planes."""

    slices: float
    feature_px: float
    reduced_px: float
    bytes: float

    @classmethod
    def of(cls, slices: int, width: int, height: int, itemsize: int) -> Self:
        """Of slices or planes that have one size."""
        pixels = width * height
        return cls(
            slices, slices * min(pixels, FEATURE_PX**2), slices * min(pixels, REDUCED_PX**2), slices * pixels * itemsize
        )


class StageRate(Value):
    """CPU time of one stage on one machine, and objects besides shards; all of these add up."""

    once_s: float = 0.0
    slice_ms: float = 0.0
    feature_ns: float = Field(0.0, description="For each pixel up to 200 x 200 a slice.")
    reduced_ns: float = Field(0.0, description="For each pixel up to 1250 x 1250 a slice.")
    byte_ns: float = Field(0.0, description="For each byte of grey values.")
    slice_writes: float = Field(0.0, description="Objects that it writes for each slice.")
    slice_reads: float = Field(0.0, description="Objects that it reads for each slice.")

    def cpu_s(self, amount: Amount) -> float:
        """CPU seconds of all parts of the stage together."""
        nanoseconds = (
            self.feature_ns * amount.feature_px + self.reduced_ns * amount.reduced_px + self.byte_ns * amount.bytes
        )
        return self.once_s + self.slice_ms * 1e-3 * amount.slices + nanoseconds * 1e-9

    def times(self, factor: float) -> Self:
        """The rate where all takes `factor` times as long."""
        times = {name: value * factor for name, value in self if name.endswith(TIMES)}
        return self.model_copy(update=times)


class Density(Value):
    """Stored bytes per voxel of a canvas on which no slice has moved."""

    fine: float = Field(description="At full size.")
    coarse: float = Field(description="At all coarser scales.")

    def at(self, scale: int) -> float:
        """Bytes per voxel of a scale."""
        return self.coarse if scale else self.fine


class Speed(NamedTuple):
    """How fast a machine copies memory, in GB per CPU second, and decodes PNG, in MB of pixels per CPU second."""

    copy_gb_s: float
    decode_mb_s: float

    def over(self, other: "Speed") -> float:
        """How many times as fast as another machine it is; in between for what does some of both."""
        return float((self.copy_gb_s / other.copy_gb_s * self.decode_mb_s / other.decode_mb_s) ** 0.5)


class UnitCosts(Document):
    """What one machine takes for a slice, a pixel, a byte, and how well their grey values are compressed.

    A file in the package has those of one machine, whichever measured them.
    """

    date: str
    machine: str
    copy_gb_s: float = Field(description="Memory that the machine copies, GB per CPU second.")
    decode_mb_s: float = Field(description="PNG that it decodes, MB of pixels per CPU second.")
    start_s: float = Field(description="CPU seconds that a process takes to start.")
    stages: dict[str, StageRate]
    lossless: Density = Field(description="Of aligned/, for each byte of a voxel.")
    viewer: Density = Field(description="Of ng/, for each voxel.")

    @classmethod
    def reference(cls) -> Self:
        """Those of the package."""
        return cls.from_bytes(files(__package__).joinpath("unit_costs.json").read_bytes(), "unit_costs.json")

    @property
    def speed(self) -> Speed:
        """That of the machine."""
        return Speed(self.copy_gb_s, self.decode_mb_s)

    def scaled(self, factors: Mapping[str, float], other: float = 1.0) -> Self:
        """Those of a machine on which stages take `factors` times as long, and all that these do not name `other`."""
        stages = {name: rate.times(factors.get(name, other)) for name, rate in self.stages.items()}
        return self.model_copy(update={"stages": stages, "start_s": self.start_s * other})


class StageEstimate(Value):
    """What one stage will take, or took."""

    step: str
    units: int
    parts: int
    cpu_s: float = Field(description="Of all parts together.")
    memory_mib: int = Field(description="Of the pod of a part.")
    writes: int = Field(description="Objects that it writes.")
    reads: int = Field(description="Objects that it reads, those included that are read back after they were written.")


class Estimate(Document):
    """What a run will take; `plan` keeps it under process/."""

    basis: Basis = Field(description="What tells the rates: headers alone, some slices of the stack, or another run.")
    machine: str = Field(description="Where these rates were measured.")
    slices: int
    source_bytes: int = Field(description="Bytes of the grey values of all slices.")
    start_s: float = Field(description="CPU seconds that a process takes to start.")
    stages: tuple[StageEstimate, ...]
    sizes_bytes: dict[str, int] = Field(description="Bytes of each volume that stays, by its folder.")
    objects: int = Field(description="Objects of both volumes.")

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all stages."""
        return sum(s.cpu_s for s in self.stages)

    @property
    def cpu_s_behind_plan(self) -> float:
        """CPU seconds of all stages but the first."""
        return sum(s.cpu_s for s in self.stages[1:])

    @property
    def in_one_pod(self) -> Self:
        """The same run where one pod does all that comes after `plan`."""
        first, *rest = self.stages
        writes, reads = sum(s.writes for s in rest), sum(s.reads for s in rest)
        rest_of_it = StageEstimate(
            step=ALL, units=1, parts=1, cpu_s=self.cpu_s_behind_plan, memory_mib=self.memory_mib,
            writes=writes, reads=reads,
        )  # fmt: skip
        return self.model_copy(update={"stages": (first, rest_of_it)})

    @property
    def largest(self) -> StageEstimate:
        """The stage that takes most CPU time."""
        return max(self.stages, key=lambda s: s.cpu_s)

    @property
    def memory_mib(self) -> int:
        """MiB of the largest pod after the first, which has room for any stack."""
        return max(s.memory_mib for s in self.stages[1:])


def slices_of(plan: "Plan", itemsize: int) -> Amount:
    """What all usable slices of a stack amount to."""
    runs = [Amount.of(s.slices, s.width, s.height, itemsize) for s in plan.sizes]
    return Amount(*map(sum, zip(*runs, strict=True)))


def left_s(expected: Mapping[str, float], done: Mapping[str, float], elapsed_s: float) -> float:
    """Seconds until all stages are done, at the pace so far; at the expected pace as long as little is done.

    expected: seconds of each stage. done: the fraction of it that is done, by stage. elapsed_s: since the first began.
    """
    total = sum(expected.values())
    finished = sum(seconds * min(1.0, done.get(stage, 0.0)) for stage, seconds in expected.items())
    trusted = TRUSTED * total
    # nothing is left of nothing, and of the smallest of floats
    return (total - finished) * (elapsed_s + trusted) / (finished + trusted) if trusted else 0.0
