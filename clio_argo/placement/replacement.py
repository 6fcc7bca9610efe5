"""What stands in the planes of bad and missing slices."""

from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from clio_argo.model.alignment import Matrix, PlacedSlice, Transforms, to_matrix
from clio_argo.model.request import Treatment


def replace_slices(transforms: Transforms, treatment: Treatment) -> Transforms:
    """The same places, with what stands in every plane."""
    good = {s.z: s.matrix for s in transforms.slices if s.matrix and not s.flagged}
    numbers = sorted(good)
    slices = (s if s.z in good else _replace(s, numbers, good, treatment) for s in transforms.slices)
    return transforms.model_copy(update={"slices": tuple(slices)})


def _replace(
    flagged: PlacedSlice, numbers: Sequence[int], good: Mapping[int, Matrix], treatment: Treatment
) -> PlacedSlice:
    near = neighbours(flagged.z, numbers)
    if treatment == "black" or not near:
        return flagged.model_copy(update={"source_slices": ()})
    if treatment == "keep" and flagged.digest:
        return flagged if flagged.matrix else place_between(flagged, good)
    nearest = (min(near, key=lambda n: (abs(n - flagged.z), n)),)
    return flagged.model_copy(update={"source_slices": near if treatment == "interpolate" else nearest})


def longest_gap(flagged: Iterable[int]) -> range:
    """The longest run of consecutive numbers; the lowest of several."""
    runs: list[range] = [range(0)]
    for z in sorted(flagged):
        runs.append(range(runs[-1].start, z + 1) if z == runs[-1].stop and runs[-1] else range(z, z + 1))
    return max(runs, key=len)


def neighbours(z: int, among: Sequence[int]) -> tuple[int, ...]:
    """The nearest of `among` (sorted, without z) below and above z, as far as there are any."""
    place = bisect(among, z)
    return tuple(among[max(place - 1, 0) : place + 1])


def weights(z: int, shown: Sequence[int]) -> tuple[int, ...]:
    """How much each of the slices shown in plane z counts: linear in the distance, in whole numbers."""
    low, high = shown[0], shown[-1]
    return (high - z, z - low) if low != high else (1,)


def place_between(placed: PlacedSlice, matrices: Mapping[int, Matrix]) -> PlacedSlice:
    """The slice at the mean of its nearest neighbours' places, or at the only one's."""
    near = neighbours(placed.z, sorted(matrices))
    mean = np.average([matrices[n] for n in near], axis=0, weights=weights(placed.z, near))
    return placed.model_copy(update={"matrix": to_matrix(mean), "placed_by": "neighbours"})
