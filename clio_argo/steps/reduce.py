"""Decodes every slice once for alignment, and keeps what is small: reduced image, features, statistics."""

from collections.abc import Sequence

import numpy as np

from clio_argo.kernels.features import Reduced, histogram, reduce_slice
from clio_argo.kernels.quality import exposure, focus, middle_lines, saturation, stripes
from clio_argo.model.alignment import SliceStatistics
from clio_argo.model.base import canonical_json
from clio_argo.model.layout import reduced_name, statistics_name
from clio_argo.model.plan import SliceFile
from clio_argo.model.step import StepResult
from clio_argo.store.documents import crc32c
from clio_argo.store.images.base import Pixels, Undecodable
from clio_argo.store.reduced import write_arrays
from clio_argo.workspace.run import Run
from clio_argo.workspace.units import Done, Outcome, each_unit, once

Seen = tuple[SliceStatistics, Reduced | None, Pixels | None]


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Reduce the slices of some units."""
    return each_unit(units, lambda unit: _unit(run, unit))


def _unit(run: Run, unit: int) -> Outcome:
    slices = run.slices(unit).slices
    inputs = [largest_px(run), [s.model_dump() for s in slices]]
    return once(run, unit, inputs, lambda: _reduce(run, unit, slices))


def largest_px(run: Run) -> int:
    """Longest side of the largest slice of the stack."""
    return max(run.plan.width, run.plan.height)


def _reduce(run: Run, unit: int, slices: Sequence[SliceFile]) -> Done:
    counts = np.zeros(256 if slices[0].dtype == "uint8" else 65536, np.int64)
    small, statistics = dict[str, np.ndarray](), dict[str, np.ndarray]()
    seen = []
    for slice_file in slices:
        fact, reduced, tally = see(run, slice_file)
        seen.append(fact)
        if reduced is not None:
            counts += tally
            small.update(_packed(slice_file.z, reduced))
            row, column = middle_lines(reduced.image)
            statistics.update({f"row{slice_file.z}": row, f"column{slice_file.z}": column})
    statistics["histogram"] = counts
    statistics["facts"] = np.frombuffer(canonical_json([f.model_dump() for f in seen]), np.uint8)
    objects = [
        write_arrays(run.store, reduced_name(unit), small),
        write_arrays(run.store, statistics_name(unit), statistics),
    ]
    return Done(objects, [f"{f.z}: {f.error}" for f in seen if f.error])


def see(run: Run, slice_file: SliceFile) -> "tuple[SliceStatistics, Reduced | None, np.ndarray]":
    """Decode and reduce one slice; a slice that does not decode becomes a fact, not a failure."""
    try:
        pixels = run.source.decode(slice_file)
        run.source.refuse_changed(slice_file)
    except Undecodable as error:
        return SliceStatistics(z=slice_file.z, digest="", error=str(error)), None, np.zeros(0)
    alignment = run.config.alignment
    reduced = reduce_slice(
        pixels, largest_px(run), alignment.downsample, detect=not (alignment.skip or run.config.transforms)
    )
    counts = histogram(pixels)
    mean, std, low, high = (round(v, 6) for v in (*exposure(reduced), *saturation(counts)))
    fact = SliceStatistics(
        z=slice_file.z,
        digest=crc32c(pixels.tobytes()),
        mean=mean,
        std=std,
        low=low,
        high=high,
        focus=round(focus(reduced), 4),
        stripes=round(stripes(reduced), 4),
        valid=round(float(reduced.mask.mean()), 4),
        features=len(reduced.points),
    )
    return fact, reduced, counts


def _packed(z: int, reduced: Reduced) -> "dict[str, np.ndarray]":
    return {
        f"image{z}": reduced.image,
        f"mask{z}": np.packbits(reduced.mask),
        f"points{z}": reduced.points,
        f"descriptors{z}": reduced.descriptors,
        f"factors{z}": np.array([reduced.factor, reduced.feature_factor, *reduced.window]),
    }
