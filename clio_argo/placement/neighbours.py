"""Judges a rendered volume by how alike its neighbouring planes are, whatever has placed them."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from clio_argo.kernels.similarity import MEDIAN_PAIRS, Comparison, median_and_outliers
from clio_argo.model.base import few
from clio_argo.model.quality import PairSimilarity, Quality

# On other processors correlations differ in the seventh digit, and the bytes of quality.json must not.
DIGITS, DISTANCE_DIGITS = 5, 2
# Windows of registered medulla are displaced by 0.3 px (nine of ten by less than 0.5), of slices four sections apart by
# 1.1 (2.0), of registered ssTEM by 4.6 (7.2). Tissue that moves so far has changed, too: these are at most 3.6 (6.7)
# times the root of 1/correlation - 1. Slices bent by 1.5 to 3 px or with displaced rows reach 4.8 to 7.5 (9 to 20).
LIMIT_PX, LIMIT_TISSUE, P90 = 1.0, 4.0, 2.0
# Where tissue has changed too much for nearly all shifts to stand out, only their gain tells: of what correlations lack
# of 1, moving windows back gains at most 0.21 in registered stacks, 10 and more where slices are moved by 10 px.
LIMIT_FOUND, LIMIT_GAIN = 0.9, 0.25
# what neighbours with nothing in common reach by chance, one window of four; noisy FIB-SEM correlates by 0.3
CHANCE_FOUND, CHANCE_CORRELATION = 0.3, 0.1
# standard errors by which a correlation exceeds another; both ends of a swap must
SURE = 3.0
# Of one section recorded twice both slices are as like their neighbours (natural pairs differ by 0.39 of what second
# neighbours lose, or more), and no window is displaced by tissue.
SAME, STILL, SURE_TWICE = 0.35, 0.8, 2.0
# parts of windows from whose scatter a standard error is taken
LEAST_PARTS = 9
# of a list in a line; quality.json has all pairs
MOST_LISTED = 10
Comparisons = dict[tuple[int, int], Comparison]
"""Comparisons of neighbouring and second neighbouring planes, by the z of both."""
Pair = tuple[int, int, float]
"""z of two planes and their correlation, NaN if unknown."""


def judge(comparisons: Comparisons) -> Quality:
    """Neighbouring planes of the volume, each with the median around it, and what is wrong with the volume."""
    numbers = sorted({z for pair in comparisons for z in pair})
    neighbours = {pair: comparisons[pair] for pair in pairwise(numbers)}
    similar = judge_pairs([(*pair, c.correlation) for pair, c in neighbours.items()])
    median, most = _summary(neighbours.values())
    return Quality(
        pairs=tuple(map(_with_distances, similar, neighbours.values())),
        displaced_px=median,
        displaced_p90_px=most,
        notes=(
            *_displaced(neighbours),
            *_unlike(neighbours),
            *_swapped(comparisons, numbers),
            *_repeated(comparisons, numbers),
        ),
    )


def judge_pairs(pairs: Sequence[Pair]) -> tuple[PairSimilarity, ...]:
    """Each pair with the median around it; pairs without a correlation are not judged."""
    known = [p for p in pairs if not np.isnan(p[2])]
    # Similarity falls by about the same factor from slice to slice, so pairs across a gap are compared per slice.
    gaps, correlations = np.array([b - a for a, b, _ in known]), np.array([c for *_, c in known])
    medians, outliers = median_and_outliers(np.sign(correlations) * np.abs(correlations) ** (1 / gaps))
    judged = {
        (a, b): PairSimilarity(
            z0=a, z1=b, correlation=round(c, DIGITS), local_median=round(float(m), DIGITS), outlier=bool(far)
        )
        for (a, b, c), m, far in zip(known, medians**gaps, outliers, strict=True)
    }
    unknown = (PairSimilarity(z0=a, z1=b, correlation=None) for a, b, _ in pairs)
    return tuple(judged.get((p.z0, p.z1), p) for p in unknown)


def _with_distances(pair: PairSimilarity, compared: Comparison) -> PairSimilarity:
    median, most = _summary([compared])
    return pair.model_copy(update={"displaced_px": median, "displaced_p90_px": most})


def _summary(compared: Iterable[Comparison]) -> tuple[float, float] | tuple[None, None]:
    """Median and ninth decile of all known displacements of windows, in pixels."""
    distances = np.concatenate([np.zeros(0), *(c.distances for c in compared)])
    if not np.isfinite(distances).any():
        return None, None
    median, most = (round(float(v), DISTANCE_DIGITS) for v in np.nanquantile(distances, (0.5, 0.9)))
    return median, most


def _displaced(neighbours: Mapping[tuple[int, int], Comparison]) -> list[str]:
    """Where planes are displaced against each other by more than tissue is, in stretches of the stack."""
    seen = [pair for pair, c in neighbours.items() if np.isfinite(c.gain)]
    stretches = np.array_split(np.arange(len(seen)), -(-len(seen) // MEDIAN_PAIRS)) if seen else []
    wrong = [seen[i] for at in stretches if _is_displaced({seen[i]: neighbours[seen[i]] for i in at}) for i in at]
    if not wrong:
        return []
    median, most = _summary(neighbours[pair] for pair in wrong)
    return [
        f"neighbouring slices do not lie on each other between z {wrong[0][0]} and {wrong[-1][1]}: half of their "
        f"windows are displaced by {median} px or more, one in ten by {most} px or more"
    ]


def _is_displaced(stretch: Mapping[tuple[int, int], Comparison]) -> bool:
    distances = np.concatenate([c.distances / (z - y) for (y, z), c in stretch.items()])
    median, most = np.nanquantile(distances, (0.5, 0.9))
    found, gain, correlation = np.median([(c.found, c.gain, c.correlation) for c in stretch.values()], axis=0)
    changed = np.sqrt(1 / np.clip(correlation, CHANCE_CORRELATION, 1) - 1)

    def beyond(limit: float) -> bool:
        return bool(median > limit or most > P90 * limit)

    seen_well = found >= LIMIT_FOUND and beyond(LIMIT_TISSUE * changed)
    return beyond(LIMIT_PX) and bool(seen_well or gain > LIMIT_GAIN)


def _unlike(neighbours: Mapping[tuple[int, int], Comparison]) -> list[str]:
    """Pairs that have nothing in common."""
    pairs = [
        f"{a}/{b}" for (a, b), c in neighbours.items() if c.found < CHANCE_FOUND and c.correlation < CHANCE_CORRELATION
    ]
    return [f"neighbouring slices have nothing in common: z {few(pairs, MOST_LISTED)}"] if pairs else []


def _swapped(comparisons: Comparisons, numbers: Sequence[int]) -> list[str]:
    """Neighbours that fit better in the other order: both are more like the slices beyond the other one."""
    swaps = [
        f"{b}, {a}"
        for i, (a, b) in enumerate(pairwise(numbers))
        if _fits_swapped(comparisons, numbers[max(0, i - 1) : i], (a, b), numbers[i + 2 : i + 3])
    ]
    return [f"slices fit better in another order: z {few(swaps, MOST_LISTED)} instead of ascending"] if swaps else []


def _fits_swapped(comparisons: Comparisons, below: Sequence[int], pair: tuple[int, int], above: Sequence[int]) -> bool:
    a, b = pair
    better = [((y, b), (y, a)) for y in below] + [((a, y), (b, y)) for y in above]
    # at an end of the stack a faulty slice looks alike, but for its likeness to the other of the pair
    better += [(pair, worse) for _, worse in better] if len(better) == 1 else []
    return bool(better) and all(_exceeds(comparisons[more], comparisons[less]) for more, less in better)


def _repeated(comparisons: Comparisons, numbers: Sequence[int]) -> list[str]:
    """Slices that show the section of the one before, recorded again."""
    first, second = (
        np.array([comparisons[p].correlation for p in zip(numbers, numbers[n:], strict=False)]) for n in (1, 2)
    )
    if np.isfinite(first[:-1]).sum() < 1 or np.isfinite(second).sum() < 2:
        return []
    loss = float(np.nanmedian(first[:-1]) - np.nanmedian(second))
    usual, _ = _summary(comparisons[pair] for pair in pairwise(numbers))
    same = [
        str(b)
        for y, a, b, z in zip(numbers, numbers[1:], numbers[2:], numbers[3:], strict=False)
        if usual
        and all(_exceeds(comparisons[a, b], comparisons[p], SURE_TWICE) for p in ((y, a), (b, z)))
        and abs(comparisons[y, a].correlation - comparisons[y, b].correlation) < SAME * loss
        and abs(comparisons[b, z].correlation - comparisons[a, z].correlation) < SAME * loss
        and np.nanmedian(comparisons[a, b].distances) < STILL * usual
    ]
    return [f"slices show the section of the one before, recorded again: z {few(same, MOST_LISTED)}"] if same else []


def _exceeds(more: Comparison, less: Comparison, sure: float = SURE) -> bool:
    """Whether a correlation is surely higher, by the scatter of the parts of windows."""
    difference = (more.parts - less.parts).astype(np.float64)
    difference = difference[np.isfinite(difference)]
    return len(difference) >= LEAST_PARTS and bool(difference.mean() > sure * difference.std() / len(difference) ** 0.5)
