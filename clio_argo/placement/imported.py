"""Places that were given for the slices, instead of being found."""

from collections.abc import Mapping, Sequence

import numpy as np

from clio_argo.kernels.render import on_canvas
from clio_argo.model.alignment import PlacedSlice, SliceStatistics, Transforms
from clio_argo.model.plan import Plan, SliceFile


def place_imported(
    imported: Transforms, plan: Plan, files: Mapping[int, SliceFile], statistics: Sequence[SliceStatistics]
) -> Transforms:
    """Imported places for every z of the plan; slices that cannot be used now are flagged, whatever they were then."""
    then, now = {s.z: s for s in imported.slices}, {f.z: f for f in statistics}
    numbers = range(plan.minz, plan.maxz + 1)
    slices = tuple(_place(z, then.get(z), plan, files.get(z), now.get(z)) for z in numbers)
    return imported.model_copy(update={"slices": slices})


def _place(
    z: int, then: PlacedSlice | None, plan: Plan, file: SliceFile | None, fact: SliceStatistics | None
) -> PlacedSlice:
    now = {
        "z": z,
        "file": file.name if file else None,
        "page": file.page if file else 0,
        "source_slices": (z,),
        "grey": None,
    }
    if then is None or file is None:
        remark = plan.remarks[z].model_dump()
        return PlacedSlice.model_validate({**now, **remark, "matrix": None})
    digest = fact.digest if fact else then.digest
    placed = then.model_copy(update={**now, "digest": digest, "placed_by": "imported"})
    if fact is not None and fact.error is not None:
        return placed.model_copy(update={"verdict": "bad", "reason": fact.error, "matrix": None})
    return placed


def fit_canvas(transforms: Transforms, files: Mapping[int, SliceFile]) -> Transforms:
    """The same transforms on a canvas that begins at (0, 0), if they have none."""
    if transforms.width:
        return transforms
    matrices = {s.z: np.array(s.matrix) for s in transforms.slices if s.matrix and s.z in files}
    moved, (width, height) = on_canvas(matrices, {z: f.size for z, f in files.items()})
    slices = tuple(s.model_copy(update={"matrix": moved.get(s.z)}) for s in transforms.slices)
    return transforms.model_copy(update={"width": width, "height": height, "slices": slices})
