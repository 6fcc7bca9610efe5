"""Judges a rendered volume by how alike its neighbouring planes are, whatever has placed them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, groupby, pairwise

import numpy as np

from clio_argo.kernels.features import Bounds
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
# Neighbours of a slice lack more of correlation than it lacks to them; of a slice from five sections away it lacks six
# times as much. Noise, blur and flicker of one slice that reach three times are worth a look themselves.
STRANGE = 3.0
# Slices are more like neighbours than like second ones by 5 standard errors and more in medulla with noise of 30 grey
# levels, by 12 in ssTEM, by less than 1 where all show one section. In raw FIB-SEM (correlation 0.7) noise hides it.
STALLED, CLEAR = 4, 0.9
# parts of windows from whose scatter a standard error is taken
LEAST_PARTS = 9
# of a list in a line; quality.json has all pairs
MOST_LISTED = 10
Comparisons = dict[tuple[int, int], Comparison]
"""Comparisons of neighbouring and second neighbouring planes, by the z of both."""
Distant = Callable[[int, int], Comparison]
"""Compares any two planes, given by their z."""
Pair = tuple[int, int, float]
"""z of two planes and their correlation, NaN if unknown."""


def judge(
    comparisons: Comparisons, distant: Distant | None = None, places: Mapping[int, Bounds] | None = None
) -> Quality:
    """Neighbouring planes of the volume, each with the median around it, and what is wrong with the volume.

    distant: compares planes that are no neighbours; without it nothing is known of blocks that were moved.
    places: where single planes are unlike both beside them, by z; bounds in pixels of the canvas.
    """
    numbers = sorted({z for pair in comparisons for z in pair})
    neighbours = {pair: comparisons[pair] for pair in pairwise(numbers)}
    similar = judge_pairs([(*pair, c.correlation) for pair, c in neighbours.items()])
    median, most = _summary(neighbours.values())
    low = {(p.z0, p.z1) for p in similar if p.outlier}
    unlike = [pair for pair, c in neighbours.items() if c.found < CHANCE_FOUND and c.correlation < CHANCE_CORRELATION]
    return Quality(
        pairs=tuple(map(_with_distances, similar, neighbours.values())),
        displaced_px=median,
        displaced_p90_px=most,
        notes=(
            *_displaced(neighbours),
            *_unlike(unlike),
            *_swapped(comparisons, numbers),
            *(_moved(similar, numbers, distant) if distant else ()),
            *_strange(comparisons, numbers, low),
            *_repeated(comparisons, numbers, low),
            *(_stalled(comparisons, numbers, distant) if distant else ()),
            *_strange_in_places(places or {}, [p for p in neighbours if p not in low and p not in unlike]),
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


def _unlike(pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Pairs that have nothing in common."""
    told = few([f"{a}/{b}" for a, b in pairs], MOST_LISTED)
    return [f"neighbouring slices have nothing in common: z {told}"] if pairs else []


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


def _strange(comparisons: Comparisons, numbers: Sequence[int], low: set[tuple[int, int]]) -> list[str]:
    """Slices from another place that no median tells: in short stacks two of them make most pairs low."""
    strange = [
        str(b)
        for a, b, c in zip(numbers, numbers[1:], numbers[2:], strict=False)
        if low.isdisjoint(((a, b), (b, c))) and _is_strange(comparisons[a, c], (comparisons[a, b], comparisons[b, c]))
    ]
    told = "slices are less like their neighbours than these are like each other, as slices from another place are"
    return [f"{told}: z {few(strange, MOST_LISTED)}"] if strange else []


def _is_strange(around: Comparison, beside: Sequence[Comparison]) -> bool:
    limit = 1 - STRANGE * (1 - around.correlation)
    return all(c.correlation < limit and _exceeds(around, c) for c in beside)


def _strange_in_places(places: Mapping[int, Bounds], alike: Sequence[tuple[int, int]]) -> list[str]:
    """Slices of which a part shows another place; those that no pair of `alike` planes holds are named as a whole."""
    in_part = {z for pair in alike for z in pair}
    told = [
        f"{z} (x {left} to {right}, y {top} to {bottom})"
        for z, (left, top, right, bottom) in places.items()
        if z in in_part
    ]
    what = "slices show something else, or nothing, in places where those around them are alike"
    return [f"{what}: z {few(told, MOST_LISTED)}"] if told else []


