"""Documents of a run: records of units, attempts, what verify found, and how the run ended."""

from typing import Any, Literal

from pydantic import Field

from clio_argo.model.alignment import Break
from clio_argo.model.base import Document, Value, counted, few, html_table
from clio_argo.model.costs import LEAST_BYTES
from clio_argo.model.quality import QualitySummary

Status = Literal["complete", "complete_with_flags"]
Mode = Literal["quick", "default", "deep"]


class ObjectRecord(Value):
    """One object that a unit wrote."""

    name: str
    size: int
    crc32c: str = Field(description="CRC32C of the bytes, 8 hexadecimal digits.")


class UnitRecord(Document):
    """Record that a unit of a step is done.

    It is written after the objects of the unit, so that a unit that was killed has none and is rerun.
    """

    step: str
    unit: int
    inputs: str = Field(description="Digest of the inputs that the unit's result depends on.")
    settings: str = Field("", description="Digest of the settings that its step declares.")
    algorithm: int = Field(1, description="Version of what its step computes.")
    software: str = Field("", description="The program that did it, with its container image if that is known.")
    objects: tuple[ObjectRecord, ...]
    cpu_s: float = 0.0
    notes: tuple[str, ...] = Field((), description="Slices that this unit found bad, as `z: reason`.")


class Fault(Value):
    """One object that is not as it should be. `step` and `unit` made it; without a step it is unexpected."""

    name: str
    what: str
    step: str | None = None
    unit: int = 0


class Verification(Document):
    """What `verify` checked, and the faults it found."""

    mode: Mode
    objects: int = Field(description="Objects in the manifest that remain after the run.")
    bytes: int
    manifest: str = Field("", description="Digest over the records of all units.")
    software: dict[str, int] = Field({}, description="Number of units of the volumes that each program made.")
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = Field((), description="What was not checked, and why.")
    leftovers: int = Field(0, description="Files that killed processes left beside the objects.")


class Cleaned(Document):
    """Says that temporary objects of a finished run may be gone; stored under tmp/."""

    inputs: str = Field(description="Digest over the request, the plan and the user's files of that run.")


DONE = "done"


class Attempt(Document):
    """One attempt at a part of a step."""

    step: str
    part: int
    host: str
    started: float = Field(description="Seconds since 1970.")
    wall_s: float
    cpu_s: float
    peak_mib: float
    done: int = 0
    skipped: int = 0
    again: dict[str, int] = Field({}, description="Number of units that were rerun, by the reason.")
    outcome: str = Field(DONE, description="done; or why it was lost: fault (exit 75), memory, or preempted.")

    @property
    def ended(self) -> float:
        """Seconds since 1970."""
        return self.started + self.wall_s

    @property
    def lost(self) -> bool:
        """Whether it did not come to its end."""
        return self.outcome != DONE


class PartLog(Document):
    """The latest attempts at a part that did something; stored under process/logs/."""

    attempts: tuple[Attempt, ...] = ()


class StageTime(Value):
    """Time and rate of one stage, summed over its attempts."""

    step: str
    units: int = Field(description="Units that were done, without those that had been done before.")
    wall_s: float
    cpu_s: float
    busy_s: float = Field(0.0, description="Seconds of all attempts together, each of which keeps a vCPU.")
    peak_mib: float = 0.0
    lost: dict[str, int] = Field({}, description="Number of tries that were lost, by the reason.")
    estimated_s: float | None = Field(None, description="CPU seconds that were expected; None: nobody knows.")

    def __str__(self) -> str:
        expected = "" if self.estimated_s is None else f", expected {self.estimated_s:.1f} s"
        return f"CPU {self.cpu_s:.1f} s{expected}; by the clock {self.wall_s:.1f} s; up to {self.peak_mib:.0f} MiB"


class Costs(Document):
    """What the stages of a run were expected to take and took, publishing excluded; stored under process/."""

    stages: tuple[StageTime, ...]
    source_bytes: int = Field(description="Bytes of the grey values of all slices.")
    vcpu_h: float = Field(description="Hours of vCPUs of all attempts.")
    prices: dict[str, float] = Field(description="$ of a vCPU hour, by the kind of node.")
    priced: str = Field(description="The type of node, and the date of its price.")
    left_s: float = Field(description="CPU seconds of what is not done, by what the rest took.")

    def __repr__(self) -> str:
        """What the run took in one line."""
        price = "".join(f", ${dollars:.2f} ({kind})" for kind, dollars in self.compute.items())
        return f"<Costs: CPU {self.cpu_s:.1f} s, {self.vcpu_h:.3f} vCPU hours{price}, at prices of {self.priced}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """A line for each stage that took time, for notebooks."""
        left = {"left": f"about {self.left_s:.1f} s of CPU"} if self.left_s else {}
        return html_table(str(self)[1:-1], {**{s.step: s for s in self.timed}, **left})

    @property
    def timed(self) -> tuple[StageTime, ...]:
        """Stages that took time: a pod of several logs a lost try by its own name, and each stage its work."""
        return tuple(s for s in self.stages if s.busy_s or s.cpu_s)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all stages."""
        return sum(s.cpu_s for s in self.stages)

    @property
    def compute(self) -> dict[str, float]:
        """$ of compute, by the kind of node."""
        return {kind: self.vcpu_h * price for kind, price in self.prices.items()}

    @property
    def per_tb(self) -> dict[str, float]:
        """The same for 10^12 bytes of grey values; empty of stacks that are too small to tell."""
        if self.source_bytes < LEAST_BYTES:
            return {}
        return {kind: price / self.source_bytes * 1e12 for kind, price in self.compute.items()}


