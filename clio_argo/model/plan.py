"""The plan: the slices of a source, its problems, and how the work is cut into units and parts."""

import operator
from typing import Literal, Self

from pydantic import Field

from clio_argo.errors import UserError
from clio_argo.model.base import Document, Value, counted, few, html_table
from clio_argo.model.channels import Channel, ChannelPlace
from clio_argo.model.sizes import Size, SizeRun
from clio_argo.model.values import Dtype, ValueMap
from clio_argo.model.voxel_size import ASSUMED_NM, Nm3

# one object per slice would be 14,000 small objects per product of a usual stack; a part that dies loses one unit
SLICES_PER_UNIT = 16
# small slices: as many as are work like 16 large ones, where that leaves units enough for many cores
SMALL_SLICES_PER_UNIT, UNIT_PX, MANY_UNITS = 64, 16 << 20, 32

Verdict = Literal["good", "suspect", "bad", "missing"]
ProblemKind = Literal[
    "missing", "duplicate", "zero-byte", "truncated", "other size", "other depth", "other channels", "unreadable",
    "outside of the source", "decompression bomb", "unsupported",
]  # fmt: skip


class Remark(Value):
    """What is wrong with a slice."""

    z: int
    verdict: Verdict
    reason: str


class Problem(Value):
    """One thing that is wrong with the source. `z` is the slice it concerns, if it concerns one."""

    kind: ProblemKind
    z: int | None = None
    file: str | None = None
    detail: str = ""
    stamp: str = Field("", description="Identity of the file's content, as of a usable slice.")

    @property
    def costs_slice(self) -> bool:
        """Whether the slice cannot be used (it counts against `max_bad`)."""
        return self.z is not None and self.kind != "duplicate"

    @property
    def remark(self) -> Remark:
        """The verdict on the slice that it concerns. Every problem but absence makes a slice bad."""
        verdict: Verdict = "missing" if self.kind == "missing" else "bad"
        return Remark(z=self.z or 0, verdict=verdict, reason=f"{self.kind} {self.detail}".strip())


class SliceFile(Value):
    """One usable slice: page `page` of the object `name` (relative to the source)."""

    z: int
    name: str
    page: int = 0
    offset: int = Field(0, description="Byte at which the header of the page begins; 0: it is found by its number.")
    width: int
    height: int
    dtype: Dtype
    values: ValueMap | None = Field(None, description="How values of the file become grey values; None: as they are.")
    size_bytes: int
    stage_nm: tuple[float, float] | None = Field(None, description="Position x, y of the stage in nm by the file.")
    stamp: str = Field(
        description="Identity of the file's content: modification time and inode, or generation of the object."
    )
    # left out where there is one channel: documents of grey stacks, and what follows from them, stay as they are
    channels: tuple[ChannelPlace, ...] = Field((), exclude_if=operator.not_, description="Places of its channels.")
    aligned: tuple[int, ...] = Field(
        (), exclude_if=operator.not_, description="The channel that is aligned, or red, green and blue for luminance."
    )

    def at(self, channel: int) -> Self:
        """The slice with one of its channels only."""
        place = self.channels[channel]
        where = place.model_dump(include={"name", "page", "offset", "size_bytes", "stamp"})
        return self.model_copy(update={**where, "channels": (place,)})

    @property
    def each_channel(self) -> list[Self]:
        """The slice with each of its channels that is there; itself if it has none."""
        return [self.at(n) for n, place in enumerate(self.channels) if place.name] or [self]

    @property
    def files(self) -> dict[str, str]:
        """Stamps of its files by name, of all its channels."""
        return {s.name: s.stamp for s in (self, *self.each_channel)}

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return self.width, self.height

    @property
    def type_name(self) -> str:
        """Type of the values of the file."""
        return self.values.type_name if self.values else self.dtype


