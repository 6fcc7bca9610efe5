"""What a run leaves behind: records of units, and how it ended."""

from typing import Any, Literal

from pydantic import Field

from clio_argo.model.alignment import Break
from clio_argo.model.base import Document, Value
from clio_argo.model.quality import QualitySummary

Status = Literal["complete", "complete_with_flags"]
Mode = Literal["quick", "default", "deep"]


class ObjectRecord(Value):
    """One object that a unit wrote."""

    name: str
    size: int
    crc32c: str = Field(description="CRC32C of the bytes, 8 hexadecimal digits.")


class UnitRecord(Document):
    """A unit of a step is done; written after its objects."""

    step: str
    unit: int
    inputs: str = Field(description="Digest of the inputs that the unit's result depends on.")
    settings: str = Field("", description="Digest of the settings that its step declares.")
    algorithm: int = Field(1, description="Version of what its step computes.")
    software: str = Field("", description="The program that did it, and the container image if it knew one.")
    objects: tuple[ObjectRecord, ...]
    cpu_s: float = 0.0
    notes: tuple[str, ...] = Field((), description="Slices that turned out bad in this unit, as `z: reason`.")


class Fault(Value):
    """One object that is not as it should be. `step` and `unit` made it; it is foreign if there is none."""

    name: str
    what: str
    step: str | None = None
    unit: int = 0


class Verification(Document):
    """What `verify` looked at, and what it found."""

    mode: Mode
    objects: int = Field(description="Objects in the manifest that stay: volumes, metadata, small pictures, places.")
    bytes: int
    manifest: str = Field("", description="Digest over the records of all units.")
    software: dict[str, int] = Field({}, description="Which program made how many units of the volumes.")
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = Field((), description="What was not looked at, and why.")


class Attempt(Document):
    """One part of one step was tried; stored under process/logs."""

    step: str
    part: int
    host: str
    started: float = Field(description="Seconds since 1970.")
    wall_s: float
    cpu_s: float
    peak_mib: float
    done: int = 0
    skipped: int = 0
    again: dict[str, int] = Field({}, description="Units that had been done before, by why they were done again.")
    outcome: str = "done"


class StageTime(Value):
    """Time and rate of one stage, summed over its attempts."""

    step: str
    units: int = Field(description="Units that were done, not counting those found done.")
    wall_s: float
    cpu_s: float
    peak_mib: float = 0.0


class Gate(Value):
    """A limit that stops the run before anything expensive when its value is above it."""

    name: str
    value: float
    limit: float
    unit: str
    problems: tuple[str, ...] = Field((), description="What is wrong and what to do, if the value is above.")

    @property
    def passed(self) -> bool:
        return self.value <= self.limit


class Completion(Document):
    """The last document of a run."""

    id: str
    status: Status
    version: str
    config_digest: str
    flagged: tuple[int, ...] = Field(description="Slices that are bad or missing, by z.")
    suspect: tuple[int, ...] = Field((), description="Slices that are shown, with a fault, by z.")
    bad_slices: str = Field(description="What was done with them, as in the request.")
    replaced: dict[int, tuple[int, ...]] = Field(
        {}, description="Planes in which other slices stand, and which; none: the plane is background."
    )
    breaks: tuple[Break, ...] = Field((), description="Places that no link crosses: the slices on both sides.")
    quality: QualitySummary | None = Field(None, description="Likeness of neighbouring slices in the volume.")
    slices: int
    ng: str
    aligned: str | None
    link: str
    labels: dict[str, str] = Field({}, description="As in the request.")
    objects: int
    bytes: int
    manifest: str = Field(description="Digest over names, sizes and checksums of all objects that stay.")
    software: dict[str, int] = Field(
        {}, description="Programs, with container images where these are known, and how many units each made."
    )
    libraries: dict[str, str] = Field({}, description="Versions of what the last program ran with.")
    settings: dict[str, Any] = Field({}, description="The request with all defaults.")
    source: str = ""
    source_digest: str = Field("", description="Digest over all slices: names, sizes, times or generations.")
    given: dict[str, str] = Field({}, description="Files that a person gave, each with its CRC32C.")
