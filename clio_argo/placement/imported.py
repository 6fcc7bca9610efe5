"""Imported transforms in place of an alignment."""

from collections.abc import Mapping, Sequence

import numpy as np

from clio_argo.kernels.render import on_canvas
from clio_argo.model.alignment import PlacedSlice, Shown, SliceStatistics, Transforms
from clio_argo.model.plan import Plan, SliceFile
from clio_argo.model.regions import SourceCrop
from clio_argo.placement.shown import shown_part


def place_imported(
    imported: Transforms,
    plan: Plan,
    files: Mapping[int, SliceFile],
    statistics: Sequence[SliceStatistics],
    crop: SourceCrop,
) -> Transforms:
    """Imported transforms for every z of the plan; slices that are unusable now are flagged, whatever they were."""
    before, now = {s.z: s for s in imported.slices}, {f.z: f for f in statistics}
    numbers = range(plan.minz, plan.maxz + 1)
    slices = tuple(_place(z, before.get(z), plan, files.get(z), now.get(z)) for z in numbers)
    # a run brings what it showed, so that the same slices look the same again
    shown = imported.shown if imported.shown != Shown() else shown_part(crop, statistics)
    return imported.model_copy(update={"slices": slices, "shown": shown})


def _place(
    z: int, imported: PlacedSlice | None, plan: Plan, file: SliceFile | None, statistics: SliceStatistics | None
) -> PlacedSlice:
    name, page = (file.name, file.page) if file else (None, 0)
    current = {"z": z, "file": name, "page": page, "source_slices": (z,), "grey": None}
    if imported is None or file is None:
        remark = plan.remarks[z].model_dump()
        return PlacedSlice.model_validate({**current, **remark, "matrix": None})
    # the digest of today's pixels: render refuses any others
    digest = statistics.digest if statistics else imported.digest
    placed = imported.model_copy(update={**current, "digest": digest, "placed_by": "imported"})
    if statistics is not None and statistics.error is not None:
        return placed.model_copy(update={"verdict": "bad", "reason": statistics.error, "matrix": None})
    return placed


def fit_canvas(transforms: Transforms, files: Mapping[int, SliceFile]) -> Transforms:
    """The same transforms on a canvas that begins at (0, 0), if they have no canvas."""
    if transforms.width:
        return transforms
    matrices = {s.z: np.array(s.matrix) for s in transforms.slices if s.matrix and s.z in files}
    moved, (width, height) = on_canvas(matrices, {z: f.size for z, f in files.items()})
    slices = tuple(s.model_copy(update={"matrix": moved.get(s.z)}) for s in transforms.slices)
    return transforms.model_copy(update={"width": width, "height": height, "slices": slices})
