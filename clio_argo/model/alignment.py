"""What is measured and decided about slices and pairs of slices.

A matrix is a 2x3 affine in pixels, with pixel centres on integers and points as (x, y). A pair's matrix maps a pixel of
the moving slice `z1` to the fixed slice `z0`; a slice's matrix maps a pixel of the input file to the canvas.
"""

import csv
import io
import operator
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from clio_argo.errors import UserError
from clio_argo.model.base import Document, Value, counted, former_names, html_table
from clio_argo.model.plan import FanOut, Remark, Verdict
from clio_argo.model.values import StackValues

if TYPE_CHECKING:
    import pandas

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]
Floats = NDArray[np.float64]
# a slice that stays where it is
IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
# SIFT and BLAS differ in their last bits between processors. Rounding makes such fits equal again, and
# moves a corner 10,000 px away by 1e-5 px (linear part) and 1e-4 px (offset).
LINEAR_DIGITS, OFFSET_DIGITS = 9, 4
# slices move by a pixel without any harm, and shorter trends are those of noise
LEAST_TREND_PX = 1.0
# of a table in a notebook
MOST_ROWS = 20
# a hundredth of a slice holds 4 or 5 of the 371 to 495 features that match between whole slices; a fit needs 8
LEAST_VALID = 0.01


def to_matrix(array: Floats) -> Matrix:
    """The affine `array` [2 or 3 rows, 3] as a value, its linear part rounded to 1e-9 and its offsets to 1e-4 px."""
    rows = [[round(float(v), LINEAR_DIGITS) for v in r[:2]] for r in array[:2]]
    offsets = [round(float(r[2]), OFFSET_DIGITS) for r in array[:2]]
    return ((rows[0][0], rows[0][1], offsets[0]), (rows[1][0], rows[1][1], offsets[1]))


def homogeneous(matrix: Matrix | Floats) -> Floats:
    """The affine `matrix` [2, 3] (pixels) as an array [3, 3] that can be multiplied and inverted."""
    return np.vstack([np.asarray(matrix, np.float64)[:2], [0.0, 0.0, 1.0]])


def compose(outer: Matrix, inner: Matrix) -> Matrix:
    """The affine that applies `inner`, then `outer`."""
    return to_matrix(homogeneous(outer) @ homogeneous(inner))


def invert(matrix: Matrix) -> Matrix:
    """The affine that undoes `matrix`. Raises `numpy.linalg.LinAlgError` if it is singular."""
    return to_matrix(np.linalg.inv(homogeneous(matrix)).astype(np.float64))


def apply(matrix: Matrix | Floats, points: Floats) -> Floats:
    """Map `points` [n, 2], (x, y) in pixels, by the affine `matrix` [2, 3]; returns points [n, 2]."""
    m = np.asarray(matrix, np.float64)
    return points @ m[:, :2].T + m[:, 2]


def corners(width: int, height: int) -> Floats:
    """Centres of the four corner pixels, [4, 2], (x, y) in pixels."""
    return np.array([(x, y) for y in (0.0, height - 1.0) for x in (0.0, width - 1.0)])


def centre_shift(matrix: Matrix, width: int, height: int) -> tuple[float, float]:
    """How far a transform moves the centre of a slice of width x height pixels, (x, y) in pixels."""
    x, y = (width - 1) / 2, (height - 1) / 2
    (a, b, tx), (c, d, ty) = matrix
    return a * x + b * y + tx - x, c * x + d * y + ty - y


class SliceStatistics(Value):
    """What `reduce` measures of one slice. Grey values are as decoded."""

    z: int
    digest: str = Field(description="CRC32C of the decoded pixels, 8 hexadecimal digits; of each channel.")
    mean: float = Field(0.0, description="Mean grey value of the pixels that show something.")
    std: float = Field(0.0, description="Standard deviation of their grey values.")
    low: float = Field(0.0, description="Fraction of pixels at the lowest grey value of the data type.")
    high: float = Field(0.0, description="Fraction of pixels at the highest grey value.")
    focus: float = Field(0.0, description="Contrast of fine detail over the whole contrast; falls with blur.")
    stripes: float = Field(0.0, description="Contrast of straight stripes over the whole contrast.")
    valid: float = Field(1.0, description="Fraction of the pixels that show something: no fill, no border.")
    features: int = Field(0, description="Number of features detected on the reduced slice.")
    data_bar_px: int = Field(0, description="Rows of a data bar at the bottom of the file.")
    clipped: float = Field(0.0, description="Fraction of the values of the file that lie beyond the grey values.")
    exact: bool = Field(True, description="Whether all values of the file follow from its grey values.")
    warning: str = Field("", description="What the decoder said of damage in a file that it decoded.")
    lost_channels: tuple[str, ...] = Field(
        (), exclude_if=operator.not_, description="Channels beside the aligned one that cannot be decoded, and why."
    )
    error: str | None = Field(None, description="Why the slice cannot be decoded; None if it can.")

    @property
    def usable(self) -> bool:
        """Whether there is anything to align."""
        return self.error is None and self.valid >= LEAST_VALID


