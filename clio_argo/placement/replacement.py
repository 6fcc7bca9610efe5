"""What fills the planes of bad and missing slices."""

from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from clio_argo.model.alignment import Matrix, PlacedSlice, Transforms, to_matrix
from clio_argo.model.request import Treatment


def replace_slices(transforms: Transforms, treatment: Treatment) -> Transforms:
    """The same transforms with the source slices of every plane."""
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
    # a slice without a digest has no pixels to keep
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


def neighbours(z: int, numbers: Sequence[int]) -> tuple[int, ...]:
    """The nearest of `numbers` (sorted, without z) below and above z, as far as they exist."""
    index = bisect(numbers, z)
    return tuple(numbers[max(index - 1, 0) : index + 1])


def weights(z: int, sources: Sequence[int]) -> tuple[int, ...]:
    """Weight of each source slice in plane z, linear in the distance."""
    # whole numbers: sums and one division of them give the same bytes on every processor
    low, high = sources[0], sources[-1]
    return (high - z, z - low) if low != high else (1,)


def place_between(placed: PlacedSlice, matrices: Mapping[int, Matrix]) -> PlacedSlice:
    """The slice with the mean matrix of its nearest neighbours, weighted by distance, or that of the only one."""
    near = neighbours(placed.z, sorted(matrices))
    mean = np.average([matrices[n] for n in near], axis=0, weights=weights(placed.z, near))
    return placed.model_copy(update={"matrix": to_matrix(mean), "placed_by": "neighbours"})
