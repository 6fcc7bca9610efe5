"""Reads what `reduce` wrote: statistics of all slices, and the reduced slices themselves."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.features import Reduced
from clio_argo.kernels.frame import leave_out
from clio_argo.model.alignment import SliceStatistics
from clio_argo.model.layout import reduced_name, statistics_name
from clio_argo.store.reduced import read_all_arrays, read_arrays
from clio_argo.workspace.frame import read_pattern
from clio_argo.workspace.run import Run

# name of the array with histograms of channels
CHANNELS = "channels"
# A slice is matched with up to three neighbours above it: with these four in memory none is unpacked twice.
KEPT = 4


class StackStatistics(NamedTuple):
    """Statistics of all slices, ordered by z, and histograms of the whole stack, in pixels.

    histogram: [grey value]. channels: [channel, grey value]; None if there is one channel, or 8 bits.
    """

    slices: list[SliceStatistics]
    histogram: NDArray[np.int64]
    channels: NDArray[np.int64] | None


def read_all_statistics(run: Run) -> StackStatistics:
    """What `reduce` measured of the whole stack, in one pass."""
    statistics: list[SliceStatistics] = []
    counts: Any = 0
    wide = run.plan.channels and run.plan.dtype != "uint8"
    of_channels = np.zeros((len(run.plan.channels), 65536), np.int64) if wide else None
    for arrays in read_all_arrays(run.store, [statistics_name(u) for u in range(run.plan.reduce.units)]):
        statistics += _statistics(arrays["facts"])
        counts = counts + arrays["histogram"]
        if of_channels is not None:
            of_channels += arrays.get(CHANNELS, 0)
    return StackStatistics(statistics, counts, of_channels)


def read_statistics(run: Run, unit: int) -> list[SliceStatistics]:
    """Statistics of the slices of a unit."""
    return _statistics(read_arrays(run.store, statistics_name(unit))["facts"])


def _statistics(raw: NDArray[np.uint8]) -> list[SliceStatistics]:
    """Statistics of slices from their JSON text, bytes [n]."""
    return [SliceStatistics.model_validate(s) for s in json.loads(raw.tobytes())]


class ReducedSlices:
    """The usable reduced slices of some units, without what stays in the frame; the last four unpacked are kept.

    numbers: their z, in order.
    """

    def __init__(self, run: Run, units: Sequence[int]) -> None:
        self._unit_of = {s.z: unit for unit in units for s in read_statistics(run, unit) if s.usable}
        self._arrays = {unit: read_arrays(run.store, reduced_name(unit)) for unit in units}
        self._pattern = read_pattern(run)
        self._last: dict[int, Reduced] = {}
        self.numbers = list(self._unit_of)

    def __getitem__(self, z: int) -> Reduced:
        """Slice number `z`."""
        reduced = self._last.pop(z, None) or self._unpack(z)
        self._last = {**dict(list(self._last.items())[1 - KEPT :]), z: reduced}
        return reduced

    def _unpack(self, z: int) -> Reduced:
        reduced = unpack(self._arrays[self._unit_of[z]], z)
        return leave_out(reduced, self._pattern) if self._pattern.any() else reduced


def pack(z: int, reduced: Reduced) -> dict[str, NDArray[Any]]:
    """Arrays of a reduced slice by name: image and mask [y, x], points [n, 2], descriptors [n, values], factors."""
    return {
        f"image{z}": reduced.image,
        f"mask{z}": np.packbits(reduced.mask),
        f"points{z}": reduced.points,
        f"descriptors{z}": reduced.descriptors,
        f"factors{z}": np.array([reduced.factor, reduced.feature_factor, *reduced.window]),
    }


def unpack(arrays: Mapping[str, NDArray[Any]], z: int) -> Reduced:
    """The reduced slice `z` of arrays that `pack` made: of the same names and axes, image [y, x]."""
    image = arrays[f"image{z}"]
    mask = np.unpackbits(arrays[f"mask{z}"], count=image.size).reshape(image.shape).astype(np.bool_)
    factor, feature_factor, *window = (float(f) for f in arrays[f"factors{z}"])
    points, descriptors = arrays[f"points{z}"], arrays[f"descriptors{z}"]
    return Reduced(image, mask, points, descriptors, int(factor), feature_factor, (window[0], window[1]))
