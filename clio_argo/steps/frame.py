"""Finds what stays in the frame while tissue moves under it, so that `match` leaves it out."""

from collections.abc import Sequence

from clio_argo.kernels.frame import fixed_pattern, picture
from clio_argo.kernels.render import png
from clio_argo.model.layout import PATTERN_PICTURE
from clio_argo.model.step import StepResult
from clio_argo.workspace.frame import read_frame_sums, write_pattern
from clio_argo.workspace.run import Run
from clio_argo.workspace.units import record_whole


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Write the pattern, and a picture of it if there is one."""
    sums = read_frame_sums(run)
    pattern = fixed_pattern(sums)
    objects = [write_pattern(run.store, pattern)]
    if pattern.any():
        objects.append(run.store.write(PATTERN_PICTURE, png(picture(sums, pattern))))
    record_whole(run, objects)
    return StepResult()
