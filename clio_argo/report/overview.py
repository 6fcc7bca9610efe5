"""What is wrong in the stack, and where: marks along z, and the slices that are shown one by one."""

from clio_argo.model.alignment import PairFit, PlacedSlice, Transforms
from clio_argo.report.data import ReportData
from clio_argo.report.plots import Mark

# sixty pictures of 320 pixels are about 6 MB, which a page loads at once; thousands would not fit
MOST_CARDS = 60


def notable(transforms: Transforms) -> tuple[PlacedSlice, ...]:
    """The slices that are shown one by one, ordered by z: flagged ones before suspect ones, if there are too many."""
    wrong = [s for s in transforms.slices if s.verdict != "good"]
    first = sorted(wrong, key=lambda s: (not s.flagged, s.z))[:MOST_CARDS]
    return tuple(sorted(first, key=lambda s: s.z))


def find_marks(data: ReportData) -> list[Mark]:
    """Slices that are not good, pairs that are not matched or not similar, stage jumps, and breaks."""
    transforms, cards = data.transforms, {s.z for s in notable(data.transforms)}
    outliers = data.quality.outliers if data.quality else ()
    return [
        *(Mark(s.verdict, s.z, _of_slice(s), s.z in cards) for s in transforms.slices if s.verdict != "good"),
        *(Mark("unmatched", (f.z0 + f.z1) / 2, _of_pair(f)) for f in transforms.fits if not f.matched),
        *(Mark("outlier", (p.z0 + p.z1) / 2, str(p)) for p in outliers),
        *(Mark("jump", z - 0.5, f"the stage moved between z {z - 1} and z {z}") for z in transforms.jumps),
        *(Mark("break", (b.below + b.above) / 2, f"break: {b.text}") for b in transforms.breaks),
    ]


def _of_slice(placed: PlacedSlice) -> str:
    return f"z {placed.z} {placed.verdict}" + (f": {placed.reason}" if placed.reason else "")


def _of_pair(fit: PairFit) -> str:
    return f"no match between z {fit.z0} and z {fit.z1}" + (f": {fit.reason}" if fit.reason else "")
