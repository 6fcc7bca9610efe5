"""The request: what a person asks for. Every field says its meaning, its unit and the reason for its default.

A setting is one field here, with its facts, and the step that reads it. No list elsewhere names it.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from clio_argo.model.base import Document, Section
from clio_argo.model.storage import Buckets, MakeBuckets

MAX_PARTS = 500
MAX_PIXELS = 1_070_000_000
MAX_Z = 999_999_999
# How a container gets a request: as JSON, and single settings, of which empty ones change nothing. They come in the
# environment, where a shell cannot read anything into them.
REQUEST, OVERRIDE = "CLIO_REQUEST", "CLIO_SET_"


@dataclass(frozen=True)
class Facts:
    """What the program must know of a setting beside its type.

    voxels: whether it can change a voxel. A run may be resumed with another value of one that cannot.
    correction: whether people change it after having looked at a run: what depends on it is done again.
    file: whether it names a file that a person gives beside the slices.
    """

    voxels: bool = True
    correction: bool = False
    file: bool = False


NO_VOXEL, FILE, CORRECTIONS = Facts(voxels=False), Facts(file=True), Facts(file=True, correction=True)
Treatment = Literal["nearest", "interpolate", "black", "keep"]
Fraction = Annotated[float, Field(ge=0, lt=1)]


def _three(value: Any) -> Any:
    if isinstance(value, str):
        try:
            numbers = [float(v) for v in value.split(",")]
        except ValueError as error:
            raise ValueError("expected one number or x,y,z in nm") from error
        value = numbers[0] if len(numbers) == 1 else numbers
    return (value,) * 3 if isinstance(value, int | float) and not isinstance(value, bool) else value


Resolution = Annotated[
    tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]],
    BeforeValidator(_three),
]


def _rising(value: tuple[int, int]) -> tuple[int, int]:
    if value[0] > value[1]:
        raise ValueError("the first value is above the last")
    return value


Span = Annotated[tuple[Annotated[int, Field(ge=0)], int], AfterValidator(_rising)]


class Alignment(Section):
    """How neighbouring slices are brought into register."""

    skip: bool = Field(False, description="Identity transforms for all slices: the stack is aligned already.")
    downsample: int = Field(
        1,
        ge=1,
        le=64,
        description="Extra integer downsampling of both axes before feature detection only; refinement "
        "is not affected. 1, because features are already detected at about 625 px. Larger values find "
        "more in noisy data.",
    )
    model: Literal["auto", "translation", "rigid", "affine"] = Field(
        "auto",
        description="Transform of a slice against its neighbour. auto: affine, but a translation where the "
        "linear part moves no corner of the slice by more than half a pixel: a stage mostly shifts, and what "
        "cannot be seen in pixels should not add up over thousands of slices.",
    )

    anchor: bool = Field(
        True,
        description="Hold slices near their recorded positions as far as these prove right against the links; without, "
        "links alone decide, and a long stack drifts as a random walk. Off for positions that mean nothing.",
    )


class Contrast(Section):
    """What is done to grey values before they are stored."""

    clip_limit: float = Field(
        0.02,
        ge=0,
        le=1,
        description="CLAHE clip limit as a fraction of a tile's pixels (tiles of 1024 px); 0 turns contrast "
        "off. 0.02 is what FIB-SEM volumes of this kind have been published with.",
    )
    invert: bool = Field(False, description="Swap black and white (backscattered-electron images are often inverted).")
    flicker: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Even out the brightness and contrast of each slice towards their course over this many slices on "
        "either side; 0 is off, since flicker can be a finding. 50 leaves what changes over a hundred slices as it "
        "is, and real steps too.",
    )


class Crop(Section):
    """The part of the canvas that is written, each axis as first and last, both inclusive. Default: all of it."""

    x: Span | None = Field(None, description="Columns of the canvas in full-size pixels.")
    y: Span | None = Field(None, description="Rows of the canvas in full-size pixels.")
    z: Span | None = Field(None, description="Slice numbers; all slices from minz to maxz are aligned.")


class Viewer(Section):
    """The volume that people look at (`ng/`)."""

    jpeg_quality: int = Field(
        80, ge=1, le=100, description="JPEG quality; 80 keeps membranes at about a tenth of the size."
    )
    chunk: int = Field(
        64,
        ge=16,
        le=256,
        description="Edge of a cubic chunk in voxels, a power of two. 64 is what neuroglancer loads fastest.",
    )
    window: tuple[float, float] | None = Field(
        None,
        description="Grey values shown as black and white. Default: 8-bit values as they are; for 16 bit the "
        "0.5 and 99.5 percentiles over all slices, fixed once for the stack.",
    )

    scales: Span | None = Field(
        None,
        description="Scales of the viewer volume, first and last; 0 is full size, and each next one has half of its "
        "sides. Beyond the coarsest: as far as there are any. Default: all. From 1 on it takes an eighth of the space.",
    )

    @field_validator("chunk")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("must be a power of two")
        return value

    @field_validator("window")
    @classmethod
    def _rising(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value and not value[0] < value[1]:
            raise ValueError("the first value must be below the second")
        return value


class Notify(Section):
    """Who is told how a run ended."""

    email: tuple[str, ...] = Field((), description="E-mail addresses; none by default.")

    @field_validator("email", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return tuple(re.findall(r"[^,\s]+", value)) if isinstance(value, str) else value


class Request(Document):
    """One request: a stack of numbered slices and the volumes to make of it."""

    model_config = ConfigDict(allow_inf_nan=False)

    id: str = Field(
        min_length=1, max_length=200, description="Name of the data set; it appears in reports and as the layer's name."
    )
    source: str = Field(
        min_length=1,
        description="Folder, multi-page TIFF or bucket with the slices, searched at its root, then in raw/. "
        "Without a scheme: a local path if it exists, else gs://SOURCE.",
    )
    image: str | None = Field(
        None, description="printf pattern of the file names, e.g. iso.%05d.png. Default: discovered."
    )
    image_regex: str | None = Field(
        None,
        description="Regular expression that a whole file name must match, whose group z (or first group) is "
        "the slice number; instead of `image`.",
    )
    minz: int | None = Field(
        None, ge=0, le=MAX_Z, description="First slice number, inclusive. Default: the lowest found."
    )
    maxz: int | None = Field(
        None, ge=0, le=MAX_Z, description="Last slice number, inclusive. Default: the highest found."
    )
    resolution: Resolution = Field(
        (8.0, 8.0, 8.0),
        description="Voxel size in nm: one number, or three for x, y, z. 8 nm is the usual FIB-SEM voxel.",
    )
    alignment: Alignment = Field(Alignment(), description="How slices are aligned.")
    positions: Annotated[str | None, FILE] = Field(
        None,
        description="CSV file with the columns z, x_px, y_px: where the stage stood, as the place of each slice's "
        "image frame on the canvas in full-size pixels. Default: all frames at the same place. Slices are held near to "
        "it as far as it proves right.",
    )
    overrides: Annotated[str | None, CORRECTIONS] = Field(
        None,
        description="YAML file with a person's verdicts on slices and links between them. It may change from run to "
        "run of the same request: only what depends on it is done again.",
    )
    transforms: Annotated[str | None, FILE] = Field(
        None,
        description="transforms.json or .csv of another run, of clio_ingest, or a CSV file with the columns "
        "z,a,b,tx,c,d,ty: nothing is matched, and slices lie where it says. Default: slices are aligned.",
    )
    crop: Crop = Field(Crop(), description="The part of the canvas that is written.")
    contrast: Contrast = Field(Contrast(), description="Contrast of both volumes.")
    background: int = Field(
        0, ge=0, le=65535, description="Grey value outside of the slices, in the input's data type."
    )
    viewer: Viewer = Field(Viewer(), description="The neuroglancer volume.")
    lossless: bool = Field(
        True,
        description="Keep the lossless volume (aligned/) and its pyramid after the run; otherwise it lies "
        "under tmp/ and may be deleted.",
    )
    buckets: Buckets = Field(Buckets(), description="Where parts of the run lie that are not under its folder.")
    make_buckets: Annotated[MakeBuckets, NO_VOXEL] = Field(
        MakeBuckets(), description="Which buckets are made for a run, and how they are set."
    )
    max_pixels: int = Field(
        MAX_PIXELS,
        ge=1,
        description="Largest slice accepted, in pixels: a guard against decompression bombs that lets "
        "32,000 x 32,000 pass.",
    )
    bad_slices: Treatment = Field(
        "nearest",
        description="What stands in the plane of a bad or missing slice. nearest: the nearest good slice, the lower "
        "one on a tie; real pixels, so nothing is made up. interpolate: the mean of the nearest good slices below and "
        "above, weighted by distance. black: background. keep: the slice itself where it decodes, placed by its links "
        "or between its neighbours; otherwise the nearest.",
    )
    max_bad: Annotated[int | Fraction, NO_VOXEL] = Field(
        0.01,
        description="Most slices that may be bad or missing: a count, or a fraction of the stack. Above it the "
        "run stops before anything expensive. 1 % hides no systematic fault.",
    )
    max_breaks: Annotated[int, NO_VOXEL] = Field(
        0,
        ge=0,
        description="Most places where no link crosses the stack. 0: the parts of a broken stack cannot be "
        "placed against each other from the images alone, so a person should look first.",
    )
    max_gap: Annotated[int, NO_VOXEL] = Field(
        5,
        ge=0,
        description="Most bad or missing slices in a row. 5 slices of 8 nm are 40 nm, the thickness of one cut "
        "section: people trace neurites across that, and over more they guess.",
    )
    max_residual_px: Annotated[float, NO_VOXEL] = Field(
        10.0,
        gt=0,
        description="Largest distance in full-size pixels between where two neighbouring slices lie and where the "
        "best of the links between them puts them. Links that are right agree within 1 or 2 px; 10 px (80 nm at 8 nm) "
        "is more than a thin neurite is wide, so that beyond it neurites are lost.",
    )
    memory_gib: float = Field(
        4.0, ge=0.25, description="Memory of one worker in GiB; slabs and blocks are sized to it."
    )
    max_parts: Annotated[int, NO_VOXEL] = Field(
        MAX_PARTS,
        ge=1,
        le=3000,
        description="Most parts that a stage is cut into, each a task or pod of its own. 500: five stages of so "
        "many retried pods fill a third of what a workflow object can hold.",
    )
    workers: Annotated[int | None, NO_VOXEL] = Field(
        None, ge=1, le=1024, description="Local worker processes. Default: the cores this process may use."
    )
    project: Annotated[str | None, NO_VOXEL] = Field(None, description="Cloud project that owns the buckets.")
    notify: Annotated[Notify, NO_VOXEL] = Field(Notify(), description="Who is told.")
    labels: Annotated[dict[str, str], NO_VOXEL] = Field(
        {}, description="Free labels, kept in complete.json and on the cluster's objects."
    )

    update: Annotated[bool, NO_VOXEL] = Field(
        False,
        description="Take over a folder that holds another request: what depends on the settings that differ is done "
        "again, and units of the other request stop. false: another request is refused, as its results may be wanted.",
    )

    @field_validator("max_bad")
    @classmethod
    def _not_negative(cls, value: float) -> float:
        if value < 0:
            raise ValueError("must not be negative")
        return value

    @field_validator("labels")
    @classmethod
    def _named(cls, value: dict[str, str]) -> dict[str, str]:
        if not all(name and name.isprintable() for name in value):
            raise ValueError("names of labels must be printable text")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.image is not None and self.image_regex is not None:
            raise ValueError("give image or image_regex, not both")
        if self.minz is not None and self.maxz is not None and self.minz > self.maxz:
            raise ValueError(f"minz ({self.minz}) is above maxz ({self.maxz})")
        return self

    def identity(self) -> dict[str, Any]:
        """What makes two requests the same: everything that can change a voxel, but for a person's corrections."""
        return self.model_dump(mode="json", include=set(VOXEL_SETTINGS) - set(settings_with("correction")))

    def setting(self, path: str) -> Any:
        """JSON value of a setting, or of a section, by its dotted name."""
        value: Any = self.model_dump(mode="json")
        for name in path.split("."):
            value = value[name]
        return value

    def allowed_bad(self, slices: int) -> int:
        """Most bad slices in a stack of `slices`."""
        return self.max_bad if isinstance(self.max_bad, int) else int(self.max_bad * slices)


def settings_with(fact: str) -> tuple[str, ...]:
    """Names of the settings of which a fact (a field of `Facts`) holds."""
    return tuple(
        name
        for name, field in Request.model_fields.items()
        if getattr(next((m for m in field.metadata if isinstance(m, Facts)), Facts()), fact)
    )


VOXEL_SETTINGS = tuple(name for name in settings_with("voxels") if name != "schema_version")
FILES = settings_with("file")