class PairFit(Value):
    """The fit of slice `z1` onto slice `z0` (z0 < z1)."""

    _former = former_names(
        {"way": "method", "spread": "coverage", "agreement": "worst_tile_correlation", "hidden": "occluded"},
        method={"person": "manual"},
    )
    z0: int
    z1: int
    matrix: Matrix | None = Field(None, description="None when no fit was found; never a default.")
    model: Literal["translation", "rigid", "affine", "none"] = "none"
    method: Literal["features", "enhanced", "coarse", "inverted", "phase", "manual", "none"] = Field(
        "none", description="How the fit was found; each method is tried when the one before it fails."
    )
    inliers: int = Field(0, description="Number of matched features that agree with the fit.")
    correlation: float = Field(0.0, description="Masked correlation of the two reduced slices when registered.")
    residual_px: float = Field(0.0, description="Median distance of the matched features, full-size pixels.")
    coverage: float = Field(0.0, description="Fraction of the fixed slice that the matched features span.")
    noise_px: float = Field(
        0.0, description="Standard deviation that the correlation or the disagreement predicts; 0: unknown."
    )
    disagreement_px: float = Field(
        0.0, description="Displacement of 16 windows when registered, root mean square in full-size pixels; 0: unknown."
    )
    log_scale: tuple[float, float] | None = Field(
        None, description="Logarithm of the scale of the matched features, and its standard error. None: unknown."
    )
    worst_tile_correlation: float = Field(0.0, description="Correlation that nine of ten tiles of the slice exceed.")
    occluded: tuple[float, float] = Field((0.0, 0.0), description="Fraction that only z1 shows, and only z0.")
    reason: str = Field("", description="Why there is no fit, or why the user set or excluded it.")
    turned: Matrix | None = Field(
        None, description="How z1 fits when it is turned by quarters or mirrored; `matrix` if it is turned back so."
    )

    @property
    def matched(self) -> bool:
        """Whether a fit was found."""
        return self.matrix is not None


class Fits(Document):
    """Fits whose fixed slice lies in unit `unit`."""

    SCHEMA_VERSION = 2
    unit: int
    fits: tuple[PairFit, ...]


class RematchUnit(Value):
    """Pairs (z0, z1) still to be matched: lower slices lie in unit `unit`, upper ones in units up to `last`."""

    unit: int
    last: int
    pairs: tuple[tuple[int, int], ...]

    @property
    def units(self) -> range:
        """The units that hold their slices."""
        return range(self.unit, self.last + 1)


class Suspects(Document):
    """Slices that look faulty after the first fits, and the pairs around them that are still to be matched."""

    SCHEMA_VERSION = 2
    _former = former_names({"relinks": "rematch_units", "relink": "rematch"})
    remarks: tuple[Remark, ...]
    rematch_units: tuple[RematchUnit, ...]
    rematch: FanOut