def _moved(pairs: Sequence[PairSimilarity], numbers: Sequence[int], distant: Distant) -> list[str]:
    """Blocks of slices that fit better below the ones before them, from where neighbours are unlike each other."""
    low = [i for i, p in enumerate(pairs) if p.outlier][:MOST_LISTED]
    # what lies between two blocks that changed places may be less plain than their other ends
    cuts = ((i, min(range(i + 1, k), key=lambda j: pairs[j].correlation or 0), k) for i, k in combinations(low, 2)
            if k - i > 2)  # fmt: skip
    return [
        f"slices fit better in another order: z {numbers[j + 1]} to {numbers[k]} below "
        f"z {numbers[i + 1]} to {numbers[j]}"
        for i, j, k in cuts
        if _fits_moved([(numbers[n], numbers[n + 1]) for n in (i, j, k)], distant)
    ]


def _fits_moved(ends: Sequence[tuple[int, int]], distant: Distant) -> bool:
    """Whether two blocks fit better when they change places; ends: the pairs below, between and above them."""
    (a, b), (c, d), (e, f) = ends
    return all(
        _exceeds(distant(*more), distant(*less)) for more, less in zip(((a, d), (b, e), (c, f)), ends, strict=True)
    )


def _repeated(comparisons: Comparisons, numbers: Sequence[int], unlike: set[tuple[int, int]]) -> list[str]:
    """Slices that show the section of the one before, recorded again; unlike: neighbours that are out of place."""
    first, second = (
        np.array([comparisons[p].correlation for p in zip(numbers, numbers[n:], strict=False)]) for n in (1, 2)
    )
    if np.isfinite(first[:-1]).sum() < 1 or np.isfinite(second).sum() < 2:
        return []
    loss = float(np.nanmedian(first[:-1]) - np.nanmedian(second))
    usual, _ = _summary(comparisons[pair] for pair in pairwise(numbers))
    same = [
        str(b)
        for i, (a, b) in enumerate(pairwise(numbers))
        if usual
        and unlike.isdisjoint(pairwise(numbers[max(0, i - 1) : i + 3]))
        and _is_again(comparisons, numbers[max(0, i - 1) : i], (a, b), numbers[i + 2 : i + 3], loss, usual)
    ]
    return [f"slices show the section of the one before, recorded again: z {few(same, MOST_LISTED)}"] if same else []


def _stalled(comparisons: Comparisons, numbers: Sequence[int], distant: Distant) -> list[str]:
    """Runs of slices that do not differ more the further apart they are: of one section, as where milling stalled."""
    triples = zip(numbers, numbers[1:], numbers[2:], strict=False)
    stays = [_stays(*(comparisons[pair] for pair in ((a, b), (b, c), (a, c)))) for a, b, c in triples]
    runs = [[i for i, _ in run] for here, run in groupby(enumerate(stays), lambda stay: stay[1]) if here]
    ends = [(numbers[run[0]], numbers[run[0] + 1], numbers[run[-1] + 2]) for run in runs if len(run) >= STALLED]
    told = [
        f"{first} to {last}"
        for first, second, last in ends
        # thin sections under noise seem to stay from one to the next
        if not _exceeds(distant(first, second), distant(first, last), SURE_TWICE)
    ]
    return [f"slices show one section, recorded again and again: z {few(told, MOST_LISTED)}"] if told else []


def _stays(below: Comparison, above: Comparison, across: Comparison) -> bool:
    """Whether second neighbours are as alike as neighbours, and noise does not hide a difference."""
    unequal = (_exceeds(*pair, SURE_TWICE) for near in (below, above) for pair in ((near, across), (across, near)))
    return across.correlation >= CLEAR and not any(unequal)


def _is_again(
    comparisons: Comparisons,
    below: Sequence[int],
    pair: tuple[int, int],
    above: Sequence[int],
    loss: float,
    usual: float,
) -> bool:
    """Whether a pair shows one section; loss: of correlation to second neighbours; usual: displacement in pixels."""
    a, b = pair
    # at an end of the stack there is one slice beside the pair
    beside = [((y, a), (y, b)) for y in below] + [((b, z), (a, z)) for z in above]
    alike = (abs(comparisons[near].correlation - comparisons[far].correlation) < SAME * loss for near, far in beside)
    surer = (_exceeds(comparisons[pair], comparisons[near], SURE_TWICE) for near, _ in beside)
    return all(alike) and all(surer) and bool(np.nanmedian(comparisons[pair].distances) < STILL * usual)


def _exceeds(more: Comparison, less: Comparison, sure: float = SURE) -> bool:
    """Whether a correlation is surely higher, by the scatter of the parts of windows."""
    difference = (more.parts - less.parts).astype(np.float64)
    difference = difference[np.isfinite(difference)]
    return len(difference) >= LEAST_PARTS and bool(difference.mean() > sure * difference.std() / len(difference) ** 0.5)
