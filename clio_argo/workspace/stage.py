"""Recorded positions by the stage of the microscope, as the files of the slices tell it."""

from collections.abc import Sequence

from clio_argo.model.plan import Plan, SliceUnit
from clio_argo.model.user_inputs import Position, name_slices


def stage_positions(plan: Plan, units: Sequence[SliceUnit]) -> tuple[tuple[Position, ...], list[str]]:
    """Where the frames lie on the canvas, relative to the first, and what is wrong with that.

    The stage's X is taken to run to the right in the image, its Y upwards, and both to tell which point of the specimen
    is imaged.
    """
    slices = [s for unit in units for s in unit.slices]
    unknown = [s.z for s in slices if s.stage_nm is None]
    problems = [*name_slices("positions: from-files: their files tell no position of the stage: slices", unknown)]
    known = [(s.z, s.stage_nm) for s in slices if s.stage_nm is not None]
    x_nm, y_nm, _ = plan.voxel_nm
    return tuple(
        Position(z=z, x_px=(x - known[0][1][0]) / x_nm, y_px=(known[0][1][1] - y) / y_nm) for z, (x, y) in known
    ), problems


def stage_text(positions_nm: Sequence[tuple[float, float] | None], used: bool) -> str:
    """What the files of all slices tell of the stage; empty if it never moved, or they tell nothing."""
    told = [p for p in positions_nm if p is not None]
    if used:
        return "of the stage, by the files"
    if len(set(told)) < 2:
        return ""
    if len(told) < len(positions_nm):
        return f"files tell stage positions of {len(told)} of {len(positions_nm)} slices, which are not used"
    return "files tell stage positions: `positions: from-files` uses them"
