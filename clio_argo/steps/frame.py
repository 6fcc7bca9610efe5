"""Finds what stays in the frame while tissue moves under it, so that `match` leaves it out."""

from collections.abc import Sequence

from clio_argo.kernels.frame import fixed_pattern, picture
from clio_argo.kernels.render import png
from clio_argo.model.layout import PATTERN_PICTURE
from clio_argo.model.step import StepResult
from clio_argo.store.manifest import checksums
from clio_argo.workspace.frame import read_frame_sums, sampled_units, write_pattern
from clio_argo.workspace.run import Run
from clio_argo.workspace.units import Done, each_unit, once


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Write the pattern, and a picture of it if there is one."""
    inputs = checksums(run.records("reduce", sampled_units(run)))
    return each_unit(units, lambda unit: once(run, unit, inputs, lambda: _find(run)))


def _find(run: Run) -> Done:
    sums = read_frame_sums(run)
    pattern = fixed_pattern(sums)
    if not pattern.any():
        # of slices that changed since
        run.store.delete(PATTERN_PICTURE)
        return Done([write_pattern(run.store, pattern)])
    return Done([write_pattern(run.store, pattern), run.store.write(PATTERN_PICTURE, png(picture(sums, pattern)))])
