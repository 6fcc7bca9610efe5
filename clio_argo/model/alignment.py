"""What was measured and decided about slices and pairs.

A matrix is a 2x3 affine in pixels, pixel centres on integers, points (x, y). A pair's matrix maps a pixel of
the moving slice `z1` to the fixed slice `z0`; a slice's matrix maps a pixel of the input file to the canvas.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from clio_argo.model.base import Document, Value, former_names
from clio_argo.model.plan import FanOut, Remark, Verdict

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]
Floats = NDArray[np.float64]
IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
LINEAR_DIGITS, OFFSET_DIGITS = 9, 4
LEAST_VALID = 0.01


def to_matrix(array: Floats) -> Matrix:
    """A 2x3 (or 3x3) array as a value, rounded to 1e-9 (linear part) and 1e-4 px (offsets)."""
    rows = [[round(float(v), LINEAR_DIGITS) for v in r[:2]] for r in array[:2]]
    offsets = [round(float(r[2]), OFFSET_DIGITS) for r in array[:2]]
    return ((rows[0][0], rows[0][1], offsets[0]), (rows[1][0], rows[1][1], offsets[1]))


def homogeneous(matrix: Matrix | Floats) -> Floats:
    """3x3 form of a 2x3 affine."""
    return np.vstack([np.asarray(matrix, np.float64)[:2], [0.0, 0.0, 1.0]])


def compose(outer: Matrix, inner: Matrix) -> Matrix:
    """The affine that applies `inner`, then `outer`."""
    return to_matrix(homogeneous(outer) @ homogeneous(inner))


def invert(matrix: Matrix) -> Matrix:
    return to_matrix(np.linalg.inv(homogeneous(matrix)).astype(np.float64))


def apply(matrix: Matrix | Floats, points: Floats) -> Floats:
    """Map points [n, 2] in (x, y)."""
    m = np.asarray(matrix, np.float64)
    return points @ m[:, :2].T + m[:, 2]


def corners(width: int, height: int) -> Floats:
    """Centres of the four corner pixels, [4, 2] in (x, y)."""
    return np.array([(x, y) for y in (0.0, height - 1.0) for x in (0.0, width - 1.0)])


class SliceStatistics(Value):
    """What `reduce` saw of one slice. Grey values are those of the file."""

    z: int
    digest: str = Field(description="CRC32C of the decoded pixels, 8 hexadecimal digits.")
    mean: float = Field(0.0, description="Mean grey value where the slice shows something.")
    std: float = Field(0.0, description="Standard deviation there.")
    low: float = Field(0.0, description="Fraction of pixels at the lowest grey value of the data type.")
    high: float = Field(0.0, description="Fraction of pixels at the highest grey value.")
    focus: float = Field(0.0, description="Contrast of fine detail over the whole contrast; falls with blur.")
    stripes: float = Field(0.0, description="Contrast of straight stripes over the whole contrast.")
    valid: float = Field(1.0, description="Fraction of the slice that shows something: no fill, no border.")
    features: int = 0
    error: str | None = Field(None, description="Why the slice could not be decoded.")

    @property
    def usable(self) -> bool:
        """Whether there is anything to align."""
        return self.error is None and self.valid >= LEAST_VALID


class PairFit(Value):
    """The fit of slice `z1` onto slice `z0` (z0 < z1)."""

    _former = former_names(
        {"way": "method", "spread": "coverage", "agreement": "worst_tile_correlation", "hidden": "occluded"},
        {"person": "manual"},
    )
    z0: int
    z1: int
    matrix: Matrix | None = Field(None, description="None when no fit was found; never a default.")
    model: Literal["translation", "rigid", "affine", "none"] = "none"
    method: Literal["features", "enhanced", "coarse", "inverted", "phase", "manual", "none"] = Field(
        "none", description="How the fit was found; each method is tried when the one before it fails."
    )
    inliers: int = 0
    correlation: float = Field(0.0, description="Masked correlation of the two reduced slices in register.")
    residual_px: float = Field(0.0, description="Median distance of the matched features, full-size pixels.")
    coverage: float = Field(0.0, description="Fraction of the fixed slice that the matched features span.")
    noise_px: float = Field(
        0.0, description="Expected standard deviation of the fit, from the correlation; 0: unknown."
    )
    worst_tile_correlation: float = Field(
        0.0, description="Correlation in register that nine of ten tiles of the slice exceed."
    )
    occluded: tuple[float, float] = Field(
        (0.0, 0.0), description="Fraction of the common field that z0, and that z1, does not show but the other does."
    )
    reason: str = ""

    @property
    def found(self) -> bool:
        """Whether there is a fit."""
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
    """Slices that the first fits leave in doubt, and the pairs that will settle it."""

    SCHEMA_VERSION = 2
    _former = former_names({"relinks": "rematch_units", "relink": "rematch"})
    remarks: tuple[Remark, ...]
    rematch_units: tuple[RematchUnit, ...]
    rematch: FanOut


class PlacedSlice(Value):
    """One plane of the volume."""

    _former = former_names({"by_hand": "manual", "shown": "source_slices"}, {"links": "pairs", "given": "imported"})
    z: int
    file: str | None
    page: int = 0
    verdict: Verdict
    reason: str = ""
    manual: bool = Field(False, description="Whether the verdict is a person's.")
    matrix: Matrix | None = Field(description="From pixels of the file to the canvas; None if not placed.")
    placed_by: Literal["pairs", "neighbours", "imported"] = Field(
        "pairs",
        description="pairs: by the fits of pairs. neighbours: no fit places the slice, so it lies between its "
        "neighbours. imported: as in the imported transforms.",
    )
    source_slices: tuple[int, ...] = Field(
        description="Slices whose pixels fill this plane: z itself, a neighbour, or the two between which the plane "
        "is interpolated. Empty: the plane is background."
    )
    digest: str = Field("", description="CRC32C of the decoded pixels of the file.")
    grey: tuple[float, float] | None = Field(
        None, description="(gain, offset) against flicker: gain x grey value of the file + offset. None: off."
    )

    @property
    def flagged(self) -> bool:
        """Whether something else fills its plane."""
        return self.verdict in ("bad", "missing")

    @property
    def content(self) -> str:
        """What fills the plane, in words."""
        if self.source_slices == (self.z,):
            return "itself" + (", placed between its neighbours" if self.placed_by == "neighbours" else "")
        names = " and ".join(map(str, self.source_slices))
        return {0: "background", 1: f"slice {names}"}.get(len(self.source_slices), f"mean of slices {names}")


class Break(Value):
    """A place that no fit crosses: the slices on its two sides."""

    below: int
    above: int


class Transforms(Document):
    """Where every slice lies on the canvas."""

    SCHEMA_VERSION = 2
    width: int = Field(description="Canvas width in pixels.")
    height: int = Field(description="Canvas height in pixels.")
    window: tuple[float, float] | None = Field(
        None, description="Grey values shown as black and white in the viewer volume; None: as they are."
    )
    breaks: tuple[Break, ...] = ()
    jumps: tuple[int, ...] = Field((), description="Slices from which on the stage stands elsewhere.")
    fits: tuple[PairFit, ...] = Field((), description="Fits of all pairs that were tried.")
    overrides: int = Field(
        0, description="Number of manual corrections, of slices and of pairs; user_inputs.json holds them."
    )
    sources: dict[str, str] = Field({}, description="CRC32C of each file that the user gave, by its name.")
    slices: tuple[PlacedSlice, ...]

    @property
    def flagged(self) -> tuple[PlacedSlice, ...]:
        """Bad and missing slices."""
        return tuple(s for s in self.slices if s.flagged)

    @property
    def suspect(self) -> tuple[PlacedSlice, ...]:
        """Slices that fill their planes but have a fault: look at them."""
        return tuple(s for s in self.slices if s.verdict == "suspect")

    @property
    def replaced(self) -> dict[int, tuple[int, ...]]:
        """Planes that other slices fill than that of their number, and which slices."""
        return {s.z: s.source_slices for s in self.slices if s.source_slices != (s.z,)}

    def sources_of(self, z: int) -> tuple[PlacedSlice, ...]:
        """The slices whose pixels fill plane z."""
        first = self.slices[0].z
        return tuple(self.slices[n - first] for n in self.slices[z - first].source_slices)


class Planes(Document):
    """What one unit of `render` needs of the transforms, so that no unit reads those of the whole stack."""

    SCHEMA_VERSION = 2
    _former = former_names({"shown": "sources"})
    window: tuple[float, float] | None
    sources: tuple[tuple[PlacedSlice, ...], ...] = Field(
        description="Slices that fill each plane of the unit, by z of the plane."
    )