class PlacedSlice(Value):
    """One plane of the volume."""

    _former = former_names(
        {"by_hand": "manual", "shown": "source_slices"}, placed_by={"links": "pairs", "given": "imported"}
    )
    z: int
    file: str | None
    page: int = 0
    verdict: Verdict
    reason: str = ""
    manual: bool = Field(False, description="Whether the user set the verdict.")
    matrix: Matrix | None = Field(description="From pixels of the file to the canvas; None if not placed.")
    placed_by: Literal["pairs", "neighbours", "imported"] = Field(
        "pairs",
        description="pairs: the fits of pairs place the slice. neighbours: no fit does, and it lies between its "
        "neighbours. imported: the imported transforms place it.",
    )
    source_slices: tuple[int, ...] = Field(
        description="Slices whose pixels fill this plane: z itself, a neighbour, or the two between which the plane "
        "is interpolated. Empty: the plane is background."
    )
    digest: str = Field("", description="CRC32C of the decoded pixels of the file.")
    slow_px: tuple[float, float] | None = Field(
        None, description="Slow part (x, y) of the images' path against the recorded frames; None: not measured."
    )
    grey: tuple[float, float] | None = Field(
        None, description="(gain, offset) against flicker: stored value = gain x value of the file + offset. None: off."
    )

    @property
    def flagged(self) -> bool:
        """Whether the slice is bad or missing, so that its plane may show something else."""
        return self.verdict in ("bad", "missing")

    @property
    def content(self) -> str:
        """What fills the plane, in words."""
        if self.source_slices == (self.z,):
            return "itself" + (", placed between its neighbours" if self.placed_by == "neighbours" else "")
        names = " and ".join(map(str, self.source_slices))
        return {0: "background", 1: f"slice {names}"}.get(len(self.source_slices), f"mean of slices {names}")


class Break(Value):
    """Two neighbouring placed slices between which no fit crosses."""

    below: int
    above: int
    reason: str = Field("", description="What is known of why no fit crosses.")

    @property
    def text(self) -> str:
        """The break as a sentence without a full stop."""
        return f"no fit crosses from z {self.below} to z {self.above}" + (f": {self.reason}" if self.reason else "")


class Shown(Value):
    """The part of every file that the volume shows."""

    x: tuple[int, int] | None = Field(None, description="First and last column of the files. None: all.")
    y: tuple[int, int] | None = Field(None, description="First and last row of the files. None: all.")
    data_bar_px: int = Field(0, description="Rows at the bottom that are a data bar, and not shown.")

    @property
    def origin(self) -> tuple[int, int]:
        """The first column and row that are shown."""
        return (self.x[0] if self.x else 0), (self.y[0] if self.y else 0)

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in pixels of a file of width x height pixels, right and bottom exclusive."""
        right = min(width, self.x[1] + 1) if self.x else width
        bottom = min(height - self.data_bar_px, self.y[1] + 1 if self.y else height)
        return *self.origin, right, bottom


Part = Literal["shift", "turn", "stretch"]


class Trend(Value):
    """What the images' path does slowly against the recorded frames, and which of both the result follows."""

    part: Part = Field(description="Turn and stretch are counted in pixels at the border of a slice.")
    follows: Literal["recorded", "images"]
    px_per_slice: float = Field(description="Root mean square of the slow part's steps, full-size pixels.")
    extent_px: float = Field(description="Distance between the ends of the range that the slow part covers, pixels.")

    @property
    def text(self) -> str:
        """The trend as a sentence without a full stop."""
        how = {"shift": "run", "turn": "turn", "stretch": "stretch"}[self.part]
        where = "" if self.part == "shift" else " at the border"
        kept = {"recorded": "kept as recorded; `alignment.trend: images` follows them",
                "images": "followed; `alignment.trend: recorded` keeps the recorded frames"}[self.follows]  # fmt: skip
        return (f"the images {how} by {self.px_per_slice:.2f} px per slice{where} against the recorded frames, "
                f"{self.extent_px:.0f} px over the stack: {kept}")  # fmt: skip


