"""The request: what a user asks for. The text below a field gives its meaning, its unit and why it has its default.

A setting is one field here, with its facts, and the step that reads it. No other list names it.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from clio_argo.model.appearance import ChannelName, Contrast, Viewer, different, rising
from clio_argo.model.base import Document, Section
from clio_argo.model.channels import CHANNEL
from clio_argo.model.facts import CORRECTIONS, FILE, NO_VOXEL, Facts
from clio_argo.model.regions import MAX_Z, Crop, Rectangle, SourceCrop, Z
from clio_argo.model.registration import Register
from clio_argo.model.span import Span
from clio_argo.model.storage import Buckets, MakeBuckets
from clio_argo.model.values import LARGEST
from clio_argo.model.voxel_size import Resolution

# five stages of 500 parts, all retried, fill a third of what a workflow object can hold (docs/benchmarks.md, fanout)
MAX_PARTS = 500
# lets 32,000 x 32,000 pixels (1.02e9) pass, and keeps a plane of 16 bit within 2 GiB
MAX_PIXELS = 1_070_000_000
# A container gets a request as JSON, and single settings besides, of which empty ones change nothing. They come in
# the environment, where no shell interprets them.
REQUEST, OVERRIDE = "CLIO_REQUEST", "CLIO_SET_"
# instead of the name of a file: a file of that name is ./from-files
FROM_FILES = "from-files"
Treatment = Literal["nearest", "interpolate", "black", "keep"]
# below 1, so that a whole number is always a count
Fraction = Annotated[float, Field(ge=0, lt=1)]
Measured = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Values = Annotated[tuple[Measured, Measured], AfterValidator(rising)]


class Alignment(Section):
    """How neighbouring slices are brought into register."""

    skip: bool = False
    """Give every slice the identity transform, for a stack that is aligned already. Default: slices are aligned."""

    channel: int | ChannelName | None = None
    """Number or name of the channel that is aligned; its transforms and verdicts hold for all. Default: the luminance
    of red, green and blue, otherwise the first."""

    downsample: int = Field(1, ge=1, le=64)
    """Extra integer factor by which both axes are reduced before features are detected; refinement is not affected.
    Default 1, since features are detected at about 200 px already. Larger factors find more features in noisy data."""

    model: Literal["auto", "translation", "rigid", "affine"] = "auto"
    """Transform between a slice and its neighbour. auto fits an affine and keeps only its translation where the linear
    part moves no corner of the slice by more than half a pixel: a stage mostly shifts, and linear terms too small to be
    seen would add up over thousands of slices."""

    anchor: bool = True
    """Hold slices near their recorded positions as far as the fits of pairs confirm these. With false only the fits
    count, and a long stack drifts as a random walk. Use false for positions that mean nothing."""

    trend: Literal["auto", "recorded", "images"] = "auto"
    """What the slow part of the path follows: its straight line, and curves longer than trend_slices. Tissue that runs
    obliquely and a stage that drifts steadily look the same. recorded holds the frames, images follows the fits. auto
    holds the frames unless the rest of the path shows that the stage drifts. With `anchor: false` all follows the
    images."""

    trend_slices: int = Field(50, ge=8, le=1_000_000)
    """Shortest curve, in slices, that is slow. Default 50: a stage whose drift goes on for ten slices moves three times
    as much within 50 slices as tissue does, within 30 hardly more."""

    @model_validator(mode="after")
    def _check_trend(self) -> Self:
        if self.trend == "recorded" and not self.anchor:
            raise ValueError("trend: recorded holds slices near their recorded positions, anchor: false does not; "
                             "leave one of them out")  # fmt: skip
        if self.trend == "images" and self.skip:
            raise ValueError("trend: images follows the fits of pairs, and with skip: true there are none; "
                             "leave one of them out")  # fmt: skip
        return self


class Notify(Section):
    """Who is notified when a run ends."""

    email: tuple[str, ...] = ()
    """E-mail addresses that are notified. Default: none."""

    @field_validator("email", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(re.findall(r"[^,\s]+", value)) if isinstance(value, str) else value

    @field_validator("email")
    @classmethod
    def _check_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # a line break would begin another header of the mail
        if not all(a.strip() and a.isprintable() for a in value):
            raise ValueError("an address holds nothing, or a line break or another character that cannot be printed")
        return value


class Follow(Section):
    """How a stack is watched while it is recorded (`clio-argo follow`)."""

    every: Span = "20s"
    """Time between two looks at the source. A slice is judged at the first look that finds it whole: in a folder, two
    seconds after its file was written to last. Default 20s."""

    until_idle: Span = "2h"
    """The stack is taken for complete when no slice came for so long. Default 2h, longer than most pauses of a
    microscope."""

    stalled_after: Span = "10m"
    """People are notified when no slice came for so long. Default 10m, ten times as long as a slice usually takes."""

    incomplete_after: Span = "2m"
    """A file that is cut short or does not decode is waited for; when nobody has written to it for so long, its slice
    is bad. Default 2m."""

    jump_px: float = Field(10.0, gt=0)
    """Shift of a slice against the one below, beyond what is usual around it, that is a jump: in full-size pixels.
    Default 10, as max_residual_px."""

    notify_on: tuple[Literal["suspect", "bad", "missing", "stalled", "jump"], ...] = (
        "suspect",
        "bad",
        "missing",
        "stalled",
        "jump",
    )
    """Of what people are notified at once. Default: of all."""

    @field_validator("notify_on", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(re.findall(r"[^,\s]+", value)) if isinstance(value, str) else value


class Request(Section, Document):
    """One request: a stack of numbered slices and the volumes to make of it."""

    id: str = Field(min_length=1, max_length=200)
    """Name of the data set; it appears in reports and as the name of the viewer's layer."""

    source: str = Field(min_length=1)
    """Folder or bucket that holds the slices, at its root or in raw/, file of many pages, or volume. Without a scheme
    it is a local path if that exists, else the bucket gs://SOURCE."""

    image: str | None = None
    """printf pattern of the file names, e.g. iso.%05d.png. {channel} in it stands for each of channels. Default:
    discovered."""

    image_regex: str | None = None
    """Regular expression that a whole file name must match; its group z (or first group) is the slice number. Use it
    instead of image. With order: name it chooses the files, and needs no group."""

    order: Literal["number", "name"] = "number"
    """What tells the z of a file. number: the number in its name. name: its place in the natural order of all names,
    as a file browser shows them, counted from minz (0 if not given); for names of letters, or of times. Default number,
    which notices a file that is missing."""

    minz: Z | None = None
    """First slice number, inclusive. Default: the lowest number among the files."""

    maxz: Z | None = None
    """Last slice number, inclusive. Default: the highest number among the files."""

    sizes: Literal["alike", "any"] = "alike"
    """Sizes of the files. alike: fewer than eight slices in a row of another size than most are taken for a mistake.
    any: each slice is used at its own size, as stitched sections have them. Default alike."""

    follow_links: bool = False
    """Read files that symbolic links in a local source lead to outside of it. Default false, since links in a folder of
    somebody else may lead to any file that you may read."""

    channels: Annotated[tuple[ChannelName, ...], AfterValidator(different)] = ()
    """Names of the channels, in their order. With image: s%05d_{channel}.tif each channel of a slice is a file of its
    own, in whose name its name stands for {channel}. Default: what the files call them, or their numbers."""

    channel: int | None = Field(None, ge=0, le=MAX_Z)
    """The one channel that is read, from 0, of files that hold several (hyperstacks of ImageJ, OME-TIFF). Default: all
    of them."""

    time: int | None = Field(None, ge=0, le=MAX_Z)
    """Time, from 0, of files that hold several. Default: the only one."""

    resolution: Resolution | None = None
    """Voxel size in nm: one number, or three for x, y, z. Default: what the files say, and z as x where they do not say
    it; else 8 nm, the usual FIB-SEM voxel. plan tells which."""

    alignment: Alignment = Alignment()
    """How slices are aligned."""

    positions: Annotated[str | None, FILE] = None
    """CSV file of recorded stage positions with the columns z, x_px, y_px: where each slice's image frame lies on the
    canvas, in full-size pixels. Or from-files: where the files say that the stage stood. Slices are held near these
    positions as far as the fits of pairs confirm them. Default: all frames lie at the same position."""

    overrides: Annotated[str | None, CORRECTIONS] = None
    """YAML file with manual verdicts on slices and manual fits of pairs. It may change from run to run of the same
    request: only what depends on it is rerun. Default: none."""

    transforms: Annotated[str | None, FILE] = None
    """transforms.json or .csv of another run, transforms of clio_ingest, or a CSV file with the columns
    z,a,b,tx,c,d,ty. Slices lie where it places them, and nothing is matched. Default: slices are aligned."""

    source_crop: SourceCrop = SourceCrop()
    """The part of every file that is used."""

    ignore: tuple[Rectangle, ...] = ()
    """Parts of every file that alignment leaves out, as [{x: [first, last], y: [first, last]}, ...] in pixels of the
    file; they are in the volume nevertheless. Default: what stays in the frame while tissue moves is found."""

    ignore_mask: Annotated[str | None, FILE] = None
    """Image of the size of the files; what is not 0 in it is left out as by `ignore`. Default: none."""

    crop: Crop = Crop()
    """The part of the canvas that is written."""

    value_window: Values | None = None
    """Values of the files that become the lowest and the highest grey value; for signed, 32-bit and floating-point
    files. Default: signed values of 8 and 16 bits are shifted, others use their own range, as eight slices show it."""

    contrast: Contrast = Contrast()
    """Contrast of both volumes."""

    background: int = Field(0, ge=0, le=65535)
    """Grey value outside of the slices, in the input's data type. Default 0, black."""

    viewer: Viewer = Viewer()
    """The neuroglancer volume."""

    lossless: bool = True
    """Keep the lossless volume (aligned/) and its pyramid after the run. With false it lies under tmp/ and may be
    deleted. Default true, since the viewer volume is lossy."""

    buckets: Buckets = Buckets()
    """Folders of the parts of a run that do not lie under the run's own folder."""

    make_buckets: Annotated[MakeBuckets, NO_VOXEL] = MakeBuckets()
    """Which buckets are made for a run, and how they are configured."""

    max_pixels: int = Field(MAX_PIXELS, ge=1)
    """Largest slice accepted, in pixels. The default is a guard against decompression bombs that lets 32,000 x 32,000
    pixels pass."""

    bad_slices: Treatment = "nearest"
    """What fills the plane of a bad or missing slice. nearest: the nearest good slice, the lower one on a tie.
    interpolate: the mean of the nearest good slices below and above, weighted by distance. black: background. keep: the
    slice itself where it decodes, placed by its fits or between its neighbours; otherwise the nearest good slice.
    Default nearest, since real pixels make nothing up."""

    max_bad: Annotated[int | Fraction, NO_VOXEL] = 0.01
    """Most slices that may be bad or missing: a count, or a fraction of the stack. Above it the run stops before
    anything expensive. Default 1 %, which hides no systematic fault."""

    max_breaks: Annotated[int, NO_VOXEL] = Field(0, ge=0)
    """Most breaks, where no fit of a pair crosses the stack. Default 0, since the parts of a broken stack cannot be
    placed against each other from the images alone, so that a user should look first."""

    max_gap: Annotated[int, NO_VOXEL] = Field(5, ge=0)
    """Most bad or missing slices in a row. Default 5: at 8 nm that is 40 nm, the thickness of one cut section. Neurites
    can be traced across 40 nm, and only guessed across more."""

    max_residual_px: Annotated[float, NO_VOXEL] = Field(10.0, gt=0)
    """Largest distance in full-size pixels between where two neighbouring slices lie and where the best fit that
    crosses between them puts them. Correct fits agree within 1 or 2 px. Default 10 px (80 nm at 8 nm), more than the
    width of a thin neurite, so that beyond it neurites are lost."""

    memory_gib: float = Field(4.0, ge=0.25, le=2**20)
    """Memory of one worker in GiB; slabs and blocks are sized to it. Default 4, which suffices for slices of
    20,000 x 20,000 pixels at 8 bit."""

    part_minutes: Annotated[float, NO_VOXEL] = Field(3.0, gt=0, le=1440)
    """CPU minutes that a part should take on a cluster, where each part is a pod of its own. Where more pods may run at
    a time, parts are smaller, but take at least five times as long as a pod to start and end. Default 3: eighteen times
    as long, so that the start of pods costs little, and the last pod of a stage is not waited for long."""

    max_parts: Annotated[int, NO_VOXEL] = Field(MAX_PARTS, ge=1, le=3000)
    """Most parts of a stage; each part is a task or pod of its own. Default 500: five stages of 500 retried pods fill a
    third of what a workflow object can hold."""

    single_pod_minutes: Annotated[float, NO_VOXEL] = Field(5.0, ge=0, le=1440)
    """A run that takes fewer CPU minutes behind `plan` has one pod for all of that on a cluster. 0 gives each
    stage pods of its own. Default 5: pods of ten stages one after another would take two minutes to start and end."""

    workers: Annotated[int | None, NO_VOXEL] = Field(None, ge=1, le=1024)
    """Number of local worker processes. Default: the cores that this process may use."""

    project: Annotated[str | None, NO_VOXEL] = None
    """Cloud project that owns the buckets. Default: that of the credentials."""

    notify: Annotated[Notify, NO_VOXEL] = Notify()
    """Who is notified when a run ends."""

    follow: Annotated[Follow, NO_VOXEL] = Follow()
    """How a stack is watched while it is recorded."""

    register: Annotated[Register, NO_VOXEL] = Register()
    """Dataset of a clio-store that shows the volume when it is complete. A store that refuses is a note, no failure."""

    labels: Annotated[dict[str, str], NO_VOXEL] = Field({})
    """Free labels, kept in complete.json and on the cluster's objects."""

    update: Annotated[bool, NO_VOXEL] = False
    """Take over a folder that holds another request: what depends on the settings that differ is rerun, and units of
    the other request stop. With false another request is refused. Default false, since its results may still be
    needed."""

    @field_validator("max_bad")
    @classmethod
    def _check_sign(cls, value: float) -> float:
        if value < 0:
            raise ValueError("must not be negative")
        return value

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, value: dict[str, str]) -> dict[str, str]:
        if not all(name and name.isprintable() for name in value):
            raise ValueError("names of labels must be printable text")
        return value

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.transforms is not None and self.alignment.trend != "auto":
            raise ValueError("alignment.trend chooses how slices are placed, and transforms places them; "
                             "leave one of them out")  # fmt: skip
        if self.image is not None and self.image_regex is not None:
            raise ValueError("give image or image_regex, not both")
        if (CHANNEL in (self.image or "")) and (len(self.channels) < 2 or self.channel is not None):
            raise ValueError(f"image: {CHANNEL} stands for each of `channels`, which must name two or more; for one of "
                             "them write its name instead, and no `channel`")  # fmt: skip
        if self.order == "name" and (self.image is not None or "(?P<z>" in (self.image_regex or "")):
            raise ValueError("image and a group z of image_regex say where the number of a file is, order: name takes "
                             "none; leave one out, or choose the files by an image_regex without z")  # fmt: skip
        if self.minz is not None and self.maxz is not None and self.minz > self.maxz:
            raise ValueError(f"minz ({self.minz}) is above maxz ({self.maxz})")
        return self

    @property
    def given_files(self) -> dict[str, str]:
        """Names of the files that the user provides beside the slices, by their setting."""
        return {key: name for key in FILES if (name := getattr(self, key)) and name != FROM_FILES}

    def identity(self) -> dict[str, Any]:
        """The settings that make two requests the same: all that can change a voxel, except manual corrections."""
        # correcting a run must not mean starting over, nor must "go on with these three bad slices"
        return self.model_dump(mode="json", include=set(VOXEL_SETTINGS) - set(settings_with("correction")))

    def setting(self, path: str) -> Any:
        """JSON value of a setting, or of a section, by its dotted name."""
        value: Any = self.model_dump(mode="json")
        for name in path.split("."):
            value = value[name]
        return value

    def allowed_bad(self, slices: int) -> int:
        """Most bad or missing slices allowed in a stack of `slices`."""
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
