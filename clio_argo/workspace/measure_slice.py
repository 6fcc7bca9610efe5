"""Decodes, measures and reduces one slice."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.data_bar import data_bar_rows
from clio_argo.kernels.features import Area, Reduced, histogram, reduce_slice, tissue_histogram
from clio_argo.kernels.fill import Mask
from clio_argo.kernels.quality import exposure, focus, saturation, stripes
from clio_argo.model.alignment import Shown, SliceStatistics
from clio_argo.model.plan import SliceFile
from clio_argo.store.images.base import Undecodable
from clio_argo.workspace.measure_channels import measure_channels
from clio_argo.workspace.run import Run


class Measured(NamedTuple):
    """A slice's statistics, reduced pixels, and histograms: of its tissue [grey value], of channels [channel, value].

    A slice that does not decode has an error in its statistics, and nothing else.
    """

    statistics: SliceStatistics
    reduced: Reduced | None = None
    counts: NDArray[np.int64] = np.zeros(0, np.int64)
    channels: NDArray[np.int64] | None = None


def measure_slice(run: Run, slice_file: SliceFile, excluded: Mask | None) -> Measured:
    """Decode, measure and reduce one slice, without what is `excluded`: bool [y, x]."""
    try:
        decoded = run.source.decode_heard(slice_file)
        channels = measure_channels(run, slice_file, decoded)
        # after decoding, so that a file written meanwhile is noticed
        run.source.refuse_changed(slice_file)
    except Undecodable as error:
        return Measured(SliceStatistics(z=slice_file.z, digest="", error=str(error)))
    pixels, nothing = decoded.pixels, decoded.nothing
    alignment = run.settings.alignment
    matched = not (alignment.skip or run.settings.transforms)
    bar_px = data_bar_rows(pixels)
    area = _area(run, slice_file, bar_px, _either(excluded, nothing))
    reduced = reduce_slice(pixels, largest(run), alignment.downsample, matched, area)
    counts = histogram(pixels)
    # where there is no picture
    counts[0] -= 0 if nothing is None else np.count_nonzero(nothing)
    # rounded: the digits behind mean nothing, and would make the document longer
    mean, std, low, high = (round(v, 6) for v in (*exposure(reduced), *saturation(counts)))
    statistics = SliceStatistics(
        z=slice_file.z, digest=channels.digest, mean=mean, std=std, low=low, high=high,
        focus=round(focus(reduced), 4), stripes=round(stripes(reduced), 4),
        valid=round(float(reduced.mask.mean()), 4), features=len(reduced.points),
        data_bar_px=bar_px, warning="; ".join(filter(None, (decoded.warning, *channels.warnings))),
        lost_channels=channels.faults, clipped=decoded.clipped, exact=decoded.exact,
    )  # fmt: skip
    return Measured(statistics, reduced, tissue_histogram(pixels, reduced, counts), channels.histograms)


def largest(run: Run) -> tuple[int, int]:
    """Width and height in pixels that hold any slice of the stack."""
    # all slices are reduced by one factor, so that both sides of a change of size show the same detail
    return run.plan.width, run.plan.height


def _either(excluded: Mask | None, nothing: Mask | None) -> Mask | None:
    """Where one of two masks [y, x] holds; `excluded` is that of the largest slice."""
    if excluded is None or nothing is None:
        return nothing if excluded is None else excluded
    return excluded[: nothing.shape[0], : nothing.shape[1]] | nothing


def _area(run: Run, slice_file: SliceFile, bar_px: int, excluded: Mask | None) -> Area:
    """Where a slice may be tissue; excluded: bool [y, x], where it is not."""
    crop = run.settings.source_crop
    shown = Shown(x=crop.x, y=crop.y, data_bar_px=bar_px)
    ignored = tuple((r.x[0], r.y[0], r.x[1] + 1, r.y[1] + 1) for r in run.settings.ignore)
    return Area(shown.box(*slice_file.size), ignored, excluded)
