"""Decodes every slice a second time, adjusts its contrast and writes it where it belongs: aligned/, scale 0."""

import numpy as np

from clio_argo.errors import ClioError
from clio_argo.kernels import Image
from clio_argo.kernels.contrast import adjust
from clio_argo.kernels.render import jpeg, place, thumbnail
from clio_argo.kernels.window import to_viewer
from clio_argo.model.alignment import PlacedSlice, Planes
from clio_argo.model.formats import thumbnail_name
from clio_argo.model.run import ObjectRecord
from clio_argo.model.volume import Box
from clio_argo.steps.base import Done, Outputs, Run, each_unit, once
from clio_argo.store.documents import crc32c
from clio_argo.store.slices import Undecodable


def run(run: Run, part: int) -> Outputs:
    return each_unit(run.volume.render.part(part), lambda unit: _unit(run, unit))


def _unit(run: Run, unit: int) -> bool:
    box = run.volume.slab_box(unit)
    planes = run.planes(unit)
    inputs = [
        run.volume.scales[0].model_dump(),
        run.volume.window,
        planes.window,
        [s.model_dump(exclude={"verdict", "reason"}) for s in planes.slices],
    ]
    return once(run, unit, inputs, lambda: _render(run, box, planes))


def _render(run: Run, box: Box, planes: Planes) -> Done:
    volume = run.volume
    slab = np.full(box.shape, volume.background, volume.dtype)
    objects: list[ObjectRecord] = []
    last: tuple[int, Image] | None = None
    for i, placed in enumerate(planes.slices):
        if last is None or last[0] != placed.z:
            last = (placed.z, _contrasted(run, placed, planes.window))
        if placed.matrix is not None:
            place(last[1], placed.matrix, slab[i], volume.background)
        objects.append(
            run.store.write(
                thumbnail_name(box.begin[0] + i), jpeg(to_viewer(thumbnail(slab[i]), volume.window))
            )
        )
    return Done([*run.volumes.write_aligned(0, box, slab), *objects])


def _contrasted(run: Run, placed: PlacedSlice, window: tuple[float, float] | None) -> Image:
    contrast = run.config.contrast
    return adjust(decode(run, placed), contrast.clip_limit, contrast.invert, window)


def decode(run: Run, placed: PlacedSlice) -> Image:
    """The pixels that `reduce` saw; anything else stops the run."""
    try:
        pixels = run.source.decode(run.slice_file(placed.z))
    except Undecodable as error:
        raise ClioError(f"slice {placed.z} ({placed.file}): {error}; it was readable before") from error
    if crc32c(pixels.tobytes()) != placed.digest:
        raise ClioError(
            f"slice {placed.z} ({placed.file}) has other pixels than when it was aligned; "
            "run the same command again to align the changed stack"
        )
    return pixels