class Transforms(Document):
    """Where every slice lies on the canvas."""

    SCHEMA_VERSION = 2
    width: int = Field(description="Canvas width in pixels.")
    height: int = Field(description="Canvas height in pixels.")
    window: tuple[float, float] | None = Field(None, description="Grey values shown as black and white.")
    windows: tuple[tuple[float, float] | None, ...] = Field(
        (), exclude_if=operator.not_, description="The same of each channel, where there are several."
    )
    values: StackValues | None = Field(None, description="What became of the files' values; None: they stayed.")
    grey_steps: tuple[str, ...] = Field(
        (), exclude_if=operator.not_, description="Where grey values change in a step and stay so, in words."
    )
    shown: Shown = Field(Shown(), description="The part of every file that the volume shows.")
    pattern: float = Field(0.0, description="Fraction of the frame that stays while tissue moves, left out of fits.")
    breaks: tuple[Break, ...] = ()
    jumps: tuple[int, ...] = Field((), description="First slices after each jump of the stage.")
    trends: tuple[Trend, ...] = Field((), description="Slow parts of the shift, the turn and the stretch.")
    fits: tuple[PairFit, ...] = Field((), description="Fits of all pairs that were tried.")
    overrides: int = Field(0, description="Number of manual corrections of slices and pairs, see user_inputs.json.")
    sources: dict[str, str] = Field({}, description="CRC32C of each file that the user provided, by its name.")
    slices: tuple[PlacedSlice, ...]

    def __repr__(self) -> str:
        """What became of the stack in one line: all of it would fill screens."""
        slices = f"{counted(len(self.slices), 'slice')}, {len(self.flagged)} flagged, {len(self.suspect)} suspect"
        return f"<Transforms: {slices}, canvas {self.width} x {self.height} px>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """The same with the slices that are not good, for notebooks."""
        wrong = [s for s in self.slices if s.verdict != "good"]
        rows = {f"z {s.z}": f"{s.verdict}: {s.reason}" for s in wrong[:MOST_ROWS]}
        more = {"and": f"{len(wrong) - MOST_ROWS} more"} if len(wrong) > MOST_ROWS else {}
        return html_table(str(self)[1:-1], {**rows, **more})

    @property
    def trends_to_tell(self) -> tuple[Trend, ...]:
        """Trends that move slices by a pixel or more."""
        return tuple(t for t in self.trends if t.extent_px >= LEAST_TREND_PX)

    @property
    def is_lossless(self) -> bool:
        """Whether all values of the files became grey values that tell them."""
        return self.values is None or self.values.exact

    @property
    def flagged(self) -> tuple[PlacedSlice, ...]:
        """Bad and missing slices."""
        return tuple(s for s in self.slices if s.flagged)

    @property
    def suspect(self) -> tuple[PlacedSlice, ...]:
        """Slices that fill their planes but have a fault."""
        return tuple(s for s in self.slices if s.verdict == "suspect")

    def to_csv(self) -> str:
        """A line per slice: z, file, verdict, the slices that fill its plane, and the six numbers of its matrix."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["z", "file", "verdict", "source_slices", "a", "b", "tx", "c", "d", "ty"])
        for s in self.slices:
            numbers = [v for row in s.matrix for v in row] if s.matrix else [""] * 6
            writer.writerow([s.z, s.file or "", s.verdict, " ".join(map(str, s.source_slices)), *numbers])
        return text.getvalue()

    def to_pandas(self) -> "pandas.DataFrame":
        """The same as a table, with z as its index. Raises `UserError` where pandas is not installed."""
        try:
            import pandas
        except ImportError as error:
            raise UserError("to_pandas needs pandas, which is not installed: pip install pandas") from error
        return pandas.read_csv(io.StringIO(self.to_csv()), index_col="z", dtype={"source_slices": str})

    @property
    def replaced(self) -> dict[int, tuple[int, ...]]:
        """Planes that are not filled by the slice of their number, and the slices that fill them."""
        return {s.z: s.source_slices for s in self.slices if s.source_slices != (s.z,)}

    @property
    def left_out(self) -> tuple[str, ...]:
        """What was left out of the volume or of the alignment, in words."""
        bar = (
            f"a data bar of {self.shown.data_bar_px} rows was cut off the bottom of every file; "
            "source_crop says which rows are shown instead"
        )
        pattern = (
            f"{max(self.pattern, 0.001):.1%} of the frame stays where it is while tissue moves (dirt, lines, text), "
            "and was left out of the alignment"
        )
        return (*((bar,) if self.shown.data_bar_px else ()), *((pattern,) if self.pattern else ()))

    def sources_of(self, z: int) -> tuple[PlacedSlice, ...]:
        """The slices whose pixels fill plane z."""
        # one slice for every z from the first, missing ones included
        first = self.slices[0].z
        return tuple(self.slices[n - first] for n in self.slices[z - first].source_slices)


class Planes(Document):
    """The part of the transforms that one unit of `render` needs."""

    # a document per unit: 2,000 pods must not each parse the transforms of 100,000 slices
    SCHEMA_VERSION = 2
    _former = former_names({"shown": "sources"})
    window: tuple[float, float] | None
    shown: Shown = Shown()
    sources: tuple[tuple[PlacedSlice, ...], ...] = Field(
        description="Slices that fill each plane of the unit, by z of the plane."
    )
