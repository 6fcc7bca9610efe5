"""Similarity of neighbouring planes: `render` measures pairs within its units, `publish` those across units."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from clio_argo.kernels.similarity import Tiles, median_and_outliers, similarity
from clio_argo.model.layout import similarity_name
from clio_argo.model.quality import PairSimilarity, Quality
from clio_argo.model.run import ObjectRecord
from clio_argo.store.documents import Store
from clio_argo.store.reduced import read_all_arrays, write_arrays
from clio_argo.workspace.run import Run

# On other processors correlations differ in the seventh digit, and the bytes of quality.json must not.
DIGITS = 5
PlaneTiles = tuple[int, Tiles]
"""z of a plane and its tiles."""
Pair = tuple[int, int, float]
"""z of two planes and their correlation, NaN if unknown."""


def write_similarity(store: Store, unit: int, planes: Sequence[PlaneTiles]) -> ObjectRecord:
    """Write the pairs of a unit's planes, by z, and the tiles of its first and last plane."""
    # the ends pair with those of the units around this one, which `publish` joins
    pairs = [_pair(a, b) for a, b in pairwise(planes)]
    ends = [planes[0], planes[-1]] if planes else []
    arrays = {
        "pairs": np.array(pairs).reshape(-1, 3),
        "z": np.array([z for z, _ in ends], np.int64),
        **{f"tiles{i}": tiles.tiles for i, (_, tiles) in enumerate(ends)},
        **{f"covered{i}": tiles.covered for i, (_, tiles) in enumerate(ends)},
    }
    return write_arrays(store, similarity_name(unit), arrays)


def _pair(a: PlaneTiles, b: PlaneTiles) -> Pair:
    correlation = similarity(a[1], b[1])
    return a[0], b[0], np.nan if correlation is None else round(correlation, DIGITS)


def read_quality(run: Run) -> Quality:
    """All pairs of the volume; the result does not depend on how the volume was cut into units."""
    pairs: list[Pair] = []
    last: PlaneTiles | None = None
    for arrays in read_all_arrays(run.store, [similarity_name(u) for u in range(run.volume.render.units)]):
        if not len(arrays["z"]):
            continue
        first, end = ((int(arrays["z"][i]), Tiles(arrays[f"tiles{i}"], arrays[f"covered{i}"])) for i in (0, 1))
        pairs += [_pair(last, first)] if last else []
        pairs += [(int(a), int(b), float(c)) for a, b, c in arrays["pairs"]]
        last = end
    return judge_pairs(pairs)


def judge_pairs(pairs: Sequence[Pair]) -> Quality:
    """Each pair with the median around it; pairs without a correlation are not judged."""
    known = [p for p in pairs if not np.isnan(p[2])]
    # Similarity falls by about the same factor from slice to slice, so pairs across a gap are compared per slice.
    gaps, correlations = np.array([b - a for a, b, _ in known]), np.array([c for *_, c in known])
    medians, outliers = median_and_outliers(np.sign(correlations) * np.abs(correlations) ** (1 / gaps))
    judged = {
        (a, b): PairSimilarity(z0=a, z1=b, correlation=c, local_median=round(float(m), DIGITS), outlier=bool(far))
        for (a, b, c), m, far in zip(known, medians**gaps, outliers, strict=True)
    }
    unknown = (PairSimilarity(z0=a, z1=b, correlation=None) for a, b, _ in pairs)
    return Quality(pairs=tuple(judged.get((p.z0, p.z1), p) for p in unknown))