class Gate(Value):
    """A limit that stops the run before it renders if its value is exceeded."""

    name: str
    value: float
    limit: float
    unit: str
    problems: tuple[str, ...] = Field((), description="What is wrong and what to do, if the limit is exceeded.")

    @property
    def passed(self) -> bool:
        """Whether the run may go on."""
        return self.value <= self.limit


class SourceChanges(Value):
    """How the source differs at the end of a run from what was planned: names of its files."""

    new: tuple[str, ...] = Field((), description="Slices that nobody planned.")
    gone: tuple[str, ...] = ()
    changed: tuple[str, ...] = Field((), description="Slices with other content.")
    transfers: tuple[str, ...] = Field((), description="Files that look like transfers under way.")
    unread: str = Field("", description="Why the source could not be listed.")

    def line(self, most: int = 5) -> str:
        """All of it for people, at most so many names of each kind; empty if nothing changed."""
        kinds = {"new": self.new, "gone": self.gone, "changed": self.changed, "in transfer": self.transfers}
        parts = [f"{len(names)} {kind} ({few(names, most)})" for kind, names in kinds.items() if names]
        parts += [f"it cannot be listed: {self.unread}"] if self.unread else []
        return f"the source changed since it was planned: {', '.join(parts)}" if parts else ""


class Completion(Document):
    """The last document of a run."""

    SCHEMA_VERSION = 2
    id: str
    status: Status
    version: str
    config_digest: str
    flagged: tuple[int, ...] = Field(description="Slices that are bad or missing, by z.")
    suspect: tuple[int, ...] = Field((), description="Slices that are shown although they have a fault, by z.")
    bad_slices: str = Field(description="What fills the planes of flagged slices, as in the request.")
    replaced: dict[int, tuple[int, ...]] = Field(
        {}, description="Planes that other slices fill, and which; none: the plane is background."
    )
    breaks: tuple[Break, ...] = Field((), description="Neighbouring slices between which no fit crosses.")
    left_out: tuple[str, ...] = Field((), description="What was left out of the volume or of the alignment, in words.")
    quality: QualitySummary | None = Field(None, description="Similarity of neighbouring planes in the volume.")
    notes: tuple[str, ...] = Field((), description="What is to be known of the whole volume.")
    slices: int = Field(description="Number of planes.")
    ng: str = Field(description="Where the viewer volume lies.")
    aligned: str | None = Field(description="Where the aligned volume lies; None: it is not kept.")
    link: str = Field(description="URL, or command for a local or private run, that opens the volume in neuroglancer.")
    registered: str = Field("", description="What became of its dataset in a clio-store; empty if none was asked for.")
    labels: dict[str, str] = Field({}, description="As in the request.")
    objects: int
    bytes: int
    manifest: str = Field(description="Digest over names, sizes and checksums of all objects that remain.")
    software: dict[str, int] = Field({}, description="Number of units that each program, with its image, made.")
    libraries: dict[str, str] = Field({}, description="Versions of the libraries of the last program.")
    settings: dict[str, Any] = Field({}, description="The request with all defaults.")
    source: str = ""
    source_changes: SourceChanges = SourceChanges()
    source_digest: str = Field("", description="Digest over all slices: names, sizes, times or generations.")
    given: dict[str, str] = Field({}, description="CRC32C of each file that the user provided, by its name.")
    costs: str = Field("", description="Object that tells what the stages took; it differs from attempt to attempt.")

    def __repr__(self) -> str:
        """How the run ended in one line: all of it would fill screens."""
        end = f"{self.status}, {counted(self.slices, 'slice')}, {len(self.flagged)} flagged"
        return f"<Completion of {self.id}: {end}, {counted(self.objects, 'object')}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """The same with what people should know, for notebooks."""
        rows = {
            "flagged": few([f"z {z}" for z in self.flagged]), "suspect": few([f"z {z}" for z in self.suspect]),
            "breaks": few([b.text for b in self.breaks]), "notes": "; ".join(self.notes),
            "left out": "; ".join(self.left_out), "volume": self.ng, "lossless": self.aligned, "link": self.link,
        }  # fmt: skip
        return html_table(str(self)[1:-1], rows)
