"""Likeness of neighbouring planes: `render` measures pairs within its units, `publish` those across units."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from clio_argo.kernels.similarity import Tiles, median_and_outliers, similarity
from clio_argo.model.layout import likeness_name
from clio_argo.model.quality import PairLikeness, Quality
from clio_argo.model.run import ObjectRecord
from clio_argo.store.documents import Store
from clio_argo.store.reduced import read_all_arrays, write_arrays
from clio_argo.workspace.run import Run

DIGITS = 5
Seen = tuple[int, Tiles]
Pair = tuple[int, int, float]


def write_likeness(store: Store, unit: int, looks: Sequence[Seen]) -> ObjectRecord:
    """Keep the pairs of a unit's planes, by z, and its first and last plane."""
    pairs = [_pair(a, b) for a, b in pairwise(looks)]
    ends = [looks[0], looks[-1]] if looks else []
    arrays = {
        "pairs": np.array(pairs).reshape(-1, 3),
        "z": np.array([z for z, _ in ends], np.int64),
        **{f"tiles{i}": look.tiles for i, (_, look) in enumerate(ends)},
        **{f"covered{i}": look.covered for i, (_, look) in enumerate(ends)},
    }
    return write_arrays(store, likeness_name(unit), arrays)


def _pair(a: Seen, b: Seen) -> Pair:
    found = similarity(a[1], b[1])
    return a[0], b[0], np.nan if found is None else round(found, DIGITS)


def read_quality(run: Run) -> Quality:
    """All pairs of the volume; the same however it was cut into units."""
    pairs: list[Pair] = []
    last: Seen | None = None
    for arrays in read_all_arrays(run.store, [likeness_name(u) for u in range(run.volume.render.units)]):
        if not len(arrays["z"]):
            continue
        first, end = (
            (int(arrays["z"][i]), Tiles(arrays[f"tiles{i}"], arrays[f"covered{i}"])) for i in (0, 1)
        )
        pairs += [_pair(last, first)] if last else []
        pairs += [(int(a), int(b), float(c)) for a, b, c in arrays["pairs"]]
        last = end
    return judged(pairs)


def judged(pairs: Sequence[Pair]) -> Quality:
    """Each pair with what is usual around it; pairs without a correlation are not judged.

    Likeness falls by about the same factor from slice to slice, so that of pairs across a gap is compared per slice.
    """
    known = [p for p in pairs if not np.isnan(p[2])]
    gaps, found = np.array([b - a for a, b, _ in known]), np.array([c for *_, c in known])
    medians, low = median_and_outliers(np.sign(found) * np.abs(found) ** (1 / gaps))
    told = {
        p[:2]: PairLikeness(
            z0=p[0], z1=p[1], correlation=p[2], usual=round(float(m), DIGITS), low=bool(is_low)
        )
        for p, m, is_low in zip(known, medians**gaps, low, strict=True)
    }
    return Quality(
        pairs=tuple(told.get((a, b), PairLikeness(z0=a, z1=b, correlation=None)) for a, b, _ in pairs)
    )
