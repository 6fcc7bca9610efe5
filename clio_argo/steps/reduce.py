"""Decodes every slice once for alignment, and writes what is small: reduced image, features, statistics."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.fill import Mask
from clio_argo.kernels.frame import NOTHING, details
from clio_argo.kernels.quality import middle_lines
from clio_argo.model.base import canonical_json
from clio_argo.model.layout import reduced_name, statistics_name
from clio_argo.model.plan import SliceFile
from clio_argo.model.step import StepResult
from clio_argo.store.reduced import write_arrays
from clio_argo.workspace.followed import mask_checksum, read_followed
from clio_argo.workspace.frame import write_frame_sums
from clio_argo.workspace.measure_slice import Measured, largest, measure_slice
from clio_argo.workspace.reduced import CHANNELS, pack
from clio_argo.workspace.run import Run
from clio_argo.workspace.units import Done, Outcome, each_unit, once
from clio_argo.workspace.user_inputs import read_ignored


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Reduce the slices of some units."""
    return each_unit(units, lambda unit: _unit(run, unit))


def _unit(run: Run, unit: int) -> Outcome:
    slices = run.slices(unit).slices
    excluded = read_ignored(run)
    mask = mask_checksum(excluded)
    inputs = [largest(run), [s.model_dump() for s in slices], *mask]
    return once(run, unit, inputs, lambda: _reduce(run, unit, slices, excluded, read_followed(run, slices, mask)))


def _reduce(
    run: Run, unit: int, slices: Sequence[SliceFile], excluded: Mask | None, known: Mapping[int, Measured]
) -> Done:
    """excluded: bool [y, x], of the files, what the user's mask leaves out. known: what was measured before, by z."""
    counts, channels = np.zeros(256 if slices[0].dtype == "uint8" else 65536, np.int64), dict[str, NDArray[Any]]()
    arrays, lines = dict[str, NDArray[Any]](), dict[str, NDArray[Any]]()
    statistics, sums = [], NOTHING
    run.source.expect([s for s in slices if s.z not in known])
    for slice_file in slices:
        one = known.get(slice_file.z) or measure_slice(run, slice_file, excluded)
        measured, reduced, slice_counts, of_channels = one
        statistics.append(measured)
        if reduced is not None:
            counts += slice_counts
            if of_channels is not None:
                channels[CHANNELS] = of_channels + channels.get(CHANNELS, 0)
            sums += details(reduced)
            arrays.update(pack(slice_file.z, reduced))
            row, column = middle_lines(reduced.image)
            lines.update({f"row{slice_file.z}": row, f"column{slice_file.z}": column})
    # apart from the reduced slices: `suspects`, `solve` and the report read these of the whole stack
    text = np.frombuffer(canonical_json([s.model_dump() for s in statistics]), np.uint8)
    objects = [
        write_arrays(run.store, reduced_name(unit), arrays),
        write_arrays(run.store, statistics_name(unit), {**lines, **channels, "histogram": counts, "facts": text}),
        write_frame_sums(run.store, unit, sums),
    ]
    return Done(objects, [f"{s.z}: {s.error}" for s in statistics if s.error])