class FanOut(Value):
    """`units` of work cut into `parts` that run in parallel; part p owns a run of consecutive units."""

    units: int = Field(ge=0)
    parts: int = Field(ge=0)
    together: int = Field(1, exclude_if=lambda v: v == 1, description="Consecutive units that stay in one part.")

    @classmethod
    def of(cls, units: int, most: int | None = None, together: int = 1) -> Self:
        """As many parts as units, or as groups of units that stay `together`, but at most `most`."""
        groups = -(-units // together)
        return cls(units=units, parts=groups if most is None else min(groups, most), together=together)

    @property
    def groups(self) -> int:
        """Parts that there can be."""
        return -(-self.units // self.together)

    def part(self, number: int) -> range:
        """Units of a part. Raises `UserError` if there is no such part."""
        if not 0 <= number < self.parts:
            raise UserError(f"part {number} does not exist; {counted(self.parts, 'part', 'exists', 'exist')}, from 0")
        first, end = (n * self.groups // self.parts * self.together for n in (number, number + 1))
        return range(first, min(end, self.units))


class SliceUnit(Document):
    """The slices of one unit of `reduce` and `match`, ordered by z."""

    unit: int
    slices: tuple[SliceFile, ...]


class Plan(Document):
    """Head of the plan; the slices themselves are in one `SliceUnit` per unit."""

    # thousands of pods read it, so it must not grow with the number of slices

    source: str
    source_kind: str = Field("files", description="What the source is: files, or a volume.")
    together: int = Field(1, description="Neighbouring slices that are read together, where chunks hold several.")
    together_mib: int = Field(0, description="Memory that these take, in MiB.")
    minz: int
    maxz: int
    z_step: int | float = Field(1, description="Step of numbers in names of files; z is such a number divided by it.")
    width: int = Field(description="Largest width of a usable slice in pixels.")
    height: int = Field(description="Largest height.")
    sizes: tuple[SizeRun, ...] = Field(description="Runs of usable slices of one size.")
    dtype: Dtype
    values: ValueMap | None = Field(None, description="How values of the files become grey values; None: as they are.")
    usable: int = Field(description="Number of usable slices.")
    source_bytes: int
    digest: str = Field(description="Digest over all slices; changes when a file changes.")
    problems: tuple[Problem, ...] = ()
    unit_slices: int = Field(description="Slices of a unit.")
    reduce: FanOut
    match: FanOut
    software: str = Field("", description="Name and version of the program that planned it.")
    algorithms: dict[str, int] = Field({}, description="Version of each step's algorithm.")
    voxel_nm: Nm3 = Field(ASSUMED_NM, description="Voxel size x, y, z in nm, by request, files or assumption.")
    found: dict[str, str] = Field({}, description="What was taken from the files and what was ignored, in words.")
    warnings: tuple[str, ...] = Field((), description="What a person should look at in it.")
    faults: tuple[str, ...] = Field(
        (), exclude_if=operator.not_, description="Warnings of a stack that no run of it is complete without flags for."
    )

    channels: tuple[Channel, ...] = Field(
        (), exclude_if=operator.not_, description="Channels of the stack; empty: one of grey values."
    )
    rgb: bool = Field(False, exclude_if=operator.not_, description="Whether the first three are red, green and blue.")
    alpha: bool = Field(False, exclude_if=operator.not_, description="Whether opacity says where there is nothing.")
    samples: int = Field(
        0, exclude_if=operator.not_, description="Samples of a page that holds all channels; 0: no page does."
    )
    align_channel: int | None = Field(
        None, exclude_if=lambda v: v is None, description="Channel that is aligned; None: grey values, or luminance."
    )

    def __repr__(self) -> str:
        """The stack in one line: all of it would fill screens."""
        size = f"{self.width} x {self.height} px {self.dtype}"
        return f"<Plan: {counted(self.usable, 'slice')}, z {self.minz} to {self.maxz}, {size}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """The same with what was found, for notebooks."""
        problems = few([f"z {p.z}: {p.kind}" if p.z is not None else f"{p.file}: {p.kind}" for p in self.problems])
        rows = {"source": self.source, **self.found, "problems": problems, "warnings": "; ".join(self.warnings)}
        return html_table(str(self)[1:-1], rows)

    @property
    def uncut(self) -> Self:
        """The plan with each unit as a part: what follows from it is the same, however its work is cut."""
        return self.model_copy(update={name: FanOut.of(work.units) for name, work in self.work.items()})

    @property
    def work(self) -> dict[str, FanOut]:
        """The units of the steps that read slices, in the steps' order."""
        return {name: value for name, value in self if isinstance(value, FanOut)}

    @property
    def units(self) -> int:
        """Number of units of slices, whether or not they are reduced and matched."""
        return -(-self.usable // self.unit_slices)

    @property
    def depth(self) -> int:
        """Slices from minz to maxz, missing ones included."""
        return self.maxz - self.minz + 1

    @property
    def is_sparse(self) -> bool:
        """Whether fewer than half of the numbers from the first file to the last have one."""
        missing = {p.z for p in self.problems if p.kind == "missing"}
        there = [z for z in range(self.minz, self.maxz + 1) if z not in missing]
        return there[-1] - there[0] + 1 > 2 * len(there)

    @property
    def step_text(self) -> str:
        """What to know of the numbers of the files; empty if these are z."""
        step = f"{self.z_step:.12g}"
        return f"numbers of the files go in steps of {step} (z_step): z is the number / {step}" if step != "1" else ""

    @property
    def type_name(self) -> str:
        """Type of the values of the files."""
        return self.values.type_name if self.values else self.dtype

    @property
    def pixels(self) -> int:
        """Pixels of all usable slices."""
        return sum(s.slices * s.width * s.height for s in self.sizes)

    @property
    def unusable(self) -> dict[int, Problem]:
        """The first problem of each slice that cannot be used, by z."""
        return {p.z: p for p in reversed(self.problems) if p.z is not None and p.costs_slice}

    @property
    def remarks(self) -> dict[int, Remark]:
        """The verdict on each slice that cannot be used, by z."""
        return {z: problem.remark for z, problem in self.unusable.items()}

    @property
    def usable_numbers(self) -> list[int]:
        """Numbers of the usable slices, in order."""
        unusable = self.unusable
        return [z for z in range(self.minz, self.maxz + 1) if z not in unusable]


def slices_per_unit(slices: int, slice_px: int) -> int:
    """Slices per unit: 16, more if they have few pixels, fewer in short stacks so that a few cores have work."""
    # eight units keep the cores of one machine busy
    usual = max(1, min(SLICES_PER_UNIT, -(-slices // 8)))
    return max(usual, min(SMALL_SLICES_PER_UNIT, UNIT_PX // slice_px, slices // MANY_UNITS))
